"""How the labelling of a set goes: per person, per queue, and for each of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count, F
from django.utils import timezone

from annotation.models import ConversationSet, Label, LabellingQueue
from annotation.models.labels import WITHDRAWN
from annotation.selectors.agreement import person_agreement
from rbr_app.rbr.agreement import Estimate


@dataclass(frozen=True)
class Work:
    """What was done, by one person or by all, in one queue or in all.

    `remaining` are items with free places that the person has not completed; of all people,
    items that are not full. `timed` of the `done` items have a measured time.
    """

    done: int = 0
    extra: int = 0
    skipped: int = 0
    flagged: int = 0
    remaining: int = 0
    timed: int = 0
    active_seconds: float = 0.0
    median_seconds: float | None = None
    last_at: datetime | None = None
    reserved_until: datetime | None = None

    @property
    def per_hour(self) -> float | None:
        """Items per hour in which a labelling page was in use."""
        return 3600 * self.timed / self.active_seconds if self.active_seconds else None

    @property
    def counts(self) -> tuple[int, int, int]:
        """What happened besides: skipped, flagged, extra."""
        return self.skipped, self.flagged, self.extra

    @property
    def is_working(self) -> bool:
        return self.reserved_until is not None and self.reserved_until > timezone.now()


@dataclass(frozen=True)
class PersonProgress:
    name: str
    work: Work


@dataclass(frozen=True)
class QueueProgress:
    """A queue with the work of all people and of each."""

    queue: LabellingQueue
    total: int
    places: int
    places_done: int
    work: Work
    people: tuple[PersonProgress, ...]

    @property
    def percent(self) -> int:
        return 100 * self.places_done // self.places if self.places else 100

    @property
    def seconds_left(self) -> float | None:
        """Working time until all places are done, at the median pace so far."""
        median = self.work.median_seconds
        return None if median is None else median * (self.places - self.places_done)


@dataclass(frozen=True)
class SetProgress:
    work: Work
    places: int
    places_done: int
    people: tuple[PersonProgress, ...]
    queues: tuple[QueueProgress, ...]

    @property
    def is_active(self) -> bool:
        """Somebody has an item before them."""
        return any(person.work.is_working for person in self.people)

    @property
    def percent(self) -> int:
        return 100 * self.places_done // self.places if self.places else 0

    @property
    def seconds_left(self) -> float | None:
        known = [
            row.seconds_left
            for row in self.queues
            if row.queue.closed_at is None and row.seconds_left is not None
        ]
        return sum(known) if known else None


# What remains is counted for open queues alone: a closed one hands out nothing.
SIZES = """
WITH size AS (
    SELECT queue_id, count(*) AS total FROM annotation_queueslot
    WHERE queue_id = ANY(%(queues)s) AND ordinal = 0 GROUP BY queue_id
), item AS (
    SELECT queue_id, completion_id, count(*) AS done FROM annotation_queueslot
    WHERE queue_id = ANY(%(queues)s) AND completed_at IS NOT NULL
    GROUP BY queue_id, completion_id
)
SELECT queue.id, total, total * overlap, coalesce(sum(item.done), 0)::bigint,
       total - count(*) FILTER (WHERE item.done = overlap)
FROM annotation_labellingqueue AS queue
JOIN size ON size.queue_id = queue.id
LEFT JOIN item ON item.queue_id = queue.id
GROUP BY queue.id, total
"""
WORK = """
WITH full_item AS (
    SELECT slot.queue_id, slot.completion_id FROM annotation_queueslot AS slot
    JOIN annotation_labellingqueue AS queue ON queue.id = slot.queue_id
    WHERE slot.queue_id = ANY(%(queues)s) AND slot.completed_at IS NOT NULL
    GROUP BY slot.queue_id, slot.completion_id, queue.overlap HAVING count(*) = queue.overlap
), work AS (
    SELECT held.*, full_item.queue_id IS NULL AS is_open, coalesce(note.flagged, false) AS flagged
    FROM annotation_assignment AS held
    LEFT JOIN full_item
      ON full_item.queue_id = held.queue_id AND full_item.completion_id = held.completion_id
    LEFT JOIN annotation_completionnote AS note
      ON note.completion_id = held.completion_id AND note.author_id = held.annotator_id
    WHERE held.queue_id = ANY(%(queues)s)
)
SELECT queue_id, annotator_id, count(completed_at), count(*) FILTER (WHERE is_extra),
       count(skipped_at), count(DISTINCT completion_id) FILTER (WHERE flagged),
       count(*) FILTER (WHERE completed_at IS NOT NULL AND is_open),
       count(*) FILTER (WHERE completed_at IS NOT NULL AND active_seconds > 0),
       coalesce(sum(active_seconds) FILTER (WHERE completed_at IS NOT NULL), 0),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds)
           FILTER (WHERE completed_at IS NOT NULL AND active_seconds > 0),
       max(greatest(claimed_at, beat_at, completed_at))
