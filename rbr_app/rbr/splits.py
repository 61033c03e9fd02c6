"""Train and test: a split that tears no prompt apart and keeps every stratum's share.

A unit (a completion) belongs to a group (its prompt) and a stratum (response type and category).
Groups are what is drawn and counted: a stratum with groups of unequal size has its share of
prompts, and of completions only about.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Literal, TypeAlias, TypeVar

import numpy as np

Split = Literal["train", "test"]
Stratum: TypeAlias = tuple[str, ...]
UnitId = TypeVar("UnitId", bound=Hashable)


@dataclass(frozen=True)
class StratumCounts:
    """Units and groups of one stratum on each side."""

    train_units: int = 0
    test_units: int = 0
    train_groups: int = 0
    test_groups: int = 0


def stratified_split(
    units: Iterable[tuple[UnitId, str, Stratum]], test_share: float, seed: int
) -> dict[UnitId, Split]:
    """Put each unit ``(id, group, stratum)`` in train or test, whole groups at a time.

    A stratum of G groups gets ``test_share`` · G test groups, rounded so that the strata together
    have the share of them all (largest remainder; of equal ones the larger stratum, then the first
    by name). It keeps at least one group in train, so one with a single group is all train. A
    group whose units differ in stratum counts for the most frequent, the first by name of equals.
    The same seed gives the same split in whatever order the units come, and which groups of a
    stratum are drawn depends on no other stratum unless the rounding does.

    Raises `ValueError` for a share outside (0, 1), a negative seed or an id that stands twice.
    """
    rows = list(units)
    share = _share(test_share)
    repeated = [unit for unit, n in Counter(unit for unit, _, _ in rows).items() if n > 1]
    if repeated:
        raise ValueError(f"the id {repeated[0]!r} stands twice")
    strata: dict[Stratum, list[str]] = defaultdict(list)
    for group, stratum in group_strata((group, stratum) for _, group, stratum in rows).items():
        strata[stratum].append(group)
    quotas = _quotas({stratum: len(groups) for stratum, groups in strata.items()}, share)
    test = {
        group
        for stratum, groups in strata.items()
        for group in _drawn(stratum, groups, quotas[stratum], seed)
    }
    return {unit: "test" if group in test else "train" for unit, group, _ in rows}


def split_counts(
    units: Iterable[tuple[UnitId, str, Stratum]], split: Mapping[UnitId, Split]
) -> dict[Stratum, StratumCounts]:
    """What each stratum has on each side, strata by name, groups as in `stratified_split`.

    `KeyError` for a unit that `split` does not hold.
    """
    rows = list(units)
    strata = group_strata((group, stratum) for _, group, stratum in rows)
    side = {group: split[unit] for unit, group, _ in rows}
    n_units = Counter((strata[group], split[unit]) for unit, group, _ in rows)
    n_groups = Counter((stratum, side[group]) for group, stratum in strata.items())
    return {
        stratum: StratumCounts(
            n_units[stratum, "train"],
            n_units[stratum, "test"],
            n_groups[stratum, "train"],
            n_groups[stratum, "test"],
        )
        for stratum in sorted(set(strata.values()))
    }


def group_strata(members: Iterable[tuple[str, Stratum]]) -> dict[str, Stratum]:
    """The most frequent stratum of each group, the first by name of equals."""
    found: dict[str, Counter[Stratum]] = defaultdict(Counter)
    for group, stratum in members:
        found[group][stratum] += 1
    return {
        group: min(counts, key=lambda stratum: (-counts[stratum], stratum))
        for group, counts in found.items()
    }


def _share(test_share: float) -> Fraction:
    if not 0 < test_share < 1:
        raise ValueError(f"the test share must be between 0 and 1, not {test_share}")
    # As written: 0.29 of 100 groups is 29, where floats make it 28.999….
    return Fraction(str(float(test_share)))


def _quotas(sizes: Mapping[Stratum, int], share: Fraction) -> dict[Stratum, int]:
    """Test groups of each stratum, by largest remainder."""
    split = {stratum: n for stratum, n in sizes.items() if n > 1}
    exact = {stratum: share * n for stratum, n in split.items()}
    quotas = dict.fromkeys(sizes, 0) | {stratum: floor(q) for stratum, q in exact.items()}
    wanted = floor(share * sum(split.values()) + Fraction(1, 2))
    rounded_up = sorted(
        (s for s in split if exact[s] != quotas[s] and quotas[s] + 1 < split[s]),
        key=lambda s: (quotas[s] - exact[s], -split[s], s),
    )
    for stratum in rounded_up[: wanted - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas


def _drawn(stratum: Stratum, groups: Iterable[str], n: int, seed: int) -> list[str]:
    # A generator for each stratum: a category that is added leaves the others' draw alone.
    digest = hashlib.sha256("\x1f".join(stratum).encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8])])
    ordered = sorted(groups)
    return [ordered[index] for index in rng.permutation(len(ordered))[:n]]
