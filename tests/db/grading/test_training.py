"""The rows that a learning grader is trained on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from annotation.models import ConversationSet
from annotation.models.labels import Answer
from annotation.services.labels import record_label
from grading.services.training import Training, training_rows
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    latest_version,
    proposition,
)

pytestmark = pytest.mark.django_db


def test_training_rows_are_the_labelled_rows_of_the_train_split(gold: ConversationSet) -> None:
    fill(gold, "train", 2)
    rows = training_rows(gold).rows
    assert len(rows) == 4
    # fill(): every second row helps, every third is rude, none cites.
    assert [row.labels["helps"] for row in rows] == [True, False, True, False]
    assert [row.labels["rude"] for row in rows] == [True, False, False, True]
    assert {row.labels["cites"] for row in rows} == {False}


def test_no_test_row_gets_into_training(gold: ConversationSet) -> None:
    test = {row.as_conversation().fingerprint for row in fill(gold, "test", 3, labelled=True)}
    assert test.isdisjoint(row.conversation.fingerprint for row in training_rows(gold).rows)


def test_completions_of_one_prompt_are_one_group(gold: ConversationSet) -> None:
    [first] = fill(gold, "train", 1, labelled=True)
    LabelFactory(completion=CompletionFactory(conversation=first.conversation))
    groups = [row.group for row in training_rows(gold).rows]
    assert groups[-1] == groups[-2] == first.conversation.prompt_fingerprint
    assert len(set(groups)) == len(groups) - 1


def test_a_set_without_labels_gives_no_training() -> None:
    gold = ConversationSetFactory()
    fill(gold, "train", 2)
    assert training_rows(gold) == Training((), "")


def test_the_fingerprint_follows_the_label_that_counts(gold: ConversationSet, ana: User) -> None:
    before = training_rows(gold).fingerprint
    assert before == training_rows(gold).fingerprint
    [completion, *_] = [
        row.completion
        for row in proposition_labels(gold, "helps")
        if row.completion.conversation.split == "train"
    ]
    helps = proposition(completion, "helps")
    say = {
        "completion": completion,
        "proposition": helps,
        "actor": ana,
        "policy_version": latest_version(completion),
    }
    record_label(**say, answer=Answer.TRUE)  # as the file says
    assert training_rows(gold).fingerprint == before
    record_label(**say, answer=Answer.FALSE)
    changed = training_rows(gold).fingerprint
    record_label(**say, answer=Answer.CANNOT_DECIDE)
    undecided = training_rows(gold).fingerprint
    assert len({before, changed, undecided}) == 3
    record_label(**say, answer=Answer.TRUE)
    assert training_rows(gold).fingerprint == before


def test_the_fingerprint_ignores_the_test_split_and_other_sets(gold: ConversationSet) -> None:
    before = training_rows(gold).fingerprint
    fill(gold, "test", 2, labelled=True)
    fill(ConversationSetFactory(), "train", 2, labelled=True)
    assert training_rows(gold).fingerprint == before
    fill(gold, "train", 1, labelled=True)
    assert training_rows(gold).fingerprint != before


def proposition_labels(gold: ConversationSet, key: str) -> list:  # type: ignore[type-arg]
    from annotation.models import Label

    labels = Label.objects.filter(
        completion__conversation__conversation_set=gold, proposition__key=key
    )
    return list(labels.select_related("completion__conversation").order_by("pk"))
