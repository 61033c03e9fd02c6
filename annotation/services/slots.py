"""Finds and moves the places of a queue. The callers hold the transaction.

Times are the database's: `statement_timestamp()` goes on within a transaction, unlike `now()`, and
unlike `clock_timestamp()` it can bound the scan of an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from annotation.models import Assignment, LabellingQueue

LEASE_MEDIANS = 3.0
SHORTEST_LEASE = 120.0
FIRST_LEASE = 600.0
LONGEST_LEASE = 3600.0
"""Seconds. A lease is `LEASE_MEDIANS` times what the person's items of this queue took, within
bounds; `FIRST_LEASE` until `KNOWN` of them are done, of which the last `RECENT` count."""
KNOWN = 3
RECENT = 50

# Of what a person may be given nothing counts that they have completed or skipped. A reservation
# that ran out is no end: its item may be given to them again.
NOT_ENDED = """
NOT EXISTS (
    SELECT 1 FROM annotation_assignment AS ended
    WHERE ended.queue_id = slot.queue_id AND ended.completion_id = slot.completion_id
      AND ended.annotator_id = %(annotator)s
      AND (ended.completed_at IS NOT NULL OR ended.skipped_at IS NOT NULL)
)
"""
OPEN = "slot.queue_id = %(queue)s AND slot.annotator_id IS NULL"
EXPIRED = "slot.queue_id = %(queue)s AND slot.leased_until < statement_timestamp()"
CURSOR = """
SELECT rank FROM annotation_assignment
WHERE queue_id = %(queue)s AND annotator_id = %(annotator)s ORDER BY rank DESC LIMIT 1
"""
FIELDS = "SELECT slot.id, slot.completion_id, slot.rank FROM annotation_queueslot AS slot"
EXPIRED_FIRST = f"""
{FIELDS} WHERE {EXPIRED} AND {NOT_ENDED}
ORDER BY slot.leased_until, slot.id LIMIT 1
"""
NEXT_IN_ORDER = f"""
{FIELDS} WHERE {OPEN} AND slot.rank > coalesce(({CURSOR}), -1) AND {NOT_ENDED}
ORDER BY slot.rank LIMIT 1
"""
UNFINISHED = f"""
{FIELDS}
JOIN annotation_assignment AS begun
  ON begun.queue_id = slot.queue_id AND begun.completion_id = slot.completion_id
WHERE {OPEN} AND begun.annotator_id = %(annotator)s
  AND begun.completed_at IS NULL AND begun.skipped_at IS NULL
ORDER BY begun.rank, slot.id LIMIT 1
"""
FROM_THE_START = f"""
{FIELDS} WHERE {OPEN} AND {NOT_ENDED} ORDER BY slot.rank LIMIT 1
"""
OWN = f"""
{FIELDS}
WHERE slot.queue_id = %(queue)s AND slot.leased_until IS NOT NULL
  AND slot.annotator_id = %(annotator)s
ORDER BY slot.leased_until DESC LIMIT 1
"""
OWN_OF_COMPLETION = f"""
{FIELDS}
WHERE slot.queue_id = %(queue)s AND slot.completion_id = %(completion)s
  AND slot.annotator_id = %(annotator)s AND slot.leased_until IS NOT NULL
"""
FREE_OF_COMPLETION = f"""
{FIELDS}
WHERE slot.queue_id = %(queue)s AND slot.completion_id = %(completion)s
  AND (slot.annotator_id IS NULL OR slot.leased_until < statement_timestamp())
ORDER BY slot.leased_until NULLS FIRST, slot.id LIMIT 1
"""
LOCK = "FOR UPDATE OF slot"
WAIT = "SELECT id FROM annotation_queueslot WHERE id = %(slot)s FOR UPDATE"
LEASE = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY active_seconds), count(*)
FROM (
    SELECT active_seconds FROM annotation_assignment
    WHERE queue_id = %(queue)s AND annotator_id = %(annotator)s
      AND completed_at IS NOT NULL AND active_seconds > 0
    ORDER BY completed_at DESC LIMIT %(recent)s
) AS done
"""
RESERVE = """
UPDATE annotation_queueslot
SET annotator_id = %(annotator)s, completed_at = NULL,
    leased_until = statement_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = %(slot)s RETURNING leased_until
"""
# The cursor never goes past what the person saw in order: an item that came from the end of
# somebody's lease, or from behind, leaves it where it is.
ASSIGN = f"""
INSERT INTO annotation_assignment AS held (
    queue_id, completion_id, annotator_id, rank,
    claimed_at, active_seconds, prelabels_seen, is_extra
) VALUES (
    %(queue)s, %(completion)s, %(annotator)s,
    CASE WHEN %(in_order)s THEN %(rank)s ELSE least(%(rank)s, coalesce(({CURSOR}), -1)) END,
    statement_timestamp(), 0, false, false
)
ON CONFLICT (queue_id, completion_id, annotator_id) DO UPDATE
SET claimed_at = excluded.claimed_at, beat_at = NULL
RETURNING id
"""  # noqa: S608 (made of constants)
TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))"


