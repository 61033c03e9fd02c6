"""A policy's rules as SQL over the Gold truths of a completion.

The truths of one completion are gathered into two bit masks, what is true and what is false; a
proposition with neither bit is undecided. Rules then are a few comparisons of integers, so that
PostgreSQL can tell the class of 100,000 completions without sending one truth to Python. A mask
holds `BITS` neighbouring propositions; a policy whose propositions lie further apart has several.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from annotation.models import Proposition
from rbr_app.rbr.policy import Literals, Policy
from rbr_app.rbr.rules import leaves

BITS = 62
"""Propositions in one mask: a bigint without its sign, and one to spare."""

Parameters: TypeAlias = list[str | int]
SQL: TypeAlias = tuple[str, Parameters]
"""A piece of SQL with what its ``%s`` stand for."""

INCOMPLETE = ""
"""The class of a completion whose deciding propositions are not all decided."""


# The truths are grouped before they meet the completions: half the time of the other way round.
ROWS = """
SELECT completion.id AS completion_id, completion.fingerprint, conversation.split,
       conversation.response_type, conversation.category, {columns}
FROM annotation_completion AS completion
JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
LEFT JOIN (
    SELECT held.completion_id, {masks}
    FROM annotation_goldtruth AS held
    WHERE held.completion_id IN (
        SELECT inner_completion.id FROM annotation_completion AS inner_completion
        JOIN annotation_conversation AS inner_conversation
          ON inner_conversation.id = inner_completion.conversation_id
        WHERE inner_conversation.conversation_set_id = %s
    )
    GROUP BY held.completion_id
) AS mask ON mask.completion_id = completion.id
WHERE conversation.conversation_set_id = %s
"""


@dataclass(frozen=True)
class Bit:
    """Where a proposition's truth lies."""

    mask: int
    weight: int


