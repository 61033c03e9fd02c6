"""How well people agree with one another on a proposition: the ceiling of any grader.

An answer is true, false, or None where a person could not decide. "Cannot decide" is no rating:
it enters no coefficient and is counted beside them. What the answers do not define has no value
and a reason, never NaN.

Intervals are percentile bootstraps over units (Efron 1979), 95 %; of shares that no resample moves
(all agree), Wilson's. A unit matters only by how often
each answer was given to it, so a resample of units is a multinomial draw over the distinct counts:
the same intervals whatever the order of units, people or names, at the cost of a few dozen rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeAlias

import krippendorff
import numpy as np
from numpy.typing import ArrayLike, NDArray

Ratings: TypeAlias = Mapping[Any, Mapping[str, bool | None]]
"""Unit -> person -> answer. A person who was not asked is absent."""

Floats: TypeAlias = NDArray[np.float64]

SEED = 0
RESAMPLES = 500
NO_PAIR = "no unit has answers of two people"
NO_RATING = "nobody answered true or false"
ONE_UNIT = "no interval: there is one unit"
NO_SPREAD = "no interval: every resample gives the same number"
SAME = 1e-9
"""Resamples that differ by less differ by rounding."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, or `reason` why one of them is missing."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class PairAgreement:
    """Two people over the `n` units that both of them answered."""

    n: int
    percent: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class PropositionAgreement:
    """Agreement on one proposition.

    `n_units` have at least two ratings; `n_ratings` are the true and false answers to all units,
    `n_undecided` the "cannot decide", `n_people` those who gave a rating. `pairs` holds each two
    people with a unit in common, by name.
    """

    n_units: int
    n_ratings: int
    n_undecided: int
    n_people: int
    percent: Estimate
    fleiss: Estimate
    alpha: Estimate
    prevalence: Estimate
    ceiling: Estimate
    pairs: dict[tuple[str, str], PairAgreement]


def proposition_agreement(
    ratings: Ratings, seed: int = SEED, resamples: int = RESAMPLES
) -> PropositionAgreement:
    """Everything about one proposition; each part is the function of the same name here."""
    counts = value_counts(ratings)
    drawn = (seed, resamples)
    return PropositionAgreement(
        n_units=len(_pairable(counts)),
        n_ratings=int(counts.sum()),
        n_undecided=sum(answer is None for unit in ratings.values() for answer in unit.values()),
        n_people=len(_people(ratings)),
        percent=percent_agreement(counts, *drawn),
        fleiss=fleiss_kappa(counts, *drawn),
        alpha=krippendorff_alpha(counts, *drawn),
        prevalence=prevalence(counts, *drawn),
        ceiling=human_ceiling(counts, *drawn),
        pairs=pair_agreements(ratings, *drawn),
    )


def unit_agreement(answers: Iterable[bool | None]) -> float | None:
    """Share of agreeing pairs among the ratings of one unit; None below two ratings."""
    rated = [answer for answer in answers if answer is not None]
    n, true = len(rated), sum(rated)
    if n < 2:
        return None
    false = n - true
    return (true * (true - 1) + false * (false - 1)) / (n * (n - 1))


