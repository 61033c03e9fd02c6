"""Labelling queues: which completions are to be labelled, by how many people, in which order."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from .conversations import Completion, ConversationSet
from .policy import Proposition


class LabellingQueue(models.Model):
    """A selection of a set's completions, each to be labelled by `overlap` people.

    Without `propositions` all of the policy's are asked. `selection` is the filter that chose the
    completions (the page's query), `fingerprint` the sha256 of all that defines the queue.
    """

    class Order(models.TextChoices):
        SEQUENCE = "sequence", "as they stand in the set"
        RANDOM = "random", "random"
        LEAST_LABELLED = "least_labelled", "least labelled first"
        RARE_CLASS = "rare_class", "rare class first"
        DISAGREEMENT = "disagreement", "grader and people disagree"
        UNCERTAINTY = "uncertainty", "grader is uncertain"
        LIKELY_TRUE = "likely_true", "grader says true"

    conversation_set = models.ForeignKey(
        ConversationSet, on_delete=models.PROTECT, related_name="queues"
    )
    name = models.CharField(max_length=200)
    order = models.CharField(max_length=14, choices=Order, default=Order.SEQUENCE)
    seed = models.PositiveBigIntegerField(default=0)
    overlap = models.PositiveSmallIntegerField(default=1)
    propositions = models.ManyToManyField(Proposition, blank=True)
    selection = models.JSONField(default=dict)
    verdict_source = models.CharField(
        max_length=100, blank=True, help_text="The grader run that ordered it."
    )
    prelabel_source = models.CharField(
        max_length=100, blank=True, help_text="The grader run whose answers are suggested."
    )
    fingerprint = models.CharField(max_length=64)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=Q(closed_at=None), name="open_queue_fingerprint"
            ),
            models.CheckConstraint(condition=Q(overlap__gte=1), name="queue_overlap"),
        ]

    def __str__(self) -> str:
        return self.name


class QueueSlot(models.Model):
    """One person's place at one completion: a completion has as many as the queue's overlap.

    Open while `annotator` is null; reserved until `leased_until`; done at `completed_at`. The
    unique constraints are the quota: no person has two places, no completion too many.
    """

    queue = models.ForeignKey(LabellingQueue, on_delete=models.PROTECT, related_name="slots")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="slots")
    ordinal = models.PositiveSmallIntegerField()
    rank = models.BigIntegerField()
    annotator = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    leased_until = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "completion", "ordinal"], name="slot_identity"
            ),
            models.UniqueConstraint(
                fields=["queue", "completion", "annotator"], name="slot_annotator"
            ),
            models.CheckConstraint(
                condition=Q(annotator=None, leased_until=None, completed_at=None)
                | Q(annotator__isnull=False, leased_until__isnull=False, completed_at=None)
                | Q(annotator__isnull=False, leased_until=None, completed_at__isnull=False),
                name="slot_state",
            ),
        ]
        indexes = [
            models.Index(fields=["queue", "rank"], condition=Q(annotator=None), name="slot_open"),
            models.Index(
                fields=["queue", "leased_until"],
                condition=Q(leased_until__isnull=False),
                name="slot_reserved",
            ),
        ]

    def __str__(self) -> str:
        return f"place {self.ordinal} of {self.completion_id} in queue {self.queue_id}"


class Assignment(models.Model):
    """What became of a completion that a queue gave to a person.

    `rank` is that of the slot it came by, but never ahead of where the person is in the queue's
    order: it is their cursor. `active_seconds` is the time in which the page was in use.
    `is_extra` marks work that was completed when all places were taken.
    """

    queue = models.ForeignKey(LabellingQueue, on_delete=models.PROTECT, related_name="assignments")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="assignments")
    annotator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments"
    )
    rank = models.BigIntegerField()
    claimed_at = models.DateTimeField(db_default=Now())
    active_seconds = models.FloatField(default=0.0)
    beat_at = models.DateTimeField(null=True)
    prelabels_seen = models.BooleanField(default=False)
    skipped_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    is_extra = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "completion", "annotator"], name="assignment_identity"
            ),
            models.CheckConstraint(
                condition=Q(skipped_at=None) | Q(completed_at=None), name="assignment_ended_once"
            ),
        ]
        indexes = [
            models.Index(fields=["queue", "annotator", "-rank"], name="assignment_cursor"),
            models.Index(fields=["queue", "annotator", "-completed_at"], name="assignment_history"),
        ]

    def __str__(self) -> str:
        return f"{self.completion_id} for {self.annotator} in queue {self.queue_id}"


class Prelabel(models.Model):
    """A grader's probability that is shown as a suggestion in a queue."""

    queue = models.ForeignKey(LabellingQueue, on_delete=models.PROTECT, related_name="prelabels")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT)
    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT)
    p = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["queue", "completion", "proposition"], name="prelabel_identity"
            ),
            models.CheckConstraint(condition=Q(p__gte=0, p__lte=1), name="prelabel_p"),
        ]

    def __str__(self) -> str:
        return f"p({self.proposition_id}) of {self.completion_id}: {self.p:.2f}"
