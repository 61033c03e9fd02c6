"""Where a person has been: their last answers and items, each with the page it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from annotation.models import Assignment, Completion, LabelEvent, QueueSlot

SHOWN = 10


@dataclass(frozen=True)
class Decision:
    """An answer that was given, and the item of a queue that it belongs to, if any."""

    event: LabelEvent
    assignment: Assignment | None


def decisions(events: Iterable[LabelEvent], annotator: User) -> list[Decision]:
    """The answers with their items: the newest item of the person that asks the proposition."""
    found = list(events)
    completions = {event.label.completion_id for event in found}
    items: dict[int, list[Assignment]] = {}
    for item in (
        Assignment.objects.filter(annotator=annotator, completion__in=completions)
        .select_related("queue")
        .prefetch_related("queue__propositions")
        .order_by("-claimed_at", "-pk")
    ):
        items.setdefault(item.completion_id, []).append(item)
    return [
        Decision(event, _item(event, items.get(event.label.completion_id, []))) for event in found
    ]


def _item(event: LabelEvent, items: list[Assignment]) -> Assignment | None:
    for item in items:
        asked = item.queue.propositions.all()
        if not asked or event.label.proposition in asked:
            return item
    return None


def last_completed(assignment: Assignment) -> Assignment | None:
    """The item of the same queue that the person completed last, other than this one."""
    return (
        Assignment.objects.filter(
            queue=assignment.queue_id,
            annotator=assignment.annotator_id,
            completed_at__isnull=False,
        )
        .exclude(pk=assignment.pk)
        .order_by("-completed_at")
        .first()
    )


def reserved_until(assignment: Assignment) -> datetime | None:
    """When the person's reservation of the item ends, or ended; None where there is none."""
    return (
        QueueSlot.objects.filter(
            queue=assignment.queue_id,
            completion=assignment.completion_id,
            annotator=assignment.annotator_id,
        )
        .values_list("leased_until", flat=True)
        .first()
    )


def label_events(completion: Completion) -> list[LabelEvent]:
    """The last changes of a completion's labels by anybody, newest first."""
    return list(
        LabelEvent.objects.filter(label__completion=completion)
        .select_related("label__proposition", "actor")
        .order_by("-at", "-pk")[:SHOWN]
    )
