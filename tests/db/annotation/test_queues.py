"""How people go through a labelling queue: items, leases, and where everybody stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation.models import (
    Assignment,
    Completion,
    ConversationSet,
    QueueSlot,
    Reveal,
)
from annotation.selectors.queues import position, queue_people, standing
from annotation.services import slots
from annotation.services.queues import (
    Lease,
    claim_next,
    close_queue,
    complete,
    renew_lease,
    reopen,
    requeue_skipped,
    skip,
)
from tests.db.annotation.queue_work import claim, expire, opened
from tests.factories import ConversationSetFactory, fill

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def rows(gold: ConversationSet) -> list[Completion]:
    """Five completions without labels."""
    return fill(gold, "train", 5)


# One person


def test_an_item_stays_with_the_person_until_they_are_done_with_it(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    first = claim(queue, ana)
    assert claim(queue, ana) == first
    assert claim(queue, ben).completion == rows[1]
    expire(queue)
    assert claim(queue, ana) == first
    complete(assignment=first)
    # Ben's reservation ran out, so his item is the next that is to be had.
    assert claim(queue, ana).completion == rows[1]


def test_completing_ends_the_item_and_reveals_what_others_said(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = opened(gold)
    item = complete(assignment=claim(queue, ana))
    assert item.completed_at is not None
    assert not item.is_extra
    assert Reveal.objects.filter(annotator=ana, completion=rows[0]).exists()
    [slot] = queue.slots.filter(completion=rows[0])
    assert (slot.annotator, slot.leased_until, bool(slot.completed_at)) == (ana, None, True)
    assert complete(assignment=item).completed_at == item.completed_at


def test_a_skipped_item_goes_to_others_and_comes_back_only_when_asked_for(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    skip(assignment=claim(queue, ana))
    assert [complete(assignment=claim(queue, ana)).completion for _ in range(4)] == rows[1:]
    assert claim_next(queue=queue, annotator=ana) is None
    assert standing(queue, ana).skipped == 1
    assert not standing(queue, ana).is_empty
    assert requeue_skipped(queue=queue, annotator=ana) == 1
    assert claim(queue, ana).completion == rows[0]
    assert claim_next(queue=queue, annotator=ben) is None


def test_what_was_skipped_comes_after_what_was_not_seen_yet(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = opened(gold)
    skip(assignment=claim(queue, ana))
    complete(assignment=claim(queue, ana))
    requeue_skipped(queue=queue, annotator=ana)
    seen = [complete(assignment=claim(queue, ana)).completion for _ in range(4)]
    assert seen == [*rows[2:], rows[0]]


def test_skipping_touches_only_the_persons_own_place(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold, overlap=2)
    theirs, mine = claim(queue, ben), claim(queue, ana)
    assert theirs.completion == mine.completion
    skip(assignment=mine)
    assert claim(queue, ben) == theirs
    done = complete(assignment=theirs)
    assert skip(assignment=done).skipped_at is None
    assert queue.slots.filter(completion=rows[0], completed_at__isnull=False).count() == 1


def test_an_item_that_somebody_else_skipped_is_found_behind_ones_own_place(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    hers = claim(queue, ana)
    for _ in range(4):
        complete(assignment=claim(queue, ben))
    assert claim_next(queue=queue, annotator=ben) is None
    skip(assignment=hers)
    assert claim(queue, ben).completion == rows[0]


def test_taking_over_an_item_does_not_move_a_person_ahead(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold, overlap=2)
    for _ in range(3):
        complete(assignment=claim(queue, ana))
    claim(queue, ana)
    expire(queue)
    # Ben takes Ana's fourth item over, then begins at the start.
    assert complete(assignment=claim(queue, ben)).completion == rows[3]
    assert claim(queue, ben).completion == rows[0]


def test_an_item_that_was_let_go_can_be_had_again(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold, completions=[rows[0].pk])
    first = claim(queue, ana)
    expire(queue)
    skip(assignment=claim(queue, ben))
    assert standing(queue, ana).available == 1
    assert claim(queue, ana) == first


def test_nothing_is_handed_out_of_a_closed_queue_but_what_is_begun_can_be_completed(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    item = claim(queue, ana)
    close_queue(queue=queue, actor=ben)
    assert claim_next(queue=queue, annotator=ana) is None
    assert claim_next(queue=queue, annotator=ben) is None
    assert complete(assignment=item).completed_at is not None
    closed_at = queue.closed_at
    again = close_queue(queue=queue, actor=ana)
    assert (again.closed_at, again.closed_by) == (closed_at, ben)


# Leases


def test_a_lease_is_three_times_what_the_persons_items_took_within_bounds(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = opened(gold)
    assert slots.lease_seconds(queue.pk, ana.pk) == 600
    for _ in range(3):
        complete(assignment=claim(queue, ana))
    mine = Assignment.objects.filter(annotator=ana)
    mine.update(active_seconds=100)
    # 3 x 100 s.
    assert slots.lease_seconds(queue.pk, ana.pk) == 300
    mine.update(active_seconds=5)
    assert slots.lease_seconds(queue.pk, ana.pk) == 120
    mine.update(active_seconds=5000)
    assert slots.lease_seconds(queue.pk, ana.pk) == 3600


def test_time_counts_that_can_have_passed_since_the_page_last_spoke(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    item = claim(opened(gold), ana)

    def beat(seconds: float, after: float) -> float:
        moved = timezone.now() - timedelta(seconds=after)
        Assignment.objects.update(claimed_at=moved, beat_at=moved)
        renew_lease(assignment=item, active_seconds=seconds)
        item.refresh_from_db()
        return item.active_seconds

    assert beat(20, after=30) == 20
    # Of the 500 s that are claimed only 30 can be true: 20 + 30.
    assert beat(500, after=30) == pytest.approx(50, abs=1)
    assert beat(-5, after=30) == pytest.approx(50, abs=1)


def test_a_beat_renews_a_lease_that_ran_out_unless_somebody_took_the_place(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    item = claim(queue, ana)
    expire(queue)
    lease = renew_lease(assignment=item, active_seconds=1)
    assert lease.held
    assert lease.until is not None
    assert lease.until > timezone.now()
    assert claim(queue, ben).completion == rows[1]
    expire(queue)
    complete(assignment=item)
    assert renew_lease(assignment=item, active_seconds=1) == Lease(None, held=True)


def test_work_on_a_place_that_was_given_away_is_extra_and_not_lost(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    item = claim(queue, ana)
    expire(queue)
    taken = claim(queue, ben)
    assert taken.completion == item.completion
    assert renew_lease(assignment=item, active_seconds=1) == Lease(None, held=False)
    done = complete(assignment=item)
    assert done.is_extra
    assert not complete(assignment=taken).is_extra
    assert queue.slots.filter(completed_at__isnull=False).count() == 1
    [person] = [row for row in queue_people(queue) if row.name == "ana"]
    assert (person.done, person.extra) == (1, 1)


def test_an_open_place_at_the_completion_is_taken_before_work_becomes_extra(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold, overlap=2)
    item = claim(queue, ana)
    expire(queue)
    claim(queue, ben)
    assert not complete(assignment=item).is_extra
    assert queue.slots.filter(annotator=ana, completion=rows[0]).count() == 1


def test_going_back_reserves_a_skipped_item_and_leaves_a_completed_one_completed(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    skipped = skip(assignment=claim(queue, ana))
    back = reopen(assignment=skipped)
    assert back.skipped_at is None
    assert claim(queue, ana) == back
    done = complete(assignment=back)
    assert reopen(assignment=done).completed_at == done.completed_at
    skipped = skip(assignment=claim(queue, ana))
    assert claim(queue, ben).completion == skipped.completion
    assert not complete(assignment=claim(queue, ben)).is_extra
    assert complete(assignment=reopen(assignment=skipped)).is_extra


# Where it stands


def test_a_standing_tells_free_from_taken_from_skipped_from_done(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    complete(assignment=claim(queue, ana))
    skip(assignment=claim(queue, ana))
    assert claim(queue, ben).completion == rows[1]
    hers, his = standing(queue, ana), standing(queue, ben)
    # Five items, one full. For Ana one is done, one skipped, three are free (Ben holds the one
    # that she skipped). For Ben all but the full one are free or his own.
    assert (hers.total, hers.full, hers.places_done, hers.places) == (5, 1, 1, 5)
    assert (hers.done, hers.skipped, hers.available, hers.reserved_by_others) == (1, 1, 3, 0)
    assert (his.done, his.skipped, his.available, his.reserved_by_others) == (0, 0, 4, 0)
    assert his.is_reserving
    assert not hers.is_reserving
    assert (hers.remaining, his.remaining) == (4, 4)


def test_items_in_the_hands_of_others_are_left_for_later_with_the_time_when(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold, completions=[rows[0].pk])
    item = claim(queue, ben)
    waiting = standing(queue, ana)
    assert (waiting.available, waiting.reserved_by_others) == (0, 1)
    assert not waiting.is_empty
    # The first lease is 600 s, of which hardly anything has passed.
    assert waiting.seconds_to_first_free is not None
    assert 590 < waiting.seconds_to_first_free <= 601
    expire(queue)
    assert standing(queue, ana).available == 1
    complete(assignment=item)
    assert standing(queue, ana).is_empty
    assert standing(queue, ana).is_finished


def test_a_person_whose_part_is_done_is_told_how_much_waits_for_others(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = opened(gold, overlap=2)
    for _ in range(5):
        complete(assignment=claim(queue, ana))
    done = standing(queue, ana)
    assert done.is_empty
    assert not done.is_finished
    assert done.n_others == 5
    assert done.percent == 50


def test_the_time_left_is_the_persons_pace_else_everybodys(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = opened(gold)
    assert standing(queue, ana).seconds_left is None
    complete(assignment=claim(queue, ana))
    Assignment.objects.update(active_seconds=30)
    # Four items remain, at 30 s each.
    assert standing(queue, ana).seconds_left == 120
    assert standing(queue, ben).seconds_left == 120
    item = complete(assignment=claim(queue, ben))
    Assignment.objects.filter(pk=item.pk).update(active_seconds=10)
    # Three remain for both.
    assert standing(queue, ana).seconds_left == 90
    assert standing(queue, ben).seconds_left == 30


def test_the_head_of_a_labelling_page_counts_without_reading_the_queue(
    gold: ConversationSet, rows: list[Completion], ana: User, django_assert_num_queries: Any
) -> None:
    queue = opened(gold, overlap=2)
    complete(assignment=claim(queue, ana))
    skip(assignment=claim(queue, ana))
    where = position(queue, ana)
    assert (where.done, where.skipped, where.total) == (1, 1, 5)
    with django_assert_num_queries(1):
        position(queue, ana)


def test_the_database_keeps_the_quota(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    queue = opened(gold, overlap=2)
    complete(assignment=claim(queue, ana))
    [free] = queue.slots.filter(completion=rows[0], annotator=None)
    with pytest.raises(IntegrityError, match="slot_annotator"), transaction.atomic():
        QueueSlot.objects.filter(pk=free.pk).update(annotator=ana, completed_at=timezone.now())
    with pytest.raises(IntegrityError, match="slot_identity"), transaction.atomic():
        QueueSlot.objects.create(queue=queue, completion=rows[0], ordinal=1, rank=99)
