"""Adjudication: somebody decides a cell on which people disagree, and says why they did."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from .conversations import Completion
from .labels import Answer
from .policy import PolicyVersion, Proposition


class Reason(models.TextChoices):
    """Why people disagreed."""

    AMBIGUOUS = "ambiguous", "ambiguous"
    GUIDELINE_GAP = "guideline_gap", "guideline gap"
    ANNOTATOR_ERROR = "annotator_error", "annotator error"
    EDGE_CASE = "edge_case", "edge case"
    SUBJECTIVE = "subjective", "subjective"
    OTHER = "other", "other"


class Adjudication(models.Model):
    """A decision on one cell, append-only: the latest counts."""

    completion = models.ForeignKey(
        Completion, on_delete=models.PROTECT, related_name="adjudications"
    )
    proposition = models.ForeignKey(
        Proposition, on_delete=models.PROTECT, related_name="adjudications"
    )
    answer = models.CharField(max_length=13, choices=Answer)
    reason = models.CharField(max_length=15, choices=Reason)
    note = models.TextField(blank=True)
    adjudicator = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(answer__in=Answer.values), name="adjudication_answer"
            ),
            models.CheckConstraint(
                condition=Q(reason__in=Reason.values),
                name="adjudication_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["completion", "proposition", "-id"], name="adjudication_latest"),
        ]

    def __str__(self) -> str:
        return f"{self.proposition_id} of {self.completion_id}: {self.answer}"


class DefinitionFlag(models.Model):
    """A note that a proposition's definition needs work, with the case that showed it."""

    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT, related_name="flags")
    policy_version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="flags"
    )
    completion = models.ForeignKey(Completion, null=True, on_delete=models.PROTECT)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="definition_flags"
    )
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(resolved_at=None, resolved_by=None)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="definition_flag_resolved",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposition}: {self.text[:60]}"
