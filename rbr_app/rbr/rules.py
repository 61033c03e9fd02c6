"""From truth values to a completion class.

Source: Mu et al. 2024, section 4.1: a class is a conjunction over propositions and derived
propositions, one conjunction for each response type.
"""

from __future__ import annotations

from collections.abc import Mapping

from .policy import Literals, Policy


class ClassError(ValueError):
    """A truth assignment that meets no class, or more than one."""


def holds(literals: Literals, truth: Mapping[str, bool]) -> bool:
    """Whether every literal of a conjunction has its wanted value."""
    return all(truth[name] is wanted for name, wanted in literals.items())


def derive(policy: Policy, truth: Mapping[str, bool]) -> dict[str, bool]:
    """`truth` with the derived propositions added. `KeyError` names a missing proposition."""
    extended = dict(truth)
    for name, literals in policy.derived.items():
        extended[name] = holds(literals, extended)
    return extended


def completion_classes(policy: Policy, response_type: str, truth: Mapping[str, bool]) -> list[str]:
    """Every class whose conjunction holds, best first. A sound policy gives exactly one."""
    extended = derive(policy, truth)
    classes = policy.classes_of(response_type)
    return [name for name, literals in classes.items() if holds(literals, extended)]


def completion_class(policy: Policy, response_type: str, truth: Mapping[str, bool]) -> str:
    """The one class that `truth` implies for `response_type`; `ClassError` otherwise."""
    names = completion_classes(policy, response_type, truth)
    if len(names) != 1:
        found = " and ".join(names) or "no class"
        raise ClassError(f"{found} for response type {response_type!r}, one wanted")
    return names[0]


def leaves(policy: Policy, response_type: str) -> tuple[str, ...]:
    """The propositions on which the class for `response_type` depends, in policy order."""
    seen: set[str] = set()
    todo = [name for literals in policy.classes_of(response_type).values() for name in literals]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(policy.derived.get(name, ()))
    return tuple(key for key in policy.proposition_keys if key in seen)
