"""Opens labelling queues and hands out their items: one place, one person, until done or let go.

A place is reserved by a lease that the page renews while it is in use. An item whose lease ran out
may go to somebody else; what was labelled so far stays, and whoever completes it all the same
takes a free place there or, if there is none, is recorded as extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.models import (
    Assignment,
    ConversationSet,
    LabellingQueue,
    Proposition,
    QueueSlot,
)
from annotation.selectors.queue_order import (
    BREADTH_FIRST,
    LARGEST_OVERLAP,
    NEEDS_VERDICTS,
    Chosen,
    ordered_completions,
    selected_completions,
)
from annotation.services import slots
from annotation.services.labels import reveal
from annotation.verdicts import verdicts
from rbr_app.rbr.conversations import fingerprint

CHUNK = 50_000
ANALYZE_FROM = 1_000
"""Places from which on the planner is told at once what a new queue looks like."""

# Rank says in which order places are given away: one completion after the other, or, breadth
# first, everybody's first place before anybody's second.
FILL = """
INSERT INTO annotation_queueslot (queue_id, completion_id, ordinal, rank)
SELECT %(queue)s, chosen.completion, seat.ordinal,
       CASE WHEN %(breadth_first)s THEN seat.ordinal * %(n)s + chosen.position - 1
            ELSE (chosen.position - 1) * %(overlap)s + seat.ordinal END
FROM unnest(%(completions)s::bigint[]) WITH ORDINALITY AS chosen (completion, position)
CROSS JOIN generate_series(0, %(overlap)s - 1) AS seat (ordinal)
"""
SUGGEST = """
INSERT INTO annotation_prelabel (queue_id, completion_id, proposition_id, p)
SELECT %(queue)s, *
FROM unnest(%(completions)s::bigint[], %(propositions)s::bigint[], %(ps)s::float8[])
"""


class QueueRefused(ValueError):
    """A queue that makes no sense as asked for; nothing was written."""


@dataclass(frozen=True)
class Lease:
    """Until when an item is reserved. Without `held` it may be somebody else's by now.

    A completed item is held for good: `until` is None.
    """

    until: datetime | None
    held: bool


def open_queue(
    *,
    conversation_set: ConversationSet,
    name: str = "",
    order: str = LabellingQueue.Order.SEQUENCE,
    overlap: int = 1,
    propositions: Sequence[str] = (),
    selection: Mapping[str, str] | None = None,
    completions: Sequence[int] | None = None,
    seed: int = 0,
    verdict_source: str = "",
    prelabel_source: str = "",
    actor: User | None,
) -> LabellingQueue:
    """A queue of the completions that `selection` chooses, or of exactly those that are named.

    All of the policy's propositions are asked unless some are named. An open queue that was asked
    for in the same words is returned as it is. Raises `QueueRefused` when nothing is chosen, for
    an unknown proposition, order or grader run.
    """
    wanted = {key: value for key, value in (selection or {}).items() if value}
    keys = _checked(conversation_set, order, overlap, propositions, verdict_source, prelabel_source)
    digest = fingerprint(
        [
            *(conversation_set.pk, order, overlap, keys, wanted, verdict_source, prelabel_source),
            None if completions is None else list(completions),
            seed if order == LabellingQueue.Order.RANDOM else 0,
        ]
    )
    standing = LabellingQueue.objects.filter(fingerprint=digest, closed_at=None)
    if existing := standing.first():
        return existing
    chosen = Chosen(conversation_set, keys, order, seed, verdict_source)
    pks = selected_completions(chosen, wanted, completions)
    if not pks:
        raise QueueRefused(f"no completion of {conversation_set} meets this filter")
    ranked = ordered_completions(chosen, pks)
    try:
        with transaction.atomic():
            queue = LabellingQueue.objects.create(
                conversation_set=conversation_set,
                name=name.strip() or _name(conversation_set, order, wanted),
                order=order,
                seed=seed,
                overlap=overlap,
                selection=wanted,
                verdict_source=verdict_source,
                prelabel_source=prelabel_source,
                fingerprint=digest,
                created_by=actor,
            )
            rows = Proposition.objects.filter(policy=conversation_set.policy_id, key__in=keys)
            queue.propositions.set(rows if propositions else ())
            _fill(queue, ranked)
            _suggest(queue, ranked, keys)
    except IntegrityError:
        # Somebody asked for the same queue in the same moment.
        return standing.get()
    return queue


def _checked(
    conversation_set: ConversationSet,
    order: str,
    overlap: int,
    propositions: Sequence[str],
    verdict_source: str,
    prelabel_source: str,
) -> list[str]:
    """The keys of the propositions to ask, in the policy's order."""
    known = conversation_set.policy.latest.as_policy().proposition_keys
    if unknown := set(propositions) - set(known):
        raise QueueRefused(f"unknown proposition {min(unknown)!r}")
    if order not in LabellingQueue.Order.values:
        raise QueueRefused(f"unknown order {order!r}")
    if not 1 <= overlap <= LARGEST_OVERLAP:
        raise QueueRefused(f"between 1 and {LARGEST_OVERLAP} people can label a completion")
    if order in NEEDS_VERDICTS and not verdict_source:
        raise QueueRefused("this order needs a grader run: choose one")
    if given := {verdict_source, prelabel_source} - {""}:
        sources = {source.key for source in verdicts().sources(conversation_set)}
        if missing := given - sources:
            raise QueueRefused(f"{min(missing)!r} is no grader run of {conversation_set}")
    return [key for key in known if key in propositions or not propositions]


