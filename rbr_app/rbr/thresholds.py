"""From a grader's probabilities to a yes or no: thresholds, the curves behind them, their choice.

Source: Mu et al. 2024, section 4: probabilities become binary by thresholds tuned on Gold labels.
A row counts as graded true where ``p >= threshold``. Rows without a label or a probability are the
caller's to leave out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import StratifiedGroupKFold

from ._labelled import labelled

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
CONFIDENCE = 0.95


class ThresholdError(ValueError):
    """Rows from which no threshold can be chosen. The message says why."""


class Objective(StrEnum):
    """What a threshold is chosen for; all are to be as high as possible but the two costs."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced_accuracy"
    F1 = "f1"
    YOUDEN = "youden"
    MIN_FPR = "min_fpr"
    COST = "cost"


@dataclass(frozen=True)
class Wish:
    """An objective with what it needs.

    `tpr_floor` is the true-positive rate that `MIN_FPR` must reach; `cost_ratio` is what a false
    positive costs in false negatives, for `COST`.
    """

    objective: Objective = Objective.BALANCED_ACCURACY
    tpr_floor: float = 0.9
    cost_ratio: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.tpr_floor <= 1:
            raise ThresholdError(f"the floor of the true-positive rate is {self.tpr_floor}")
        if not (self.cost_ratio > 0 and np.isfinite(self.cost_ratio)):
            raise ThresholdError(f"the cost ratio is {self.cost_ratio}")


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n(self) -> int:
        return self.tp + self.fp + self.fn + self.tn

    @property
    def tpr(self) -> float | None:
        """Share of the positives that are graded true; None without positives."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def fpr(self) -> float | None:
        """Share of the negatives that are graded true; None without negatives."""
        return _ratio(self.fp, self.fp + self.tn)

    @property
    def precision(self) -> float | None:
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def accuracy(self) -> float | None:
        return _ratio(self.tp + self.tn, self.n)

    @property
    def balanced_accuracy(self) -> float | None:
        if self.tpr is None or self.fpr is None:
            return None
        return (self.tpr + 1 - self.fpr) / 2

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class OperatingPoints:
    """The confusion counts at every threshold that makes a difference.

    Arrays of shape (k,), thresholds rising: the first grades every row true, the last none. A
    threshold lies midway between two neighbouring probabilities, so that a probability that moves
    a little does not change sides.
    """

    threshold: Floats
    tp: Counts
    fp: Counts
    positives: int
    negatives: int

    @property
    def fn(self) -> Counts:
        return self.positives - self.tp

    @property
    def tn(self) -> Counts:
        return self.negatives - self.fp

    def confusion(self, index: int) -> Confusion:
        return Confusion(
            int(self.tp[index]), int(self.fp[index]), int(self.fn[index]), int(self.tn[index])
        )


def operating_points(truth: Sequence[bool] | ArrayLike, p: ArrayLike) -> OperatingPoints:
    """Confusion counts over all thresholds, from labels (n,) and probabilities (n,)."""
    y, scores = _rows(truth, p)
    values, index = np.unique(scores, return_inverse=True)
    positives = np.bincount(index, weights=y, minlength=len(values)).astype(np.int64)
    negatives = np.bincount(index, weights=~y, minlength=len(values)).astype(np.int64)
    # At threshold i all rows with a value below the i-th are graded false.
    tp = int(y.sum()) - np.concatenate([[0], np.cumsum(positives)])
    fp = int((~y).sum()) - np.concatenate([[0], np.cumsum(negatives)])
    # No row has p > 1: the next number after it grades all of them false.
    middle = (values[:-1] + values[1:]) / 2
    # Between two neighbouring floats there is no number: then the upper one divides them.
    middle = np.where(middle > values[:-1], middle, values[1:])
    edges = np.concatenate([[0.0], middle, [np.nextafter(1.0, 2.0)]])
    return OperatingPoints(edges, tp, fp, int(y.sum()), int((~y).sum()))


def confusion_at(truth: Sequence[bool] | ArrayLike, p: ArrayLike, threshold: float) -> Confusion:
    """The counts at one threshold."""
    y, scores = _rows(truth, p)
    graded = scores >= threshold
    tp, fp = int((graded & y).sum()), int((graded & ~y).sum())
    return Confusion(tp, fp, int(y.sum()) - tp, int((~y).sum()) - fp)


def _rows(truth: Sequence[bool] | ArrayLike, p: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    y, scores = labelled(truth, p)
    if not len(y):
        raise ThresholdError("no row has both a label and a grade")
    if not (np.isfinite(scores).all() and scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("a probability is not between 0 and 1")
    return y, scores


@dataclass(frozen=True)
class Choice:
    """A chosen threshold, the objective's value there and the counts on the rows it came from."""

    threshold: float
    score: float
    confusion: Confusion


