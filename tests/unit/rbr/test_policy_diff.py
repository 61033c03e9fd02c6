"""What differs between two policies, and which labels that touches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rbr_app.rbr.policy import Category, Example, Implication, Policy, PromptTemplate, Proposition
from rbr_app.rbr.policy_diff import Change, diff, rules_changed, touched_propositions, word_diff
from tests.factories import tiny_policy
from tests.unit.rbr.policies import whole_policies

BASE = tiny_policy()
HELPS, RUDE, CITES = BASE.propositions


def changed(**fields: object) -> list[Change]:
    return diff(BASE, replace(BASE, **fields))  # type: ignore[arg-type]


@given(whole_policies(), whole_policies())
@settings(max_examples=30)
def test_a_difference_is_found_exactly_between_different_policies(old: Policy, new: Policy) -> None:
    assert diff(old, old) == []
    assert bool(diff(old, new)) == (old != new)


@given(whole_policies(), whole_policies())
@settings(max_examples=30)
def test_the_way_back_has_the_opposite_changes(old: Policy, new: Policy) -> None:
    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    there = [(c.section, c.key, c.field, opposite[c.kind]) for c in diff(old, new)]
    back = [(c.section, c.key, c.field, c.kind) for c in diff(new, old)]
    assert sorted(there) == sorted(back)


def test_a_changed_field_is_one_change_with_both_values() -> None:
    new = replace(RUDE, guideline="Be strict.")
    assert changed(propositions=(HELPS, new, CITES)) == [
        Change("propositions", "rude", "guideline", "changed", "", "Be strict.", True, "rude")
    ]


def test_new_and_removed_items_are_whole() -> None:
    found = changed(propositions=(HELPS, RUDE, Proposition("new", "New?")))
    assert [(c.key, c.field, c.kind, c.proposition) for c in found] == [
        ("cites", "", "removed", "cites"),
        ("new", "", "added", "new"),
    ]
    assert found[0].new is None
    assert found[1].new == {"question": "New?", "guideline": "", "examples": ()}


def test_a_rule_is_a_field_of_its_class() -> None:
    classes = {**BASE.completion_classes, "ideal": {"comply": {"helps": True}}}
    assert changed(completion_classes=classes) == [
        Change(
            "completion_classes",
            "ideal",
            "comply",
            "changed",
            {"kind_help": True},
            {"helps": True},
            True,
        ),
        Change(
            "completion_classes",
            "ideal",
            "refuse",
            "removed",
            {"helps": False, "rude": False},
            None,
            True,
        ),
    ]


def test_the_order_of_classes_means_something_that_of_propositions_does_not() -> None:
    [classes] = changed(class_order=("poor", "ideal", "rude_completion"))
    assert (classes.section, classes.field, classes.default_meaning) == (
        "completion_classes",
        "order",
        True,
    )
    [rows] = changed(propositions=(CITES, RUDE, HELPS))
    assert (rows.section, rows.field, rows.default_meaning) == ("propositions", "order", False)
    assert rows.new == ["cites", "rude", "helps"]


def test_constraints_are_told_apart_by_what_they_say() -> None:
    rule = Implication({"cites": True}, {"helps": True})
    [found] = changed(implications=(rule,))
    assert (found.section, found.key, found.kind) == ("implications", "cites → helps", "added")
    [excluded] = changed(exclusions=({"rude": True, "cites": False},))
    assert (excluded.key, excluded.default_meaning) == ("¬cites ∧ rude", True)


CHAT, TRICK = BASE.categories
[TALK] = BASE.content_areas


@pytest.mark.parametrize(
    ("fields", "meaning"),
    [
        ({"title": "New"}, False),
        ({"summary": "New"}, True),
        ({"template": PromptTemplate("{question}{response}", "question_first")}, False),
        ({"propositions": (replace(HELPS, polarity={"comply": "neutral"}), RUDE, CITES)}, False),
        ({"propositions": (replace(HELPS, question="New?"), RUDE, CITES)}, True),
        ({"propositions": (replace(HELPS, examples=(Example("", "", True),)), RUDE, CITES)}, True),
        ({"derived": {"kind_help": {"helps": True}}}, True),
        ({"content_areas": (replace(TALK, title="New"),)}, False),
        ({"content_areas": (replace(TALK, description="New"),)}, True),
        ({"categories": (replace(CHAT, title="New"), TRICK)}, False),
        ({"categories": (replace(CHAT, response_type="refuse"), TRICK)}, True),
        ({"categories": (CHAT,)}, True),
    ],
)
def test_only_what_cannot_change_a_label_has_no_meaning(
    fields: dict[str, object], meaning: bool
) -> None:
    [change] = changed(**fields)
    assert change.default_meaning is meaning


def test_touched_propositions_are_those_whose_labels_may_mean_something_else() -> None:
    found = changed(
        propositions=(
            replace(HELPS, polarity={"comply": "neutral"}),
            replace(RUDE, question="New?", guideline="New"),
            CITES,
        ),
        title="New",
    )
    assert len(found) == 4
    assert touched_propositions(found) == ("rude",)


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({"title": "New"}, False),
        ({"propositions": (HELPS, replace(RUDE, question="New?"), CITES)}, False),
        ({"derived": {"kind_help": {"helps": True}}}, True),
        ({"class_order": ("poor", "ideal", "rude_completion")}, True),
        ({"categories": (CHAT,)}, True),
        ({"categories": (CHAT, replace(TRICK, title="New"))}, False),
        ({"categories": (CHAT, Category("trick", "comply", "talk", "Trick"))}, True),
        ({"response_types": BASE.response_types[:1]}, True),
    ],
)
def test_rules_are_changed_by_what_can_change_a_class(
    fields: dict[str, object], rules: bool
) -> None:
    assert rules_changed(changed(**fields)) is rules


# Words

PROSE = st.lists(st.sampled_from(["a", "bb", " ", "\n", ", ", ".", "cc dd", "é"])).map("".join)


@given(PROSE | st.text(), PROSE | st.text())
@example("a b " * 400, "b a " * 400)
def test_the_pieces_make_up_both_texts(old: str, new: str) -> None:
    pieces = word_diff(old, new)
    assert "".join(text for op, text in pieces if op != "insert") == old
    assert "".join(text for op, text in pieces if op != "delete") == new
    assert all(text for _, text in pieces)
    assert {op for op, _ in pieces} <= {"equal", "insert", "delete"}
    assert old != new or {op for op, _ in pieces} <= {"equal"}


def test_whole_words_are_shown_as_changed() -> None:
    assert word_diff("Is it rude to the user?", "Is it ruder to users?") == [
        ("equal", "Is it "),
        ("delete", "rude"),
        ("insert", "ruder"),
        ("equal", " to "),
        ("delete", "the user"),
        ("insert", "users"),
        ("equal", "?"),
    ]
    assert word_diff("same", "same") == [("equal", "same")]
    assert word_diff("", "new") == [("insert", "new")]
    assert word_diff("", "") == []
