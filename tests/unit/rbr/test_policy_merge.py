"""Two people's edits of one policy come together, and only real conflicts are conflicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.policy import Implication, Policy, PolicyError, PromptTemplate, Proposition
from rbr_app.rbr.policy_check import parse_document
from rbr_app.rbr.policy_merge import Conflict, Merge, merge
from tests.factories import tiny_policy
from tests.unit.rbr.policies import whole_policies

BASE = tiny_policy()
HELPS, RUDE, CITES = BASE.propositions


def with_propositions(*rows: Proposition) -> Policy:
    return replace(BASE, propositions=rows)


def merged(mine: Policy, theirs: Policy) -> Merge:
    return merge(BASE, mine, theirs)


def result(mine: Policy, theirs: Policy) -> Policy:
    found = merged(mine, theirs)
    assert found.conflicts == ()
    return parse_document(found.document)


@given(whole_policies(), whole_policies())
@settings(max_examples=30)
def test_what_only_one_side_changed_is_kept(base: Policy, changed: Policy) -> None:
    for found in (merge(base, changed, base), merge(base, base, changed)):
        assert found.conflicts == ()
        back = parse_document(found.document)
        assert back == changed
        assert list(back.derived) == list(changed.derived)


@given(whole_policies(), whole_policies())
@settings(max_examples=30)
def test_the_same_edit_on_both_sides_is_no_conflict(base: Policy, changed: Policy) -> None:
    found = merge(base, changed, changed)
    assert (parse_document(found.document), found.conflicts) == (changed, ())


@given(whole_policies(), whole_policies(), whole_policies())
@settings(max_examples=30)
def test_any_three_policies_can_be_merged(base: Policy, mine: Policy, theirs: Policy) -> None:
    found = merge(base, mine, theirs)
    assert found.document.keys() >= Policy.from_document(found.document).as_document().keys()
    swapped = merge(base, theirs, mine)
    assert {row.path for row in found.conflicts} == {row.path for row in swapped.conflicts}


def proposition_edit(index: int, **changes: object) -> Callable[[Policy], Policy]:
    def edit(policy: Policy) -> Policy:
        rows = [*policy.propositions]
        rows[index] = replace(rows[index], **changes)  # type: ignore[arg-type]
        return replace(policy, propositions=tuple(rows))

    return edit


def addition(key: str) -> Callable[[Policy], Policy]:
    return lambda policy: replace(
        policy, propositions=(*policy.propositions, Proposition(key, f"{key}?"))
    )


def rule(name: str, kind: str) -> Callable[[Policy], Policy]:
    def edit(policy: Policy) -> Policy:
        by_type = {**policy.completion_classes[name], kind: {"cites": True}}
        return replace(policy, completion_classes={**policy.completion_classes, name: by_type})

    return edit


EDITS: list[Callable[[Policy], Policy]] = [
    lambda policy: replace(policy, title="New"),
    lambda policy: replace(policy, summary="New"),
    lambda policy: replace(
        policy, template=PromptTemplate("{question} {response}", "question_first")
    ),
    proposition_edit(0, question="New?"),
    proposition_edit(0, guideline="New"),
    proposition_edit(1, polarity={"comply": "neutral"}),
    addition("zeal"),
    addition("awe"),
    rule("ideal", "comply"),
    rule("ideal", "refuse"),
    lambda policy: replace(policy, class_order=("rude_completion", "poor", "ideal")),
    lambda policy: replace(policy, exclusions=({"helps": True, "rude": True},)),
    lambda policy: replace(policy, implications=(Implication({"cites": True}, {"helps": True}),)),
    lambda policy: replace(policy, categories=policy.categories[:1]),
    lambda policy: replace(policy, derived={**policy.derived, "new": {"kind_help": False}}),
]


@given(st.lists(st.sampled_from([None, True, False]), min_size=len(EDITS), max_size=len(EDITS)))
@settings(max_examples=200)
def test_edits_of_different_things_come_together_whoever_made_them(
    sides: list[bool | None],
) -> None:
    def edited(*wanted: bool) -> Policy:
        chosen = [edit for edit, side in zip(EDITS, sides, strict=True) if side in wanted]
        return reduce(lambda policy, edit: edit(policy), chosen, BASE)

    mine, theirs = edited(True), edited(False)
    found = result(mine, theirs)
    assert found == result(theirs, mine)
    both = edited(True, False)
    # Additions of both sides at one place are sorted, not in the order of their making.
    assert set(found.propositions) == set(both.propositions)
    assert replace(found, propositions=()) == replace(both, propositions=())


# Worked cases


def test_a_question_of_mine_and_a_guideline_of_theirs_both_survive() -> None:
    mine = with_propositions(HELPS, replace(RUDE, question="Is it harsh?"), CITES)
    theirs = with_propositions(HELPS, replace(RUDE, guideline="Be strict."), CITES)
    found = result(mine, theirs)
    assert found.proposition("rude") == Proposition("rude", "Is it harsh?", "Be strict.")


def test_the_same_field_changed_differently_is_a_conflict_and_mine_stays() -> None:
    mine = with_propositions(HELPS, replace(RUDE, question="Mine?"), CITES)
    theirs = with_propositions(HELPS, replace(RUDE, question="Theirs?"), CITES)
    found = merged(mine, theirs)
    assert found.conflicts == (
        Conflict("propositions.rude.question", "Is it rude?", "Mine?", "Theirs?"),
    )
    assert parse_document(found.document) == mine


def test_an_item_that_one_side_removed_and_the_other_left_alone_is_gone() -> None:
    removed = with_propositions(HELPS, RUDE)
    assert result(removed, BASE) == removed
    assert result(BASE, removed) == removed
    assert result(removed, removed) == removed


def test_an_item_removed_here_and_changed_there_is_a_conflict_and_mine_stays() -> None:
    removed = with_propositions(HELPS, RUDE)
    changed = with_propositions(HELPS, RUDE, replace(CITES, guideline="G"))
    [conflict] = merged(removed, changed).conflicts
    assert (conflict.path, conflict.mine) == ("propositions.cites", None)
    assert conflict.theirs["guideline"] == "G"
    assert parse_document(merged(removed, changed).document) == removed
    assert parse_document(merged(changed, removed).document) == changed


def test_two_additions_of_one_key_are_merged_by_field() -> None:
    mine = with_propositions(*BASE.propositions, Proposition("new", "A?"))
    theirs = with_propositions(*BASE.propositions, Proposition("new", "B?"))
    [conflict] = merged(mine, theirs).conflicts
    assert conflict == Conflict("propositions.new.question", None, "A?", "B?")
    assert result(mine, mine) == mine


def test_two_different_orders_of_the_classes_are_a_conflict() -> None:
    mine = replace(BASE, class_order=("poor", "ideal", "rude_completion"))
    theirs = replace(BASE, class_order=("rude_completion", "poor", "ideal"))
    [conflict] = merged(mine, theirs).conflicts
    assert conflict.path == "completion_classes"
    assert parse_document(merged(mine, theirs).document) == mine


def test_an_addition_keeps_its_place_in_an_order_that_the_other_side_changed() -> None:
    new = Proposition("new", "New?")
    found = result(
        with_propositions(CITES, RUDE, HELPS), with_propositions(HELPS, new, RUDE, CITES)
    )
    assert found.proposition_keys == ("cites", "rude", "helps", "new")


def test_a_merge_may_be_unsound_and_checking_tells() -> None:
    # I use a proposition that they removed: no field of it meets another edit.
    mine = replace(BASE, exclusions=({"cites": True},))
    found = merged(mine, with_propositions(HELPS, RUDE))
    assert found.conflicts == ()
    with pytest.raises(PolicyError, match=r"exclusions\[0\] uses 'cites'"):
        parse_document(found.document)


def test_a_document_leaves_out_what_is_not_used() -> None:
    assert merged(BASE, BASE).document.keys() == BASE.as_document().keys()
