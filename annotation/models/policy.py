"""Policies and their immutable versions."""

from __future__ import annotations

from functools import cached_property

from django.conf import settings
from django.db import models

from rbr_app.rbr import policy as kernel


class Policy(models.Model):
    """A line of policy versions under one name."""

    name = models.SlugField(max_length=100, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return self.name

    @cached_property
    def latest(self) -> PolicyVersion:
        return self.versions.select_related("policy").latest("number")


class PolicyVersion(models.Model):
    """One state of a policy. Rows are added, never edited.

    `source` is the file as it was given, `document` the same as JSON (the kernel's
    `Policy.as_document`), `fingerprint` the sha256 of the document.
    """

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    note = models.CharField(max_length=500, blank=True)
    source = models.TextField()
    document = models.JSONField()
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "number"], name="policy_version_number"),
        ]

    def __str__(self) -> str:
        return f"{self.policy} v{self.number}"

    def as_policy(self) -> kernel.Policy:
        return kernel.Policy.from_document(self.document, name=self.policy.name)


class PolicyDraft(models.Model):
    """One person's unsaved edits of a policy, kept until they are saved or thrown away.

    `document` is the kernel's `Policy.as_document` of the edited policy, which need not be sound.
    """

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="drafts")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    base = models.ForeignKey(PolicyVersion, on_delete=models.PROTECT, related_name="drafts")
    document = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "author"], name="policy_draft_identity"),
        ]

    def __str__(self) -> str:
        return f"draft of {self.author} on {self.base}"


class Proposition(models.Model):
    """The lasting identity of a proposition across the versions of its policy.

    Its wording is in each version's document; labels and grades point here.
    """

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="propositions")
    key = models.CharField(max_length=100)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["policy", "key"], name="proposition_key"),
        ]

    def __str__(self) -> str:
        return self.key


class DefinitionChange(models.Model):
    """A version gave a proposition another meaning, or the rules where `proposition` is null.

    What was made under an earlier version is stale because of it. A version without such a row
    changed wording only.
    """

    version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="definition_changes"
    )
    proposition = models.ForeignKey(
        Proposition, null=True, on_delete=models.PROTECT, related_name="definition_changes"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "proposition"],
                nulls_distinct=False,
                name="definition_change_identity",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.proposition or 'the rules'} in {self.version}"
