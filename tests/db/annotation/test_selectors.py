"""What the pages and the kernel read of annotation's rows."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from annotation.models import ConversationSet
from annotation.models.labels import Answer
from annotation.selectors import (
    conversations as select_conversations,
)
from annotation.selectors import (
    policies as select_policies,
)
from annotation.services.labels import record_label
from annotation.services.policies import import_policy
from rbr_app.rbr.conversations import Message
from tests.factories import (
    TINY,
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    latest_version,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory()


def test_the_completions_of_a_set_are_those_of_the_split_in_file_order(
    gold: ConversationSet,
) -> None:
    train, test = fill(gold, "train", 3), fill(gold, "test", 2)
    fill(ConversationSetFactory(), "train", 1)
    assert list(select_conversations.completions_of(gold, "train")) == train
    assert list(select_conversations.completions_of(gold, "test")) == test
    assert list(select_conversations.completions_of(gold)) == train + test


def test_completions_come_with_their_conversations_in_one_query(
    gold: ConversationSet, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    fill(gold, "train", 3)
    with django_assert_num_queries(1):  # type: ignore[operator]
        for completion in select_conversations.completions_of(gold):
            completion.as_conversation()


def test_a_row_becomes_the_conversation_it_was(gold: ConversationSet) -> None:
    turns = [
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Bye?"},
    ]
    conversation = ConversationFactory(conversation_set=gold, prompt=turns)
    completion = CompletionFactory(
        conversation=conversation, text="Bye.", external_id="a", rm_score=0.5, completion_type="x"
    )
    kernel = completion.as_conversation()
    assert kernel.prompt == (
        Message("user", "Hello?"),
        Message("assistant", "Hi."),
        Message("user", "Bye?"),
    )
    assert (kernel.completion, kernel.id, kernel.rm_score) == ("Bye.", "a", 0.5)
    assert (kernel.category, kernel.response_type) == ("chat", "comply")
    assert kernel.completion_type == "x"
    assert kernel.labels == {}


def test_labelled_conversations_carry_the_truths_that_count(
    gold: ConversationSet, ana: User
) -> None:
    first, second = fill(gold, "train", 2)
    fill(gold, "test", 1, labelled=True)
    LabelFactory(completion=first, answer=Answer.TRUE)
    LabelFactory(completion=first, key="rude", answer=Answer.CANNOT_DECIDE)
    record_label(
        completion=first,
        proposition=proposition(first, "helps"),
        answer=Answer.FALSE,
        actor=ana,
        policy_version=latest_version(first),
    )
    rows = select_conversations.labelled_conversations(gold, "train")
    assert rows == [(first.as_conversation(), {"helps": False}), (second.as_conversation(), {})]


def test_labelled_conversations_take_as_many_queries_for_many_rows_as_for_few(
    gold: ConversationSet, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    fill(gold, "train", 12, labelled=True)
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert len(select_conversations.labelled_conversations(gold, "train")) == 12


def test_the_policy_list_counts_versions_and_propositions(ana: User) -> None:
    import_policy(text=TINY, name="b")
    import_policy(text=tiny("Is it rude?", "Rude?"), name="b")
    import_policy(text=TINY, name="a")
    rows = [(p.name, p.n_versions, p.n_propositions) for p in select_policies.policies(ana.pk)]
    assert rows == [("a", 1, 3), ("b", 2, 3)]


def test_the_set_list_counts_completions_by_split(gold: ConversationSet) -> None:
    train = fill(gold, "train", 2)
    fill(gold, "test", 1)
    CompletionFactory(conversation=train[0].conversation)
    empty = ConversationSetFactory(name="a-empty")
    rows = [(s.name, s.n_train, s.n_test) for s in select_conversations.conversation_sets()]
    assert rows == [(empty.name, 0, 0), (gold.name, 3, 1)]


def test_the_set_list_takes_one_query(
    gold: ConversationSet, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    for _ in range(3):
        fill(ConversationSetFactory(), "train", 2)
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert len([str(row.policy) for row in select_conversations.conversation_sets()]) == 4