FROM work GROUP BY GROUPING SETS ((queue_id, annotator_id), (queue_id), (annotator_id), ())
"""
RESERVED = """
SELECT queue_id, annotator_id, max(leased_until) FROM annotation_queueslot
WHERE queue_id = ANY(%(queues)s) AND leased_until IS NOT NULL
GROUP BY GROUPING SETS ((queue_id, annotator_id), (annotator_id))
"""
Who = tuple[int | None, int | None]
"""Queue pk, user pk; None stands for all of them."""


def set_progress(conversation_set: ConversationSet) -> SetProgress:
    """All queues of the set. Five queries, however many there are."""
    found = conversation_set.queues.order_by(F("closed_at").desc(nulls_first=True), "-pk")
    queues = list(found)
    names = {"queues": [row.pk for row in queues]}
    with connection.cursor() as cursor:
        cursor.execute(SIZES, names)
        sizes = {pk: counts for pk, *counts in cursor.fetchall()}
        cursor.execute(RESERVED, names)
        reserved = {(queue, person): until for queue, person, until in cursor.fetchall()}
        cursor.execute(WORK, names)
        rows = {(row[0], row[1]): row[2:] for row in cursor.fetchall()}
    people = _names({person for _, person in rows if person is not None})
    is_open = {row.pk: row.closed_at is None for row in queues}

    def not_full(queue: int | None) -> int:
        asked = is_open if queue is None else [queue]
        return sum(sizes[pk][3] for pk in asked if is_open[pk])

    def finished_part(who: Who) -> int:
        """Items of open queues that the person has done and others have not."""
        queue, person = who
        if person is None:
            return 0
        asked = is_open if queue is None else [queue]
        return sum(rows[pk, person][4] for pk in asked if is_open[pk] and (pk, person) in rows)

    def work(who: Who) -> Work:
        remaining = not_full(who[0]) - finished_part(who)
        if who not in rows:
            return Work(remaining=remaining)
        done, extra, skipped, flagged, _, timed, seconds, median, last_at = rows[who]
        return Work(
            done, extra, skipped, flagged, remaining, timed, seconds, median, last_at,
            reserved.get(who),
        )  # fmt: skip

    def persons(queue: int | None) -> tuple[PersonProgress, ...]:
        found = [PersonProgress(people[p], work((q, p))) for q, p in rows if q == queue and p]
        return tuple(sorted(found, key=lambda row: (-row.work.done, row.name)))

    return SetProgress(
        work=work((None, None)),
        # Of a closed queue only what was done: the rest will not be.
        places=sum(sizes[row.pk][1 if is_open[row.pk] else 2] for row in queues),
        places_done=sum(sizes[row.pk][2] for row in queues),
        people=persons(None),
        queues=tuple(
            QueueProgress(row, n, places, done, work((row.pk, None)), persons(row.pk))
            for row in queues
            for n, places, done, _ in [sizes[row.pk]]
        ),
    )


def _names(people: set[int]) -> dict[int, str]:
    return dict(User.objects.filter(pk__in=people).values_list("pk", "username"))


@dataclass(frozen=True)
class PersonAnswers:
    """What a person answered on a set, in queues and outside of them."""

    name: str
    completions: int
    answers: int
    agreement: Estimate


def people_answers(conversation_set: ConversationSet) -> list[PersonAnswers]:
    """Everybody who labelled, with how often others answered the same; reads every label."""
    counts = (
        Label.objects.filter(
            completion__conversation__conversation_set=conversation_set, annotator__isnull=False
        )
        .exclude(answer=WITHDRAWN)
        .values_list("annotator", "annotator__username")
        .annotate(completions=Count("completion", distinct=True), answers=Count("pk"))
        .order_by("-answers", "annotator__username")
    )
    rows = list(counts)
    agreement = person_agreement(conversation_set) if len(rows) > 1 else {}
    alone = Estimate(reason="nobody else labelled the same completions")
    return [
        PersonAnswers(name, completions, answers, agreement.get(pk, alone))
        for pk, name, completions, answers in rows
    ]