def value_counts(ratings: Ratings) -> NDArray[np.int64]:
    """How often each unit was answered (true, false): shape (units, 2)."""
    rows = [
        (sum(answer is True for answer in unit), sum(answer is False for answer in unit))
        for unit in (answers.values() for answers in ratings.values())
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def percent_agreement(counts: ArrayLike, seed: int = SEED, resamples: int = RESAMPLES) -> Estimate:
    """Mean over units of the share of agreeing pairs of people.

    `counts` has shape (units, values); units with fewer than two ratings are left out.
    """
    return _from_pairs(counts, _percent, seed, resamples)


def human_ceiling(counts: ArrayLike, seed: int = SEED, resamples: int = RESAMPLES) -> Estimate:
    """Expected accuracy of one person judged against another: the ceiling of a grader.

    Draw one of all ordered pairs of people who rated the same unit, each as likely; the ceiling is
    the probability that the two answers are the same, Σ n_v (n_v - 1) / Σ n (n - 1) over units. It
    is the pairs' percent agreement, weighted by the units they share, and equals
    `percent_agreement` where every unit has as many ratings.
    """
    return _from_pairs(counts, _ceiling, seed, resamples)


def fleiss_kappa(counts: ArrayLike, seed: int = SEED, resamples: int = RESAMPLES) -> Estimate:
    """κ = (P - Pₑ) / (1 - Pₑ) for any number of people, which may differ from unit to unit.

    P is `percent_agreement`, Pₑ the sum of squared shares of the values among all ratings of the
    units with at least two. With as many ratings for every unit this is Fleiss 1971. `counts` has
    shape (units, values). Undefined where only one value occurs.
    """
    return _from_pairs(counts, _fleiss, seed, resamples, needs_two_values=True)


def krippendorff_alpha(counts: ArrayLike, seed: int = SEED, resamples: int = RESAMPLES) -> Estimate:
    """Krippendorff's nominal α (Krippendorff 2004, ch. 11) of counts of shape (units, values).

    The estimate is the `krippendorff` library's. Undefined where only one value occurs.
    """
    return _from_pairs(counts, _alpha, seed, resamples, point=_library_alpha, needs_two_values=True)


def prevalence(counts: ArrayLike, seed: int = SEED, resamples: int = RESAMPLES) -> Estimate:
    """Share of the first value (true) among all ratings, those of one-rating units included."""
    table = np.asarray(counts, dtype=np.int64)
    rated = table[table.sum(axis=1) > 0]
    if not len(rated):
        return Estimate(reason=NO_RATING)
    return _estimate(rated, _prevalence, seed, resamples)


def cohen_kappa(
    first: Sequence[bool | None],
    second: Sequence[bool | None],
    seed: int = SEED,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Cohen's κ (1960) of two people's answers to the same units, both of shape (units,).

    Units that one of them did not rate are left out. Undefined where both give one same answer
    throughout. `ValueError` if the two are not as long.
    """
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    cells = [both.count((a, b)) for a in (True, False) for b in (True, False)]
    return _pair(cells, seed, resamples).kappa


def pair_agreements(
    ratings: Ratings, seed: int = SEED, resamples: int = RESAMPLES
) -> dict[tuple[str, str], PairAgreement]:
    """Percent agreement and Cohen's κ of each two people with a unit in common, by sorted names."""
    people = _people(ratings)
    answers = np.full((len(ratings), len(people)), -1, dtype=np.int8)
    column = {person: index for index, person in enumerate(people)}
    for row, unit in enumerate(ratings.values()):
        for person, answer in unit.items():
            if answer is not None:
                answers[row, column[person]] = answer
    true, false = (answers == 1).astype(np.int64), (answers == 0).astype(np.int64)
    tables = [a.T @ b for a in (true, false) for b in (true, false)]
    found: dict[tuple[str, str], PairAgreement] = {}
    for i, j in combinations(range(len(people)), 2):
        cells = [int(table[i, j]) for table in tables]
        if sum(cells):
            found[people[i], people[j]] = _pair(cells, seed, resamples)
    return found


def _people(ratings: Ratings) -> list[str]:
    """Who gave at least one rating, by name."""
    return sorted(
        {p for unit in ratings.values() for p, answer in unit.items() if answer is not None}
    )


def _pairable(counts: ArrayLike) -> NDArray[np.int64]:
    table = np.asarray(counts, dtype=np.int64)
    rated: NDArray[np.int64] = table[table.sum(axis=1) >= 2]
    # Sorted, so that sums round alike whatever the order of the units.
    return np.asarray(rated[np.lexsort(rated.T)])


# A statistic takes weights, shape (resamples, patterns), and patterns, shape (patterns, values),
# and gives one number for each resample: NaN, which stays in this module, where it is undefined.
Statistic: TypeAlias = Callable[[Floats, Floats], Floats]


def _percent(weights: Floats, patterns: Floats) -> Floats:
    n = patterns.sum(axis=1)
    agreeing = (patterns * (patterns - 1)).sum(axis=1)
    shares: Floats = (weights @ (agreeing / (n * (n - 1)))) / weights.sum(axis=1)
    return shares


def _ceiling(weights: Floats, patterns: Floats) -> Floats:
    n = patterns.sum(axis=1)
    agreeing = (patterns * (patterns - 1)).sum(axis=1)
    shares: Floats = (weights @ agreeing) / (weights @ (n * (n - 1)))
    return shares


def _fleiss(weights: Floats, patterns: Floats) -> Floats:
    totals = weights @ patterns
    chance = ((totals / totals.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return _over(_percent(weights, patterns) - chance, 1 - chance, _varied(totals))


def _alpha(weights: Floats, patterns: Floats) -> Floats:
    # Of coincidences, all that nominal α needs: Σ over units of the pairs that disagree / (n - 1).
    n = patterns.sum(axis=1)
    disagreeing = weights @ ((n**2 - (patterns**2).sum(axis=1)) / (n - 1))
    totals = weights @ patterns
    total = totals.sum(axis=1)
    expected = (total**2 - (totals**2).sum(axis=1)) / (total - 1)
    return 1 - _over(disagreeing, expected, _varied(totals))


def _prevalence(weights: Floats, patterns: Floats) -> Floats:
    totals = weights @ patterns
    shares: Floats = totals[:, 0] / totals.sum(axis=1)
    return shares


def _cohen(weights: Floats, patterns: Floats) -> Floats:
    """Of four cells: both true, first only, second only, both false."""
    tt, tf, ft, ff = (weights / weights.sum(axis=1, keepdims=True)).T
    chance = (tt + tf) * (tt + ft) + (ff + ft) * (ff + tf)
    # Cells are shares of counts, so 1 is exact where one cell holds all.
    return _over(tt + ff - chance, 1 - chance, (tt < 1) & (ff < 1))


def _same(weights: Floats, patterns: Floats) -> Floats:
    shares: Floats = (weights[:, 0] + weights[:, 3]) / weights.sum(axis=1)
    return shares


def _varied(totals: Floats) -> NDArray[np.bool_]:
    """Where more than one value occurs."""
    varied: NDArray[np.bool_] = (totals > 0).sum(axis=1) > 1
    return varied


def _over(above: Floats, below: Floats, where: NDArray[np.bool_]) -> Floats:
    quotients: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=where)
    return quotients


def _from_pairs(
    counts: ArrayLike,
    statistic: Statistic,
    seed: int,
    resamples: int,
    point: Callable[[NDArray[np.int64]], float] | None = None,
    needs_two_values: bool = False,
) -> Estimate:
    table = _pairable(counts)
    if not len(table):
        return Estimate(reason=NO_PAIR)
    if needs_two_values and (table.sum(axis=0) > 0).sum() < 2:
        return Estimate(reason=f"only one answer occurs in {len(table)} units")
    value = None if point is None else point(table)
    return _estimate(table, statistic, seed, resamples, value)


def _library_alpha(table: NDArray[np.int64]) -> float:
    return float(krippendorff.alpha(value_counts=table, level_of_measurement="nominal"))


def _pair(cells: Sequence[int], seed: int, resamples: int) -> PairAgreement:
    """Agreement of two people from their four cells: tt, tf, ft, ff."""
    tt, tf, ft, ff = cells
    n = sum(cells)
    if not n:
        missing = Estimate(reason=NO_PAIR)
        return PairAgreement(0, missing, missing)
    # Both numbers are the same for (first, second) and (second, first): so are the resamples.
    weights = np.array([tt, *sorted((tf, ft)), ff], dtype=np.float64)
    drawn = _draw(weights, seed, resamples)
    percent = _interval((tt + ff) / n, drawn, np.eye(4), _same)
    if n in (tt, ff):
        return PairAgreement(n, percent, Estimate(reason=f"only one answer occurs in {n} units"))
    # scikit-learn's `cohen_kappa_score`, with which this agrees, spends some ms on each pair.
    kappa = float(_cohen(weights[None, :], np.eye(4))[0])
    return PairAgreement(n, percent, _interval(kappa, drawn, np.eye(4), _cohen))


def _estimate(
    table: NDArray[np.int64],
    statistic: Statistic,
    seed: int,
    resamples: int,
    value: float | None = None,
) -> Estimate:
    """`statistic` of the table's rows with its interval; `value` where it is known already."""
    distinct, multiplicity = np.unique(table, axis=0, return_counts=True)
    patterns, weights = distinct.astype(np.float64), multiplicity.astype(np.float64)
    if value is None:
        value = float(statistic(weights[None, :], patterns)[0])
    return _interval(value, _draw(weights, seed, resamples), patterns, statistic)


def _draw(weights: Floats, seed: int, resamples: int) -> Floats:
    """Resamples of the units, as weights of their patterns: shape (resamples, patterns)."""
    n = int(weights.sum())
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, weights / n, size=resamples).astype(np.float64)


def _interval(value: float, drawn: Floats, patterns: Floats, statistic: Statistic) -> Estimate:
    if not len(drawn):
        raise ValueError("an interval needs at least one resample")
    units = int(drawn[0].sum())
    if units < 2:
        return _shared(value, units, statistic, ONE_UNIT)
    samples = statistic(drawn, patterns)
    defined = samples[np.isfinite(samples)]
    if 2 * len(defined) < len(samples):
        undefined = len(samples) - len(defined)
        return Estimate(
            value, reason=f"no interval: undefined in {undefined} of {len(samples)} resamples"
        )
    low, high = (float(end) for end in np.quantile(defined, (0.025, 0.975)))
    if high - low < SAME:
        # A width of nought would claim certainty that a handful of like units do not give.
        return _shared(value, units, statistic, NO_SPREAD)
    # A percentile interval of a biased coefficient can miss the estimate; shown beside it, it must
    # not.
    return Estimate(value, min(low, value), max(high, value))


SHARES: frozenset[Statistic] = frozenset({_percent, _ceiling, _prevalence, _same})
Z = 1.959963984540054
"""The normal deviate that leaves 2.5 % on either side."""


def _shared(value: float, units: int, statistic: Statistic, reason: str) -> Estimate:
    """Where a bootstrap says nothing: Wilson's interval (1927) of a share of the units."""
    if statistic not in SHARES:
        return Estimate(value, reason=reason)
    pull = Z**2 / units
    middle = (value + pull / 2) / (1 + pull)
    reach = Z * math.sqrt(value * (1 - value) / units + pull / (4 * units)) / (1 + pull)
    # Rounding must not put 0 or 1 outside of its own interval.
    return Estimate(
        value, min(max(middle - reach, 0.0), value), max(min(middle + reach, 1.0), value)
    )
