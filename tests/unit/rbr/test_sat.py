"""The solver's answers against brute force over every assignment."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.policy import Policy
from rbr_app.rbr.sat import solve
from tests.factories import tiny_policy
from tests.unit.rbr.policies import assignments, conjunctions, holds, keeps, small_policies


@given(small_policies(constraints=True), st.booleans(), st.data())
@settings(max_examples=300)
def test_a_solution_is_found_exactly_where_there_is_one(
    policy: Policy, constrained: bool, data: st.DataObject
) -> None:
    literals = conjunctions([*policy.proposition_keys, *policy.derived])
    all_of = data.draw(st.lists(literals, max_size=2))
    none_of = data.draw(st.lists(literals, max_size=2))
    right = [
        truth
        for truth in assignments(policy.proposition_keys)
        if all(holds(policy, wanted, truth) for wanted in all_of)
        and not any(holds(policy, wanted, truth) for wanted in none_of)
        and (keeps(policy, truth) or not constrained)
    ]
    found = solve(policy, all_of=all_of, none_of=none_of, constrained=constrained)
    assert found in right if right else found is None


def test_a_solution_names_every_proposition() -> None:
    found = solve(tiny_policy(), all_of=[{"kind_help": True, "cites": True}])
    assert found == {"helps": True, "rude": False, "cites": True}
