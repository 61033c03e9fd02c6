"""Policy files: both forms are read, and what is wrong with a file is named."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.lint import Witness, gaps, overlaps
from rbr_app.rbr.policy import Category, Example, Implication, Policy, PolicyError
from rbr_app.rbr.policy_files import parse_policy, read_policy
from rbr_app.rbr.rules import completion_classes
from tests.conftest import SAMPLE
from tests.factories import TINY, tiny, tiny_policy
from tests.unit.rbr.bad_policy_files import CASES

PAPER = [
    "fully_complies",
    "partially_complies",
    "judgement",
    "illogical_continuation_of_prompt",
    "meta_commentary",
    "disallowed_content",
    "third_person",
    "threatening_language",
    "insulting_language",
    "encourage_professional_help",
    "reference_safety_policy",
    "requests_information",
    "apology",
    "inability_to_comply",
    "additional_content",
    "disclaimer",
    "conditional_verbiage",
    "definitive_verbiage",
    "prescribes_dosage",
    "provides_resources",
    "prescribes_solutions",
    "apology_acknowledges_emotional_state",
    "gentle_encouragement_for_help",
]
CLASSES = (
    "ideal",
    "minimum_acceptable_style",
    "unacceptable_completion",
    "illogical_completion",
    "disallowed_completion",
)


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        read_policy(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


# What is read


def test_the_sample_policy_has_the_papers_propositions_and_classes() -> None:
    policy = read_policy((SAMPLE / "policy.yaml").read_text())
    assert sorted(policy.proposition_keys) == sorted(PAPER)
    assert len(policy.proposition_keys) == 23
    assert policy.class_order == CLASSES
    assert policy.response_type_keys == ("hard_refusal", "soft_refusal", "comply")
    assert policy.name == "sample"


def test_every_sample_proposition_has_a_question_a_guideline_and_both_kinds_of_example() -> None:
    policy = read_policy((SAMPLE / "policy.yaml").read_text())
    for proposition in policy.propositions:
        assert proposition.question
        assert proposition.guideline
        assert {example.answer for example in proposition.examples} == {True, False}


def test_the_released_file_is_read_as_it_is(released: Path) -> None:
    policy = read_policy((released / "proposition_prompts.yaml").read_text())
    assert sorted(policy.proposition_keys) == sorted(PAPER)
    assert len(policy.derived) == 6
    assert policy.class_order == CLASSES
    assert sorted(policy.response_type_keys) == [
        "comply",
        "hard_refuse",
        "safe_refuse_1",
        "safe_refuse_2",
    ]
    assert overlaps(policy) == []
    assert gaps(policy) == []


def test_the_released_prompt_template_is_kept_and_its_order_is_conversation_first(
    released: Path,
) -> None:
    text = (released / "proposition_prompts.yaml").read_text()
    policy = read_policy(text)
    assert policy.template.text == yaml.safe_load(text)["prompt_template"]
    assert policy.template.order == "conversation_first"
    assert policy.categories == ()


def test_content_areas_map_categories_to_response_types() -> None:
    policy = tiny_policy("response_type: refuse}", "response_type: ' Refuse '}")
    assert policy.categories == (
        Category("chat", "comply", "talk", "Chat"),
        Category("trick", "refuse", "talk", "Trick"),
    )


def test_examples_are_read_with_their_answers() -> None:
    row = '{question: "Is it rude?", examples: [{user: Hi, assistant: Go, answer: true}]}'
    policy = tiny_policy('{question: "Is it rude?"}', row)
    assert policy.proposition("rude").examples == (Example("Hi", "Go", True),)


def test_response_types_are_keys_also_where_classes_spell_them_as_names() -> None:
    policy = tiny_policy("    refuse: {", "    Refuse: {")
    assert list(policy.classes_of("refuse")) == ["ideal", "poor", "rude_completion"]


def test_yaml_anchors_and_merge_keys_may_be_used() -> None:
    text = tiny("    comply: {rude: true}", "    comply: &rude {rude: true}")
    merged = text.replace("    refuse: {rude: true}", "    refuse: {<<: *rude, helps: true}")
    policy = parse_policy(merged)
    assert policy.completion_classes["rude_completion"] == {
        "comply": {"rude": True},
        "refuse": {"rude": True, "helps": True},
    }


def test_derived_propositions_may_stand_in_any_order() -> None:
    policy = tiny_policy(
        "  kind_help: {helps",
        "  late: {early: false, kind_help: true}\n  early: {kind_help: true}\n  kind_help: {helps",
    )
    assert list(policy.derived) == ["kind_help", "early", "late"]


def test_constraints_are_read_in_both_spellings() -> None:
    policy = parse_policy(
        TINY
        + "implications: [{if: {kind_help: true}, then: {rude: false}}]\n"
        + "exclusions: [[helps, rude], {cites: true, helps: false}]\n"
    )
    assert policy.implications == (Implication({"kind_help": True}, {"rude": False}),)
    assert policy.exclusions == (
        {"helps": True, "rude": True},
        {"cites": True, "helps": False},
    )


def test_polarities_are_read_for_the_response_types_however_they_are_spelled() -> None:
    row = '{question: "Is it rude?", polarity: {Comply: undesired, refuse: neutral}}'
    policy = tiny_policy('{question: "Is it rude?"}', row)
    stated = policy.proposition("rude").polarity
    assert stated == {"comply": "undesired", "refuse": "neutral"}


# What is refused


@pytest.mark.parametrize("case", CASES)
def test_a_file_is_refused_in_one_line_that_says_what_and_where(case: str) -> None:
    text, words = CASES[case]
    message = refusal(text)
    for word in words:
        assert word in message


def test_the_same_mistakes_are_refused_in_the_released_form(released: Path) -> None:
    text = (released / "proposition_prompts.yaml").read_text()
    message = refusal(text.replace("correct_refusal: true", "corect_refusal: true"))
    assert "completion_classes.ideal.hard_refuse" in message
    assert "'corect_refusal'" in message
    assert "prompt_template" in refusal(text.replace("{response}", "{answer}"))
    assert "completion_class_order" in refusal(text.replace("completion_class_order:", "order:"))
    assert "stands twice" in refusal(text + "\nprompt_template: again\n")


@given(st.text(max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(text)


@given(st.data())
def test_a_damaged_policy_file_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TINY) - 1))
    length = data.draw(st.integers(0, 12))
    damage = data.draw(st.text(alphabet=":{}[]-&*!|>'\"\n ~0b1ae_#<", max_size=6))
    try:
        policy = parse_policy(TINY[:start] + damage + TINY[start + length :])
    except PolicyError:
        return
    assert isinstance(policy, Policy)


# Overlaps and gaps


def check_witness(policy: Policy, witness: Witness) -> None:
    """Whatever the propositions are that the witness does not name, it shows what it says."""
    others = [key for key in policy.proposition_keys if key not in witness.truth]
    for values in product([False, True], repeat=len(others)):
        truth = witness.truth | dict(zip(others, values, strict=True))
        held = completion_classes(policy, witness.response_type, truth)
        if witness.classes:
            assert set(witness.classes) <= set(held)
        else:
            assert held == []


def test_an_overlap_is_refused_with_a_witness_that_is_one() -> None:
    # rude without help meets both, for either response type whose "poor" forgets `rude: false`.
    text = tiny("comply: {helps: false, rude: false}", "comply: {helps: false}")
    message = refusal(text)
    assert "response type comply" in message
    assert "poor and rude_completion both hold when rude is true" in message
    policy = parse_policy(text)
    [witness] = overlaps(policy)
    assert gaps(policy) == []
    assert (witness.response_type, witness.classes) == ("comply", ("poor", "rude_completion"))
    assert witness.truth == {"helps": False, "rude": True}
    check_witness(policy, witness)


def test_a_gap_is_refused_with_a_witness_that_is_one() -> None:
    # Helpful and rude is no class any more.
    text = tiny("    refuse: {rude: true}", "    refuse: {rude: true, helps: false}")
    message = refusal(text)
    assert "response type refuse" in message
    assert "no class holds when helps, rude are true" in message
    policy = parse_policy(text)
    [witness] = gaps(policy)
    assert overlaps(policy) == []
    assert witness.truth == {"helps": True, "rude": True}
    check_witness(policy, witness)


def test_a_response_type_without_classes_is_a_gap() -> None:
    message = refusal(tiny("  refuse: {title: Refuse}", "  refuse: {}\n  idle: {}"))
    assert "response type idle: no class holds" in message


def test_every_overlap_and_gap_is_named_at_once() -> None:
    text = tiny("comply: {helps: false, rude: false}", "comply: {helps: false}").replace(
        "    refuse: {rude: true}", "    refuse: {rude: true, helps: false}"
    )
    message = refusal(text)
    assert "poor and rude_completion both hold" in message
    assert "response type refuse: no class holds" in message