def choose_threshold(
    truth: Sequence[bool] | ArrayLike,
    p: ArrayLike,
    wish: Wish = Wish(),
) -> Choice:
    """The threshold that serves `wish` best on these rows; of equal ones the nearest to 0.5.

    Raises `ThresholdError` when the rows hold only one label value: any threshold at their edge
    would be perfect and mean nothing.
    """
    points = operating_points(truth, p)
    if not points.positives or not points.negatives:
        only = "positives" if points.positives else "negatives"
        raise ThresholdError(f"only {only} in {points.positives + points.negatives} rows")
    scores = _scores(points, wish)
    best = np.flatnonzero(scores >= scores.max() - 1e-12)
    index = int(best[np.argmin(np.abs(points.threshold[best] - 0.5))])
    return Choice(float(points.threshold[index]), float(scores[index]), points.confusion(index))


def _scores(points: OperatingPoints, wish: Wish) -> Floats:
    """The objective at every operating point, higher is better."""
    tpr, fpr = points.tp / points.positives, points.fp / points.negatives
    n = points.positives + points.negatives
    match wish.objective:
        case Objective.ACCURACY:
            return (points.tp + points.tn) / n
        case Objective.BALANCED_ACCURACY:
            return (tpr + 1 - fpr) / 2
        case Objective.F1:
            return 2 * points.tp / (2 * points.tp + points.fp + points.fn)
        case Objective.YOUDEN:
            return tpr - fpr
        case Objective.MIN_FPR:
            return np.where(tpr >= wish.tpr_floor, -fpr, -np.inf)
        case Objective.COST:
            return -(wish.cost_ratio * points.fp + points.fn) / n


@dataclass(frozen=True)
class CrossValidated:
    """A threshold from all rows, and what thresholds chosen without a row did on that row."""

    choice: Choice
    out_of_fold: Confusion
    fold_thresholds: tuple[float, ...]


def cross_validated_threshold(
    truth: Sequence[bool] | ArrayLike,
    p: ArrayLike,
    groups: Sequence[Hashable],
    wish: Wish = Wish(),
    folds: int = 5,
    seed: int = 0,
) -> CrossValidated:
    """Choose on all rows; judge by folds that keep the rows of a group (a prompt) together.

    Raises `ThresholdError` when a fold's training rows hold only one label value.
    """
    y, scores = _rows(truth, p)
    _, ids = np.unique([str(group) for group in groups], return_inverse=True)
    parts = min(folds, len(set(ids.tolist())), int(y.sum()), int((~y).sum()))
    if parts < 2:
        raise ThresholdError("too few prompts with each label for cross-validation")
    graded = np.zeros(len(y), dtype=bool)
    found = []
    splitter = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
    for train, held in splitter.split(scores, y, ids):
        threshold = choose_threshold(y[train], scores[train], wish).threshold
        found.append(threshold)
        graded[held] = scores[held] >= threshold
    tp, fp = int((graded & y).sum()), int((graded & ~y).sum())
    held_out = Confusion(tp, fp, int(y.sum()) - tp, int((~y).sum()) - fp)
    return CrossValidated(choose_threshold(y, scores, wish), held_out, tuple(found))


MEASURES = ("accuracy", "balanced_accuracy", "f1", "precision", "tpr", "fpr")


def bootstrap_intervals(
    truth: Sequence[bool] | ArrayLike,
    p: ArrayLike,
    threshold: float,
    groups: Sequence[Hashable] = (),
    resamples: int = 1_000,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Percentile intervals (95 %) of each of `MEASURES` at a threshold.

    Groups (prompts) are drawn with replacement, rows where none are given. A measure that more
    than half of the resamples leave undefined has no interval; the others are left out of it.
    """
    y, scores = _rows(truth, p)
    graded = scores >= threshold
    cells = np.stack([graded & y, graded & ~y, ~graded & y, ~graded & ~y], axis=1)
    if groups:
        _, ids = np.unique([str(group) for group in groups], return_inverse=True)
        per_group = np.zeros((ids.max() + 1, 4))
        np.add.at(per_group, ids, cells)
    else:
        per_group = cells.astype(float)
    n = len(per_group)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    tp, fp, fn, tn = (weights @ per_group).T
    with np.errstate(invalid="ignore", divide="ignore"):
        tpr, fpr = tp / (tp + fn), fp / (fp + tn)
        drawn = {
            "accuracy": (tp + tn) / (tp + fp + fn + tn),
            "balanced_accuracy": (tpr + 1 - fpr) / 2,
            "f1": 2 * tp / (2 * tp + fp + fn),
            "precision": tp / (tp + fp),
            "tpr": tpr,
            "fpr": fpr,
        }
    return {name: _interval(drawn[name]) for name in MEASURES}


def _interval(values: Floats) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    if 2 * len(known) < len(values):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
