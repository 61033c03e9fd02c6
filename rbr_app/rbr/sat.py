"""Truth assignments that a policy's rules and constraints allow, found by a SAT solver.

Derived propositions become clauses (Tseitin's encoding). This is complete: it does not sample,
and it does not grow with 2 to the number of propositions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from pysat.solvers import Cadical153

from .policy import Literals, Policy

SOLVER = Cadical153


def solve(
    policy: Policy,
    *,
    all_of: Iterable[Literals] = (),
    none_of: Iterable[Literals] = (),
    constrained: bool = False,
) -> dict[str, bool] | None:
    """Truths of the propositions such that all of `all_of` and none of `none_of` hold, or None.

    With `constrained` the policy's implications and exclusions have to be kept too.
    """
    names = [*policy.proposition_keys, *policy.derived]
    variable = {name: number for number, name in enumerate(names, start=1)}

    def terms(literals: Literals) -> list[int]:
        return [variable[name] if wanted else -variable[name] for name, wanted in literals.items()]

    def clauses() -> Iterator[list[int]]:
        for name, literals in policy.derived.items():
            yield [variable[name], *(-term for term in terms(literals))]
            yield from ([-variable[name], term] for term in terms(literals))
        yield from ([term] for literals in all_of for term in terms(literals))
        excluded = chain(none_of, policy.exclusions if constrained else ())
        yield from ([-term for term in terms(literals)] for literals in excluded)
        for rule in policy.implications if constrained else ():
            unless = [-term for term in terms(rule.given)]
            yield from ([*unless, term] for term in terms(rule.then))

    with SOLVER() as solver:
        for clause in clauses():
            solver.add_clause(clause)
        if not solver.solve():
            return None
        true = {number for number in solver.get_model() if number > 0}
    return {key: variable[key] in true for key in policy.proposition_keys}
