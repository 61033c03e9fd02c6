"""What the pages and the kernel read of annotation's rows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User

from annotation.models import Completion, ConversationSet
from annotation.models.labels import Answer
from annotation.selectors import (
    conversations as select_conversations,
)
from annotation.selectors import (
    labels as select_labels,
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
    proposition,
    tiny,
    tiny_policy,
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
    )
    rows = select_conversations.labelled_conversations(gold, "train")
    assert rows == [(first.as_conversation(), {"helps": False}), (second.as_conversation(), {})]


def test_labelled_conversations_take_as_many_queries_for_many_rows_as_for_few(
    gold: ConversationSet, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    fill(gold, "train", 12, labelled=True)
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        assert len(select_conversations.labelled_conversations(gold, "train")) == 12


def test_the_policy_list_counts_versions_and_propositions() -> None:
    import_policy(text=TINY, name="b")
    import_policy(text=tiny("Is it rude?", "Rude?"), name="b")
    import_policy(text=TINY, name="a")
    rows = [(p.name, p.n_versions, p.n_propositions) for p in select_policies.policies()]
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


# The labelling page


def label_rows(completion: Completion, user: User) -> list[select_labels.LabelRow]:
    return select_labels.label_rows(completion, tiny_policy(), user.pk)


def test_the_page_shows_every_proposition_those_that_decide_first(ana: User) -> None:
    # `cites` is moved to the front of the file; it decides no class, so it comes last.
    policy = tiny_policy()
    policy = replace(policy, propositions=(policy.propositions[2], *policy.propositions[:2]))
    rows = select_labels.label_rows(CompletionFactory(), policy, ana.pk)
    assert [(row.proposition.key, row.relevant) for row in rows] == [
        ("helps", True),
        ("rude", True),
        ("cites", False),
    ]
    assert rows[0].question == "Does it help?"


def test_the_page_tells_mine_the_files_and_what_counts_apart(ana: User, ben: User) -> None:
    completion = CompletionFactory()
    LabelFactory(completion=completion, answer=Answer.TRUE)
    LabelFactory(completion=completion, key="rude", answer=Answer.TRUE)
    for actor, answer in ((ana, Answer.FALSE), (ben, Answer.CANNOT_DECIDE)):
        record_label(
            completion=completion,
            proposition=proposition(completion, "helps"),
            answer=answer,
            actor=actor,
        )
    helps, rude, cites = label_rows(completion, ana)
    # Ben answered last and could not decide, so nothing counts.
    assert (helps.mine, helps.imported, helps.gold) == ("false", "true", None)
    assert (rude.mine, rude.imported, rude.gold) == ("", "true", True)
    assert (cites.mine, cites.imported, cites.gold) == ("", "", None)


def test_the_implied_class_waits_for_every_deciding_proposition(ana: User) -> None:
    completion = CompletionFactory()
    LabelFactory(completion=completion, answer=Answer.TRUE)
    implied = select_labels.implied_class(tiny_policy(), "comply", label_rows(completion, ana))
    assert (implied.name, implied.missing) == ("", ("rude",))
    LabelFactory(completion=completion, key="rude", answer=Answer.FALSE)
    implied = select_labels.implied_class(tiny_policy(), "comply", label_rows(completion, ana))
    assert (implied.name, implied.missing) == ("ideal", ())


def test_the_newest_ten_changes_of_a_completion_are_shown(ana: User) -> None:
    completion = CompletionFactory()
    helps = proposition(completion, "helps")
    for n in range(12):
        answer = Answer.TRUE if n % 2 else Answer.FALSE
        record_label(completion=completion, proposition=helps, answer=answer, actor=ana)
    other = CompletionFactory()
    record_label(
        completion=other, proposition=proposition(other, "helps"), answer=Answer.TRUE, actor=ana
    )
    found = list(select_labels.recent_events(completion))
    assert len(found) == 10
    assert [event.pk for event in found] == sorted((event.pk for event in found), reverse=True)
    assert {event.label.completion_id for event in found} == {completion.pk}
