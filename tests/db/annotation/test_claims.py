"""Many people take items of one queue at once: threads, each with a connection of its own."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.models import Assignment, LabellingQueue, QueueSlot
from annotation.selectors.queues import standing
from annotation.services import slots
from annotation.services.queues import (
    claim_next,
    complete,
    open_queue,
    renew_lease,
    requeue_skipped,
    skip,
)
from tests.factories import ConversationSetFactory, UserFactory, fill

T = TypeVar("T")
CLAIMERS = 20
ITEMS = 30


@pytest.fixture
def queue(transactional_db: None) -> Callable[[int, int], LabellingQueue]:
    def make(items: int, overlap: int) -> LabellingQueue:
        conversation_set = ConversationSetFactory()
        fill(conversation_set, "train", items)
        return open_queue(conversation_set=conversation_set, overlap=overlap, actor=None)

    return make


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> float:
    """Every lease lasts this many seconds."""
    for name in ("SHORTEST_LEASE", "FIRST_LEASE", "LONGEST_LEASE"):
        monkeypatch.setattr(slots, name, 0.15)
    return 0.15


def at_once(work: Callable[[User], T], people: list[User]) -> list[T]:
    """`work` of everybody, begun together; what each returned."""
    start = threading.Barrier(len(people))

    def run(person: User) -> T:
        try:
            start.wait()
            return work(person)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(run, people))


@pytest.mark.parametrize("overlap", [1, 2])
def test_of_twenty_people_nobody_is_given_a_place_that_another_has(
    queue: Callable[[int, int], LabellingQueue], overlap: int
) -> None:
    found = queue(ITEMS, overlap)

    def work(person: User) -> list[int]:
        mine = []
        while (item := claim_next(queue=found, annotator=person)) is not None:
            mine.append(item.completion_id)
            assert not complete(assignment=item).is_extra
        return mine

    given_out = at_once(work, UserFactory.create_batch(CLAIMERS))
    assert all(len(set(mine)) == len(mine) for mine in given_out)
    per_item = Counter(completion for mine in given_out for completion in mine)
    # Each of the 30 completions went to exactly as many people as it has places.
    assert len(per_item) == ITEMS
    assert set(per_item.values()) == {overlap}
    assert not found.slots.filter(completed_at=None).exists()


@pytest.mark.parametrize("overlap", [1, 2])
def test_leases_that_run_out_lose_no_item_and_break_no_quota(
    queue: Callable[[int, int], LabellingQueue], short_leases: float, overlap: int
) -> None:
    found = queue(ITEMS, overlap)
    handed_in: Counter[str] = Counter()
    mutex = threading.Lock()

    def work(person: User) -> None:
        draw = random.Random(person.pk)
        end = time.monotonic() + 90
        while not (where := standing(found, person)).is_empty:
            assert time.monotonic() < end, f"still {where}"
            item = claim_next(queue=found, annotator=person)
            if item is None:
                # Never because something is free: others have it, or the person skipped it.
                requeue_skipped(queue=found, annotator=person)
                time.sleep(short_leases / 3)
                continue
            chance = draw.random()
            if chance < 0.1:
                skip(assignment=item)
                continue
            if chance < 0.2:
                continue  # The tab is closed; the next claim finds the item again, if it is there.
            if chance < 0.4:
                time.sleep(short_leases * 1.5)  # Somebody else may take it meanwhile.
            elif chance < 0.5:
                time.sleep(short_leases / 2)
                renew_lease(assignment=item, active_seconds=0.1)
            done = complete(assignment=item)
            with mutex:
                handed_in["extra" if done.is_extra else "counted"] += 1

    at_once(work, UserFactory.create_batch(CLAIMERS))
    assert not found.slots.filter(completed_at=None).exists()
    assert handed_in["counted"] == ITEMS * overlap
    work_done = Assignment.objects.filter(queue=found, completed_at__isnull=False)
    assert work_done.filter(is_extra=True).count() == handed_in["extra"]
    # Whoever has a place did the work, and whose work counts has a place.
    counted = work_done.filter(is_extra=False).values_list("completion", "annotator")
    assert set(counted) == set(found.slots.values_list("completion", "annotator"))
    assert len(counted) == ITEMS * overlap


@pytest.mark.parametrize("overlap", [1, 2])
def test_two_tabs_of_one_person_get_the_same_item(
    queue: Callable[[int, int], LabellingQueue], overlap: int
) -> None:
    found = queue(5, overlap)
    person = UserFactory()
    items = at_once(lambda p: claim_next(queue=found, annotator=p), [person] * 8)
    assert len({item.pk for item in items if item}) == 1
    assert None not in items
    assert found.slots.exclude(annotator=None).count() == 1


def test_two_tabs_that_complete_one_item_complete_it_once(
    queue: Callable[[int, int], LabellingQueue],
) -> None:
    found = queue(2, 2)
    person = UserFactory()
    item = claim_next(queue=found, annotator=person)
    assert item is not None
    done = at_once(lambda _: complete(assignment=item), [person] * 6)
    assert {row.is_extra for row in done} == {False}
    assert found.slots.filter(completed_at__isnull=False).count() == 1


class TakenBack(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def hesitating(transactional_db: None) -> Iterator[Callable[..., threading.Thread]]:
    """Takes an item in a transaction of another connection, and ends that a while later."""
    threads = []

    def begin(queue: LabellingQueue, person: User, *, commit: bool) -> threading.Thread:
        taken = threading.Event()

        def run() -> None:
            try:
                with transaction.atomic():
                    assert claim_next(queue=queue, annotator=person) is not None
                    taken.set()
                    time.sleep(0.4)
                    if not commit:
                        raise TakenBack
            except TakenBack:
                pass
            finally:
                connection.close()

        thread = threading.Thread(target=run)
        threads.append(thread)
        thread.start()
        assert taken.wait(10)
        return thread

    yield begin
    for thread in threads:
        thread.join()


def test_an_item_in_the_middle_of_being_taken_is_waited_for(
    queue: Callable[[int, int], LabellingQueue], hesitating: Callable[..., threading.Thread]
) -> None:
    found = queue(1, 1)
    ana, ben = UserFactory.create_batch(2)
    hesitating(found, ana, commit=False)
    item = claim_next(queue=found, annotator=ben)
    # Ana's transaction came to nothing, so "nothing left" would have been wrong.
    assert item is not None
    assert not Assignment.objects.filter(annotator=ana).exists()


def test_an_item_that_was_taken_after_all_is_not_given_twice(
    queue: Callable[[int, int], LabellingQueue], hesitating: Callable[..., threading.Thread]
) -> None:
    found = queue(1, 1)
    ana, ben = UserFactory.create_batch(2)
    hesitating(found, ana, commit=True)
    assert claim_next(queue=found, annotator=ben) is None
    assert standing(found, ben).reserved_by_others == 1


def test_others_do_not_wait_while_there_is_something_else(
    queue: Callable[[int, int], LabellingQueue], hesitating: Callable[..., threading.Thread]
) -> None:
    found = queue(2, 1)
    ana, ben = UserFactory.create_batch(2)
    thread = hesitating(found, ana, commit=True)
    item = claim_next(queue=found, annotator=ben)
    assert thread.is_alive()
    assert item is not None


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["claim", "claim", "complete", "skip", "expire", "again"]),
    ),
    max_size=40,
)


@pytest.mark.django_db
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, overlap=st.integers(1, 3))
def test_empty_is_true_after_any_walk(steps: list[tuple[int, str]], overlap: int, db: None) -> None:
    """What remains are the items with fewer submissions than places that are not the person's."""
    with transaction.atomic():
        people = UserFactory.create_batch(3)
        conversation_set = ConversationSetFactory()
        items = [row.pk for row in fill(conversation_set, "train", 3)]
        found = open_queue(conversation_set=conversation_set, overlap=overlap, actor=None)
        walk = Walk(found, items)
        for index, step in steps:
            walk.step(people[index], step)
            for person in people:
                remaining = walk.remaining(person)
                assert standing(found, person).remaining == len(remaining)
                assert standing(found, person).is_empty == (not remaining)
        transaction.set_rollback(True)


