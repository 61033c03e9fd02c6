"""Records what a person says about a completion, and takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from annotation.models import (
    Completion,
    CompletionNote,
    Label,
    LabelEvent,
    PolicyVersion,
    Proposition,
    Reveal,
)
from annotation.models.labels import WITHDRAWN, Answer
from annotation.services.gold_truths import lock_completions, refresh_gold_truths

Kind = LabelEvent.Kind


@dataclass(frozen=True)
class Click:
    """How an answer reached us. `at` is the person's clock, `client_id` the browser's name for it.

    `prelabel` is the answer that was suggested on the page.
    """

    at: datetime | None = None
    client_id: UUID | None = None
    prelabel: str = ""


@transaction.atomic
def record_label(
    *,
    completion: Completion,
    proposition: Proposition,
    answer: Answer,
    actor: User,
    policy_version: PolicyVersion,
    click: Click = Click(),
) -> Label:
    """Make `answer` the person's current label and append an event; the label as it is now.

    The same answer again, or the same click sent twice, leaves the answer as it is and adds no
    event. A click that is older than the one the label holds (it waited in an offline browser) is
    kept as an event only.
    """
    now = timezone.now()
    lock_completions([completion.pk])
    if click.client_id is not None:
        sent = LabelEvent.objects.filter(actor=actor, client_id=click.client_id)
        if (event := sent.select_related("label").first()) is not None:
            return event.label
    clicked_at = min(click.at or now, now)
    label, created = Label.objects.get_or_create(
        completion=completion,
        proposition=proposition,
        annotator=actor,
        defaults={
            "answer": WITHDRAWN,
            "policy_version": policy_version,
            "clicked_at": clicked_at,
        },
    )
    late = not created and clicked_at < label.clicked_at
    if not late and label.answer == answer and label.policy_version_id == policy_version.pk:
        # Saying it again makes it the last click: one between the two, still on its way, is late.
        label.clicked_at = clicked_at
        label.save(update_fields=["clicked_at", "updated_at"])
        return label
    event = LabelEvent(
        label=label,
        actor=actor,
        kind=Kind.SUPERSEDED if late else Kind.ANSWERED,
        old=label.answer,
        new=answer,
        policy_version=policy_version,
        after_reveal=_is_revealed(label),
        prelabel=click.prelabel,
        client_id=click.client_id,
        clicked_at=clicked_at,
    )
    if not late:
        _apply(label, event)
    event.save()
    return label


def _is_revealed(label: Label) -> bool:
    """Whether the person knows what others say of the completion."""
    known = Reveal.objects.filter(completion=label.completion_id, annotator=label.annotator_id)
    return known.exists()


def _apply(label: Label, event: LabelEvent) -> None:
    """Give the label the event's answer; the truth of its cell follows."""
    label.answer = event.new
    label.policy_version_id = event.policy_version_id
    label.clicked_at = event.clicked_at
    label.after_reveal = event.after_reveal
    label.prelabel = event.prelabel
    label.save()
    refresh_gold_truths([label.completion_id], [label.proposition_id])


@transaction.atomic
def undo_last_label(*, actor: User, event: LabelEvent | None = None) -> LabelEvent | None:
    """Take back the person's last answer, on whichever completion it was; the event that does so.

    The label becomes what it was before, with the definition that was answered then. With `event`,
    only if that is still the last answer. None when there is nothing to take back, and when
    another answer or undo of the same person came in between.
    """
    last = last_answers(actor).first()
    if last is None or (event is not None and last.pk != event.pk):
        return None
    lock_completions([last.label.completion_id])
    if last_answers(actor).first() != last:
        return None
    label = Label.objects.get(pk=last.label_id)
    steps = label.events.exclude(kind=Kind.SUPERSEDED)
    before = steps.filter(pk__lt=last.pk).order_by("pk").last() or LabelEvent()
    undo = LabelEvent(
        label=label,
        actor=actor,
        kind=Kind.UNDONE,
        old=label.answer,
        new=last.old,
        policy_version_id=before.policy_version_id or last.policy_version_id,
        # What was said before the reveal and is said again now is chosen with that knowledge,
        # unless the undo does no more than take back what was changed after it.
        after_reveal=before.after_reveal if last.after_reveal else _is_revealed(label),
        prelabel=before.prelabel,
        undoes=last,
        # Not our clock: the browser's may be behind it, and its next click must not look older.
        clicked_at=label.clicked_at,
    )
    _apply(label, undo)
    undo.save()
    return undo


def last_answers(actor: User) -> QuerySet[LabelEvent]:
    """The person's answers that stand, newest first.

    An answer on which an import put a newer one stands no more: taking it back would lose that.
    """
    newer = LabelEvent.objects.filter(
        label=OuterRef("label"), pk__gt=OuterRef("pk"), kind=Kind.IMPORTED
    )
    return (
        LabelEvent.objects.filter(~Exists(newer), actor=actor, kind=Kind.ANSWERED, undone_by=None)
        .select_related("label__proposition", "label__completion", "policy_version")
        .order_by("-pk")
    )


@transaction.atomic
def confirm_label(*, label: Label, actor: User, policy_version: PolicyVersion) -> Label:
    """Say that an answer given under an older definition holds under `policy_version` too."""
    lock_completions([label.completion_id])
    label = Label.objects.get(pk=label.pk)
    if label.policy_version_id == policy_version.pk or label.answer == WITHDRAWN:
        return label
    LabelEvent.objects.create(
        label=label,
        actor=actor,
        kind=Kind.CONFIRMED,
        old=label.answer,
        new=label.answer,
        policy_version=policy_version,
        after_reveal=label.after_reveal,
        prelabel=label.prelabel,
    )
    label.policy_version = policy_version
    label.save(update_fields=["policy_version", "updated_at"])
    return label


@transaction.atomic
def reveal(*, completion: Completion, annotator: User) -> Reveal:
    """From now on the person knows what others say of the completion."""
    lock_completions([completion.pk])
    return Reveal.objects.get_or_create(completion=completion, annotator=annotator)[0]


@transaction.atomic
def write_note(
    *, completion: Completion, author: User, text: str | None = None, flagged: bool | None = None
) -> CompletionNote:
    """Keep the person's note on a completion, or their flag; None leaves that part as it is."""
    note, _ = CompletionNote.objects.select_for_update().get_or_create(
        completion=completion, author=author
    )
    if text is not None:
        note.text = text
    if flagged is not None:
        note.flagged = flagged
    note.save()
    return note
