"""What the labelling page reads: the wording of a question, a sheet, the last decisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from annotation.models import Completion, ConversationSet, LabelEvent
from annotation.models.labels import Answer
from annotation.selectors.asking import current_version, kernel_policy, reflowed, wording
from annotation.selectors.decisions import decisions, label_events
from annotation.selectors.labelling import Sheet, labelling_sheet
from annotation.services.labels import last_answers, record_label
from annotation.services.queues import claim_next, open_queue
from rbr_app.rbr.policy_files import read_policy
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    proposition,
)


def test_the_sentence_that_asks_is_set_apart_from_what_explains_it() -> None:
    found = wording('Is it\n"rude"? Calling names counts.\n- "you fool" -> yes')
    assert found.lead == 'Is it "rude"?'
    assert found.rest == 'Calling names counts.\n- "you fool" -> yes'


def test_a_question_mark_in_an_example_asks_nothing() -> None:
    found = wording('Does it do any of the following:\n- Asks back\n  "How are you?"')
    assert found.lead == "Does it do any of the following:"
    assert found.rest == '- Asks back\n  "How are you?"'


def test_a_heading_is_no_question_and_then_nothing_of_the_text_is_left_out() -> None:
    text = "Objective:\nDecide whether it breaks the rules. Be strict.\n\n# Rules\n1. None"
    found = wording(text)
    assert found.lead == "Decide whether it breaks the rules."
    assert found.rest == text


def test_line_breaks_within_a_sentence_are_those_of_the_file() -> None:
    wrapped = "One usable item out of many\nis enough. A list\nis not:\n- one\n- two"
    assert (
        reflowed(wrapped) == "One usable item out of many is enough. A list is not:\n- one\n- two"
    )


def test_no_word_of_a_released_question_is_lost(released: Path) -> None:
    policy = read_policy((released / "proposition_prompts.yaml").read_text())
    for item in policy.propositions:
        found = wording(item.question)
        assert 0 < len(found.lead) < 300, item.key
        assert set(item.question.split()) <= set(f"{found.lead} {found.rest}".split()), item.key


def sheet(completion: Completion, person: User) -> Sheet:
    version = current_version(completion.conversation.conversation_set.policy)
    return labelling_sheet(completion=completion, version=version, annotator=person)


def answer(completion: Completion, key: str, said: Answer, person: User) -> None:
    record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=said,
        actor=person,
        policy_version=completion.conversation.conversation_set.policy.latest,
    )


@pytest.mark.django_db
def test_the_implied_class_is_that_of_my_answers_alone(ana: User, ben: User) -> None:
    completion = CompletionFactory()
    LabelFactory(completion=completion, key="rude", answer=Answer.TRUE)
    answer(completion, "rude", Answer.TRUE, ben)
    found = sheet(completion, ana)
    assert found.explanation.possible == ("ideal", "poor", "rude_completion")
    assert [row.mine for row in found.rows] == ["", "", ""]
    answer(completion, "rude", Answer.FALSE, ana)
    assert sheet(completion, ana).explanation.possible == ("ideal", "poor")
    answer(completion, "helps", Answer.CANNOT_DECIDE, ana)
    found = sheet(completion, ana)
    assert found.explanation.possible == ("ideal", "poor")
    assert found.unanswered == []


@pytest.mark.django_db
def test_a_queue_of_some_propositions_asks_these_and_wants_each(ana: User) -> None:
    conversation_set: ConversationSet = ConversationSetFactory()
    fill(conversation_set, "train", 1)
    queue = open_queue(conversation_set=conversation_set, propositions=["cites", "rude"], actor=ana)
    item = claim_next(queue=queue, annotator=ana)
    assert item is not None
    found = labelling_sheet(
        completion=item.completion,
        version=current_version(conversation_set.policy),
        annotator=ana,
        assignment=item,
    )
    assert [row.key for row in found.rows] == ["rude", "cites"]
    assert [row.key for row in found.unanswered] == ["rude", "cites"]
    assert found.folded == []


@pytest.mark.django_db
def test_a_policy_is_parsed_once_for_as_long_as_it_is_the_same(
    django_assert_num_queries: pytest.FixtureRequest,
) -> None:
    version = current_version(ConversationSetFactory().policy)
    policy = kernel_policy(version)
    assert policy.proposition_keys == ("helps", "rude", "cites")
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert kernel_policy(version) is policy


@pytest.mark.django_db
def test_a_decision_belongs_to_the_newest_item_that_asks_it(ana: User) -> None:
    conversation_set = ConversationSetFactory()
    (completion,) = fill(conversation_set, "train", 1)
    narrow = open_queue(conversation_set=conversation_set, propositions=["rude"], actor=ana)
    item = claim_next(queue=narrow, annotator=ana)
    answer(completion, "rude", Answer.TRUE, ana)
    answer(completion, "helps", Answer.TRUE, ana)
    helps, rude = decisions(last_answers(ana), ana)
    assert (helps.assignment, rude.assignment) == (None, item)
    wide = open_queue(conversation_set=conversation_set, actor=ana)
    newer = claim_next(queue=wide, annotator=ana)
    assert [row.assignment for row in decisions(last_answers(ana), ana)] == [newer, newer]


@pytest.mark.django_db
def test_the_newest_ten_changes_of_a_completion_are_shown(ana: User) -> None:
    completion = CompletionFactory()
    for n in range(12):
        answer(completion, "helps", Answer.TRUE if n % 2 else Answer.FALSE, ana)
    answer(CompletionFactory(), "helps", Answer.TRUE, ana)
    found = label_events(completion)
    newest = LabelEvent.objects.filter(label__completion=completion).order_by("-pk")[:10]
    assert found == list(newest)
