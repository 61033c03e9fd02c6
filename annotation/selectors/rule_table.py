"""A policy's rules as a table: what each class wants of each proposition, per response type."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rbr_app.rbr.policy import Literals, Policy


class Demand(StrEnum):
    """What a rule wants of a proposition."""

    TRUE = "true"
    FALSE = "false"
    SOME_TRUE = "some true"
    SOME_FALSE = "some false"
    DEPENDS = "depends"
    FREE = "free"

    @property
    def meaning(self) -> str:
        return MEANINGS[self]


MEANINGS = {
    Demand.TRUE: "has to be true",
    Demand.FALSE: "has to be false",
    Demand.SOME_TRUE: "one of the propositions so marked has to differ: this one by being true",
    Demand.SOME_FALSE: "one of the propositions so marked has to differ: this one by being false",
    Demand.DEPENDS: "matters only together with others",
    Demand.FREE: "may be either",
}


@dataclass(frozen=True)
class RuleRow:
    """One proposition with one demand per response type, in the policy's order."""

    key: str
    demands: tuple[Demand, ...]


def rule_table(policy: Policy, completion_class: str) -> list[RuleRow]:
    """The demands of `completion_class` on every proposition, derived ones resolved."""
    rules = policy.completion_classes[completion_class]
    columns = [demands(policy, rules.get(kind, {})) for kind in policy.response_type_keys]
    return [
        RuleRow(key, tuple(column.get(key, Demand.FREE) for column in columns))
        for key in policy.proposition_keys
    ]


def demands(policy: Policy, literals: Literals) -> dict[str, Demand]:
    """What a conjunction wants of each proposition that it depends on.

    A derived proposition that must be false asks for at least one of its literals to be broken,
    which no single proposition has to do: those are marked `SOME_…`.
    """
    fixed, broken = _resolve(policy, literals)
    found = {key: Demand.TRUE if wanted else Demand.FALSE for key, wanted in fixed.items()}
    for name in broken:
        inner, deeper = _resolve(policy, policy.derived[name])
        for key, wanted in inner.items():
            found.setdefault(key, Demand.SOME_FALSE if wanted else Demand.SOME_TRUE)
        for other in deeper:
            for key in _leaves(policy, other):
                found.setdefault(key, Demand.DEPENDS)
    return found


def _resolve(policy: Policy, literals: Literals) -> tuple[dict[str, bool], list[str]]:
    """The literals on plain propositions, and the derived ones that have to be false."""
    fixed: dict[str, bool] = {}
    broken: list[str] = []
    for name, wanted in literals.items():
        if name not in policy.derived:
            fixed[name] = wanted
        elif wanted:
            inner, deeper = _resolve(policy, policy.derived[name])
            fixed |= inner
            broken += deeper
        else:
            broken.append(name)
    return fixed, broken


def _leaves(policy: Policy, name: str) -> list[str]:
    if name not in policy.derived:
        return [name]
    return [leaf for inner in policy.derived[name] for leaf in _leaves(policy, inner)]
