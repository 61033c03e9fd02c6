"""Where queues stand: for everybody, and for one person.

An item is a completion of a queue. It is full when all its places are done; until then it remains
for everybody who has not completed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, F, QuerySet
from django.utils import timezone

from annotation.models import Assignment, ConversationSet, LabellingQueue, QueueSlot


@dataclass(frozen=True)
class Standing:
    """A queue as one person finds it. Numbers count items, except `places` and `places_done`.

    What remains for the person is free now (`available`), in the hands of others at this moment
    (`reserved_by_others`), or `skipped` by the person.
    """

    total: int = 0
    full: int = 0
    places: int = 0
    places_done: int = 0
    done: int = 0
    available: int = 0
    reserved_by_others: int = 0
    skipped: int = 0
    first_free_at: datetime | None = None
    is_reserving: bool = False
    seconds_per_item: float | None = None

    @property
    def remaining(self) -> int:
        """Items that this person can still complete, now or later."""
        return self.available + self.reserved_by_others + self.skipped

    @property
    def is_empty(self) -> bool:
        """Nothing is left for this person, whatever others do."""
        return self.remaining == 0

    @property
    def is_finished(self) -> bool:
        """Every place is done."""
        return self.full == self.total

    @property
    def n_others(self) -> int:
        """Items that this person has done and that wait for somebody else."""
        return self.total - self.full - self.remaining

    @property
    def percent(self) -> int:
        return 100 * self.places_done // self.places if self.places else 100

    @property
    def seconds_left(self) -> float | None:
        """What the person's part will take at the pace so far; None where nothing is known."""
        return None if self.seconds_per_item is None else self.seconds_per_item * self.remaining

    @property
    def seconds_to_first_free(self) -> int | None:
        """Until the first of others' reservations runs out."""
        if self.first_free_at is None:
            return None
        return max(int((self.first_free_at - timezone.now()).total_seconds()) + 1, 0)


# Only places that somebody took are gathered by item: all others are free. So the work grows with
# what was done, not with the queue.
STANDINGS = """
WITH size AS (
    SELECT slot.queue_id, queue.overlap, count(*) AS total
    FROM annotation_queueslot AS slot
    JOIN annotation_labellingqueue AS queue ON queue.id = slot.queue_id
    WHERE slot.queue_id = ANY(%(queues)s) AND slot.ordinal = 0
    GROUP BY slot.queue_id, queue.overlap
), touched AS (
    SELECT queue_id, completion_id, count(*) AS taken, count(completed_at) AS places_done,
           bool_or(leased_until < statement_timestamp()) AS expired,
           bool_or(annotator_id = %(annotator)s AND leased_until IS NOT NULL) AS held,
           min(leased_until) AS until
    FROM annotation_queueslot
    WHERE queue_id = ANY(%(queues)s) AND annotator_id IS NOT NULL
    GROUP BY queue_id, completion_id
), mine AS (
    SELECT queue_id, completion_id, completed_at IS NOT NULL AS done,
           skipped_at IS NOT NULL AS skipped
    FROM annotation_assignment
    WHERE queue_id = ANY(%(queues)s) AND annotator_id = %(annotator)s
), item AS (
    SELECT queue_id, coalesce(places_done, 0) AS places_done,
           places_done IS NOT DISTINCT FROM overlap AS is_full, until,
           coalesce(done, false) AS done, coalesce(skipped, false) AS skipped,
           coalesce(held, false) AS held,
           coalesce(taken < overlap OR expired OR held, true) AS may_have
    FROM touched FULL JOIN mine USING (queue_id, completion_id) JOIN size USING (queue_id)
), counted AS (
    SELECT queue_id, count(*) AS n, count(*) FILTER (WHERE is_full) AS n_full,
           sum(places_done)::bigint AS places_done, count(*) FILTER (WHERE done) AS done,
           count(*) FILTER (WHERE NOT is_full AND NOT done AND NOT skipped AND may_have) AS free,
           count(*) FILTER (WHERE NOT is_full AND NOT done AND NOT skipped AND NOT may_have)
               AS reserved,
           count(*) FILTER (WHERE NOT is_full AND NOT done AND skipped) AS skipped,
           min(until) FILTER (WHERE NOT is_full AND NOT done AND NOT skipped AND NOT may_have)
               AS until,
           bool_or(held) AS held
    FROM item GROUP BY queue_id
)
SELECT queue_id, total, coalesce(n_full, 0), total * overlap, coalesce(places_done, 0),
       coalesce(done, 0), total - coalesce(n, 0) + coalesce(free, 0), coalesce(reserved, 0),
       coalesce(skipped, 0), until, coalesce(held, false)
FROM size LEFT JOIN counted USING (queue_id)
"""
PACE = """
SELECT queue_id, coalesce(
    percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds)
        FILTER (WHERE annotator_id = %(annotator)s),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds))
FROM annotation_assignment
WHERE queue_id = ANY(%(queues)s) AND completed_at IS NOT NULL AND active_seconds > 0
GROUP BY queue_id
"""


