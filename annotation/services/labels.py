"""Records what a person says about a completion."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from annotation.models import Completion, Label, LabelEvent, Proposition
from annotation.models.labels import Answer


@transaction.atomic
def record_label(
    *, completion: Completion, proposition: Proposition, answer: Answer, actor: User
) -> Label:
    """Make `answer` the person's current label, and append the change to its events.

    The same answer again changes nothing and appends nothing.
    """
    label, created = Label.objects.select_for_update().get_or_create(
        completion=completion,
        proposition=proposition,
        annotator=actor,
        defaults={"answer": answer},
    )
    old = "" if created else label.answer
    if old != answer:
        LabelEvent.objects.create(label=label, actor=actor, old=old, new=answer)
        label.answer = answer
        label.save(update_fields=["answer", "updated_at"])
    return label
