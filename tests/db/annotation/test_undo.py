"""Taking answers back: the last one first, on whichever completion it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection

from annotation.models import Completion, GoldTruth, Label, LabelEvent, PolicyVersion
from annotation.models.labels import Answer
from annotation.services.labels import (
    Click,
    last_answers,
    record_label,
    reveal,
    undo_last_label,
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

YES, NO = Answer.TRUE, Answer.FALSE


@pytest.fixture
def completion(db: None) -> Completion:
    return CompletionFactory()


def say(
    completion: Completion,
    answer: Answer,
    actor: User,
    *,
    key: str = "helps",
    version: PolicyVersion | None = None,
    prelabel: str = "",
) -> Label:
    return record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=answer,
        actor=actor,
        policy_version=version or latest_version(completion),
        click=Click(prelabel=prelabel),
    )


def answers(actor: User) -> dict[tuple[int, str], str]:
    rows = Label.objects.filter(annotator=actor)
    return {
        (completion, key): answer
        for completion, key, answer in rows.values_list("completion", "proposition__key", "answer")
    }


def test_undo_goes_back_across_completions_one_answer_at_a_time(ana: User) -> None:
    one, two = CompletionFactory(), CompletionFactory()
    say(one, YES, ana)
    say(two, YES, ana, key="rude")
    say(one, NO, ana)
    assert answers(ana) == {(one.pk, "helps"): "false", (two.pk, "rude"): "true"}
    undo_last_label(actor=ana)
    assert answers(ana) == {(one.pk, "helps"): "true", (two.pk, "rude"): "true"}
    undo_last_label(actor=ana)
    assert answers(ana) == {(one.pk, "helps"): "true", (two.pk, "rude"): ""}
    undo_last_label(actor=ana)
    assert answers(ana) == {(one.pk, "helps"): "", (two.pk, "rude"): ""}
    assert undo_last_label(actor=ana) is None
    assert LabelEvent.objects.filter(kind="undone").count() == 3


def test_an_undo_is_an_event_that_names_what_it_took_back(
    completion: Completion, ana: User
) -> None:
    said = say(completion, YES, ana).events.get()
    undo = undo_last_label(actor=ana)
    assert undo is not None
    assert (undo.kind, undo.old, undo.new, undo.undoes) == ("undone", "true", "", said)
    assert said.undone_by == undo


def test_the_truth_follows_an_undo(completion: Completion, ana: User) -> None:
    LabelFactory(completion=completion, answer=NO)
    say(completion, YES, ana)
    assert GoldTruth.objects.get().source == "unanimous"
    undo_last_label(actor=ana)
    truth = GoldTruth.objects.get()
    assert (truth.truth, truth.source) == (False, "imported")


def test_after_an_undo_the_next_answer_is_the_next_to_be_undone(
    completion: Completion, ana: User
) -> None:
    say(completion, YES, ana)
    undo_last_label(actor=ana)
    say(completion, NO, ana)
    assert answers(ana) == {(completion.pk, "helps"): "false"}
    undo_last_label(actor=ana)
    assert answers(ana) == {(completion.pk, "helps"): ""}
    assert undo_last_label(actor=ana) is None


def test_an_undo_leaves_other_people_alone(completion: Completion, ana: User, ben: User) -> None:
    say(completion, YES, ana)
    say(completion, YES, ben)
    assert undo_last_label(actor=ana)
    assert undo_last_label(actor=ana) is None
    assert answers(ben) == {(completion.pk, "helps"): "true"}


def test_a_late_click_that_did_not_count_is_not_undone(completion: Completion, ana: User) -> None:
    label = say(completion, YES, ana)
    record_label(
        completion=completion,
        proposition=label.proposition,
        answer=NO,
        actor=ana,
        policy_version=label.policy_version,
        click=Click(at=label.clicked_at - timedelta(minutes=5)),
    )
    undo = undo_last_label(actor=ana)
    assert undo is not None
    assert undo.undoes == label.events.get(kind="answered")


def test_a_browser_whose_clock_is_behind_can_answer_after_an_undo(
    completion: Completion, ana: User
) -> None:
    label = say(completion, YES, ana)
    undo_last_label(actor=ana)
    record_label(
        completion=completion,
        proposition=label.proposition,
        answer=NO,
        actor=ana,
        policy_version=label.policy_version,
        click=Click(at=label.clicked_at + timedelta(milliseconds=1)),
    )
    assert answers(ana) == {(completion.pk, "helps"): "false"}


def test_undo_brings_back_the_definition_that_was_answered(
    completion: Completion, ana: User
) -> None:
    first = say(completion, YES, ana, prelabel="true").policy_version
    source = tiny("Does it help?", "Is it of use?")
    newer = PolicyVersionFactory(policy=first.policy, number=2, parent=first, source=source)
    label = say(completion, NO, ana, version=newer)
    assert label.policy_version == newer
    undo_last_label(actor=ana)
    label.refresh_from_db()
    assert (label.answer, label.policy_version, label.prelabel) == ("true", first, "true")


@pytest.mark.parametrize(
    ("revealed_after", "stays_blind"),
    [
        # T F | undo: going back to T is chosen by somebody who knows what others say.
        (2, False),
        # T | F undo: what was said blindly stands again.
        (1, True),
    ],
)
def test_an_undo_after_the_reveal(
    completion: Completion, ana: User, revealed_after: int, stays_blind: bool
) -> None:
    for n, answer in enumerate((YES, NO)):
        if n == revealed_after:
            reveal(completion=completion, annotator=ana)
        label = say(completion, answer, ana)
    if revealed_after == 2:
        reveal(completion=completion, annotator=ana)
    undo_last_label(actor=ana)
    label.refresh_from_db()
    assert label.answer == "true"
    assert label.after_reveal is not stays_blind


def test_undoing_a_named_event_needs_it_to_be_the_last(completion: Completion, ana: User) -> None:
    first = say(completion, YES, ana).events.get()
    say(completion, NO, ana)
    assert undo_last_label(actor=ana, event=first) is None
    last = last_answers(ana)[0]
    assert undo_last_label(actor=ana, event=last)
    assert undo_last_label(actor=ana, event=last) is None
    assert answers(ana) == {(completion.pk, "helps"): "true"}


def test_an_answer_over_which_an_import_went_is_not_undone(
    completion: Completion, ana: User, rhea: User
) -> None:
    label = say(completion, YES, ana)
    LabelEvent.objects.create(
        label=label,
        actor=rhea,
        kind="imported",
        old="true",
        new="false",
        policy_version=label.policy_version,
    )
    assert undo_last_label(actor=ana) is None
    say(completion, YES, ana, key="rude")
    assert [event.label.proposition.key for event in last_answers(ana)] == ["rude"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("named", [True, False])
def test_the_last_answer_is_undone_once_by_presses_at_once(named: bool) -> None:
    completion, ana = CompletionFactory(), UserFactory()
    for answer in (YES, NO, YES):
        say(completion, answer, ana)
    last = last_answers(ana)[0]
    barrier = Barrier(4)

    def press() -> bool:
        try:
            barrier.wait(10)
            return undo_last_label(actor=ana, event=last if named else None) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        done = [future.result() for future in [pool.submit(press) for _ in range(4)]]
    undone = LabelEvent.objects.filter(kind="undone")
    assert undone.count() == sum(done) >= 1
    assert len(set(undone.values_list("undoes", flat=True))) == sum(done)
    # yes, no, yes: one undo leaves no, two yes, three nothing, four find nothing to do.
    assert Label.objects.get().answer == ["", "false", "true", "", ""][sum(done)]
    if named:
        assert sum(done) == 1
