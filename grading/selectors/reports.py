"""Grades against Gold labels: the report of a run, as rows, as JSON, and in a reader's order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation.selectors.agreement import human_ceiling
from annotation.selectors.labels import gold_truths
from grading.models import (
    Grade,
    GraderRun,
)
from grading.selectors.staleness import stale_keys
from rbr_app.rbr.agreement import NO_PAIR, Estimate
from rbr_app.rbr.engines import engine_kind
from rbr_app.rbr.metrics import (
    FLOOR,
    MacroScores,
    PropositionScores,
    macro_scores,
    proposition_scores,
)

FINDINGS = ("not measurable", "below baseline", "not distinguishable", "better than baseline")

COLUMNS = (
    "n",
    "positives",
    "accuracy",
    "majority_accuracy",
    "people",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "auroc",
    "mean_mass",
    "verdict",
)


NO_PEOPLE = Estimate(reason=NO_PAIR)


@dataclass(frozen=True)
class ReportRow:
    """One proposition's scores; `people` is how often one person agrees with another.

    `stale` says why the grades answer an older definition, empty where they do not.
    """

    key: str
    scores: PropositionScores
    people: Estimate
    stale: str


@dataclass(frozen=True)
class Report:
    """Grades against the Gold labels that count now, per proposition of a run."""

    run: GraderRun
    split: str
    rows: list[ReportRow]
    macro: MacroScores
    macro_floor: MacroScores
    out_of_fold: bool


def report_splits(run: GraderRun) -> list[str]:
    """The splits a report of `run` can be about, the default first.

    A grader that learns is judged on held-out rows unless nothing else was graded.
    """
    if run.split != GraderRun.Scope.ALL:
        return [run.split]
    learns = engine_kind(run.grader_version.engine).learns
    return ["test", "train", "all"] if learns else ["all", "test", "train"]


def run_report(run: GraderRun, split: str = "") -> Report:
    """The report of a run for one split (default: the first of `report_splits`)."""
    split = split or report_splits(run)[0]
    grades = Grade.objects.filter(run=run)
    if split != "all":
        grades = grades.filter(completion__conversation__split=split)
    truths = gold_truths(grades.values_list("completion", flat=True).distinct())
    columns: dict[str, tuple[list[bool], list[float], list[float | None]]] = defaultdict(
        lambda: ([], [], [])
    )
    cells = grades.values_list("completion", "proposition__key", "p", "mass")
    for completion, key, p, mass in cells.iterator(chunk_size=20_000):
        truth = truths.get((completion, key))
        if truth is not None and p is not None:
            columns[key][0].append(truth)
            columns[key][1].append(p)
            columns[key][2].append(mass)
    asked = set(run.propositions.values_list("key", flat=True))
    order = [key for key in run.policy_version.as_policy().proposition_keys if key in asked]
    people = human_ceiling(run.conversation_set, split)
    stale = stale_keys(run)
    rows = [
        ReportRow(
            key=key,
            scores=proposition_scores(*columns[key]),
            people=people.get(key, NO_PEOPLE),
            stale=stale.get(key, ""),
        )
        for key in order
    ]
    scores = [row.scores for row in rows]
    return Report(
        run=run,
        split=split,
        rows=rows,
        macro=macro_scores(scores),
        macro_floor=macro_scores(scores, FLOOR),
        out_of_fold=engine_kind(run.grader_version.engine).learns and split != "test",
    )


def as_json(report: Report) -> dict[str, Any]:
    """The report with null where a number is undefined."""
    return {
        "run": report.run.pk,
        "split": report.split,
        "status": report.run.status,
        "out_of_fold": report.out_of_fold,
        "propositions": {
            row.key: asdict(row.scores) | {"people": asdict(row.people), "stale": row.stale}
            for row in report.rows
        },
        "macro": {
            "accuracy": report.macro.accuracy,
            "auroc": report.macro.auroc,
            "n_measurable": report.macro.n_propositions,
        },
        "macro_floor": asdict(report.macro_floor),
    }


def ordered(rows: Sequence[ReportRow], sort: str) -> list[ReportRow]:
    """Rows by a column, ``-`` in front for falling; undefined numbers always come last.

    Anything that is no column leaves the policy's order.
    """
    column, falling = sort.removeprefix("-"), sort.startswith("-")
    if column == "key":
        return sorted(rows, key=lambda row: row.key, reverse=falling)
    if column not in COLUMNS:
        return list(rows)
    known = [row for row in rows if _value(row, column) is not None]
    unknown = [row for row in rows if _value(row, column) is None]
    return sorted(known, key=lambda row: _value(row, column) or 0, reverse=falling) + unknown


def _value(row: ReportRow, column: str) -> float | None:
    if column == "verdict":
        return FINDINGS.index(row.scores.finding)
    if column == "people":
        return row.people.value
    value: float | None = getattr(row.scores, column)
    return value
