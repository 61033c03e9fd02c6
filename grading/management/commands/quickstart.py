"""``manage.py quickstart``: the whole workbench on this machine, with a sample already graded."""

from __future__ import annotations

import signal
from argparse import ArgumentParser, BooleanOptionalAction
from contextlib import ExitStack
from typing import Any

from django.core.management.base import CommandError

from annotation.models import ConversationSet, Policy
from annotation.services.conversations import import_conversations
from annotation.services.people import ensure_first_login
from annotation.services.policies import import_policy
from grading import terminal
from grading.models import GraderRun
from grading.selectors.reports import run_report
from grading.selectors.runs import last_run
from grading.services.graders import UnknownEngine
from grading.services.runs import RunRefused
from grading.terminal import GraderUnusable, say
from rbr_app import env, local, weights
from rbr_app.commands import JsonCommand
from rbr_app.local.paths import PROJECT

SAMPLE = PROJECT / "annotation" / "sample"
SET = "sample"
SITE_GIB = 1.5
LLM_GIB = 5.0
LLM_SECONDS = 120
FEWEST_ROWS = 4


class Command(JsonCommand):
    help = "Start everything on this machine, grade the sample Gold set, and serve the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--port", type=int, default=8000, help="of the site (default 8000)")
        parser.add_argument(
            "--exit", action="store_true", help="stop after the reports; 0 if every run completed"
        )
        parser.add_argument(
            "--llm",
            action=BooleanOptionalAction,
            default=True,
            help="grade with the language model too, not with the classifier alone",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # SIGINT too: a shell starts its background jobs deaf to it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means to stay
            signal.signal(signal.SIGHUP, signal.default_int_handler)
        if shortage := weights.memory_shortage(SITE_GIB):
            raise CommandError(f"{shortage}: free some and run this again")
        with ExitStack() as stack:
            self._serve(stack, **options)

    def _serve(self, stack: ExitStack, *, port: int, exit: bool, llm: bool, **options: Any) -> None:  # noqa: A002
        site = stack.enter_context(
            local.hold("postgres", "broker", "worker", "web", port=port, report=say)
        )
        name, password = ensure_first_login(path=env.HOME / "login")
        say(f"the site is at {site['web']}  (user {name}, password {password})")
        conversation_set = _load_sample()
        failures = [self._grade("classifier", conversation_set)]
        if llm:
            failures.append(self._grade_with_llm(stack, conversation_set))
        problem = next(filter(None, failures), None)
        if exit:
            if problem:
                raise CommandError(problem)
            return
        say(f"\nthe site is at {site['web']}  (user {name}, password {password})")
        say("Ctrl-C stops everything that this command started")
        try:
            site.wait_lost()
        except KeyboardInterrupt:
            say("stopping …")
            return
        raise CommandError(f"the services ended: see {local.paths.logs(env.HOME)}")

    def _grade_with_llm(self, stack: ExitStack, conversation_set: ConversationSet) -> str | None:
        grader = "vllm_server" if env.GRADER_URL else "vllm"
        if grader == "vllm":
            if shortage := weights.memory_shortage(LLM_GIB):
                return _told(f"{shortage} for the language model; free some or use --no-llm")
            try:
                terminal.prepare_model()
                stack.enter_context(local.hold("model_worker", report=say))
            except local.SetupError as error:
                return _told(str(error))
        return self._grade(grader, conversation_set, seconds=LLM_SECONDS)

    def _grade(
        self, grader: str, conversation_set: ConversationSet, seconds: float | None = None
    ) -> str | None:
        """Grade the held-out rows, or what of them fits into `seconds`, and print the report.

        Done once: afterwards the run that stands is shown. Returns what went wrong, in one line.
        """
        run = last_run(conversation_set, grader, GraderRun.Scope.TEST)
        if run is None or run.status != GraderRun.Status.COMPLETED:
            try:
                version = terminal.register(grader)
                limit = run.limit if run else None
                if run is None and seconds is not None:
                    limit = terminal.rows_in(seconds, version, conversation_set, FEWEST_ROWS)
                run = terminal.grade_held_out(version, conversation_set, limit)
            except (GraderUnusable, RunRefused, UnknownEngine) as error:
                return _told(str(error))
        if run.status != GraderRun.Status.COMPLETED:
            return _told(f"{run} {run.status}: {run.error or 'stopped by hand'}")
        terminal.print_report(run_report(run))
        return None


def _told(problem: str) -> str:
    say(f"error: {problem}")
    return problem


def _load_sample() -> ConversationSet:
    """The sample policy and Gold set, imported where they are not there yet."""
    if not Policy.objects.filter(name=SET).exists():
        import_policy(text=(SAMPLE / "policy.yaml").read_text())
    reports = [
        import_conversations(
            lines=(SAMPLE / f"gold_{split}.jsonl").read_bytes().splitlines(),
            set_name=SET,
            split=split,
            policy_name=SET,
        )
        for split in ("train", "test")
    ]
    rows = sum(report.added + report.unchanged for report in reports)
    added = sum(report.added for report in reports)
    say(f"Gold set {SET}: {rows} labelled conversations ({added} added)")
    return reports[0].conversation_set
