"""Broken constraints: only those that are certain, each in a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.constraints import Violation, formula, violations
from rbr_app.rbr.policy import Implication, Policy
from tests.factories import tiny_policy
from tests.unit.rbr.policies import completions, holds, partial_truths, small_policies

POLICY = replace(
    tiny_policy(),
    implications=(Implication({"cites": True}, {"helps": True}),),
    exclusions=({"kind_help": True, "cites": False}, {"rude": True}),
)


def test_an_implication_is_broken_when_its_end_fails() -> None:
    assert violations(POLICY, {"cites": True, "helps": False}) == [
        Violation("implication", 0, ("helps", "cites"), "cites is true, so helps has to be true.")
    ]


@pytest.mark.parametrize(
    "truth",
    [
        {},
        {"cites": True},
        {"cites": True, "helps": None},
        {"cites": None, "helps": False},
        {"cites": False, "helps": False},
        # Whether help is kind is open as long as rudeness is.
        {"helps": True, "cites": False},
    ],
)
def test_what_is_not_certain_is_no_violation(truth: dict[str, bool | None]) -> None:
    assert violations(POLICY, truth) == []


def test_an_exclusion_is_broken_when_all_of_it_holds_derived_propositions_too() -> None:
    assert violations(POLICY, {"helps": True, "rude": False, "cites": False}) == [
        Violation(
            "exclusion",
            0,
            ("helps", "rude", "cites"),
            "kind_help is true and cites is false: that cannot stand together.",
        )
    ]


def test_an_exclusion_of_one_thing_says_that_it_never_happens() -> None:
    [found] = violations(POLICY, {"rude": True})
    assert (found.number, found.message) == (1, "rude is true: that never happens.")


@given(small_policies(constraints=True), st.data())
@settings(max_examples=300)
def test_a_violation_is_one_in_every_completion_of_what_is_known(
    policy: Policy, data: st.DataObject
) -> None:
    truth = data.draw(partial_truths(policy))
    rows = completions(policy, truth)
    broken = {
        ("implication", number)
        for number, rule in enumerate(policy.implications)
        if all(holds(policy, rule.given, row) and not holds(policy, rule.then, row) for row in rows)
    } | {
        ("exclusion", number)
        for number, literals in enumerate(policy.exclusions)
        if all(holds(policy, literals, row) for row in rows)
    }
    assert {(found.kind, found.number) for found in violations(policy, truth)} == broken


def test_a_formula_does_not_depend_on_the_order_of_its_literals() -> None:
    rule = Implication({"b": True, "a": False}, {"c": True})
    assert formula(rule) == "¬a ∧ b → c"
    assert formula({"b": True, "a": False}) == formula({"a": False, "b": True})
