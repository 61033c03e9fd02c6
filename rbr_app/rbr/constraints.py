"""Which truths a policy says cannot stand together: its implications and exclusions.

They state facts about the meanings of propositions, so a label that breaks one is a slip (or the
constraint is wrong). They decide no class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .policy import Implication, Literals, Policy
from .rules import decided, leaves_of


@dataclass(frozen=True)
class Violation:
    """A constraint that known truths break, whatever else is true.

    `kind` is ``implication`` or ``exclusion`` and `number` its place among those of the policy;
    `keys` are the propositions behind it, derived ones resolved; `message` is a sentence.
    """

    kind: str
    number: int
    keys: tuple[str, ...]
    message: str


def violations(policy: Policy, truth: Mapping[str, bool | None]) -> list[Violation]:
    """The constraints that `truth`, known in part, is certain to break."""
    found = []
    for number, rule in enumerate(policy.implications):
        broken = decided(policy, rule.given, truth) and decided(policy, rule.then, truth) is False
        if broken:
            keys = leaves_of(policy, (*rule.given, *rule.then))
            message = f"{_stated(rule.given)}, so {_stated(rule.then, 'has to be')}."
            found.append(Violation("implication", number, keys, message))
    for number, exclusion in enumerate(policy.exclusions):
        if decided(policy, exclusion, truth):
            tail = "cannot stand together" if len(exclusion) > 1 else "never happens"
            message = f"{_stated(exclusion)}: that {tail}."
            keys = leaves_of(policy, exclusion)
            found.append(Violation("exclusion", number, keys, message))
    return found


def formula(constraint: Implication | Literals) -> str:
    """A constraint in one line, the same for the same constraint: ``a ∧ ¬b → c``."""
    if isinstance(constraint, Implication):
        return f"{formula(constraint.given)} → {formula(constraint.then)}"
    return " ∧ ".join(name if wanted else f"¬{name}" for name, wanted in sorted(constraint.items()))


def _stated(literals: Literals, verb: str = "is") -> str:
    return " and ".join(
        f"{name} {verb} {'true' if wanted else 'false'}" for name, wanted in literals.items()
    )
