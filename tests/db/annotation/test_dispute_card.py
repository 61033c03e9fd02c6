"""The card of a disputed cell: who said what, how, and under which definition."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation import verdicts
from annotation.models import (
    Assignment,
    CompletionNote,
    ConversationSet,
    DefinitionChange,
    GoldTruth,
    Label,
    LabellingQueue,
    PolicyVersion,
)
from annotation.selectors.dispute_card import DisputeCard, dispute_card
from tests.db.annotation.disagreeing import F, T, U, cell, decide
from tests.factories import (
    ConversationSetFactory,
    LabelFactory,
    PolicyVersionFactory,
    tiny,
)


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def people(ana: User, ben: User) -> list[User]:
    return [ana, ben, *(User.objects.create_user(name) for name in ("cleo", "dan"))]


def card(truth: GoldTruth, version: PolicyVersion | None = None) -> DisputeCard:
    truth.refresh_from_db()
    policy = truth.completion.conversation.conversation_set.policy
    return dispute_card(truth, version or policy.latest)


@pytest.mark.django_db
def test_a_card_puts_each_person_beside_the_option_they_chose(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    found = cell(gold, people, (T, F, T, U))
    LabelFactory(completion=found.completion, answer=F)
    options = card(found).options
    assert [(o.value, [p.user.username for p in o.people], o.from_file) for o in options] == [
        ("true", ["ana", "cleo"], False),
        ("false", ["ben"], True),
        ("cannot_decide", ["dan"], False),
    ]
    assert [option.key for option in options] == ["Y", "N", "U"]


@pytest.mark.django_db
def test_a_card_says_how_long_each_person_took_and_warns_under_two_seconds(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T, F, T, F))
    queues = [
        LabellingQueue.objects.create(conversation_set=gold, name=name, fingerprint=name)
        for name in ("one", "two")
    ]
    now = timezone.now()
    ana, ben, cleo, _ = people

    def work(queue: LabellingQueue, annotator: User, active: float, elapsed: float) -> None:
        Assignment.objects.create(
            queue=queue, completion=found.completion, annotator=annotator, rank=0,
            active_seconds=active, claimed_at=now - timedelta(seconds=elapsed), completed_at=now,
        )  # fmt: skip

    work(queues[0], ana, active=1.9, elapsed=60)
    work(queues[0], ben, active=1.5, elapsed=60)
    work(queues[1], ben, active=1.0, elapsed=60)
    # Too quick for a heartbeat: what is known is claim to completion.
    work(queues[0], cleo, active=0.0, elapsed=1.0)
    times = {person.user.username: person for person in card(found).people}
    assert times["ana"].seconds == pytest.approx(1.9)
    assert times["ben"].seconds == pytest.approx(2.5)
    assert times["cleo"].seconds == pytest.approx(1.0)
    assert times["dan"].seconds is None
    assert [name for name, person in times.items() if person.is_hasty] == ["ana", "cleo"]


@pytest.mark.django_db
def test_a_card_shows_notes_suggestions_and_answers_after_the_reveal(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T, F))
    CompletionNote.objects.create(
        completion=found.completion, author=people[0], text="Half of it.", flagged=True
    )
    Label.objects.filter(annotator=people[1]).update(after_reveal=True, prelabel="false")
    ana, ben = card(found).people
    assert (ana.note, ana.flagged, ana.after_reveal, ana.suggested) == (
        "Half of it.", True, False, "",
    )  # fmt: skip
    assert (ben.note, ben.flagged, ben.after_reveal, ben.suggested) == ("", False, True, "false")


@pytest.mark.django_db
def test_an_answer_to_an_older_definition_is_marked_and_that_definition_shown(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T,))
    first = gold.policy.latest
    newer = PolicyVersionFactory(
        policy=gold.policy, number=2, parent=first, source=tiny("Does it help?", "Is it of use?")
    )
    DefinitionChange.objects.create(version=newer, proposition=found.proposition)
    cell(gold, people[1:], (F,), completion=found.completion, policy_version=newer)
    shown = card(found, newer)
    ana, ben = shown.people
    assert shown.proposition.question == "Is it of use?"
    assert ana.stale == "helps changed its meaning in v2"
    # "Does it help?" became "Is it of use?"; there is no guideline.
    (question,) = ana.rewording
    assert "".join(words for kind, words in question if kind != "insert") == "Does it help?"
    assert "".join(words for kind, words in question if kind != "delete") == "Is it of use?"
    assert (ben.stale, ben.rewording) == ("", ())


@pytest.mark.django_db
def test_a_change_of_wording_makes_no_answer_stale(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T, F))
    newer = PolicyVersionFactory(
        policy=gold.policy, number=2, source=tiny("Does it help?", "Does it help at all?")
    )
    assert [person.stale for person in card(found, newer).people] == ["", ""]


@pytest.mark.django_db
def test_a_card_lists_the_decisions_newest_first(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    found = cell(gold, people, (T, F))
    assert (card(found).last_seen, card(found).is_decided) == (0, False)
    first, second = decide(found, rhea, T), decide(found, rhea, F)
    shown = card(found)
    assert shown.history == [second, first]
    assert (shown.last_seen, shown.is_decided) == (second.pk, True)


@pytest.mark.django_db
def test_a_card_shows_what_graders_gave(
    gold: ConversationSet, people: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cell(gold, people, (T, F))

    class Two(verdicts.NoVerdicts):
        def sources(self, conversation_set: ConversationSet) -> list[verdicts.VerdictSource]:
            return [verdicts.VerdictSource(f"run:{n}", f"run {n}") for n in (3, 2, 1)]

        def probabilities(self, source: str, completions: Any = None) -> Any:
            p = {"run:3": 0.8, "run:1": 0.2}.get(source)
            return {} if p is None else {(pk, "helps"): p for pk in completions}

    monkeypatch.setattr(verdicts, "_supplier", Two())
    true, false, cannot = card(found).options
    assert [(grader.title, grader.p) for grader in true.graders] == [("run 3", 0.8)]
    assert [(grader.title, grader.p) for grader in false.graders] == [("run 1", 0.2)]
    assert cannot.graders == []
