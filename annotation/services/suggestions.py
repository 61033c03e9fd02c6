"""Remembers who was shown a grader's suggestions before answering."""

from __future__ import annotations

from annotation.models import Assignment


def see_suggestions(*, assignment: Assignment) -> None:
    """The person has the item's suggestions before them: what they answer now is not blind."""
    Assignment.objects.filter(pk=assignment.pk, prelabels_seen=False).update(prelabels_seen=True)
