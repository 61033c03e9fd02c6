"""``manage.py run_grader --set NAME --grader NAME [--split …] [--limit N] [--propositions a,b]``"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotation.models import ConversationSet
from grading import terminal
from grading.models import GraderRun
from grading.selectors.runs import run_progress
from grading.services.graders import UnknownEngine
from grading.services.runs import RunRefused
from rbr_app.commands import JsonCommand


class Command(JsonCommand):
    help = "Grade a set's completions and wait for the result."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--set", required=True)
        parser.add_argument(
            "--grader",
            required=True,
            help="classifier, vllm, vllm_server, openai_topk or a registered name",
        )
        parser.add_argument("--split", choices=GraderRun.Scope.values, default="all")
        parser.add_argument("--limit", type=int, help="grade this many completions")
        parser.add_argument("--propositions", default="", help="a,b,…; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] is not None and options["limit"] < 1:
            raise CommandError("--limit must be at least 1")
        try:
            conversation_set = ConversationSet.objects.get(name=options["set"])
        except ConversationSet.DoesNotExist:
            raise CommandError(f"there is no set {options['set']!r}") from None
        try:
            run = terminal.grade(
                conversation_set=conversation_set,
                grader_name=options["grader"],
                split=options["split"],
                limit=options["limit"],
                propositions=[key for key in options["propositions"].split(",") if key],
            )
        except (RunRefused, UnknownEngine, terminal.GraderUnusable) as error:
            raise CommandError(str(error)) from error
        progress = run_progress(run)
        self.write_json(
            options,
            {
                "run": run.pk,
                "status": run.status,
                "grader": str(run.grader_version),
                "split": run.split,
                "cells": progress.cells,
                "grades": progress.grades,
                "nulls": progress.nulls,
                "calls": progress.calls,
                "reused": progress.reused,
                "seconds": round(progress.seconds, 3),
                "error": run.error,
            },
        )
        if run.status != GraderRun.Status.COMPLETED:
            raise CommandError(f"{run} {run.status}: {run.error or 'stopped by hand'}")
        self.stdout.write(f"{run} completed; see: manage.py report {run.pk}")
