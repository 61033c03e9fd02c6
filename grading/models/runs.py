"""Grader runs: which cells are to be graded, the batches they are cut into, the grades.

A cell is one proposition asked about one completion.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from annotation.models import Completion, ConversationSet, PolicyVersion, Proposition

from .graders import GraderVersion


class GraderRun(models.Model):
    """One grader over one part of a set.

    `fingerprint` is the sha256 of everything that determines the grades: the grader version, the
    prompts, the completions, and for an engine that learns its training rows. There is one run
    for one fingerprint, so "run it again" is the same row.
    """

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        COMPLETED = "completed", "completed"
        STOPPED = "stopped", "stopped"
        FAILED = "failed", "failed"

    class Scope(models.TextChoices):
        TRAIN = "train", "train"
        TEST = "test", "test"
        ALL = "all", "all"

    grader_version = models.ForeignKey(GraderVersion, on_delete=models.PROTECT)
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    conversation_set = models.ForeignKey(
        ConversationSet, on_delete=models.PROTECT, related_name="runs"
    )
    split = models.CharField(max_length=5, choices=Scope)
    limit = models.PositiveIntegerField(null=True)
    propositions = models.ManyToManyField(Proposition)
    fingerprint = models.CharField(max_length=64, unique=True)
    training_fingerprint = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=9, choices=Status, default=Status.RUNNING)
    error = models.TextField(blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(db_default=Now(), help_text="Moves when a run is resumed.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status="running", finished_at=None)
                | (~Q(status="running") & Q(finished_at__isnull=False)),
                name="run_finished_at",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.pk}"


class GradingBatch(models.Model):
    """A job: some cells of a run, in the order in which they share prompt prefixes.

    `cells` is a list of ``[completion pk, proposition pk]``. A worker holds a batch until
    `leased_until` and renews the lease while it works; after that anybody may take it.
    """

    class State(models.TextChoices):
        OPEN = "open", "open"
        DONE = "done", "done"

    run = models.ForeignKey(GraderRun, on_delete=models.PROTECT, related_name="batches")
    ordinal = models.PositiveIntegerField()
    cells = models.JSONField()
    n_cells = models.PositiveIntegerField()
    state = models.CharField(max_length=4, choices=State, default=State.OPEN)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "ordinal"], name="batch_ordinal"),
        ]
        indexes = [
            models.Index(fields=["run", "ordinal"], condition=Q(state="open"), name="batch_open"),
        ]

    def __str__(self) -> str:
        return f"batch {self.ordinal} of run {self.run_id}"


class GradingAttempt(models.Model):
    """One worker's try at a batch; `error` is empty when its grades were stored.

    `calls` are questions to the model, `reused` cells whose grade an earlier run had paid for. The
    token counts are what the model read, and what of that it took from its prefix cache.
    """

    batch = models.ForeignKey(GradingBatch, on_delete=models.PROTECT, related_name="attempts")
    worker = models.CharField(max_length=200)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    calls = models.PositiveIntegerField(default=0)
    reused = models.PositiveIntegerField(default=0)
    prompt_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"attempt {self.pk} at batch {self.batch_id}"


class Grade(models.Model):
    """A grader's probability that a proposition is true of a completion.

    `p` is null exactly when `null_reason` says why. `mass` is the probability that the answer
    starts with a yes or a no; null for engines without tokens. `p_low` and `p_high` bound p where a
    server shows only its likeliest tokens, and are null where p is exact. Grades with the same
    `cache_key` have everything in common that determines them.
    """

    run = models.ForeignKey(GraderRun, on_delete=models.PROTECT, related_name="grades")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT)
    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT)
    p = models.FloatField(null=True)
    p_low = models.FloatField(null=True)
    p_high = models.FloatField(null=True)
    mass = models.FloatField(null=True)
    cache_key = models.UUIDField(null=True)
    token = models.CharField(max_length=100, blank=True)
    null_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "proposition", "completion"], name="grade_identity"
            ),
            models.CheckConstraint(
                condition=Q(p__isnull=True) & ~Q(null_reason="")
                | Q(p__isnull=False, p__gte=0, p__lte=1, null_reason=""),
                name="grade_p_or_reason",
            ),
            models.CheckConstraint(
                condition=Q(p_low=None, p_high=None)
                | Q(p_low__gte=0, p_low__lte=F("p"), p_high__gte=F("p"), p_high__lte=1),
                name="grade_bounds",
            ),
        ]
        indexes = [
            models.Index(fields=["cache_key"], condition=Q(p__isnull=False), name="grade_cache"),
        ]

    def __str__(self) -> str:
        return f"grade {self.pk} of run {self.run_id}"
