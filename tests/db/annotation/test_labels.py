"""Recording what a person says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction

from annotation.models import Completion, Label, LabelEvent, Proposition
from annotation.models.labels import Answer
from annotation.selectors.labels import gold_truths
from annotation.services.labels import record_label
from tests.factories import CompletionFactory, LabelFactory, UserFactory, proposition

pytestmark = pytest.mark.django_db


@pytest.fixture
def completion(db: None) -> Completion:
    return CompletionFactory()


@pytest.fixture
def helps(completion: Completion) -> Proposition:
    return proposition(completion, "helps")


def say(completion: Completion, helps: Proposition, answer: Answer, actor: User) -> Label:
    return record_label(completion=completion, proposition=helps, answer=answer, actor=actor)


def events(label: Label) -> list[tuple[str, str]]:
    return list(label.events.order_by("pk").values_list("old", "new"))


def test_a_first_answer_is_stored_with_its_event(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    label = say(completion, helps, Answer.TRUE, ana)
    label.refresh_from_db()
    assert (label.answer, label.annotator) == ("true", ana)
    [event] = label.events.all()
    assert (event.actor, event.old, event.new) == (ana, "", "true")


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


def test_the_same_answer_again_changes_nothing(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    before = Label.objects.values().get()
    label = say(completion, helps, Answer.TRUE, ana)
    assert Label.objects.values().get() == before
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


# Which label counts


def truths(completion: Completion) -> dict[tuple[int, str], bool]:
    return gold_truths([completion.pk])


def test_an_imported_label_counts_while_nobody_disagrees(completion: Completion) -> None:
    LabelFactory(completion=completion, answer=Answer.TRUE)
    LabelFactory(completion=completion, key="rude", answer=Answer.FALSE)
    assert truths(completion) == {(completion.pk, "helps"): True, (completion.pk, "rude"): False}


@pytest.mark.parametrize("person_first", [False, True])
def test_a_person_counts_before_the_imported_label_whichever_came_last(
    completion: Completion, helps: Proposition, ana: User, person_first: bool
) -> None:
    if person_first:
        say(completion, helps, Answer.FALSE, ana)
    LabelFactory(completion=completion, answer=Answer.TRUE)
    if not person_first:
        say(completion, helps, Answer.FALSE, ana)
    assert truths(completion) == {(completion.pk, "helps"): False}


def test_of_two_people_the_one_who_answered_last_counts(
    completion: Completion, helps: Proposition, ana: User, ben: User
) -> None:
    say(completion, helps, Answer.TRUE, ana)
    say(completion, helps, Answer.FALSE, ben)
    assert truths(completion) == {(completion.pk, "helps"): False}
    say(completion, helps, Answer.FALSE, ana)
    say(completion, helps, Answer.TRUE, ana)
    assert truths(completion) == {(completion.pk, "helps"): True}


def test_a_person_who_cannot_decide_leaves_the_cell_out(
    completion: Completion, helps: Proposition, ana: User
) -> None:
    LabelFactory(completion=completion, answer=Answer.TRUE)
    say(completion, helps, Answer.CANNOT_DECIDE, ana)
    assert truths(completion) == {}


def test_an_imported_cannot_decide_leaves_the_cell_out(completion: Completion) -> None:
    LabelFactory(completion=completion, answer=Answer.CANNOT_DECIDE)
    assert truths(completion) == {}


def test_labels_of_other_completions_do_not_count(completion: Completion) -> None:
    LabelFactory(completion=CompletionFactory())
    assert truths(completion) == {}


@pytest.mark.django_db(transaction=True)
def test_clicks_of_one_person_at_once_leave_one_label_and_a_chain_of_events() -> None:
    completion, ana = CompletionFactory(), UserFactory()
    helps = proposition(completion, "helps")
    answers = [Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE] * 3
    barrier = Barrier(len(answers))

    def click(answer: Answer) -> None:
        try:
            barrier.wait(10)
            say(completion, helps, answer, ana)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(answers)) as pool:
        list(pool.map(click, answers))
    label = Label.objects.get()
    steps = list(LabelEvent.objects.order_by("pk").values_list("old", "new"))
    assert steps[0][0] == ""
    assert all(before[1] == after[0] for before, after in pairwise(steps))
    assert steps[-1][1] == label.answer
