"""Proves that a policy's classes are exclusive and exhaustive, or finds a counter-example.

Derived propositions become clauses (Tseitin's encoding) and a SAT solver decides, for each
response type, whether two classes can hold at once and whether none can. This is complete: it
does not sample, and it does not grow with 2 to the number of propositions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from pysat.solvers import Cadical153

from .policy import Literals, Policy
from .rules import leaves

SOLVER = Cadical153


@dataclass(frozen=True)
class Witness:
    """A truth assignment for which `classes` hold at once; a gap when `classes` is empty.

    `truth` names the propositions that the classes of the response type depend on.
    """

    response_type: str
    classes: tuple[str, ...]
    truth: dict[str, bool]

    def __str__(self) -> str:
        true = [key for key, value in self.truth.items() if value]
        what = f"{' and '.join(self.classes)} both hold" if self.classes else "no class holds"
        return (
            f"response type {self.response_type}: {what} when "
            f"{', '.join(true) or 'nothing'} {'are' if len(true) > 1 else 'is'} true "
            "and all else is false"
        )


def overlaps(policy: Policy) -> list[Witness]:
    """One witness for each pair of classes that can hold together, per response type."""
    found = []
    for response_type in policy.response_type_keys:
        classes = policy.classes_of(response_type)
        for first, second in combinations(classes, 2):
            units = [classes[first], classes[second]]
            if (truth := _solve(policy, response_type, all_of=units)) is not None:
                found.append(Witness(response_type, (first, second), truth))
    return found


def gaps(policy: Policy) -> list[Witness]:
    """One witness for each response type in which some assignment meets no class."""
    found = []
    for response_type in policy.response_type_keys:
        classes = policy.classes_of(response_type).values()
        if (truth := _solve(policy, response_type, none_of=classes)) is not None:
            found.append(Witness(response_type, (), truth))
    return found


def _solve(
    policy: Policy,
    response_type: str,
    *,
    all_of: Iterable[Literals] = (),
    none_of: Iterable[Literals] = (),
) -> dict[str, bool] | None:
    """Truth of the leaves such that every conjunction of `all_of` and none of `none_of` holds."""
    names = [*policy.proposition_keys, *policy.derived]
    variable = {name: number for number, name in enumerate(names, start=1)}

    def literal(name: str, wanted: bool) -> int:
        return variable[name] if wanted else -variable[name]

    with SOLVER() as solver:
        for name, literals in policy.derived.items():
            terms = [literal(*item) for item in literals.items()]
            solver.add_clause([variable[name], *(-term for term in terms)])
            for term in terms:
                solver.add_clause([-variable[name], term])
        for literals in all_of:
            for item in literals.items():
                solver.add_clause([literal(*item)])
        for literals in none_of:
            solver.add_clause([-literal(*item) for item in literals.items()])
        if not solver.solve():
            return None
        true = {number for number in solver.get_model() if number > 0}
    return {key: variable[key] in true for key in leaves(policy, response_type)}
