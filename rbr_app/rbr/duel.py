"""Two graders on the same rows: what one mends and what it breaks, and whether that is chance.

McNemar's test in its exact form (the binomial test on the rows where the two differ), the interval
of a difference between paired proportions (Newcombe 1998, method 10), and Holm's correction (1979)
for looking at many propositions at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest


@dataclass(frozen=True)
class Duel:
    """Old against new over `n` rows that both graded and people labelled.

    `fixed` rows were wrong and are right, `broken` ones the other way round. `difference` is the
    new accuracy minus the old one; `p_value` the chance of so uneven a split of the rows that
    changed if both were equally good, 1 where none changed.
    """

    n: int
    both_right: int
    fixed: int
    broken: int
    both_wrong: int
    difference: float
    interval: tuple[float, float]
    p_value: float

    @property
    def old_accuracy(self) -> float:
        return (self.both_right + self.broken) / self.n

    @property
    def new_accuracy(self) -> float:
        return (self.both_right + self.fixed) / self.n


def duel(truth: ArrayLike, old: ArrayLike, new: ArrayLike) -> Duel | None:
    """Compare two series of verdicts, booleans of shape (n,), with the labels (n,).

    None when there is no row to compare.
    """
    y, before, after = (np.asarray(values, dtype=bool) for values in (truth, old, new))
    if y.ndim != 1 or not y.shape == before.shape == after.shape:
        raise ValueError(f"{y.shape} labels, {before.shape} old and {after.shape} new verdicts")
    if not len(y):
        return None
    was, is_now = before == y, after == y
    right, fixed = int((was & is_now).sum()), int((~was & is_now).sum())
    broken, wrong = int((was & ~is_now).sum()), int((~was & ~is_now).sum())
    changed = fixed + broken
    return Duel(
        n=len(y),
        both_right=right,
        fixed=fixed,
        broken=broken,
        both_wrong=wrong,
        difference=(fixed - broken) / len(y),
        interval=paired_difference_interval(right, fixed, broken, wrong),
        p_value=float(binomtest(fixed, changed).pvalue) if changed else 1.0,
    )


def paired_difference_interval(
    both_right: int, fixed: int, broken: int, both_wrong: int
) -> tuple[float, float]:
    """95 % interval of (new - old) accuracy on the same rows; Newcombe 1998, method 10.

    It joins the Wilson intervals of the two accuracies through their correlation, and stays within
    -1 and 1 for any counts.
    """
    n = both_right + fixed + broken + both_wrong
    new, old = both_right + fixed, both_right + broken
    low_new, high_new = _wilson(new, n)
    low_old, high_old = _wilson(old, n)
    p_new, p_old = new / n, old / n
    spread = math.prod([new, n - new, old, n - old])
    phi = 0.0
    if spread:
        product: float = both_right * both_wrong - fixed * broken
        # Newcombe's continuity correction of the correlation, which would else be too sure.
        product = max(product - n / 2, 0) if product > 0 else product
        phi = product / math.sqrt(spread)
    difference = p_new - p_old
    below = _joined(p_new - low_new, high_old - p_old, phi)
    above = _joined(high_new - p_new, p_old - low_old, phi)
    return max(difference - below, -1.0), min(difference + above, 1.0)


def _wilson(k: int, n: int) -> tuple[float, float]:
    low, high = binomtest(k, n).proportion_ci(method="wilson")
    return float(low), float(high)


def _joined(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: the chance of one false alarm among all stays below each."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, (name, value) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * value))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


@dataclass(frozen=True)
class ErrorPair:
    """Two propositions whose errors come together: phi over the `n` rows where both are judged.

    `both` counts the rows on which both are wrong.
    """

    first: str
    second: str
    phi: float
    n: int
    both: int


def correlated_errors(
    wrong: Mapping[str, Sequence[bool | None]], least: int = 3
) -> list[ErrorPair]:
    """Pairs of propositions by how strongly their errors correlate, strongest first.

    `wrong` has for each proposition, over the same rows, whether its verdict was wrong; None where
    it has no verdict or no label. Pairs in which either has fewer than `least` errors, or as few
    right verdicts, say nothing and are left out.
    """
    keys = list(wrong)
    known = np.array([[value is not None for value in wrong[key]] for key in keys], dtype=float)
    errors = np.array([[bool(value) for value in wrong[key]] for key in keys], dtype=float)
    if not keys or not known.shape[1]:
        return []
    # Counts over the rows that both propositions know, for all pairs at once.
    n = known @ known.T
    first_wrong = errors @ known.T
    both = errors @ errors.T
    found = []
    for i, first in enumerate(keys):
        for j in range(i + 1, len(keys)):
            a, b, rows = first_wrong[i, j], first_wrong[j, i], n[i, j]
            if min(a, b, rows - a, rows - b) < least:
                continue
            spread = math.sqrt(a * (rows - a) * b * (rows - b))
            phi = float((rows * both[i, j] - a * b) / spread)
            found.append(ErrorPair(first, keys[j], phi, int(rows), int(both[i, j])))
    return sorted(found, key=lambda pair: -pair.phi)