def standing(queue: LabellingQueue, annotator: User) -> Standing:
    """Where the queue stands for the person. Reads all its places: `position` is for each item."""
    return standings([queue.pk], annotator)[queue.pk]


def standings(queues: Sequence[int], annotator: User) -> dict[int, Standing]:
    """Queue pk -> standing, in two queries."""
    names: dict[str, Any] = {"queues": list(queues), "annotator": annotator.pk}
    with connection.cursor() as cursor:
        cursor.execute(PACE, names)
        pace = dict(cursor.fetchall())
        cursor.execute(STANDINGS, names)
        found = {
            pk: replace(Standing(*counts), seconds_per_item=pace.get(pk))
            for pk, *counts in cursor.fetchall()
        }
    return {pk: found.get(pk, Standing()) for pk in queues}


@dataclass(frozen=True)
class Position:
    """How far a person is, for the head of each labelling page: one index scan over their work."""

    done: int
    skipped: int
    total: int


def position(queue: LabellingQueue, annotator: User) -> Position:
    mine = Assignment.objects.filter(queue=queue, annotator=annotator)
    counts = mine.aggregate(done=Count("completed_at"), skipped=Count("skipped_at"))
    return Position(counts["done"], counts["skipped"], queue_size(queue.pk))


@lru_cache(maxsize=1_000)
def queue_size(queue: int) -> int:
    """How many items a queue has. It never changes, so it is counted once in each process."""
    return QueueSlot.objects.filter(queue=queue, ordinal=0).count()


def queues() -> QuerySet[LabellingQueue]:
    """Open ones first, then the newest."""
    return (
        LabellingQueue.objects.select_related("conversation_set", "created_by", "closed_by")
        .annotate(n_propositions=Count("propositions"))
        .order_by(F("closed_at").desc(nulls_first=True), "-pk")
    )


@dataclass(frozen=True)
class QueueLine:
    """A queue of the list with where it stands for the person who looks."""

    queue: LabellingQueue
    standing: Standing

    @property
    def is_mine(self) -> bool:
        """Whether there is something here for the person to do, or to wait for."""
        return self.queue.closed_at is None and not self.standing.is_empty


def queue_lines(found: Iterable[LabellingQueue], annotator: User) -> list[QueueLine]:
    rows = list(found)
    by_queue = standings([row.pk for row in rows], annotator)
    return [QueueLine(row, by_queue[row.pk]) for row in rows]


def open_queues(conversation_set: ConversationSet) -> QuerySet[LabellingQueue]:
    return queues().filter(conversation_set=conversation_set, closed_at=None)


@dataclass(frozen=True)
class QueuePerson:
    """What one person did in a queue."""

    name: str
    done: int
    extra: int
    skipped: int
    median_seconds: float | None
    last_at: datetime | None
    reserved_until: datetime | None

    @property
    def is_working(self) -> bool:
        return self.reserved_until is not None and self.reserved_until > timezone.now()


PEOPLE = """
SELECT person.username, count(work.completed_at), count(*) FILTER (WHERE work.is_extra),
       count(work.skipped_at),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY work.active_seconds)
           FILTER (WHERE work.completed_at IS NOT NULL AND work.active_seconds > 0),
       max(greatest(work.claimed_at, work.beat_at, work.completed_at)),
       (SELECT max(slot.leased_until) FROM annotation_queueslot AS slot
        WHERE slot.queue_id = %(queue)s AND slot.annotator_id = person.id
          AND slot.leased_until IS NOT NULL)
FROM annotation_assignment AS work JOIN auth_user AS person ON person.id = work.annotator_id
WHERE work.queue_id = %(queue)s
GROUP BY person.id, person.username ORDER BY count(work.completed_at) DESC, person.username
"""


def queue_people(queue: LabellingQueue) -> list[QueuePerson]:
    """Everybody who was given an item, who did most first."""
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, {"queue": queue.pk})
        return [QueuePerson(*row) for row in cursor.fetchall()]
