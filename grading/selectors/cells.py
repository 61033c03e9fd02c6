"""The rows behind one line of a report: each completion's grade beside its Gold label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annotation.selectors.labels import gold_truths
from grading.models import Grade, GraderRun
from rbr_app.rbr.metrics import THRESHOLD

BINS = 20
VAGUE = 0.02
SHOWN = ("all", "disagreements", "tp", "fp", "fn", "tn", "unlabelled", "null")


@dataclass(frozen=True)
class GradedCell:
    """A grade with the truth that counts now; both may be missing."""

    completion: int
    p: float | None
    mass: float | None
    token: str
    null_reason: str
    truth: bool | None
    p_low: float | None = None
    p_high: float | None = None

    @property
    def is_vague(self) -> bool:
        """Whether the bounds of p are far enough apart to be shown."""
        return (
            self.p_low is not None and self.p_high is not None and self.p_high - self.p_low > VAGUE
        )

    @property
    def graded_true(self) -> bool:
        return self.p is not None and self.p >= THRESHOLD

    @property
    def disagreement(self) -> float:
        """Distance between p and the label, 0 to 1; -1 where one of them is missing."""
        if self.p is None or self.truth is None:
            return -1.0
        return abs(self.p - float(self.truth))

    @property
    def outcome(self) -> str:
        """A quarter of the confusion matrix, or why the cell is in none."""
        if self.p is None:
            return "null"
        if self.truth is None:
            return "unlabelled"
        return ("t" if self.graded_true is self.truth else "f") + ("p" if self.graded_true else "n")

    @property
    def disagrees(self) -> bool:
        return self.outcome in ("fp", "fn")


def graded_cells(run: GraderRun, key: str, split: str) -> list[GradedCell]:
    """The cells of one proposition, where grade and label are furthest apart first."""
    grades = Grade.objects.filter(run=run, proposition__key=key)
    if split != "all":
        grades = grades.filter(completion__conversation__split=split)
    truths = gold_truths(grades.order_by().values_list("completion", flat=True))
    cells = [
        GradedCell(pk, p, mass, token, reason, truths.get((pk, key)), low, high)
        for pk, p, mass, token, reason, low, high in grades.values_list(
            "completion", "p", "mass", "token", "null_reason", "p_low", "p_high"
        )
    ]
    return sorted(cells, key=lambda cell: (-cell.disagreement, cell.completion))


def outcomes(cells: Sequence[GradedCell]) -> Counter[str]:
    return Counter(cell.outcome for cell in cells)


def shown_cells(cells: Sequence[GradedCell], show: str) -> list[GradedCell]:
    """The cells that a filter of `SHOWN` leaves."""
    if show == "disagreements":
        return [cell for cell in cells if cell.disagrees]
    return [cell for cell in cells if show == "all" or cell.outcome == show]


@dataclass(frozen=True)
class Bin:
    """Grades with p in [low, high), by label."""

    low: float
    high: float
    positives: int
    negatives: int


def p_histogram(cells: Sequence[GradedCell]) -> list[Bin]:
    """How p is spread over the labelled cells; the last bin holds p = 1 too."""
    count: Counter[tuple[int, bool]] = Counter()
    for cell in cells:
        if cell.p is not None and cell.truth is not None:
            count[min(int(cell.p * BINS), BINS - 1), cell.truth] += 1
    return [
        Bin(index / BINS, (index + 1) / BINS, count[index, True], count[index, False])
        for index in range(BINS)
    ]
