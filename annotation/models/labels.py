"""Labels: what a person says is true of a completion."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from .conversations import Completion
from .policy import Proposition


class Answer(models.TextChoices):
    TRUE = "true", "true"
    FALSE = "false", "false"
    CANNOT_DECIDE = "cannot_decide", "cannot decide"

    @classmethod
    def of(cls, truth: bool | None) -> Answer:
        return cls.CANNOT_DECIDE if truth is None else cls.TRUE if truth else cls.FALSE


TRUTH: dict[str, bool | None] = {
    Answer.TRUE: True,
    Answer.FALSE: False,
    Answer.CANNOT_DECIDE: None,
}


class Label(models.Model):
    """The current answer of one person, or of the imported file where `annotator` is null."""

    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="labels")
    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT, related_name="labels")
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    answer = models.CharField(max_length=13, choices=Answer)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["completion", "proposition", "annotator"],
                nulls_distinct=False,
                name="label_identity",
            ),
            models.CheckConstraint(
                condition=models.Q(answer__in=Answer.values), name="label_answer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposition_id} is {self.answer} of {self.completion_id}"


class LabelEvent(models.Model):
    """A change of a label, append-only. `old` is empty for a person's first answer."""

    label = models.ForeignKey(Label, on_delete=models.PROTECT, related_name="events")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    old = models.CharField(max_length=13, choices=Answer, blank=True)
    new = models.CharField(max_length=13, choices=Answer)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.label_id}: {self.old or 'none'} to {self.new}"
