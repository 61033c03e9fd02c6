"""Labels: what a person says is true of a completion."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from .conversations import Completion
from .policy import PolicyVersion, Proposition


class Answer(models.TextChoices):
    TRUE = "true", "true"
    FALSE = "false", "false"
    CANNOT_DECIDE = "cannot_decide", "cannot decide"

    @classmethod
    def of(cls, truth: bool | None) -> Answer:
        return cls.CANNOT_DECIDE if truth is None else cls.TRUE if truth else cls.FALSE


WITHDRAWN = ""
"""The answer of a label whose first answer was undone."""

TRUTH: dict[str, bool | None] = {
    Answer.TRUE: True,
    Answer.FALSE: False,
    Answer.CANNOT_DECIDE: None,
}


class Label(models.Model):
    """The current answer of one person, or of the imported file where `annotator` is null.

    `policy_version` is the one whose wording was answered; `clicked_at` is when the person did.
    `after_reveal` marks an answer given or changed when the answers of others had been seen: it
    counts, but not in agreement. `prelabel` is the answer that a grader had suggested there.
    """

    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="labels")
    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT, related_name="labels")
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="labels"
    )
    answer = models.CharField(max_length=13, choices=Answer, blank=True)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    clicked_at = models.DateTimeField(db_default=Now())
    after_reveal = models.BooleanField(default=False)
    prelabel = models.CharField(max_length=13, choices=Answer, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["completion", "proposition", "annotator"],
                nulls_distinct=False,
                name="label_identity",
            ),
            models.CheckConstraint(
                condition=models.Q(answer__in=[*Answer.values, WITHDRAWN]), name="label_answer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposition_id} is {self.answer or 'withdrawn'} of {self.completion_id}"


class LabelEvent(models.Model):
    """Something that was done to a label, append-only. Empty answers stand for none.

    `client_id` is made by the browser for each click, so that a click that is sent twice is one
    event. `undoes` names the event that an undo took back.
    """

    class Kind(models.TextChoices):
        ANSWERED = "answered", "answered"
        UNDONE = "undone", "undone"
        CONFIRMED = "confirmed", "confirmed under a newer definition"
        SUPERSEDED = "superseded", "came later than a newer click"
        IMPORTED = "imported", "imported"
        COPIED = "copied", "copied from another set"

    label = models.ForeignKey(Label, on_delete=models.PROTECT, related_name="events")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="label_events"
    )
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ANSWERED)
    old = models.CharField(max_length=13, choices=Answer, blank=True)
    new = models.CharField(max_length=13, choices=Answer, blank=True)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    after_reveal = models.BooleanField(default=False)
    prelabel = models.CharField(max_length=13, choices=Answer, blank=True)
    undoes = models.OneToOneField(
        "self", null=True, on_delete=models.PROTECT, related_name="undone_by"
    )
    client_id = models.UUIDField(null=True)
    clicked_at = models.DateTimeField(db_default=Now())
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["actor", "client_id"], name="label_event_click"),
        ]
        indexes = [models.Index(fields=["actor", "-id"], name="label_event_of_actor")]

    def __str__(self) -> str:
        return f"{self.label_id}: {self.old or 'none'} to {self.new or 'none'}"


class Reveal(models.Model):
    """From `at` on, a person knows what others or a grader say of a completion."""

    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="reveals")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["completion", "annotator"], name="reveal_identity"),
        ]

    def __str__(self) -> str:
        return f"{self.annotator} knows {self.completion_id}"


class CompletionNote(models.Model):
    """What a person wrote about a completion, and whether they flagged it for others to look at."""

    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    text = models.TextField(blank=True)
    flagged = models.BooleanField(default=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["completion", "author"], name="completion_note_identity"
            ),
        ]

    def __str__(self) -> str:
        return f"note of {self.author} on {self.completion_id}"