def _name(conversation_set: ConversationSet, order: str, wanted: Mapping[str, str]) -> str:
    """Such as "gold: train, undecided, random"."""
    parts = [value.replace("_", " ") for value in wanted.values()] or ["all"]
    if order != LabellingQueue.Order.SEQUENCE:
        parts.append(LabellingQueue.Order(order).label)
    return f"{conversation_set.name}: {', '.join(parts)}"[:200]


def _fill(queue: LabellingQueue, completions: Sequence[int]) -> None:
    values: dict[str, Any] = {
        "queue": queue.pk,
        "completions": list(completions),
        "n": len(completions),
        "overlap": queue.overlap,
        "breadth_first": queue.order in BREADTH_FIRST,
    }
    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
        if len(completions) * queue.overlap >= ANALYZE_FROM:
            cursor.execute("ANALYZE annotation_queueslot")


def _suggest(queue: LabellingQueue, completions: Sequence[int], keys: Sequence[str]) -> None:
    """Copy the grader's probabilities: what is suggested does not change while people work."""
    if not queue.prelabel_source:
        return
    rows = Proposition.objects.filter(policy=queue.conversation_set.policy_id, key__in=keys)
    pk_of = dict(rows.values_list("key", "pk"))
    members = set(completions)
    found = [
        (completion, pk_of[key], p)
        for (completion, key), p in verdicts()
        .probabilities(queue.prelabel_source, completions)
        .items()
        if completion in members and key in pk_of
    ]
    with connection.cursor() as cursor:
        for start in range(0, len(found), CHUNK):
            part = found[start : start + CHUNK]
            names = ("completions", "propositions", "ps")
            columns = dict(zip(names, map(list, zip(*part, strict=True)), strict=True))
            cursor.execute(SUGGEST, {"queue": queue.pk, **columns})


@transaction.atomic
def close_queue(*, queue: LabellingQueue, actor: User) -> LabellingQueue:
    """Hand out nothing more. What people have before them they may still complete."""
    LabellingQueue.objects.filter(pk=queue.pk, closed_at=None).update(
        closed_at=timezone.now(), closed_by=actor
    )
    queue.refresh_from_db(fields=["closed_at", "closed_by"])
    return queue