@dataclass(frozen=True)
class TruthSQL:
    """The rules of `policy`; `proposition_pks` maps its keys to rows.

    Every expression it gives reads the columns ``t0, f0, t1, …`` of `rows`.
    """

    policy: Policy
    proposition_pks: Mapping[str, int]

    @cached_property
    def starts(self) -> list[int]:
        """The first proposition of each mask."""
        starts: list[int] = []
        for pk in sorted(self.proposition_pks.values()):
            if not starts or pk >= starts[-1] + BITS:
                starts.append(pk)
        return starts

    @cached_property
    def bits(self) -> dict[str, Bit]:
        found = {}
        for key, pk in self.proposition_pks.items():
            mask = max(index for index, start in enumerate(self.starts) if start <= pk)
            found[key] = Bit(mask, 1 << (pk - self.starts[mask]))
        return found

    def masks(self) -> str:
        """The select list that gathers the rows of annotation_goldtruth AS held."""
        parts = []
        for index, start in enumerate(self.starts):
            bit = f"bit_or(1::bigint << (held.proposition_id - {start})::int)"
            here = f"held.proposition_id BETWEEN {start} AND {start + BITS - 1}"
            parts += [
                f"coalesce({bit} FILTER (WHERE held.truth AND {here}), 0) AS t{index}",
                f"coalesce({bit} FILTER (WHERE NOT held.truth AND {here}), 0) AS f{index}",
            ]
        return ", ".join(parts)

    def rows(self, conversation_set_pk: int) -> SQL:
        """A query with one row for each completion of a set: where it stands, and its masks."""
        # A completion without any truth has no masks.
        columns = ", ".join(
            f"coalesce({side}{index}, 0) AS {side}{index}"
            for index in range(len(self.starts))
            for side in "tf"
        )
        return ROWS.format(masks=self.masks(), columns=columns), [conversation_set_pk] * 2

    def completion_class(self, response_type: str) -> SQL:
        """The best class that holds, `INCOMPLETE` where none does or truths are missing.

        `response_type` is the column that says whose rules apply.
        """
        return self._by_type(response_type, self._first_class, "''")

    def n_classes(self, response_type: str) -> SQL:
        """How many classes hold; null where truths are missing. A sound policy has 1."""
        return self._by_type(response_type, self._count_classes, "NULL::int")

    def _by_type(self, column: str, rules_of: Callable[[str], SQL], otherwise: str) -> SQL:
        branches = ""
        parameters: Parameters = []
        for kind in self.policy.response_type_keys:
            if leaves(self.policy, kind):
                sql, more = rules_of(kind)
                branches += f" WHEN %s THEN {sql}"
                parameters += [kind, *more]
        if not branches:
            return otherwise, []
        return f"CASE {column}{branches} ELSE {otherwise} END", parameters

    def _first_class(self, kind: str) -> SQL:
        classes = self.policy.classes_of(kind)
        found = " ".join(f"WHEN {self.holds(literals)} THEN %s" for literals in classes.values())
        decided = self.decided(leaves(self.policy, kind))
        return f"CASE WHEN NOT {decided} THEN '' {found} ELSE '' END", [*classes]

    def _count_classes(self, kind: str) -> SQL:
        classes = self.policy.classes_of(kind).values()
        count = " + ".join(f"({self.holds(literals)})::int" for literals in classes)
        return f"CASE WHEN {self.decided(leaves(self.policy, kind))} THEN {count} END", []

    def decided(self, keys: Collection[str]) -> str:
        """Whether each of these propositions is true or false."""
        parts = [
            f"(t{mask} | f{mask}) & {weight} = {weight}"
            for mask, weight in self._weights(keys).items()
        ]
        return _all(parts)

    def holds(self, literals: Literals) -> str:
        """Whether a conjunction is certainly true, by what is known."""
        true, false, derived = self._split(literals)
        parts = [f"t{mask} & {weight} = {weight}" for mask, weight in true.items()]
        parts += [f"f{mask} & {weight} = {weight}" for mask, weight in false.items()]
        for name, wanted in derived.items():
            parts.append((self.holds if wanted else self.fails)(self.policy.derived[name]))
        return _all(parts)

    def fails(self, literals: Literals) -> str:
        """Whether a conjunction is certainly false, by what is known."""
        true, false, derived = self._split(literals)
        parts = [f"f{mask} & {weight} <> 0" for mask, weight in true.items()]
        parts += [f"t{mask} & {weight} <> 0" for mask, weight in false.items()]
        for name, wanted in derived.items():
            parts.append((self.fails if wanted else self.holds)(self.policy.derived[name]))
        return f"({' OR '.join(parts) or 'false'})"

    def violated(self) -> list[str]:
        """One condition for each implication, then one for each exclusion, of the policy."""
        return [
            *(
                f"({self.holds(rule.given)} AND {self.fails(rule.then)})"
                for rule in self.policy.implications
            ),
            *(self.holds(exclusion) for exclusion in self.policy.exclusions),
        ]

    def _split(self, literals: Literals) -> tuple[dict[int, int], dict[int, int], Literals]:
        """The masks of what has to be true, of what has to be false, and the derived literals."""
        plain = {name: wanted for name, wanted in literals.items() if name in self.bits}
        return (
            self._weights([name for name, wanted in plain.items() if wanted]),
            self._weights([name for name, wanted in plain.items() if not wanted]),
            {name: wanted for name, wanted in literals.items() if name not in plain},
        )

    def _weights(self, keys: Collection[str]) -> dict[int, int]:
        weights: dict[int, int] = defaultdict(int)
        for key in keys:
            weights[self.bits[key].mask] |= self.bits[key].weight
        return weights


def _all(parts: list[str]) -> str:
    return f"({' AND '.join(parts) or 'true'})"


def truth_sql(policy: Policy, policy_pk: int) -> TruthSQL:
    """The rules of a version of the policy line `policy_pk`. One query."""
    rows = Proposition.objects.filter(policy=policy_pk, key__in=policy.proposition_keys)
    return TruthSQL(policy, dict(rows.values_list("key", "pk")))
