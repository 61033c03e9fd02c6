"""How the labelling of a set goes, counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Assignment, Completion, ConversationSet, LabellingQueue
from annotation.models.labels import Answer
from annotation.selectors.progress import people_answers, set_progress
from annotation.services.labels import write_note
from annotation.services.queues import claim_next, close_queue, complete, open_queue, skip
from tests.factories import ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def rows(gold: ConversationSet) -> list[Completion]:
    return fill(gold, "train", 4)


def work(queue: LabellingQueue, person: User, *seconds: float) -> list[Assignment]:
    """Complete an item for each of these times."""
    done = []
    for each in seconds:
        item = claim_next(queue=queue, annotator=person)
        assert item is not None
        complete(assignment=item)
        Assignment.objects.filter(pk=item.pk).update(active_seconds=each)
        done.append(item)
    return done


def test_each_persons_work_is_counted_per_queue_and_in_all(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    first = open_queue(conversation_set=gold, overlap=2, actor=ana)
    second = open_queue(conversation_set=gold, completions=[rows[0].pk], actor=ana)
    [item, *_] = work(first, ana, 10, 20, 60)
    work(first, ben, 40)
    work(second, ana, 30)
    write_note(completion=item.completion, author=ana, flagged=True)
    skipped = claim_next(queue=first, annotator=ben)
    assert skipped is not None
    skip(assignment=skipped)

    progress = set_progress(gold)
    people = {person.name: person.work for person in progress.people}
    hers, his = people["ana"], people["ben"]
    # Ana: four items in 10 + 20 + 60 + 30 = 120 s, 120 an hour; the median is (20 + 30) / 2.
    assert (hers.done, hers.per_hour, hers.median_seconds) == (4, 120, 25)
    # Flagged in both queues, but it is one completion.
    assert (hers.flagged, hers.skipped, hers.extra) == (1, 0, 0)
    assert (his.done, his.skipped, his.per_hour) == (1, 1, 90)
    # Queue 1 has 4 items with 8 places: one is full (both), three are not. Ana did two of those
    # three; Ben none. Queue 2 is full.
    assert (progress.work.remaining, hers.remaining, his.remaining) == (3, 1, 3)
    assert (progress.places_done, progress.places) == (5, 9)
    queues = {row.queue.pk: row for row in progress.queues}
    assert queues[first.pk].work.done == 4
    assert [person.name for person in queues[first.pk].people] == ["ana", "ben"]
    assert [person.name for person in queues[second.pk].people] == ["ana"]
    # Four places of queue 1 are left, at the median of 10, 20, 40 and 60 s: 30 s.
    assert queues[first.pk].seconds_left == 120
    assert queues[second.pk].seconds_left == 0
    assert progress.seconds_left == 120


def test_a_closed_queue_has_nothing_left(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = open_queue(conversation_set=gold, actor=ana)
    work(queue, ana, 10)
    assert set_progress(gold).work.remaining == 3
    close_queue(queue=queue, actor=ana)
    progress = set_progress(gold)
    assert progress.work.remaining == 0
    assert (progress.places, progress.places_done) == (1, 1)
    assert progress.people[0].work.remaining == 0
    assert progress.seconds_left is None


def test_items_without_a_measured_time_do_not_count_as_fast(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    work(open_queue(conversation_set=gold, actor=ana), ana, 30, 0)
    [person] = set_progress(gold).people
    # One item of 30 s: 120 an hour, not 240.
    assert (person.work.done, person.work.per_hour, person.work.median_seconds) == (2, 120, 30)


def test_somebody_with_an_item_before_them_is_at_work(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = open_queue(conversation_set=gold, actor=ana)
    claim_next(queue=queue, annotator=ana)
    assert set_progress(gold).is_active
    queue.slots.filter(annotator=ana).update(leased_until="2000-01-01T00:00Z")
    assert not set_progress(gold).is_active


def test_answers_are_counted_in_and_outside_of_queues_with_their_agreement(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    for row in rows[:2]:
        LabelFactory(completion=row, annotator=ana)
    LabelFactory(completion=rows[0], annotator=ben)
    LabelFactory(completion=rows[1], annotator=ben, answer=Answer.FALSE)
    LabelFactory(completion=rows[2], annotator=ben)
    LabelFactory(completion=rows[3])
    found = {row.name: row for row in people_answers(gold)}
    assert set(found) == {"ana", "ben"}
    assert (found["ben"].completions, found["ben"].answers) == (3, 3)
    # Two shared cells, one of them with the same answer.
    assert found["ana"].agreement.value == found["ben"].agreement.value == 0.5


def test_alone_there_is_no_agreement_and_the_reason_is_told(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    LabelFactory(completion=rows[0], annotator=ana)
    [row] = people_answers(gold)
    assert row.agreement.value is None
    assert row.agreement.reason


def test_progress_takes_five_queries_however_many_queues_there_are(
    gold: ConversationSet, rows: list[Completion], ana: User, django_assert_num_queries: Any
) -> None:
    for row in rows:
        work(open_queue(conversation_set=gold, completions=[row.pk], actor=ana), ana, 10)
    with django_assert_num_queries(5):
        set_progress(gold)


def test_the_page_is_polled_only_while_people_work(
    client: Client, gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    client.force_login(ana)
    url = reverse("progress", args=[gold.pk])
    assert "This set has no queue." in client.get(url).content.decode()
    queue = open_queue(conversation_set=gold, actor=ana)
    assert "hx-trigger" not in client.get(url, headers=HTMX).content.decode()
    claim_next(queue=queue, annotator=ana)
    found = client.get(url, headers=HTMX).content.decode()
    assert found.lstrip().startswith('<section id="progress"')
    assert "every 5s" in found
