"""Recording what a person says: each click once, the last one counts, every step is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from annotation.models import Completion, Label, LabelEvent, PolicyVersion, Proposition
from annotation.models.labels import Answer
from annotation.services.labels import (
    Click,
    confirm_label,
    record_label,
    reveal,
    write_note,
)
from tests.factories import (
    CompletionFactory,
    LabelFactory,
    PolicyVersionFactory,
    UserFactory,
    latest_version,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db

TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)


@pytest.fixture
def completion(db: None) -> Completion:
    return CompletionFactory()


@pytest.fixture
def helps(completion: Completion) -> Proposition:
    return proposition(completion, "helps")


def say(
    completion: Completion, helps: Proposition, answer: Answer, actor: User, **click: Any
) -> Label:
    """The answer, clicked `at` minutes after ten if `at` is given."""
    if "at" in click:
        click["at"] = TEN + timedelta(minutes=click["at"])
    return record_label(
        completion=completion,
        proposition=helps,
        answer=answer,
        actor=actor,
        policy_version=latest_version(completion),
        click=Click(**click),
    )


def events(label: Label) -> list[tuple[str, str]]:
    return list(label.events.order_by("pk").values_list("old", "new"))


def test_a_first_answer_is_stored_with_its_event(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    label = say(completion, helps, Answer.TRUE, ana)
    label.refresh_from_db()
    assert (label.answer, label.annotator) == ("true", ana)
    [event] = label.events.all()
    assert (event.actor, event.kind, event.old, event.new) == (ana, "answered", "", "true")
    version = latest_version(completion)
    assert (label.policy_version, event.policy_version) == (version, version)
    assert (label.after_reveal, label.prelabel, event.client_id) == (False, "", None)


def test_another_answer_replaces_the_first_and_both_are_remembered(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    first = say(completion, helps, Answer.TRUE, ana)
    second = say(completion, helps, Answer.CANNOT_DECIDE, ana)
    assert second.pk == first.pk
    assert Label.objects.get().answer == "cannot_decide"
    assert events(second) == [("", "true"), ("true", "cannot_decide")]


def test_taking_an_answer_back_is_an_event_too(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    say(completion, helps, Answer.FALSE, ana)
    label = say(completion, helps, Answer.TRUE, ana)
    assert Label.objects.get().answer == "true"
    assert events(label) == [("", "true"), ("true", "false"), ("false", "true")]


def test_the_same_answer_again_is_no_event(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    label = say(completion, helps, Answer.TRUE, ana)
    assert Label.objects.get().answer == "true"
    assert events(label) == [("", "true")]


def test_two_people_have_a_label_each(
    completion: Completion, helps: Proposition, ana: User, ben: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    say(completion, helps, Answer.FALSE, ben)
    answers = dict(Label.objects.values_list("annotator__username", "answer"))
    assert answers == {"ana": "true", "ben": "false"}


def test_a_persons_answer_leaves_the_imported_label_as_it_was(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    imported = LabelFactory(completion=completion, answer=Answer.TRUE)
    say(completion, helps, Answer.FALSE, ana)
    imported.refresh_from_db()
    assert (imported.answer, imported.annotator) == ("true", None)
    assert not imported.events.exists()


def test_there_is_one_imported_label_per_cell(completion: Completion) -> None:
    LabelFactory(completion=completion)
    with pytest.raises(IntegrityError, match="label_identity"), transaction.atomic():
        LabelFactory(completion=completion, answer=Answer.FALSE)


def test_an_answer_is_one_of_three(completion: Completion) -> None:
    with pytest.raises(IntegrityError, match="label_answer"), transaction.atomic():
        LabelFactory(completion=completion, answer="maybe")


@pytest.mark.parametrize(
    ("truth", "answer"), [(True, "true"), (False, "false"), (None, "cannot_decide")]
)
def test_a_truth_value_has_one_answer(truth: bool | None, answer: str) -> None:
    assert Answer.of(truth) == answer


# When a click was made, and how often it arrives


def test_a_click_that_is_sent_twice_is_one_event(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    first, second = uuid4(), uuid4()
    say(completion, helps, Answer.TRUE, ana, client_id=first)
    say(completion, helps, Answer.FALSE, ana, client_id=second)
    label = say(completion, helps, Answer.TRUE, ana, client_id=first)
    assert label.answer == "false"
    assert events(label) == [("", "true"), ("true", "false")]


def test_two_people_may_have_made_the_same_client_id(
    completion: Completion, helps: Proposition, ana: User, ben: User
) -> None:
    same = uuid4()
    for person in (ana, ben):
        say(completion, helps, Answer.TRUE, person, client_id=same)
    assert LabelEvent.objects.count() == 2


def test_a_late_click_is_remembered_and_the_newer_answer_stays(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana, at=5)
    label = say(completion, helps, Answer.FALSE, ana, at=3)
    label.refresh_from_db()
    assert (label.answer, label.clicked_at) == ("true", TEN + timedelta(minutes=5))
    event = label.events.latest("pk")
    assert (event.kind, event.old, event.new) == ("superseded", "true", "false")
    assert event.clicked_at == TEN + timedelta(minutes=3)


def test_an_answer_said_again_makes_a_click_between_the_two_late(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana, at=1)
    say(completion, helps, Answer.TRUE, ana, at=9)
    label = say(completion, helps, Answer.FALSE, ana, at=5)
    assert Label.objects.get().answer == "true"
    assert label.events.latest("pk").kind == "superseded"


def test_answers_from_an_offline_browser_end_with_the_last_click_in_whatever_order_they_come(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    for minute, answer in ((4, Answer.FALSE), (1, Answer.TRUE), (6, Answer.TRUE), (5, "false")):
        say(completion, helps, Answer(answer), ana, at=minute)
    assert Label.objects.get().answer == "true"
    kinds = list(LabelEvent.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["answered", "superseded", "answered", "superseded"]


def test_a_clock_that_is_ahead_counts_as_now(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    before = datetime.now(UTC)
    ahead = Click(at=before + timedelta(days=1))
    label = record_label(
        completion=completion,
        proposition=helps,
        answer=Answer.TRUE,
        actor=ana,
        policy_version=latest_version(completion),
        click=ahead,
    )
    assert before <= label.clicked_at <= datetime.now(UTC)
    assert say(completion, helps, Answer.FALSE, ana).answer == "false"


def test_what_was_suggested_is_kept_with_the_answer(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    label = say(completion, helps, Answer.FALSE, ana, prelabel=Answer.TRUE)
    assert (label.prelabel, label.events.get().prelabel) == ("true", "true")


# Blind until the reveal


def test_an_answer_after_the_reveal_is_marked_and_the_earlier_ones_are_not(
    completion: Completion, helps: Proposition, ana: User, ben: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    reveal(completion=completion, annotator=ana)
    assert reveal(completion=completion, annotator=ana).annotator == ana  # once is enough
    assert not Label.objects.get().after_reveal
    label = say(completion, helps, Answer.FALSE, ana)
    assert label.after_reveal
    assert list(label.events.order_by("pk").values_list("after_reveal", flat=True)) == [False, True]
    assert not say(completion, helps, Answer.FALSE, ben).after_reveal


def test_the_same_answer_again_after_the_reveal_stays_a_blind_one(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    reveal(completion=completion, annotator=ana)
    assert not say(completion, helps, Answer.TRUE, ana).after_reveal


# Definitions


def test_the_same_answer_to_a_newer_definition_is_an_answer(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    newer = next_version(completion)
    label = record_label(
        completion=completion,
        proposition=helps,
        answer=Answer.TRUE,
        actor=ana,
        policy_version=newer,
    )
    assert label.policy_version == newer
    assert events(label) == [("", "true"), ("true", "true")]


def test_an_answer_is_confirmed_for_a_newer_definition_once(
    completion: Completion, helps: Proposition, ana: User, rhea: User
) -> None:
    label = say(completion, helps, Answer.TRUE, ana, prelabel=Answer.FALSE)
    newer = next_version(completion)
    for _ in range(2):
        label = confirm_label(label=label, actor=rhea, policy_version=newer)
    label.refresh_from_db()
    assert (label.answer, label.policy_version, label.prelabel) == ("true", newer, "false")
    event = label.events.latest("pk")
    assert (event.kind, event.actor, event.policy_version) == ("confirmed", rhea, newer)
    assert label.events.count() == 2


def next_version(completion: Completion) -> PolicyVersion:
    first = latest_version(completion)
    return PolicyVersionFactory(
        policy=first.policy, number=2, parent=first, source=tiny("Does it help?", "Is it of use?")
    )


# Notes


def test_a_note_and_a_flag_are_kept_apart(completion: Completion, ana: User, ben: User) -> None:
    write_note(completion=completion, author=ana, text="odd")
    note = write_note(completion=completion, author=ana, flagged=True)
    assert (note.text, note.flagged) == ("odd", True)
    note = write_note(completion=completion, author=ana, text="")
    assert (note.text, note.flagged) == ("", True)
    assert write_note(completion=completion, author=ben).text == ""
    assert completion.notes.count() == 2


# What the database itself refuses


def test_an_event_cannot_be_changed_or_deleted(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    events = LabelEvent.objects.all()
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        events.update(new=Answer.FALSE)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        events._raw_delete(using="default")
    assert events.get().new == "true"


# At the same time


def at_once(work: list[Any]) -> None:
    barrier = Barrier(len(work))

    def start(do: Any) -> None:
        try:
            barrier.wait(10)
            do()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(start, work))


@pytest.mark.django_db(transaction=True)
def test_clicks_of_one_person_at_once_leave_one_label_and_a_chain_of_events() -> None:
    completion, ana = CompletionFactory(), UserFactory()
    helps = proposition(completion, "helps")
    answers = [Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE] * 3
    at_once([lambda answer=answer: say(completion, helps, answer, ana) for answer in answers])
    label = Label.objects.get()
    steps = LabelEvent.objects.exclude(kind="superseded").order_by("pk")
    chain = list(steps.values_list("old", "new"))
    assert chain[0][0] == ""
    assert all(before[1] == after[0] for before, after in pairwise(chain))
    assert chain[-1][1] == label.answer
    # The last click is the one that counts, whichever came through first.
    assert label.clicked_at >= max(LabelEvent.objects.values_list("clicked_at", flat=True))


@pytest.mark.django_db(transaction=True)
def test_one_click_that_arrives_five_times_at_once_is_one_event() -> None:
    completion, ana = CompletionFactory(), UserFactory()
    helps, same = proposition(completion, "helps"), uuid4()
    at_once([lambda: say(completion, helps, Answer.TRUE, ana, client_id=same)] * 5)
    assert LabelEvent.objects.count() == 1
    assert Label.objects.get().answer == "true"
