"""Policies as values."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.policy import Implication, Policy, Proposition, as_key
from rbr_app.rbr.policy_files import parse_policy
from tests.conftest import SAMPLE
from tests.factories import tiny_policy


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Hard Refuse", "hard_refuse"),
        ("Safe Refuse 1", "safe_refuse_1"),
        ("Comply", "comply"),
        ("comply", "comply"),
        ("  Self-harm / Intent!  ", "self_harm_intent"),
        ("", ""),
        ("¿?", ""),
    ],
)
def test_a_name_becomes_a_key_in_lower_snake_case(name: str, key: str) -> None:
    assert as_key(name) == key


def test_a_key_stays_the_same_key() -> None:
    assert as_key(as_key("Safe Refuse 2")) == as_key("Safe Refuse 2")


def test_a_policy_gives_its_propositions_by_key_in_file_order() -> None:
    policy = tiny_policy()
    assert policy.proposition_keys == ("helps", "rude", "cites")
    assert policy.proposition("rude").question == "Is it rude?"


def test_a_proposition_that_the_policy_lacks_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="kind_help"):
        tiny_policy().proposition("kind_help")


def test_classes_of_a_response_type_come_best_first_whatever_the_file_order() -> None:
    policy = tiny_policy("[ideal, poor, rude_completion]", "[rude_completion, poor, ideal]")
    assert list(policy.classes_of("comply")) == ["rude_completion", "poor", "ideal"]


def test_a_class_may_be_missing_for_a_response_type() -> None:
    policy = tiny_policy()
    only_comply = {
        name: {"comply": by_type["comply"]} for name, by_type in policy.completion_classes.items()
    }
    assert replace(policy, completion_classes=only_comply).classes_of("refuse") == {}


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        tiny_policy().title = "other"  # type: ignore[misc]


def policies(released: Path | None = None) -> list[Policy]:
    texts = [(SAMPLE / "policy.yaml").read_text()]
    if released:
        texts.append((released / "proposition_prompts.yaml").read_text())
    return [tiny_policy(), *map(parse_policy, texts)]


def assert_comes_back_from_its_document(policy: Policy) -> None:
    stored = json.loads(json.dumps(policy.as_document()))
    back = Policy.from_document(stored, name=policy.name)
    assert back == policy
    assert list(back.derived) == list(policy.derived)
    assert back.as_document() == policy.as_document()


@pytest.mark.parametrize("policy", policies(), ids=lambda policy: policy.name)
def test_a_policy_comes_back_from_its_document(policy: Policy) -> None:
    assert_comes_back_from_its_document(policy)


def test_the_released_policy_comes_back_from_its_document(released: Path) -> None:
    assert_comes_back_from_its_document(policies(released)[-1])


def test_the_order_of_the_documents_json_keys_does_not_matter() -> None:
    # A JSONB column gives keys back by length, then by bytes: here simply reversed.
    def reversed_keys(value: object) -> object:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(v) for v in value] if isinstance(value, list) else value

    for policy in policies():
        document = json.loads(json.dumps(policy.as_document()))
        shuffled = reversed_keys(document)
        assert isinstance(shuffled, dict)
        assert list(shuffled) != list(document)
        back = Policy.from_document(shuffled)
        assert back == policy
        assert list(back.derived) == list(policy.derived)
        assert list(back.classes_of("comply")) == list(policy.classes_of("comply"))
        assert fingerprint(back.as_document()) == fingerprint(document)


def test_the_name_is_no_part_of_what_a_policy_says() -> None:
    policy = tiny_policy()
    assert "name" not in policy.as_document()
    assert replace(policy, name="other") == policy
    assert replace(policy, title="other") != policy


OPTIONAL = {"polarity", "implications", "exclusions"}


def test_what_a_policy_does_not_use_is_not_in_its_document() -> None:
    document = tiny_policy().as_document()
    assert OPTIONAL.isdisjoint({*document, *document["propositions"][0]})
    # The fingerprint under which earlier versions of this site stored the tiny policy.
    assert fingerprint(document).startswith("f31d6ab67f01841a")


def test_constraints_and_polarities_come_back_from_the_document() -> None:
    policy = tiny_policy()
    helps, *others = policy.propositions
    policy = replace(
        policy,
        propositions=(replace(helps, polarity={"comply": "desired"}), *others),
        implications=(Implication({"helps": True}, {"rude": False}),),
        exclusions=({"rude": True, "cites": True},),
    )
    assert_comes_back_from_its_document(policy)
    document = policy.as_document()
    assert document["implications"] == ({"given": {"helps": True}, "then": {"rude": False}},)
    assert document["exclusions"] == ({"rude": True, "cites": True},)
    assert document["propositions"][0]["polarity"] == {"comply": "desired"}


def test_a_question_and_a_guideline_never_end_in_white_space() -> None:
    row = Proposition("a", "\n Is it? \n", " Be strict.\t")
    assert row == Proposition("a", "Is it?", "Be strict.")


def test_propositions_can_be_counted_in_sets() -> None:
    assert len({Proposition("a", "?"), Proposition("a", "? ")}) == 1
