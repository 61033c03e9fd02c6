"""A policy's rules as one table: what every class wants of each proposition, per response type."""

from __future__ import annotations

from dataclasses import dataclass

from rbr_app.rbr.demands import Demand, demands, polarity
from rbr_app.rbr.policy import Policy

__all__ = ["Demand", "Mark", "RuleCell", "RuleRow", "rule_table"]


@dataclass(frozen=True)
class Mark:
    """What one class wants in one cell; `rank` is the place of the class, 0 is best.

    `demand` is None where the response type has no such class.
    """

    completion_class: str
    rank: int
    demand: Demand | None


@dataclass(frozen=True)
class RuleCell:
    """A proposition in one response type: a mark for every class, best first."""

    response_type: str
    marks: tuple[Mark, ...]
    polarity: str

    @property
    def is_free(self) -> bool:
        return all(mark.demand in (None, Demand.FREE) for mark in self.marks)


@dataclass(frozen=True)
class RuleRow:
    """One proposition with a cell per response type, in the policy's order."""

    key: str
    cells: tuple[RuleCell, ...]


def rule_table(policy: Policy) -> list[RuleRow]:
    """The demands of every class on every proposition, derived ones resolved."""
    wanted = {
        (kind, name): demands(policy, literals)
        for kind in policy.response_type_keys
        for name, literals in policy.classes_of(kind).items()
    }

    def mark(key: str, kind: str, rank: int, name: str) -> Mark:
        asked = wanted.get((kind, name))
        return Mark(name, rank, None if asked is None else asked.get(key, Demand.FREE))

    return [
        RuleRow(
            key,
            tuple(
                RuleCell(
                    kind,
                    tuple(mark(key, kind, *place) for place in enumerate(policy.class_order)),
                    polarity(policy, key, kind),
                )
                for kind in policy.response_type_keys
            ),
        )
        for key in policy.proposition_keys
    ]