@dataclass(frozen=True)
class Place:
    """A slot, locked for this transaction. `in_order`: it lies ahead of the person's cursor."""

    slot: int
    completion: int
    rank: int
    in_order: bool = False


def take_turns(queue: int, annotator: int) -> None:
    """One person's requests about one queue wait for each other, as those of two tabs."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TURNS, {"name": f"annotation.queue {queue} of {annotator}"})


def own_place(queue: LabellingQueue, annotator: User) -> Place | None:
    """What the person has reserved, also if the lease ran out and nobody took it since."""
    return _find(f"{OWN} {LOCK}", _names(queue, annotator))


def next_place(queue: LabellingQueue, annotator: User) -> Place | None:
    """The place to be given next: None only when there is none that the person may have.

    First what others let expire, then the next in order, then what was begun or put off, then
    from the start. Each query walks an index and stops at its first row.
    """
    names = _names(queue, annotator)
    return _take((EXPIRED_FIRST, NEXT_IN_ORDER, UNFINISHED, FROM_THE_START), names)


def _take(queries: Sequence[str], names: dict[str, Any]) -> Place | None:
    """The first row of the first query that has one, locked.

    A row that others hold at this moment may still be let go, so it is waited for; and for one at
    a time, holding no other, for people who wait for each other's rows would wait for good.
    """
    while True:
        for query in queries:
            found = _find(f"{query} {LOCK} SKIP LOCKED", names)
            if found:
                return replace(found, in_order=query is NEXT_IN_ORDER)
        contested = next(filter(None, (_find(query, names) for query in queries)), None)
        if contested is None:
            return None
        savepoint = transaction.savepoint()
        _row(WAIT, {"slot": contested.slot})
        transaction.savepoint_rollback(savepoint)


def place_at(assignment: Assignment) -> Place | None:
    """A place at the assignment's completion: the person's own, else an open one, else expired."""
    return own_place_at(assignment) or _take((FREE_OF_COMPLETION,), _names_of(assignment))


def own_place_at(assignment: Assignment) -> Place | None:
    """The person's reservation at the assignment's completion, if nobody took it over."""
    return _find(f"{OWN_OF_COMPLETION} {LOCK}", _names_of(assignment))


def reserve(place: Place, queue: LabellingQueue, annotator: User) -> Any:
    """Give the place to the person until the time that is returned."""
    names = _names(queue, annotator)
    seconds = lease_seconds(queue.pk, annotator.pk)
    return _row(RESERVE, {**names, "slot": place.slot, "seconds": seconds})[0]


def assign(place: Place, queue: LabellingQueue, annotator: User) -> Assignment:
    """The person's assignment to the place's completion: a new one, or that which was begun."""
    found = {"completion": place.completion, "rank": place.rank, "in_order": place.in_order}
    pk = _row(ASSIGN, {**_names(queue, annotator), **found})[0]
    return Assignment.objects.select_related("queue", "annotator").get(pk=pk)


def lease_seconds(queue: int, annotator: int) -> float:
    """How long the person may be silent before an item goes to somebody else."""
    names = {"queue": queue, "annotator": annotator, "recent": RECENT}
    median, n = _row(LEASE, names)
    wanted = LEASE_MEDIANS * median if n >= KNOWN else FIRST_LEASE
    return float(min(max(wanted, SHORTEST_LEASE), LONGEST_LEASE))


def _names(queue: LabellingQueue, annotator: User) -> dict[str, Any]:
    return {"queue": queue.pk, "annotator": annotator.pk}


def _names_of(assignment: Assignment) -> dict[str, Any]:
    return {
        "queue": assignment.queue_id,
        "annotator": assignment.annotator_id,
        "completion": assignment.completion_id,
    }


def _find(query: str, names: dict[str, Any]) -> Place | None:
    with connection.cursor() as cursor:
        cursor.execute(query, names)
        row = cursor.fetchone()
    return None if row is None else Place(*row)


def _row(query: str, names: dict[str, Any]) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query, names)
        row = cursor.fetchone()
    assert row is not None  # noqa: S101 (each of these queries returns one row)
    return tuple(row)
