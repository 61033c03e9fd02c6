"""Sets of conversations: Gold sets, comparison data, evaluation prompts."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from rbr_app.rbr import conversations as kernel

from .policy import Policy


class ConversationSet(models.Model):
    """A named collection of conversations that are read under one policy.

    `coverage_floor` is the number of positives and of negatives under which a proposition counts
    as thin. `split_seed` and `test_share` are those of the last split that was drawn here; null
    where the split came with the data.
    """

    class Purpose(models.TextChoices):
        GOLD = "gold", "Gold set"
        COMPARISON = "comparison", "comparison data"
        EVALUATION = "evaluation", "evaluation prompts"

    name = models.SlugField(max_length=100, unique=True)
    purpose = models.CharField(max_length=20, choices=Purpose, default=Purpose.GOLD)
    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="conversation_sets")
    note = models.CharField(max_length=500, blank=True)
    coverage_floor = models.PositiveSmallIntegerField(default=5)
    allow_majority = models.BooleanField(
        default=False, help_text="A majority of people decides where they do not all agree."
    )
    split_seed = models.PositiveBigIntegerField(null=True)
    test_share = models.FloatField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Split(models.TextChoices):
    TRAIN = "train", "train"
    TEST = "test", "test"


class Conversation(models.Model):
    """A prompt in a set: the messages up to the user turn that is to be answered."""

    conversation_set = models.ForeignKey(
        ConversationSet, on_delete=models.PROTECT, related_name="conversations"
    )
    split = models.CharField(max_length=5, choices=Split)
    category = models.CharField(max_length=100, blank=True)
    response_type = models.CharField(max_length=100, blank=True)
    prompt = models.JSONField(help_text="A list of {role, content}.")
    prompt_fingerprint = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "conversation_set",
                    "prompt_fingerprint",
                    "split",
                    "category",
                    "response_type",
                ],
                name="conversation_identity",
            ),
            models.CheckConstraint(
                condition=models.Q(split__in=Split.values), name="conversation_split"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_set} {self.split} #{self.pk}"

    @property
    def turns(self) -> list[kernel.Message]:
        return [kernel.Message(turn["role"], turn["content"]) for turn in self.prompt]


class Completion(models.Model):
    """One answer to a conversation's prompt.

    A file may hold the same answer twice, with different labels; `occurrence` counts them from 0
    so that each row of the file has a row here and a second import of it adds none.
    """

    conversation = models.ForeignKey(
        Conversation, on_delete=models.PROTECT, related_name="completions"
    )
    text = models.TextField(blank=True)
    fingerprint = models.CharField(max_length=64)
    occurrence = models.PositiveIntegerField(default=0)
    external_id = models.CharField(max_length=200, blank=True)
    completion_type = models.CharField(max_length=100, blank=True)
    rm_score = models.FloatField(null=True)
    copied_from = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="copies"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "fingerprint", "occurrence"], name="completion_identity"
            ),
        ]

    def __str__(self) -> str:
        return self.external_id or f"completion {self.pk}"

    def as_conversation(self) -> kernel.Conversation:
        """Prompt and completion for the kernel, without labels."""
        conversation = self.conversation
        return kernel.Conversation(
            prompt=tuple(conversation.turns),
            completion=self.text,
            category=conversation.category,
            response_type=conversation.response_type,
            id=self.external_id,
            completion_type=self.completion_type,
            rm_score=self.rm_score,
        )
