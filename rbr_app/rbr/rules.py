"""From truth values to a completion class.

Source: Mu et al. 2024, section 4.1: a class is a conjunction over propositions and derived
propositions, one conjunction for each response type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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
    classes = policy.classes_of(response_type).values()
    return leaves_of(policy, (name for literals in classes for name in literals))


def leaves_of(policy: Policy, names: Iterable[str]) -> tuple[str, ...]:
    """The propositions behind these (derived) ones, in policy order."""
    seen: set[str] = set()
    todo = [*names]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(policy.derived.get(name, ()))
    return tuple(key for key in policy.proposition_keys if key in seen)


@dataclass(frozen=True)
class Term:
    """One literal of a conjunction, and what is known of it.

    `actual` is None where the known truths leave it open; `terms` are the literals of a derived
    proposition.
    """

    key: str
    wanted: bool
    actual: bool | None
    terms: tuple[Term, ...] = ()

    @property
    def met(self) -> bool | None:
        return None if self.actual is None else self.actual is self.wanted


@dataclass(frozen=True)
class ClassExplanation:
    """Whether a class holds: None while that is open, though none of its literals need be."""

    completion_class: str
    holds: bool | None
    terms: tuple[Term, ...]

    @property
    def state(self) -> str:
        return {True: "holds", False: "fails", None: "open"}[self.holds]


@dataclass(frozen=True)
class Explanation:
    """Every class of a response type, best first, and what is left to know.

    `implied` is the one class that holds whatever is still unknown, else empty. `possible` are
    the classes that some completion of the known truths meets. `missing` are the unknown
    propositions of which the truth can still change what holds, in policy order.
    """

    response_type: str
    classes: tuple[ClassExplanation, ...]
    implied: str
    possible: tuple[str, ...]
    missing: tuple[str, ...]


def explain(policy: Policy, response_type: str, truth: Mapping[str, bool | None]) -> Explanation:
    """Why `truth`, known in part, puts a completion into a class or leaves that open.

    The answers are exact: "holds" means for every way to fill in what is unknown, "fails" for
    none. Constraints of the policy are not used; names it does not know are ignored.
    """
    known = _known(policy, truth)
    rules = policy.classes_of(response_type)
    classes = tuple(
        ClassExplanation(name, decided(policy, literals, known), _terms(policy, literals, known))
        for name, literals in rules.items()
    )
    possible = tuple(row.completion_class for row in classes if row.holds is not False)
    certain = [row.completion_class for row in classes if row.holds]
    return Explanation(
        response_type=response_type,
        classes=classes,
        implied=possible[0] if certain == [*possible] and len(certain) == 1 else "",
        possible=possible,
        missing=tuple(
            key
            for key in leaves(policy, response_type)
            if key not in known
            and any(_matters(policy, rules[name], key, known) for name in possible)
        ),
    )


def decided(policy: Policy, literals: Literals, truth: Mapping[str, bool | None]) -> bool | None:
    """True when a conjunction holds however the unknown is filled in, False when it never does."""
    known = _known(policy, truth)
    if not any(True for _ in _ways(policy, literals, False, known)):
        return True
    return None if any(True for _ in _ways(policy, literals, True, known)) else False


def _known(policy: Policy, truth: Mapping[str, bool | None]) -> dict[str, bool]:
    values = {key: truth.get(key) for key in policy.proposition_keys}
    return {key: value for key, value in values.items() if value is not None}


def _terms(policy: Policy, literals: Literals, known: Mapping[str, bool]) -> tuple[Term, ...]:
    return tuple(
        Term(
            key=name,
            wanted=wanted,
            actual=decided(policy, {name: True}, known),
            terms=_terms(policy, policy.derived.get(name, {}), known),
        )
        for name, wanted in literals.items()
    )


def _matters(policy: Policy, literals: Literals, key: str, known: Mapping[str, bool]) -> bool:
    """Whether, something else being filled in, the truth of `key` alone decides a conjunction."""
    # In this order, because a conjunction fails in fewer ways than it holds.
    return any(
        True
        for value in (True, False)
        for way in _ways(policy, literals, False, {**known, key: value})
        for _ in _ways(policy, literals, True, {**way, key: not value})
    )


def _ways(
    policy: Policy, literals: Literals, wanted: bool, known: Mapping[str, bool]
) -> Iterator[Mapping[str, bool]]:
    """Extensions of `known` that settle a conjunction as `wanted`.

    Whatever they leave out may be either, and every total truth that settles it so extends one.
    """
    if not wanted:
        for name, value in literals.items():
            yield from _literal_ways(policy, name, not value, known)
        return
    plain = {name: value for name, value in literals.items() if name not in policy.derived}
    if all(known.get(name, value) is value for name, value in plain.items()):
        # Those that have to hold go first: they leave no choice, and rule most others out.
        derived = [item for item in literals.items() if item[0] in policy.derived]
        derived.sort(key=lambda item: not item[1])
        yield from _all_ways(policy, derived, {**known, **plain})


def _all_ways(
    policy: Policy, items: list[tuple[str, bool]], known: Mapping[str, bool]
) -> Iterator[Mapping[str, bool]]:
    if not items:
        yield known
        return
    for way in _literal_ways(policy, *items[0], known):
        yield from _all_ways(policy, items[1:], way)


def _literal_ways(
    policy: Policy, name: str, wanted: bool, known: Mapping[str, bool]
) -> Iterator[Mapping[str, bool]]:
    if name in policy.derived:
        yield from _ways(policy, policy.derived[name], wanted, known)
    elif known.get(name, wanted) is wanted:
        yield {**known, name: wanted}
