"""The report as JSON values, and in the order that a reader asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from grading.selectors import Report, ReportRow

FINDINGS = ("not measurable", "below baseline", "not distinguishable", "better than baseline")
COLUMNS = (
    "n",
    "positives",
    "accuracy",
    "majority_accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "auroc",
    "mean_mass",
    "verdict",
)


def as_json(report: Report) -> dict[str, Any]:
    """The report with null where a number is undefined."""
    return {
        "run": report.run.pk,
        "split": report.split,
        "status": report.run.status,
        "out_of_fold": report.out_of_fold,
        "propositions": {row.key: asdict(row.scores) for row in report.rows},
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
    value: float | None = getattr(row.scores, column)
    return value
