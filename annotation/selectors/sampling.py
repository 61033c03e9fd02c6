"""Which completions go into a new set: filtered, without doubles, sampled by stratum."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

import numpy as np

from annotation.models import Completion, ConversationSet
from annotation.selectors.browsing import CompletionFilter, filtered_completions

Stratum = tuple[str, str]
"""Response type and category."""


@dataclass(frozen=True)
class StratumDraw:
    """How many completions of a stratum there are, and how many were drawn."""

    response_type: str
    category: str
    available: int
    drawn: int


@dataclass(frozen=True)
class Draw:
    """The completions drawn, in the order of their sources and files.

    `doubles` counts those that were left out because an earlier source has the same row.
    """

    pks: list[int]
    strata: list[StratumDraw]
    doubles: int

    @property
    def available(self) -> int:
        return sum(stratum.available for stratum in self.strata)


def draw_completions(
    sources: Sequence[ConversationSet],
    wanted: CompletionFilter,
    size: int | None = None,
    seed: int = 0,
) -> Draw:
    """All completions of the sources that meet the filter, or `size` of them.

    What a class is each source's own policy says.

    A sample has every stratum's share of the whole (largest remainder). The same row in two
    sources is taken once, from the first: the same prompt, completion, split, category and
    response type. One source may hold a row twice, which is kept.
    """
    found: dict[Stratum, list[int]] = defaultdict(list)
    seen: set[Hashable] = set()
    doubles = 0
    for source in sources:
        pks = filtered_completions(source, source.policy.latest.as_policy(), wanted)
        rows = pks.values_list(
            "pk",
            "conversation__response_type",
            "conversation__category",
            "conversation__split",
            "fingerprint",
            "occurrence",
        )
        for pk, kind, category, *identity in rows:
            key = (kind, category, *identity)
            if key in seen:
                doubles += 1
                continue
            seen.add(key)
            found[kind, category].append(pk)
    wished = {stratum: len(members) for stratum, members in found.items()}
    quotas = wished if size is None else quotas_of(wished, size)
    drawn = {
        stratum: _drawn(found[stratum], quotas[stratum], seed, index)
        for index, stratum in enumerate(sorted(found))
    }
    chosen = {pk for pks in drawn.values() for pk in pks}
    return Draw(
        pks=_in_source_order(sources, chosen),
        strata=[
            StratumDraw(*stratum, available=wished[stratum], drawn=len(drawn[stratum]))
            for stratum in sorted(found)
        ],
        doubles=doubles,
    )


def _in_source_order(sources: Sequence[ConversationSet], chosen: set[int]) -> list[int]:
    place = {source.pk: index for index, source in enumerate(sources)}
    rows = Completion.objects.filter(conversation__conversation_set__in=place).order_by("pk")
    held = [
        (place[source], pk)
        for pk, source in rows.values_list("pk", "conversation__conversation_set")
        if pk in chosen
    ]
    return [pk for _, pk in sorted(held)]


def _drawn(members: list[int], n: int, seed: int, stratum: int) -> list[int]:
    if n >= len(members):
        return members
    rng = np.random.default_rng([seed, stratum])
    return [members[index] for index in sorted(rng.permutation(len(members))[:n])]


def quotas_of(sizes: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    """How many of `n` each stratum gets: its share, by largest remainder; never more than it has.

    Equal remainders go to the larger stratum, then to the first by name.
    """
    total = Counter(sizes).total()
    if n >= total:
        return dict(sizes)
    exact = {stratum: Fraction(n * size, total) for stratum, size in sizes.items()}
    quotas = {stratum: floor(share) for stratum, share in exact.items()}
    rest = sorted(sizes, key=lambda s: (quotas[s] - exact[s], -sizes[s], s))
    for stratum in rest[: n - sum(quotas.values())]:
        quotas[stratum] += 1
    return quotas
