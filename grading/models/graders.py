"""Graders: named engine configurations, and what they turned out to be."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rbr_app.rbr.engines import EngineConfig


class Grader(models.Model):
    """A name under which people find a grader. What it is stands in its versions."""

    name = models.SlugField(max_length=100, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class GraderVersion(models.Model):
    """One state of a grader; rows are added, never edited.

    `config` is what was asked for (the kernel's `EngineConfig`), `facts` what the start-up probe
    found: model and tokenizer hashes, token sets, dtype, engine settings. `fingerprint` is the
    sha256 of both: two versions with the same one grade alike.
    """

    grader = models.ForeignKey(Grader, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    config = models.JSONField()
    facts = models.JSONField()
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["grader", "number"], name="grader_version_number"),
            models.UniqueConstraint(
                fields=["grader", "fingerprint"], name="grader_version_fingerprint"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.grader} v{self.number}"

    @property
    def engine(self) -> str:
        return str(self.config["engine"])

    def as_config(self) -> EngineConfig:
        return EngineConfig(**self.config)


class GraderProbe(models.Model):
    """A job: start a grader, check that it works, record what it is.

    `version` is set when it succeeded, `error` when it failed.
    """

    class State(models.TextChoices):
        PENDING = "pending", "waiting for a worker"
        RUNNING = "running", "starting"
        DONE = "done", "works"
        FAILED = "failed", "failed"

    grader = models.ForeignKey(Grader, on_delete=models.PROTECT, related_name="probes")
    config = models.JSONField()
    state = models.CharField(max_length=7, choices=State, default=State.PENDING)
    version = models.ForeignKey(GraderVersion, null=True, on_delete=models.PROTECT)
    error = models.TextField(blank=True)
    seconds = models.FloatField(null=True)
    calls_per_second = models.FloatField(null=True)
    leased_until = models.DateTimeField(null=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="done") | Q(version__isnull=False), name="probe_done_has_version"
            ),
        ]

    def __str__(self) -> str:
        return f"probe {self.pk} of {self.grader}: {self.state}"

    def as_config(self) -> EngineConfig:
        return EngineConfig(**self.config)