class Walk:
    """What people did, counted by hand: who submitted what, and who skipped what."""

    def __init__(self, queue: LabellingQueue, items: list[int]) -> None:
        self.queue = queue
        self.items = items
        self.submitted: Counter[int] = Counter()
        self.mine: set[tuple[int, int]] = set()
        self.skipped: set[tuple[int, int]] = set()
        self.before: dict[int, Assignment] = {}

    def remaining(self, person: User) -> list[int]:
        return [
            item
            for item in self.items
            if self.submitted[item] < self.queue.overlap and (item, person.pk) not in self.mine
        ]

    def free(self, person: User) -> list[int]:
        """What the person may be given now: reservations of others that hold are in the way."""
        live = QueueSlot.objects.filter(queue=self.queue, leased_until__gt=timezone.now())
        held = Counter(live.exclude(annotator=person).values_list("completion", flat=True))
        return [
            item
            for item in self.remaining(person)
            if (item, person.pk) not in self.skipped
            and self.submitted[item] + held[item] < self.queue.overlap
        ]

    def step(self, person: User, step: str) -> None:
        item = self.before.get(person.pk)
        if step == "expire":
            live = QueueSlot.objects.filter(queue=self.queue, leased_until__isnull=False)
            live.update(leased_until="2000-01-01T00:00Z")
        elif step == "again":
            requeue_skipped(queue=self.queue, annotator=person)
            self.skipped = {(i, p) for i, p in self.skipped if p != person.pk}
        elif step == "claim":
            free = self.free(person)
            got = claim_next(queue=self.queue, annotator=person)
            assert (got is None) == (not free)
            if got is not None:
                assert got.completion_id in free
                self.before[person.pk] = got
        elif item is not None and step == "complete":
            new = (item.completion_id, person.pk) not in self.mine
            if not complete(assignment=item).is_extra and new:
                self.submitted[item.completion_id] += 1
            self.mine.add((item.completion_id, person.pk))
            self.skipped.discard((item.completion_id, person.pk))
        elif item is not None and (item.completion_id, person.pk) not in self.mine:
            skip(assignment=item)
            self.skipped.add((item.completion_id, person.pk))
