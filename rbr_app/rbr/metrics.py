"""How well a grader's probabilities agree with Gold labels, per proposition.

A number that the rows do not define is None, and `undefined` says why; it is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from ._labelled import labelled

Verdict = Literal["better than baseline", "not distinguishable", "not measurable"]
THRESHOLD = 0.5
NO_ROWS = "no row has both a label and a grade"
FLOOR = 10
"""Positives and negatives that a proposition needs for its AUROC to say much."""


@dataclass(frozen=True)
class PropositionScores:
    """Agreement of one proposition's grades with its labels over `n` rows.

    `majority_accuracy` is the accuracy of always giving the more frequent label of these rows.
    `below_baseline` says that the whole interval is under it, a case of "not distinguishable" to
    those who only ask whether the grader is better, and worth its own word to a reader.
    """

    n: int
    positives: int
    accuracy: float | None = None
    accuracy_ci: tuple[float, float] | None = None
    majority_accuracy: float | None = None
    balanced_accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auroc: float | None = None
    mean_mass: float | None = None
    verdict: Verdict = "not measurable"
    below_baseline: bool = False
    undefined: dict[str, str] = field(default_factory=dict)

    @property
    def finding(self) -> str:
        """The verdict in the words of a report."""
        return "below baseline" if self.below_baseline else self.verdict

    @property
    def negatives(self) -> int:
        return self.n - self.positives


@dataclass(frozen=True)
class MacroScores:
    """Plain means over propositions that have at least `floor` positives and negatives."""

    accuracy: float | None
    auroc: float | None
    n_propositions: int
    floor: int


def proposition_scores(
    truth: Sequence[bool],
    p: ArrayLike,
    mass: Sequence[float | None] = (),
    threshold: float = THRESHOLD,
) -> PropositionScores:
    """Scores of probabilities `p`, shape (n,), against labels `truth`, shape (n,).

    A row is graded true where ``p >= threshold``. Accuracy has Wilson's 95 % interval (Wilson
    1927); AUROC is the probability that a positive outranks a negative, ties counted half.
    """
    y, scores = labelled(truth, p)
    masses = [value for value in mass if value is not None]
    mean_mass = float(np.mean(masses)) if masses else None
    undefined = {} if masses else {"mean_mass": "this engine reads no tokens"}
    n, positives = len(y), int(y.sum())
    if not n:
        names = "accuracy accuracy_ci majority_accuracy balanced_accuracy precision recall f1 auroc"
        return PropositionScores(
            0, 0, mean_mass=mean_mass, undefined=dict.fromkeys(names.split(), NO_ROWS) | undefined
        )
    graded = scores >= threshold
    agreed = int((graded == y).sum())
    low, high = binomtest(agreed, n).proportion_ci(method="wilson")
    majority = max(positives, n - positives) / n
    both = 0 < positives < n
    if not both:
        only = "positives" if positives else "negatives"
        reason = f"only {only} in {n} rows"
        undefined |= {"balanced_accuracy": reason, "auroc": reason}
    if not positives:
        undefined |= {"recall": f"no positive in {n} rows"}
    if not graded.any():
        undefined |= {"precision": f"none of {n} rows graded true"}
    if not positives and not graded.any():
        undefined |= {"f1": f"no positive and none graded true in {n} rows"}
    return PropositionScores(
        n=n,
        positives=positives,
        accuracy=agreed / n,
        accuracy_ci=(float(low), float(high)),
        majority_accuracy=majority,
        balanced_accuracy=float(balanced_accuracy_score(y, graded)) if both else None,
        precision=float(precision_score(y, graded)) if graded.any() else None,
        recall=float(recall_score(y, graded)) if positives else None,
        f1=float(f1_score(y, graded)) if positives or graded.any() else None,
        auroc=float(roc_auc_score(y, scores)) if both else None,
        mean_mass=mean_mass,
        verdict=_verdict(both, float(low), majority),
        below_baseline=both and float(high) < majority,
        undefined=undefined,
    )


def _verdict(both_classes: bool, lower: float, majority: float) -> Verdict:
    if not both_classes:
        return "not measurable"
    return "better than baseline" if lower > majority else "not distinguishable"


def macro_scores(scores: Sequence[PropositionScores], floor: int = 1) -> MacroScores:
    """Means over the propositions with at least `floor` positives and `floor` negatives."""
    chosen = [s for s in scores if s.positives >= floor and s.negatives >= floor]
    return MacroScores(
        accuracy=_mean([s.accuracy for s in chosen]),
        auroc=_mean([s.auroc for s in chosen]),
        n_propositions=len(chosen),
        floor=floor,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if numbers else None
