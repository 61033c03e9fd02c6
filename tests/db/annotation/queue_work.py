"""What the tests of labelling queues do: open one, take an item, let time pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from annotation.models import Assignment, ConversationSet, LabellingQueue
from annotation.services.queues import claim_next, open_queue


def order_of(queue: LabellingQueue) -> list[int]:
    """Completions by the rank of their first place."""
    first = queue.slots.filter(ordinal=0).order_by("rank")
    return list(first.values_list("completion", flat=True))


def opened(conversation_set: ConversationSet, **request: Any) -> LabellingQueue:
    return open_queue(conversation_set=conversation_set, actor=None, **request)


def claim(queue: LabellingQueue, person: User) -> Assignment:
    found = claim_next(queue=queue, annotator=person)
    assert found is not None
    return found


def expire(queue: LabellingQueue) -> None:
    """Let every reservation run out a minute ago."""
    reserved = queue.slots.filter(leased_until__isnull=False)
    reserved.update(leased_until=timezone.now() - timedelta(minutes=1))
