"""What a change of meaning makes stale, and how a label stops being so."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from annotation.models import ConversationSet, DefinitionChange, Label, LabelEvent, PolicyVersion
from annotation.models.labels import WITHDRAWN, Answer
from annotation.selectors.policy_diffs import definition_diff
from annotation.selectors.staleness import (
    IMPORTED,
    StaleCount,
    listed_stale_labels,
    stale_labels,
    stale_summary,
)
from annotation.services.labels import confirm_label, record_label
from annotation.services.policies import import_policy
from annotation.services.staleness import confirm_labels
from tests.factories import (
    TINY,
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db
SHARPER = ("Is it rude?", "Is it insulting?")


@pytest.fixture
def first(db: None) -> PolicyVersion:
    return import_policy(text=TINY).version


@pytest.fixture
def gold(first: PolicyVersion) -> ConversationSet:
    return ConversationSetFactory(policy=first.policy)


def label(
    gold: ConversationSet, person: User | None = None, key: str = "rude", **values: Any
) -> Label:
    completion = CompletionFactory(conversation__conversation_set=gold)
    found: Label = LabelFactory(
        completion=completion,
        key=key,
        annotator=person,
        policy_version=values.pop("version", None) or gold.policy.versions.latest("number"),
        **values,
    )
    return found


def change_meaning(gold: ConversationSet, text: str = "") -> PolicyVersion:
    return import_policy(text=text or tiny(*SHARPER), name=gold.policy.name).version


def test_a_label_is_stale_when_its_proposition_changed_its_meaning_since(
    gold: ConversationSet, ana: User
) -> None:
    rude, helps = label(gold, ana), label(gold, ana, "helps")
    change_meaning(gold)
    assert list(stale_labels(gold.policy)) == [rude]
    assert helps.pk not in set(stale_labels(gold.policy).values_list("pk", flat=True))


def test_a_change_of_wording_makes_nothing_stale(gold: ConversationSet, ana: User) -> None:
    label(gold, ana)
    import_policy(text=tiny(*SHARPER), name=gold.policy.name, wording_only=True)
    assert not stale_labels(gold.policy).exists()
    assert not stale_summary(gold.policy)


def test_a_change_of_the_rules_makes_no_label_stale(gold: ConversationSet, ana: User) -> None:
    label(gold, ana)
    version = change_meaning(
        gold, tiny("[ideal, poor, rude_completion]", "[poor, ideal, rude_completion]")
    )
    assert DefinitionChange.objects.get(version=version).proposition is None
    assert not stale_labels(gold.policy).exists()


def test_a_label_given_after_the_change_is_not_stale(gold: ConversationSet, ana: User) -> None:
    change_meaning(gold)
    label(gold, ana)
    assert not stale_labels(gold.policy).exists()


def test_a_withdrawn_label_is_not_stale(gold: ConversationSet, ana: User) -> None:
    label(gold, ana, answer=WITHDRAWN)
    change_meaning(gold)
    assert not stale_labels(gold.policy).exists()


def test_a_change_in_another_policy_makes_nothing_stale(gold: ConversationSet, ana: User) -> None:
    label(gold, ana)
    import_policy(text=TINY, name="other")
    import_policy(text=tiny(*SHARPER), name="other")
    assert not stale_labels(gold.policy).exists()


def test_stale_labels_are_counted_by_proposition_and_person_in_one_query(
    gold: ConversationSet, ana: User, ben: User, django_assert_num_queries: Any
) -> None:
    first = gold.policy.latest
    label(gold, ana), label(gold, ana), label(gold, ben), label(gold)
    label(gold, ana, "helps")
    change_meaning(gold)
    later = change_meaning(gold, tiny("Is it rude?", "Is it a slur?"))
    label(gold, ben, version=gold.policy.versions.get(number=2))
    assert later.number == 3
    with django_assert_num_queries(1):
        summary = stale_summary(gold.policy)
    # ana 2, ben 1 + 1 given under v2, the file 1: 5 in all.
    assert summary.counts == (
        StaleCount("rude", ana.pk, "ana", 2, changed_in=3, oldest=first.number),
        StaleCount("rude", ben.pk, "ben", 2, changed_in=3, oldest=first.number),
        StaleCount("rude", None, "", 1, changed_in=3, oldest=first.number),
    )
    assert summary.n == 5
    assert summary.because == (("rude", 3),)


def test_a_set_is_counted_for_itself(gold: ConversationSet, ana: User) -> None:
    other = ConversationSetFactory(policy=gold.policy)
    label(gold, ana), label(other, ana), label(other, ana)
    change_meaning(gold)
    assert stale_summary(gold.policy, gold).n == 1
    assert stale_summary(gold.policy, other).n == 2
    assert stale_summary(gold.policy).n == 3


def test_the_list_can_be_narrowed_to_a_proposition_and_a_person(
    gold: ConversationSet, ana: User, ben: User
) -> None:
    of_ana, of_ben, of_file = label(gold, ana), label(gold, ben), label(gold)
    change_meaning(gold)
    line = gold.policy
    assert list(listed_stale_labels(line, "rude")) == [of_ana, of_ben, of_file]
    assert list(listed_stale_labels(line, "rude", str(ben.pk))) == [of_ben]
    assert list(listed_stale_labels(line, "", IMPORTED)) == [of_file]
    assert list(listed_stale_labels(line, "helps")) == []
    assert list(listed_stale_labels(line, "", "nobody")) == []


def test_a_confirmed_label_is_no_longer_stale_and_keeps_its_answer(
    gold: ConversationSet, ana: User, ben: User
) -> None:
    held = label(gold, ana, answer=Answer.FALSE)
    version = change_meaning(gold)
    confirm_label(label=held, actor=ben, policy_version=version)
    assert not stale_labels(gold.policy).exists()
    held.refresh_from_db()
    assert (held.answer, held.policy_version, held.annotator) == (Answer.FALSE, version, ana)
    event = LabelEvent.objects.get(label=held)
    assert (event.kind, event.actor, event.old, event.new) == ("confirmed", ben, "false", "false")


def test_a_label_given_again_is_no_longer_stale(gold: ConversationSet, ana: User) -> None:
    held = label(gold, ana, answer=Answer.FALSE)
    version = change_meaning(gold)
    record_label(
        completion=held.completion,
        proposition=held.proposition,
        answer=Answer.FALSE,
        actor=ana,
        policy_version=version,
    )
    assert not stale_labels(gold.policy).exists()


def test_all_stale_labels_of_a_proposition_are_confirmed_at_once(
    gold: ConversationSet, ana: User, ben: User, rhea: User
) -> None:
    labels = [label(gold, ana), label(gold, ana), label(gold, ben), label(gold)]
    version = change_meaning(gold)
    rude = proposition(labels[0].completion, "rude")
    n = confirm_labels(
        proposition=rude,
        labels=listed_stale_labels(gold.policy, "rude", str(ana.pk)),
        actor=rhea,
        policy_version=version,
    )
    assert n == 2
    assert stale_summary(gold.policy).n == 2
    events = LabelEvent.objects.filter(kind="confirmed", actor=rhea)
    assert {event.label for event in events} == set(labels[:2])
    # What was just confirmed is not stale any more, so that a second time does nothing.
    rest = listed_stale_labels(gold.policy, "rude", str(ana.pk))
    again = confirm_labels(proposition=rude, labels=rest, actor=rhea, policy_version=version)
    assert again == 0


def test_confirming_many_labels_takes_as_many_queries_as_confirming_few(
    gold: ConversationSet, ana: User, rhea: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(12):
        label(gold, ana)
    version = change_meaning(gold)
    rude = version.policy.propositions.get(key="rude")
    with django_assert_max_num_queries(8):
        n = confirm_labels(
            proposition=rude,
            labels=listed_stale_labels(gold.policy, "rude"),
            actor=rhea,
            policy_version=version,
        )
    assert n == 12


def test_a_label_shows_how_its_definition_differs_from_then(gold: ConversationSet) -> None:
    change_meaning(gold)
    versions = {version.number: version for version in gold.policy.versions.all()}
    rude = gold.policy.propositions.get(key="rude")
    [question] = definition_diff(versions, rude, 1, 2)
    assert question.name == "question"
    assert question.pieces == (
        ("equal", "Is it "),
        ("delete", "rude"),
        ("insert", "insulting"),
        ("equal", "?"),
    )
    helps = gold.policy.propositions.get(key="helps")
    assert definition_diff(versions, helps, 1, 2) == ()
