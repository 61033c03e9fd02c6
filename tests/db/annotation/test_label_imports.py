"""Labels of another tool: whose they are, what they replace, what is left out and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from annotation.models import Completion, ConversationSet, GoldTruth, Label, LabelEvent
from annotation.models.labels import Answer
from annotation.services.conversations import ImportRefused
from annotation.services.label_imports import (
    LabelConflict,
    Unmatched,
    read_answers,
    read_mapping,
)
from annotation.services.labels import Click, record_label, reveal, undo_last_label
from rbr_app.rbr.foreign_labels import Reading
from tests.db.annotation.foreign_tasks import NOON, load, task
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    PolicyVersionFactory,
    latest_version,
    proposition,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    return CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=[{"role": "user", "content": "Hello?"}],
        text="Hi.",
        external_id="row-1",
    )


def say(completion: Completion, answer: Answer, actor: User, minute: int) -> Label:
    return record_label(
        completion=completion,
        proposition=proposition(completion, "helps"),
        answer=answer,
        actor=actor,
        policy_version=latest_version(completion),
        click=Click(at=NOON + timedelta(minutes=minute)),
    )


# What becomes a label


def test_an_answer_becomes_the_persons_label_with_an_event_in_the_importers_name(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    User.objects.filter(pk=ana.pk).update(email="Ana@Example.org")
    report = load(gold, rhea, task(minute=4, helps="Yes", rude="no"))
    assert (report.in_file, report.matched, report.added) == (2, 2, 2)
    assert (report.replaced, report.unchanged, report.conflicts, report.unmatched) == (0, 0, [], [])
    label = Label.objects.get(proposition__key="helps")
    assert (label.annotator, label.answer) == (ana, "true")
    assert (label.clicked_at, label.after_reveal) == (NOON + timedelta(minutes=4), False)
    assert label.policy_version == latest_version(completion)
    event = label.events.get()
    assert (event.kind, event.actor, event.old, event.new) == ("imported", rhea, "", "true")
    assert event.clicked_at == label.clicked_at
    truths = dict(GoldTruth.objects.values_list("proposition__key", "truth"))
    assert truths == {"helps": True, "rude": False}
    assert report.people == {"ana@example.org": "ana"}
    assert report.new_people == []


def test_the_same_file_again_changes_nothing(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    load(gold, rhea, task(helps="yes", rude="unsure"))
    before = list(Label.objects.order_by("pk").values())
    again = load(gold, rhea, task(helps="yes", rude="unsure"))
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 2)
    assert list(Label.objects.order_by("pk").values()) == before
    assert LabelEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("minute", "answer", "counts"),
    [
        (6, "true", ("true", 0, 1, [])),  # newer than the answer here, which is of 12:05
        (5, "false", ("false", 1, 0, [])),  # says the same
        (4, "true", ("false", 0, 0, [LabelConflict(1, "helps", "ana", "false", "true")])),
        (5, "true", ("false", 0, 0, [LabelConflict(1, "helps", "ana", "false", "true")])),
    ],
)
def test_the_newer_of_two_answers_counts_and_an_older_one_is_a_conflict(
    gold: ConversationSet,
    completion: Completion,
    ana: User,
    rhea: User,
    minute: int,
    answer: str,
    counts: tuple[Any, ...],
) -> None:
    said = say(completion, Answer.FALSE, ana, minute=5)
    report = load(gold, rhea, task(person="ana", minute=minute, helps=answer))
    said.refresh_from_db()
    found = (said.answer, report.unchanged, report.replaced, report.conflicts)
    assert found == counts
    assert GoldTruth.objects.get().truth is (said.answer == "true")


def test_an_answer_without_a_time_replaces_none(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    say(completion, Answer.FALSE, ana, minute=0)
    untimed = task(person="ana", helps="yes", cites="yes")
    del untimed["annotations"][0]["updated_at"]
    before = datetime.now(UTC)
    report = load(gold, rhea, untimed)
    assert (report.added, report.replaced, len(report.conflicts)) == (1, 0, 1)
    assert Label.objects.get(proposition__key="cites").clicked_at >= before


def test_an_answer_that_was_taken_back_stays_so_against_an_older_file(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    say(completion, Answer.FALSE, ana, minute=5)
    undo_last_label(actor=ana)
    report = load(gold, rhea, task(person="ana", minute=4, helps="yes"))
    assert report.conflicts == [LabelConflict(1, "helps", "ana", "taken back", "true")]
    assert Label.objects.get().answer == ""


def test_of_two_annotations_of_one_person_the_newer_counts(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    report = load(gold, rhea, task(minute=9, helps="yes"), task(minute=2, helps="no"))
    assert (report.matched, report.repeated, report.added) == (2, 1, 1)
    assert Label.objects.get().answer == "true"


def test_what_was_said_elsewhere_after_the_reveal_here_is_not_blind(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    reveal(completion=completion, annotator=ana)
    soon = int((datetime.now(UTC) - NOON).total_seconds() // 60)
    load(gold, rhea, task(person="ana", minute=1, helps="yes"))
    load(gold, rhea, task(person="ana", minute=soon + 60, rude="yes"))
    flags = dict(Label.objects.values_list("proposition__key", "after_reveal"))
    assert flags == {"helps": False, "rude": True}


def test_an_imported_answer_is_not_undone_by_the_person(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    say(completion, Answer.FALSE, ana, minute=0)
    load(gold, rhea, task(person="ana", minute=5, helps="yes"))
    assert undo_last_label(actor=ana) is None
    assert Label.objects.get().answer == "true"


def test_the_definitions_that_were_answered_can_be_named(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    first = latest_version(completion)
    PolicyVersionFactory(policy=first.policy, number=2, parent=first)
    load(gold, rhea, task(helps="yes"), policy_version=first)
    assert Label.objects.get().policy_version == first


def test_an_argilla_export_is_read_too(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    record = {
        "id": "row-1",
        "fields": {"prompt": "Hello?", "completion": "Hi."},
        "responses": {
            "helps": [
                {"value": "yes", "user_id": "u1", "status": "submitted"},
                {"value": "no", "user_id": "u2", "status": "draft"},
            ]
        },
    }
    report = load(gold, rhea, record, tool="argilla")
    assert (report.added, report.left_out) == (1, {"draft": 1})
    assert report.new_people == ["argilla-u1"]


# Whose they are


def test_people_who_are_not_here_are_made_and_cannot_sign_in(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    report = load(gold, rhea, task("zoe@example.org", helps="yes"), task("12", helps="no"))
    assert report.people == {"zoe@example.org": "zoe@example.org", "12": "label_studio-12"}
    assert report.new_people == ["label_studio-12", "zoe@example.org"]
    zoe = User.objects.get(email="zoe@example.org")
    assert (zoe.is_active, zoe.has_usable_password()) == (False, False)
    again = load(gold, rhea, task("ZOE@example.org", minute=9, helps="no"))
    assert (again.new_people, again.replaced) == ([], 1)


def test_two_names_of_one_person_are_one_person(
    gold: ConversationSet, completion: Completion, ana: User, rhea: User
) -> None:
    User.objects.filter(pk=ana.pk).update(email="ana@example.org")
    report = load(gold, rhea, task(minute=1, helps="yes"), task("ana", minute=2, helps="no"))
    assert (report.repeated, report.added) == (1, 1)
    assert Label.objects.get().answer == "false"


# Which completion they are about


def test_a_record_is_found_by_its_texts_where_it_has_no_id(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    texts = {"prompt": "Hello?", "completion": "Hi."}
    assert load(gold, rhea, task(data=texts, helps="yes")).added == 1
    assert Label.objects.get().completion == completion


def test_records_that_belong_to_nothing_here_are_named_with_the_reason(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    twin = CompletionFactory(
        conversation=completion.conversation, text="Hi.", occurrence=1, external_id="row-2"
    )
    other = CompletionFactory(external_id="row-9")
    texts = {"prompt": "Hello?", "completion": "Hi."}
    report = load(
        gold,
        rhea,
        task(helps="yes"),
        task(data=texts, helps="yes"),
        task(data=texts | {"completion": "Ho.", "id": "row-2"}, helps="yes"),
        task(data=texts | {"prompt": "Eh?", "id": "row-3"}, helps="yes", rude="no"),
        task(data={"id": "row-9"}, helps="yes"),
    )
    assert report.unmatched == [
        Unmatched(2, "2 completions have its prompt and text"),
        Unmatched(3, "the completion 'row-2' has another text here"),
        Unmatched(4, "no completion has the id 'row-3' and no completion has its prompt and text"),
        Unmatched(5, "no completion has the id 'row-9'"),
    ]
    assert (report.in_file, report.matched, report.added) == (6, 1, 1)
    assert not Label.objects.filter(completion__in=[twin, other]).exists()


def test_annotations_that_were_cancelled_are_counted(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    report = load(gold, rhea, task(helps="yes"), task(cancelled=True, rude="yes"))
    assert (report.added, report.left_out) == (1, {"cancelled": 1})


# All or nothing


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([task(helps="yes", hopes="no")], "no proposition 'hopes'"),
        ([task(helps="yes"), task(helps="perhaps")], "record 2: "),
        ([task(cancelled=True, helps="yes")], "holds no answer that was submitted"),
        ([], "holds no answer that was submitted"),
    ],
)
def test_a_file_with_something_wrong_in_it_changes_nothing(
    gold: ConversationSet, completion: Completion, rhea: User, tasks: list[Any], words: str
) -> None:
    users = User.objects.count()
    with pytest.raises(ImportRefused, match=words):
        load(gold, rhea, *tasks)
    assert (Label.objects.count(), User.objects.count()) == (0, users)


def test_questions_and_answers_get_the_meaning_that_is_given(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    reading = Reading(
        keys=read_mapping(["is it of help? = helps", "comment="]),
        answers=read_answers(["present = true", "a = b = cannot decide"]),
    )
    asked = task(**{"is it of help?": "Present", "comment": "nice", "rude": "a = b"})
    assert load(gold, rhea, asked, reading=reading).added == 2
    answers = dict(Label.objects.values_list("proposition__key", "answer"))
    assert answers == {"helps": "true", "rude": "cannot_decide"}


@pytest.mark.parametrize("line", ["helps", "= helps"])
def test_a_line_that_maps_nothing_is_refused(line: str) -> None:
    with pytest.raises(ImportRefused, match="is no mapping"):
        read_mapping([line])


def test_an_answer_has_to_mean_something() -> None:
    with pytest.raises(ImportRefused, match="'present' has to mean true"):
        read_answers(["present = there"])


def test_a_dry_run_reports_the_same_and_changes_nothing(
    gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    users = User.objects.count()
    dry = load(gold, rhea, task(helps="yes"), dry_run=True)
    assert (Label.objects.count(), User.objects.count()) == (0, users)
    assert not GoldTruth.objects.exists()
    wet = load(gold, rhea, task(helps="yes"))
    assert (dry.added, dry.people, dry.new_people) == (wet.added, wet.people, wet.new_people)
