"""Gold: the truth that counts for each cell, and frozen versions of a set."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from .conversations import Completion, ConversationSet, Split
from .policy import PolicyVersion, Proposition


class GoldTruth(models.Model):
    """What labels and adjudications say of a cell, and by which rule.

    A projection: `annotation.services.gold_truths` rewrites it in the transaction of every write
    to its sources, and can rebuild it from them. `truth` is null where people cannot decide or
    are in dispute. A cell that nobody labelled has no row.
    """

    class Source(models.TextChoices):
        ADJUDICATED = "adjudicated", "adjudicated"
        UNANIMOUS = "unanimous", "unanimous"
        MAJORITY = "majority", "majority"
        IMPORTED = "imported", "imported"
        DISPUTED = "disputed", "disputed"

    completion = models.ForeignKey(Completion, on_delete=models.PROTECT, related_name="truths")
    proposition = models.ForeignKey(Proposition, on_delete=models.PROTECT, related_name="truths")
    truth = models.BooleanField(null=True)
    source = models.CharField(max_length=11, choices=Source)

    class Meta:
        constraints = [
            # With the truth inside, classes are counted from the index alone.
            models.UniqueConstraint(
                fields=["completion", "proposition"],
                include=["truth"],
                name="gold_truth_identity",
            ),
            models.CheckConstraint(
                condition=~Q(source="disputed") | Q(truth=None), name="gold_truth_disputed"
            ),
        ]
        indexes = [
            models.Index(
                fields=["proposition", "completion"],
                condition=Q(source="disputed"),
                name="gold_truth_in_dispute",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposition_id} of {self.completion_id}: {self.truth} ({self.source})"


class GoldVersion(models.Model):
    """A frozen state of a Gold set: its rows, their split and their truths. Never edited.

    `content_hash` is the sha256 over the rows; a set that did not change freezes to the same one.
    """

    conversation_set = models.ForeignKey(
        ConversationSet, on_delete=models.PROTECT, related_name="gold_versions"
    )
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    policy_version = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    note = models.CharField(max_length=500, blank=True)
    content_hash = models.CharField(max_length=64)
    split_seed = models.PositiveBigIntegerField(null=True)
    test_share = models.FloatField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation_set", "number"], name="gold_version_number"
            ),
            models.UniqueConstraint(
                fields=["conversation_set", "content_hash"], name="gold_version_content"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_set} v{self.number}"


class GoldVersionRow(models.Model):
    """One completion of a frozen version.

    `truths` maps a proposition's key to ``[truth, source]``; a cell without a row is absent.
    """

    version = models.ForeignKey(GoldVersion, on_delete=models.PROTECT, related_name="rows")
    completion = models.ForeignKey(Completion, on_delete=models.PROTECT)
    split = models.CharField(max_length=5, choices=Split)
    category = models.CharField(max_length=100, blank=True)
    response_type = models.CharField(max_length=100, blank=True)
    truths = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "completion"], name="gold_version_row"),
        ]

    def __str__(self) -> str:
        return f"{self.completion} in {self.version}"
