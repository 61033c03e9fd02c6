"""``manage.py report RUN``"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from grading import terminal
from grading.models import GraderRun
from grading.selectors.reports import as_json, report_splits, run_report
from grading.selectors.runs import runs
from rbr_app.commands import JsonCommand


class Command(JsonCommand):
    help = "Print how well a run's grades agree with the Gold labels, per proposition."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("run", type=int)
        parser.add_argument("--split", default="", help="of a run over all: train, test or all")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            run = runs().get(pk=options["run"])
        except GraderRun.DoesNotExist:
            raise CommandError(f"there is no run {options['run']}") from None
        splits = report_splits(run)
        if options["split"] and options["split"] not in splits:
            raise CommandError(f"{run} can be reported for {', '.join(splits)}")
        report = run_report(run, options["split"])
        terminal.print_report(report)
        self.write_json(options, as_json(report))