@transaction.atomic
def claim_next(*, queue: LabellingQueue, annotator: User) -> Assignment | None:
    """The item that the person goes on with, or else the next one, reserved for them.

    None only when the queue is closed or there is nothing that they may have at this moment.
    """
    slots.take_turns(queue.pk, annotator.pk)
    if LabellingQueue.objects.filter(pk=queue.pk, closed_at=None).exists():
        place = slots.own_place(queue, annotator) or slots.next_place(queue, annotator)
        if place is not None:
            slots.reserve(place, queue, annotator)
            return slots.assign(place, queue, annotator)
    return None


@transaction.atomic
def renew_lease(*, assignment: Assignment, active_seconds: float) -> Lease:
    """Say that the page is in use, `active_seconds` of the time since it last said so.

    A lease that ran out is renewed if nobody took the place in the meantime.
    """
    current = _mine(assignment)
    if current.completed_at is not None:
        return Lease(None, held=True)
    now = timezone.now()
    since = max((now - (current.beat_at or current.claimed_at)).total_seconds(), 0.0)
    current.active_seconds += min(max(active_seconds, 0.0), since)
    current.beat_at = now
    current.save(update_fields=["active_seconds", "beat_at"])
    place = slots.own_place_at(current)
    if place is None:
        return Lease(None, held=False)
    return Lease(slots.reserve(place, current.queue, current.annotator), held=True)


@transaction.atomic
def complete(*, assignment: Assignment) -> Assignment:
    """The person has said what they have to say; from now on they may see what others said.

    Without a place of their own they take one that is free there, else the work is extra.
    """
    current = _mine(assignment)
    if current.completed_at is not None:
        return current
    place = slots.place_at(current)
    now = timezone.now()
    if place is not None:
        QueueSlot.objects.filter(pk=place.slot).update(
            annotator=current.annotator, leased_until=None, completed_at=now
        )
    current.completed_at = now
    current.skipped_at = None
    current.is_extra = place is None
    current.save(update_fields=["completed_at", "skipped_at", "is_extra"])
    reveal(completion=current.completion, annotator=current.annotator)
    return current


@transaction.atomic
def skip(*, assignment: Assignment) -> Assignment:
    """Leave the item to others. The person gets it again only when they ask for what they skipped.

    A completed item stays completed.
    """
    current = _mine(assignment)
    if current.completed_at is not None or current.skipped_at is not None:
        return current
    if (place := slots.own_place_at(current)) is not None:
        QueueSlot.objects.filter(pk=place.slot).update(annotator=None, leased_until=None)
    current.skipped_at = timezone.now()
    current.save(update_fields=["skipped_at"])
    return current


@transaction.atomic
def requeue_skipped(*, queue: LabellingQueue, annotator: User) -> int:
    """Put what the person skipped at the end of their own queue; how many items that are."""
    slots.take_turns(queue.pk, annotator.pk)
    skipped = Assignment.objects.filter(queue=queue, annotator=annotator, skipped_at__isnull=False)
    return skipped.update(skipped_at=None)


@transaction.atomic
def reopen(*, assignment: Assignment) -> Assignment:
    """Go back to an item. One that was skipped or let go is reserved again if a place is free.

    A completed one stays completed: what is changed now was changed after the reveal.
    """
    current = _mine(assignment)
    if current.completed_at is not None:
        return current
    if (place := slots.place_at(current)) is not None:
        slots.reserve(place, current.queue, current.annotator)
    if current.skipped_at is not None:
        current.skipped_at = None
        current.save(update_fields=["skipped_at"])
    return current


def _mine(assignment: Assignment) -> Assignment:
    """The assignment as it is now; the person's other requests about the queue wait."""
    slots.take_turns(assignment.queue_id, assignment.annotator_id)
    found = Assignment.objects.select_related("queue", "annotator", "completion")
    return found.get(pk=assignment.pk)
