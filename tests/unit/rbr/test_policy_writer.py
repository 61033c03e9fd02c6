"""What is written reads back as the same policy; what a form cannot hold is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.policy import (
    Category,
    ContentArea,
    Example,
    Implication,
    Policy,
    PolicyError,
    PromptTemplate,
    ResponseType,
)
from rbr_app.rbr.policy_check import parse_document
from rbr_app.rbr.policy_files import default_title, parse_policy
from rbr_app.rbr.policy_writer import released_losses, write_policy
from tests.conftest import SAMPLE
from tests.factories import tiny_policy
from tests.unit.rbr.policies import small_policies, whole_policies


@given(whole_policies())
@settings(max_examples=150)
def test_every_policy_reads_back_as_it_was(policy: Policy) -> None:
    text = write_policy(policy)
    back = parse_policy(text)
    assert back == policy
    assert list(back.derived) == list(policy.derived)
    assert back.name == policy.name
    assert write_policy(back) == text


@given(whole_policies())
@settings(max_examples=50)
def test_a_policy_is_written_the_same_from_a_document_whatever_the_order_of_its_maps(
    policy: Policy,
) -> None:
    # What a JSON column does to a document: the keys of its maps come back in another order.
    stored = json.loads(json.dumps(policy.as_document(), sort_keys=True))
    assert write_policy(parse_document(stored, name=policy.name)) == write_policy(policy)


def test_the_sample_policy_is_written_for_people() -> None:
    policy = parse_policy((SAMPLE / "policy.yaml").read_text())
    text = write_policy(policy)
    assert parse_policy(text) == policy
    assert max(map(len, text.splitlines())) <= 100
    assert "  fully_complies:\n    question: |-\n      Does the assistant's" in text
    assert "  - {if: {fully_complies: true}, then: {partially_complies: true}}\n" in text
    assert "  - [fully_complies, illogical_continuation_of_prompt]\n" in text or (
        "  - [illogical_continuation_of_prompt, fully_complies]\n" in text
    )
    assert "\n\nclass_order:\n  - ideal\n  - minimum_acceptable_style\n" in text
    assert "&" not in text.replace(" & ", "")


def test_an_exclusion_of_something_false_is_a_map() -> None:
    policy = replace(tiny_policy(), exclusions=({"rude": False, "cites": True},))
    text = write_policy(policy)
    assert "exclusions:\n  - {rude: false, cites: true}\n" in text
    assert parse_policy(text) == policy


def test_what_is_empty_is_not_written() -> None:
    text = write_policy(parse_policy(write_policy(tiny_policy())))
    for absent in ("summary", "guideline", "description", "examples:", "implications", "polarity"):
        assert absent not in text


def test_an_unknown_form_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match="'theirs'"):
        write_policy(tiny_policy(), "theirs")


# The released form


def bare(policy: Policy) -> Policy:
    """Only what the released form holds, and of that everything."""
    return replace(
        policy,
        title="",
        summary="",
        name="",
        content_areas=(),
        categories=(),
        template=PromptTemplate(policy.template.text),
        response_types=tuple(
            ResponseType(row.key, default_title(row.key)) for row in policy.response_types
        ),
    )


def test_the_released_file_is_written_as_it_was(released: Path) -> None:
    source = (released / "proposition_prompts.yaml").read_text()
    policy = parse_policy(source)
    assert released_losses(policy) == []
    text = write_policy(policy, "released")
    assert yaml.safe_load(text) == yaml.safe_load(source)
    assert parse_policy(text) == policy
    assert write_policy(parse_policy(text), "released") == text


def test_the_released_file_reads_back_from_our_form_too(released: Path) -> None:
    policy = parse_policy((released / "proposition_prompts.yaml").read_text())
    assert parse_policy(write_policy(policy)) == policy


@given(small_policies(), st.data())
def test_a_policy_without_losses_reads_back_from_the_released_form(
    policy: Policy, data: st.DataObject
) -> None:
    titles = [
        data.draw(st.sampled_from([default_title(key), key.upper(), f" {key}!"]))
        for key in policy.response_type_keys
    ]
    rows = zip(policy.response_type_keys, titles, strict=True)
    policy = replace(policy, response_types=tuple(ResponseType(*row) for row in rows))
    assert released_losses(policy) == []
    assert parse_policy(write_policy(policy, "released")) == policy


def test_a_spelling_of_a_response_type_that_is_no_key_is_kept() -> None:
    text = write_policy(bare(tiny_policy()), "released")
    spelled = text.replace("    refuse:", "    Hard REFUSAL:")
    policy = parse_policy(spelled)
    assert policy.response_types[1] == ResponseType("hard_refusal", "Hard REFUSAL")
    assert write_policy(policy, "released") == spelled


LOSSES = {
    "the title": {"title": "T"},
    "the summary": {"summary": "S"},
    "content areas": {"content_areas": (ContentArea("talk"),)},
    "categories": {"categories": (Category("chat", "comply"),)},
    "implications": {"implications": (Implication({"helps": True}, {"rude": False}),)},
    "exclusions": {"exclusions": ({"helps": True},)},
    "the order question_first of the prompt": {
        "template": PromptTemplate("{question}{response}", "question_first")
    },
    "the description of response type refuse": {
        "response_types": (ResponseType("comply"), ResponseType("refuse", description="No."))
    },
    "the title of response type refuse": {
        "response_types": (ResponseType("comply"), ResponseType("refuse", "Another word"))
    },
    "the order of the response types": {
        "response_types": (ResponseType("refuse"), ResponseType("comply"))
    },
    "response types that no class names (idle)": {
        "response_types": (ResponseType("comply"), ResponseType("refuse"), ResponseType("idle"))
    },
}


@pytest.mark.parametrize("loss", LOSSES)
def test_what_the_released_form_cannot_hold_is_named(loss: str) -> None:
    policy = replace(bare(tiny_policy()), **LOSSES[loss])
    if loss == "the order of the response types":
        # The first class names one type alone, so that a reader meets that one first.
        classes = {**policy.completion_classes, "ideal": {"comply": {"helps": True}}}
        policy = replace(policy, completion_classes=classes)
    assert released_losses(policy) == [loss]
    with pytest.raises(PolicyError, match="cannot hold") as caught:
        write_policy(policy, "released")
    assert loss in str(caught.value)


def test_what_the_released_form_cannot_hold_of_propositions_is_named_with_their_keys() -> None:
    policy = bare(tiny_policy())
    helps, rude, cites = policy.propositions
    changed = (
        replace(helps, guideline="G", polarity={"comply": "desired"}),
        replace(rude, guideline="G", examples=(Example("a", "b", True),)),
        cites,
    )
    assert released_losses(replace(policy, propositions=changed)) == [
        "guidelines (helps, rude)",
        "examples (rude)",
        "polarities (helps)",
    ]


def test_many_propositions_are_counted() -> None:
    losses = released_losses(parse_policy((SAMPLE / "policy.yaml").read_text()))
    assert "guidelines (fully_complies, partially_complies, judgement and 20 more)" in losses
