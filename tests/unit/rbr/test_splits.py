"""Train and test: whole prompts, every stratum's share, the same split from the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from math import ceil, floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.splits import (
    Split,
    Stratum,
    StratumCounts,
    group_strata,
    split_counts,
    stratified_split,
)

Unit = tuple[str, str, Stratum]
HARD, SOFT, COMPLY = ("hard_refusal", "C-R"), ("soft_refusal", "SH-R1"), ("comply", "C-C")


def units(**sizes: int) -> list[Unit]:
    """One unit for each group, `sizes` groups of each stratum."""
    named = {"hard": HARD, "soft": SOFT, "comply": COMPLY}
    return [
        (f"{name}-{n}", f"prompt {name} {n}", named[name])
        for name, size in sizes.items()
        for n in range(size)
    ]


def drawn_groups(rows: list[Unit], split: dict[str, Split]) -> dict[Stratum, int]:
    counts = split_counts(rows, split)
    return {stratum: counts[stratum].test_groups for stratum in counts}


def test_each_stratum_gets_its_share() -> None:
    rows = units(hard=30, soft=20, comply=50)
    # 0.3 of 30, 20 and 50
    assert drawn_groups(rows, stratified_split(rows, 0.3, 0)) == {HARD: 9, SOFT: 6, COMPLY: 15}


def test_the_largest_remainders_are_rounded_up() -> None:
    rows = units(hard=7, soft=5, comply=9)
    # 0.3 of 21 is 6.3, so 6 of them: exactly 2.1, 1.5 and 2.7, floors 2 + 1 + 2, and the sixth
    # goes to the remainder 0.7.
    assert drawn_groups(rows, stratified_split(rows, 0.3, 0)) == {HARD: 2, SOFT: 1, COMPLY: 3}


def test_of_equal_remainders_the_larger_stratum_then_the_first_name_is_rounded_up() -> None:
    # 0.5 of 3, 3 and 5 is 1.5, 1.5, 2.5; of 11 it is 5.5, rounded to 6: two go up, the larger
    # (comply) first, then hard_refusal before soft_refusal.
    rows = units(hard=3, soft=3, comply=5)
    assert drawn_groups(rows, stratified_split(rows, 0.5, 0)) == {HARD: 2, SOFT: 1, COMPLY: 3}


def test_a_share_is_taken_as_it_is_written() -> None:
    # In floats 0.29 · 100 is 28.999…
    rows = units(hard=100)
    assert drawn_groups(rows, stratified_split(rows, 0.29, 0)) == {HARD: 29}


def test_a_stratum_with_one_group_goes_to_train() -> None:
    rows = units(hard=1, soft=1, comply=10)
    split = stratified_split(rows, 0.9, 0)
    assert split["hard-0"] == split["soft-0"] == "train"
    assert drawn_groups(rows, split)[COMPLY] == 9


def test_a_stratum_keeps_at_least_one_group_in_train() -> None:
    # 0.9 of 2 is 1.8, which would round to both.
    rows = units(hard=2)
    assert drawn_groups(rows, stratified_split(rows, 0.9, 0)) == {HARD: 1}


def test_the_completions_of_a_prompt_stay_together() -> None:
    rows = [(f"{p}-{c}", f"prompt {p}", HARD) for p in range(10) for c in range(4)]
    split = stratified_split(rows, 0.3, 0)
    sides = defaultdict(set)
    for unit, group, _ in rows:
        sides[group].add(split[unit])
    assert all(len(side) == 1 for side in sides.values())
    assert split_counts(rows, split) == {HARD: StratumCounts(28, 12, 7, 3)}


def test_a_group_counts_for_its_most_frequent_stratum() -> None:
    members = [("p", HARD), ("p", SOFT), ("p", SOFT), ("q", HARD), ("q", COMPLY)]
    # p: soft twice; q: one each, comply is the first by name
    assert group_strata(members) == {"p": SOFT, "q": COMPLY}


def test_seeds_draw_different_groups() -> None:
    rows = units(hard=30)
    splits = {tuple(sorted(stratified_split(rows, 0.3, seed).items())) for seed in range(10)}
    assert len(splits) == 10


def test_every_group_is_drawn_about_as_often() -> None:
    rows = units(hard=10)
    drawn = Counter(
        unit
        for seed in range(1000)
        for unit, side in stratified_split(rows, 0.3, seed).items()
        if side == "test"
    )
    # Binomial(1000, 0.3): standard deviation √(1000 · 0.3 · 0.7) = 14.5; five of them either way
    assert all(abs(drawn[unit] - 300) < 73 for unit, _, _ in rows)


def test_another_stratum_leaves_the_draw_of_the_first_alone() -> None:
    hard = units(hard=20)
    alone = stratified_split(hard, 0.25, 3)
    together = stratified_split(hard + units(comply=40), 0.25, 3)
    assert {unit: together[unit] for unit in alone} == alone


def test_ids_may_be_numbers() -> None:
    assert set(stratified_split([(n, str(n), HARD) for n in range(10)], 0.5, 0)) == set(range(10))


def test_nothing_is_split_into_nothing() -> None:
    assert stratified_split([], 0.5, 0) == {}
    assert split_counts([], {}) == {}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        stratified_split(units(hard=3), share, 0)


def test_an_id_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' stands twice"):
        stratified_split([("a", "p", HARD), ("a", "q", HARD)], 0.5, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        stratified_split(units(hard=3), 0.5, -1)


ROWS = st.lists(
    st.tuples(st.integers(0, 25), st.sampled_from([HARD, SOFT, COMPLY])), max_size=60
).map(lambda rows: [(f"u{i}", f"p{group}", stratum) for i, (group, stratum) in enumerate(rows)])
SHARES = st.integers(1, 99).map(lambda percent: percent / 100)


@given(ROWS, SHARES, st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_the_units(
    rows: list[Unit], share: float, seed: int, rng: Random
) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert stratified_split(shuffled, share, seed) == stratified_split(rows, share, seed)


@given(ROWS, SHARES, st.integers(0, 9))
def test_no_group_is_torn_and_every_unit_is_placed(
    rows: list[Unit], share: float, seed: int
) -> None:
    split = stratified_split(rows, share, seed)
    assert set(split) == {unit for unit, _, _ in rows}
    sides = {(group, split[unit]) for unit, group, _ in rows}
    assert len(sides) == len({group for _, group, _ in rows})


@given(ROWS, SHARES, st.integers(0, 9))
def test_every_stratum_is_within_one_group_of_its_share(
    rows: list[Unit], share: float, seed: int
) -> None:
    counts = split_counts(rows, stratified_split(rows, share, seed))
    exact_share = Fraction(str(share))
    sizes = {s: count.train_groups + count.test_groups for s, count in counts.items()}
    for stratum, count in counts.items():
        exact = exact_share * sizes[stratum]
        assert count.train_groups >= 1
        if sizes[stratum] == 1:
            assert count.test_groups == 0
        else:
            assert floor(exact) <= count.test_groups <= ceil(exact)
    # Together the strata that can be split miss the whole share by less than one group, and by as
    # many more as may not give their last group away.
    able = [s for s in sizes if sizes[s] > 1]
    missed = exact_share * sum(sizes[s] for s in able) - sum(counts[s].test_groups for s in able)
    full = sum(counts[s].train_groups == 1 for s in able)
    assert -1 < missed < 1 + full


@given(ROWS, SHARES)
def test_counts_add_up(rows: list[Unit], share: float) -> None:
    counts = split_counts(rows, stratified_split(rows, share, 0)).values()
    assert sum(c.train_units + c.test_units for c in counts) == len(rows)
    assert sum(c.train_groups + c.test_groups for c in counts) == len({g for _, g, _ in rows})
