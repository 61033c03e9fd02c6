"""What a class wants of each proposition, derived ones resolved, and which truths are desired."""

from __future__ import annotations

from enum import StrEnum

from .policy import Literals, Policy
from .rules import leaves_of


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
        for key in leaves_of(policy, deeper):
            found.setdefault(key, Demand.DEPENDS)
    return found


def polarity(policy: Policy, key: str, response_type: str) -> str:
    """Whether the truth of a proposition is ``desired``, ``undesired`` or ``neutral``.

    What the proposition states counts; otherwise the rules of the best class that the response
    type has: desired where that class needs it true, undesired where it needs it false.
    `KeyError` when the policy has no such proposition.
    """
    stated = policy.proposition(key).polarity.get(response_type)
    return stated or derived_polarity(policy, key, response_type)


def derived_polarity(policy: Policy, key: str, response_type: str) -> str:
    """The polarity that follows from the rules, whatever the proposition states."""
    best = next(iter(policy.classes_of(response_type).values()), {})
    demand = demands(policy, best).get(key)
    return {Demand.TRUE: "desired", Demand.FALSE: "undesired"}.get(demand or Demand.FREE, "neutral")


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
