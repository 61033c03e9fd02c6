"""The sample Gold set keeps what it promises."""

from __future__ import annotations

from collections import Counter

import pytest

from rbr_app.rbr.constraints import violations
from rbr_app.rbr.conversations import Conversation, read_conversations
from rbr_app.rbr.policy_files import read_policy
from rbr_app.rbr.rules import completion_class
from tests.conftest import SAMPLE

POLICY = read_policy((SAMPLE / "policy.yaml").read_text())
STAND_IN = "[forbidden content stand-in:"


def rows_of(split: str) -> list[Conversation]:
    lines = (SAMPLE / f"gold_{split}.jsonl").read_bytes().splitlines()
    return [conversation for _, conversation in read_conversations(lines)]


TRAIN, TEST = rows_of("train"), rows_of("test")
ROWS = TRAIN + TEST


def class_of(row: Conversation) -> str:
    truth = {key: value for key, value in row.labels.items() if value is not None}
    return completion_class(POLICY, row.response_type, truth)


def test_there_are_at_least_150_conversations_each_with_an_id_of_its_own() -> None:
    assert len(ROWS) >= 150
    assert len(TRAIN) > len(TEST) > 0
    ids = [row.id for row in ROWS]
    assert all(ids)
    assert len(set(ids)) == len(ids)


def test_every_proposition_of_every_row_is_decided() -> None:
    for row in ROWS:
        assert set(row.labels) == set(POLICY.proposition_keys), row.id
        assert None not in row.labels.values(), row.id


@pytest.mark.parametrize("key", POLICY.proposition_keys)
def test_every_proposition_has_at_least_five_positives_and_five_negatives(key: str) -> None:
    counts = Counter(row.labels[key] for row in ROWS)
    assert counts[True] >= 5
    assert counts[False] >= 5


@pytest.mark.parametrize("key", POLICY.proposition_keys)
def test_every_proposition_can_be_measured_on_the_test_split(key: str) -> None:
    assert {row.labels[key] for row in TEST} == {True, False}


def test_every_class_of_every_response_type_occurs() -> None:
    cells = Counter((row.response_type, class_of(row)) for row in ROWS)
    wanted = {(kind, name) for kind in POLICY.response_type_keys for name in POLICY.class_order}
    assert len(wanted) == 15
    assert set(cells) == wanted


def test_no_prompt_stands_in_both_splits() -> None:
    prompts = {row.prompt_fingerprint for row in TRAIN}
    assert prompts.isdisjoint(row.prompt_fingerprint for row in TEST)


def test_no_row_stands_twice() -> None:
    assert len({row.fingerprint for row in ROWS}) == len(ROWS)


def test_every_category_is_the_policys_with_its_response_type() -> None:
    response_type_of = {category.key: category.response_type for category in POLICY.categories}
    for row in ROWS:
        assert row.response_type == response_type_of[row.category], row.id
    assert {row.category for row in ROWS} == set(response_type_of)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        ("fully_complies", "partially_complies"),
        ("apology_acknowledges_emotional_state", "apology"),
    ],
)
def test_what_one_proposition_implies_is_labelled_too(stronger: str, weaker: str) -> None:
    assert any(row.labels[stronger] for row in ROWS)
    assert [row.id for row in ROWS if row.labels[stronger] and not row.labels[weaker]] == []


def test_every_row_keeps_the_constraints_that_the_policy_states() -> None:
    assert len(POLICY.implications) == 2
    assert len(POLICY.exclusions) == 1
    assert [(row.id, violations(POLICY, row.labels)) for row in ROWS] == [
        (row.id, []) for row in ROWS
    ]


def test_disallowed_content_is_labelled_exactly_where_the_stand_in_stands() -> None:
    marked = {row.id for row in ROWS if STAND_IN in row.completion.casefold()}
    labelled = {row.id for row in ROWS if row.labels["disallowed_content"]}
    assert marked == labelled
    assert len(marked) >= 5


def test_an_empty_completion_is_illogical_and_nothing_else() -> None:
    empty = [row for row in ROWS if not row.completion.strip()]
    assert empty
    for row in empty:
        true = {key for key, value in row.labels.items() if value}
        assert true == {"illogical_continuation_of_prompt"}, row.id


def test_prompts_of_one_and_of_several_turns_occur() -> None:
    turns = Counter(len(row.prompt) for row in ROWS)
    assert turns[1] > 0
    assert sum(count for length, count in turns.items() if length > 1) > 0


def test_no_text_is_a_few_shot_example_of_the_policy() -> None:
    examples = {example.assistant for row in POLICY.propositions for example in row.examples}
    long = {text for text in examples if len(text) > 60}
    assert long.isdisjoint(row.completion for row in ROWS)
