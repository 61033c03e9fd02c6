"""Agreement between people against textbook tables, other implementations, and hand-worked rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import permutations
from random import Random

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from rbr_app.rbr.agreement import (
    NO_PAIR,
    NO_RATING,
    NO_SPREAD,
    ONE_UNIT,
    Estimate,
    PropositionAgreement,
    Ratings,
    cohen_kappa,
    fleiss_kappa,
    human_ceiling,
    krippendorff_alpha,
    pair_agreements,
    percent_agreement,
    prevalence,
    proposition_agreement,
    unit_agreement,
    value_counts,
)

T, F = True, False

FLEISS_1971 = [
    *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
    *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
]
"""Ten subjects, fourteen raters, five categories: the worked example that is known by its 0.210."""

KRIPPENDORFF_2011 = [
    [None, None, None, None, None, 3, 4, 1, 2, 1, 1, 3, 3, None, 3],
    [1, None, 2, 1, 3, 3, 4, 3, None, None, None, None, None, None, None],
    [None, None, 2, 1, 3, 4, 4, None, 2, 1, 1, 3, 3, None, 4],
]
"""Three coders, fifteen units, missing values: nominal alpha 0.691."""

PEOPLE = ("ana", "ben", "cleo")
HAND: Ratings = {
    "u1": {"ana": T, "ben": T, "cleo": T},
    "u2": {"ana": T, "ben": F, "cleo": F},
    "u3": {"ana": F, "ben": F},
    "u4": {"ana": T, "ben": None, "cleo": F},
    "u5": {"ana": None, "ben": T},
}
"""Pairs that agree: u1 3/3, u2 1/3, u3 1/1, u4 0/1; u5 has one rating."""


def table(rows: list[list[int | None]]) -> list[list[int]]:
    """Counts of the values 1 to 4 for each unit, from rows of one coder each."""
    return [[column.count(v) for v in range(1, 5)] for column in zip(*rows, strict=True)]


# The numbers


def test_unit_agreement_is_the_share_of_agreeing_pairs() -> None:
    assert unit_agreement([T, T, T]) == 1.0
    # T T F: of three pairs one agrees
    assert unit_agreement([T, T, F]) == pytest.approx(1 / 3)
    # T T F F: (1 + 1) of 6
    assert unit_agreement([T, F, T, F]) == pytest.approx(2 / 6)
    assert unit_agreement([T, F]) == 0.0


def test_unit_agreement_takes_cannot_decide_for_no_rating() -> None:
    assert unit_agreement([T, None, T]) == 1.0
    assert unit_agreement([T, None]) is None
    assert unit_agreement([]) is None


def test_hand_worked_ratings() -> None:
    assert value_counts(HAND).tolist() == [[3, 0], [1, 2], [0, 2], [1, 1], [1, 0]]
    found = proposition_agreement(HAND)
    # Ratings: 3 + 3 + 2 + 2 + 1; "cannot decide" in u4 and u5.
    assert (found.n_units, found.n_ratings, found.n_undecided, found.n_people) == (4, 11, 2, 3)
    # (1 + 1/3 + 1 + 0) / 4
    assert found.percent.value == pytest.approx((1 + 1 / 3 + 1) / 4)
    # agreeing ordered pairs 6 + 2 + 2 + 0 of 6 + 6 + 2 + 2
    assert found.ceiling.value == pytest.approx(10 / 16)
    # true: 3 + 1 + 0 + 1 + 1 of 11
    assert found.prevalence.value == pytest.approx(6 / 11)
    # In u1 to u4: 5 true, 5 false, so Pe = 1/2 and κ = (7/12 - 1/2) / (1/2) = 1/6
    assert found.fleiss.value == pytest.approx(1 / 6)
    # Disagreeing coincidences, both orders: u2 2·1·2/2 = 2, u4 2·1·1/1 = 2, so 4 observed;
    # expected 2·5·5/(10 - 1) = 50/9; α = 1 - 4·9/50 = 0.28
    assert found.alpha.value == pytest.approx(0.28)


def test_pairs_of_the_hand_worked_ratings() -> None:
    pairs = proposition_agreement(HAND).pairs
    assert set(pairs) == {("ana", "ben"), ("ana", "cleo"), ("ben", "cleo")}
    # ana and ben share u1 TT, u2 TF, u3 FF: 2/3; Pe = 2/3·1/3 + 1/3·2/3 = 4/9;
    # κ = (6/9 - 4/9) / (5/9) = 2/5
    ana_ben = pairs["ana", "ben"]
    assert (ana_ben.n, ana_ben.percent.value) == (3, pytest.approx(2 / 3))
    assert ana_ben.kappa.value == pytest.approx(2 / 5)
    # ana and cleo share u1 TT, u2 TF, u4 TF: 1/3; ana says always true: Pe = 1/3, κ = 0
    assert pairs["ana", "cleo"].n == 3
    assert pairs["ana", "cleo"].kappa.value == pytest.approx(0.0)
    # ben and cleo share u1 TT and u2 FF
    assert pairs["ben", "cleo"].kappa.value == pytest.approx(1.0)


def test_the_ceiling_is_the_pairs_agreement_weighted_by_shared_units() -> None:
    found = proposition_agreement(HAND)
    shares = [(pair.n, pair.percent.value or 0.0) for pair in found.pairs.values()]
    weighted = sum(n * share for n, share in shares) / sum(n for n, _ in shares)
    # (3 · 2/3 + 3 · 1/3 + 2 · 1) / 8 = 5/8
    assert found.ceiling.value == pytest.approx(weighted) == pytest.approx(5 / 8)


def test_fleiss_kappa_of_the_well_known_table_is_0_210() -> None:
    # P = 0.378, Pe = 0.213, κ = (0.378 - 0.213) / (1 - 0.213) = 0.210
    assert fleiss_kappa(FLEISS_1971).value == pytest.approx(0.2099, abs=5e-5)
    assert percent_agreement(FLEISS_1971).value == pytest.approx(0.378, abs=5e-4)
    # Where units have as many ratings, pairs weigh as much as units.
    assert human_ceiling(FLEISS_1971).value == pytest.approx(percent_agreement(FLEISS_1971).value)


def test_alpha_of_the_textbook_table_is_0_691() -> None:
    assert krippendorff_alpha(table(KRIPPENDORFF_2011)).value == pytest.approx(0.691, abs=5e-4)


def test_alpha_of_two_people_on_ten_units_is_0_095() -> None:
    # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section A: four of ten
    # units disagree, 14 zeros and 6 ones: α = 1 - (20 - 1) · 4 / (14 · 6) = 0.095
    counts = [[0, 2]] + [[1, 1]] * 4 + [[2, 0]] * 5
    assert np.sum(counts, axis=0).tolist() == [14, 6]
    assert krippendorff_alpha(counts).value == pytest.approx(0.095, abs=5e-4)


def test_cohen_kappa_of_the_textbook_table_is_0_4() -> None:
    # 50 units: 20 both yes, 5 first only, 10 second only, 15 both no. Po = 0.7,
    # Pe = 0.5 · 0.6 + 0.5 · 0.4 = 0.5, κ = 0.2 / 0.5
    first = [T] * 25 + [F] * 25
    second = [T] * 20 + [F] * 5 + [T] * 10 + [F] * 15
    assert cohen_kappa(first, second).value == pytest.approx(0.4)


def test_cohen_kappa_leaves_out_what_one_of_them_did_not_rate() -> None:
    assert cohen_kappa([T, F, T, None], [T, F, None, F]).value == 1.0
    with pytest.raises(ValueError, match="shorter"):
        cohen_kappa([T, F], [T])


# What is undefined


def estimates(found: PropositionAgreement) -> dict[str, Estimate]:
    names = ("percent", "fleiss", "alpha", "prevalence", "ceiling")
    return {name: getattr(found, name) for name in names}


def test_without_ratings_everything_is_undefined_with_the_reason() -> None:
    found = proposition_agreement({"u1": {"ana": None}, "u2": {}})
    assert (found.n_units, found.n_ratings, found.n_undecided, found.n_people) == (0, 0, 1, 0)
    assert found.prevalence == Estimate(reason=NO_RATING)
    assert set(estimates(found).values()) == {Estimate(reason=NO_RATING), Estimate(reason=NO_PAIR)}
    assert found.pairs == {}
    assert proposition_agreement({}).percent == Estimate(reason=NO_PAIR)


def test_one_person_alone_has_a_prevalence_and_no_agreement() -> None:
    found = proposition_agreement({str(u): {"ana": u % 2 == 0} for u in range(10)})
    assert found.prevalence.value == 0.5
    assert found.prevalence.low is not None
    assert found.percent == found.ceiling == Estimate(reason=NO_PAIR)
    assert found.n_people == 1


def test_where_only_one_answer_occurs_there_is_agreement_and_no_chance_correction() -> None:
    found = proposition_agreement({str(u): {"ana": F, "ben": F} for u in range(7)})
    assert found.percent.value == found.ceiling.value == 1.0
    assert found.prevalence.value == 0.0
    missing = Estimate(reason="only one answer occurs in 7 units")
    assert found.fleiss == found.alpha == found.pairs["ana", "ben"].kappa == missing


def test_a_single_unit_gives_a_share_with_a_wide_interval_and_a_coefficient_with_none() -> None:
    found = proposition_agreement({"u": {"ana": T, "ben": F, "cleo": F}})
    assert found.percent.value == pytest.approx(1 / 3)
    assert found.fleiss.reason == found.alpha.reason == ONE_UNIT
    # Wilson for 0 of 1: from 0 to 1.96² / (1 + 1.96²) = 3.8415 / 4.8415
    assert found.pairs["ana", "ben"].percent == Estimate(0.0, 0.0, pytest.approx(0.79345, abs=1e-5))


def test_perfect_agreement_is_1_and_claims_no_certainty() -> None:
    found = proposition_agreement({str(u): {"ana": u < 2, "ben": u < 2} for u in range(5)})
    for name in ("fleiss", "alpha"):
        assert estimates(found)[name] == Estimate(1.0, reason=NO_SPREAD), name
    assert found.pairs["ana", "ben"].kappa == Estimate(1.0, reason=NO_SPREAD)
    low, high = binomtest(5, 5).proportion_ci(method="wilson")
    wilson = Estimate(1.0, pytest.approx(low), pytest.approx(high))
    assert found.percent == found.ceiling == found.pairs["ana", "ben"].percent == wilson


def test_opposite_answers_are_worse_than_chance() -> None:
    found = proposition_agreement({str(u): {"ana": u < 5, "ben": u >= 5} for u in range(10)})
    assert found.percent.value == 0.0
    # Pe = 1/2: κ = -1; α = 1 - 19 · 10 / (10 · 10)
    assert found.fleiss.value == pytest.approx(-1.0)
    assert found.alpha.value == pytest.approx(-0.9)
    assert found.pairs["ana", "ben"].kappa.value == pytest.approx(-1.0)


def test_no_interval_is_shown_where_most_resamples_are_undefined() -> None:
    # Two units, one all true, one all false: about half of the resamples hold one of them twice,
    # and κ of those is undefined. With about every other seed that is more than half.
    ratings = {"u1": {"ana": T, "ben": T}, "u2": {"ana": F, "ben": F}}
    reasons = {proposition_agreement(ratings, seed).fleiss.reason for seed in range(20)}
    assert any(reason.startswith("no interval: undefined in 2") for reason in reasons)


def test_an_interval_needs_resamples() -> None:
    with pytest.raises(ValueError, match="at least one resample"):
        proposition_agreement(HAND, resamples=0)


# The intervals


def test_intervals_are_reproduced_by_the_seed_alone() -> None:
    assert proposition_agreement(HAND, 5) == proposition_agreement(HAND, 5)
    assert len({proposition_agreement(HAND, seed).prevalence for seed in range(5)}) > 1


def test_the_interval_of_a_share_is_close_to_the_normal_one() -> None:
    # One rating for each of 1,000 units, 300 true: 0.3 ± 1.96 √(0.3 · 0.7 / 1000) = 0.3 ± 0.0284
    counts = [[1, 0]] * 300 + [[0, 1]] * 700
    found = prevalence(counts, resamples=5000)
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.2716, 0.3284), abs=0.003)


def slow_interval(counts: list[list[int]], statistic: Callable[[np.ndarray], float]) -> list[float]:
    """The bootstrap as textbooks have it: units drawn with replacement, one resample at a time."""
    rng, rows = np.random.default_rng(11), np.array(counts)
    drawn = [statistic(rows[rng.integers(len(rows), size=len(rows))]) for _ in range(2000)]
    return [float(end) for end in np.quantile(drawn, [0.025, 0.975])]


def library_alpha(rows: np.ndarray) -> float:
    return float(krippendorff.alpha(value_counts=rows, level_of_measurement="nominal"))


def slow_fleiss(rows: np.ndarray) -> float:
    n = rows.sum(axis=1)
    observed = ((rows * (rows - 1)).sum(axis=1) / (n * (n - 1))).mean()
    chance = ((rows.sum(axis=0) / rows.sum()) ** 2).sum()
    return float((observed - chance) / (1 - chance))


def test_intervals_are_those_of_a_bootstrap_that_draws_unit_by_unit() -> None:
    counts = [[3, 0]] * 30 + [[0, 3]] * 40 + [[2, 1]] * 9 + [[1, 1]] * 6 + [[0, 2]] * 15
    for found, statistic in (
        (krippendorff_alpha(counts, resamples=2000), library_alpha),
        (fleiss_kappa(counts, resamples=2000), slow_fleiss),
    ):
        assert [found.low, found.high] == pytest.approx(slow_interval(counts, statistic), abs=0.02)


# Properties

ANSWERS = st.sampled_from([T, T, F, F, None])
RATINGS = st.dictionaries(
    st.integers(0, 50).map(str),
    st.dictionaries(st.sampled_from(["ana", "ben", "cleo", "dan"]), ANSWERS, max_size=4),
    max_size=25,
)


def every_estimate(found: PropositionAgreement) -> list[Estimate]:
    pairs = [e for pair in found.pairs.values() for e in (pair.percent, pair.kappa)]
    return [*estimates(found).values(), *pairs]


@given(RATINGS)
def test_a_value_is_missing_exactly_with_a_reason_and_is_never_nan(ratings: Ratings) -> None:
    found = proposition_agreement(ratings, resamples=50)
    for estimate in every_estimate(found):
        numbers = (estimate.value, estimate.low, estimate.high)
        assert (None in numbers) == bool(estimate.reason)
        assert all(number is None or math.isfinite(number) for number in numbers)
        assert (estimate.low is None) == (estimate.high is None)


@given(RATINGS)
def test_intervals_hold_their_estimate(ratings: Ratings) -> None:
    found = proposition_agreement(ratings, resamples=50)
    for estimate in every_estimate(found):
        if estimate.low is not None:
            assert estimate.value is not None
            assert estimate.high is not None
            assert estimate.low <= estimate.value <= estimate.high


@given(RATINGS, st.randoms(use_true_random=False))
def test_the_order_of_units_and_people_changes_nothing(ratings: Ratings, rng: Random) -> None:
    units = list(ratings.items())
    rng.shuffle(units)
    turned = {unit: dict(reversed(list(answers.items()))) for unit, answers in units}
    assert proposition_agreement(turned, resamples=50) == proposition_agreement(
        ratings, resamples=50
    )


@given(RATINGS, st.sampled_from(list(permutations(["ana", "ben", "cleo", "dan"]))))
def test_peoples_names_change_nothing(ratings: Ratings, names: tuple[str, ...]) -> None:
    new = dict(zip(["ana", "ben", "cleo", "dan"], names, strict=True))
    renamed = {u: {new[p]: a for p, a in answers.items()} for u, answers in ratings.items()}
    before = proposition_agreement(ratings, resamples=50)
    after = proposition_agreement(renamed, resamples=50)
    assert dataclasses.replace(after, pairs={}) == dataclasses.replace(before, pairs={})
    for (first, second), pair in before.pairs.items():
        a, b = sorted((new[first], new[second]))
        assert after.pairs[a, b].percent == pair.percent
        assert after.pairs[a, b].kappa.value == pytest.approx(pair.kappa.value)


@given(RATINGS)
def test_every_number_agrees_with_its_definition(ratings: Ratings) -> None:
    found = proposition_agreement(ratings, resamples=10)
    rated = [[a for a in unit.values() if a is not None] for unit in ratings.values()]
    shares = [share for share in map(unit_agreement, rated) if share is not None]
    assert found.n_units == len(shares)
    expected = pytest.approx(sum(shares) / len(shares)) if shares else None
    assert found.percent.value == expected
    # Every ordered pair of people on every unit, one by one.
    same = [a == b for unit in rated for i, a in enumerate(unit) for b in unit[:i] + unit[i + 1 :]]
    assert found.ceiling.value == (pytest.approx(sum(same) / len(same)) if same else None)
    counts = np.array([[sum(u), len(u) - sum(u)] for u in rated if len(u) > 1]).reshape(-1, 2)
    if len(counts) and counts.sum(axis=0).all():
        assert found.fleiss.value == pytest.approx(slow_fleiss(counts))
        assert found.alpha.value == pytest.approx(library_alpha(counts))
    else:
        assert found.fleiss.value is None
        assert found.alpha.value is None


@given(RATINGS)
def test_pairs_agree_with_scikit_learn_and_with_cohen_kappa_itself(ratings: Ratings) -> None:
    for (first, second), pair in pair_agreements(ratings, resamples=10).items():
        a = [unit.get(first) for unit in ratings.values()]
        b = [unit.get(second) for unit in ratings.values()]
        assert cohen_kappa(a, b, resamples=10) == pair.kappa
        both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
        assert pair.n == len(both)
        if len({answer for answers in both for answer in answers}) == 1:
            assert pair.kappa.value is None
        else:
            wanted = cohen_kappa_score(*zip(*both, strict=True), labels=[T, F])
            assert pair.kappa.value == pytest.approx(wanted)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=15))
def test_alpha_is_kappa_but_for_the_correction_of_small_samples(
    rows: list[tuple[int, int]],
) -> None:
    # With as many ratings for every unit and N in all, α = 1 - (1 - κ)(N - 1)/N.
    counts = [[4 - true, true] for true, _ in rows] * 3
    kappa, alpha = fleiss_kappa(counts, resamples=1), krippendorff_alpha(counts, resamples=1)
    if kappa.value is not None and alpha.value is not None:
        total = int(np.sum(counts))
        assert alpha.value == pytest.approx(1 - (1 - kappa.value) * (total - 1) / total)


@given(st.lists(st.booleans(), min_size=2, max_size=20), st.integers(2, 5))
def test_people_who_answer_alike_agree_perfectly(truth: list[bool], n_people: int) -> None:
    ratings = {str(u): {f"p{i}": t for i in range(n_people)} for u, t in enumerate(truth)}
    found = proposition_agreement(ratings, resamples=20)
    assert found.percent.value == found.ceiling.value == 1.0
    if len(set(truth)) == 2:
        assert found.fleiss.value == pytest.approx(1.0)
        assert found.alpha.value == pytest.approx(1.0)
