"""Sets and their completions."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from annotation.models import Completion, ConversationSet
from annotation.selectors.labels import gold_truths
from rbr_app.rbr.conversations import Conversation as KernelConversation


def completions_of(conversation_set: ConversationSet, split: str = "all") -> QuerySet[Completion]:
    """The completions of a set or of one of its splits, with their conversations."""
    found = Completion.objects.filter(conversation__conversation_set=conversation_set)
    if split != "all":
        found = found.filter(conversation__split=split)
    return found.select_related("conversation").order_by("pk")


def labelled_conversations(
    conversation_set: ConversationSet, split: str
) -> list[tuple[KernelConversation, dict[str, bool]]]:
    """Conversations with their Gold truths: what the classifier learns from."""
    completions = list(completions_of(conversation_set, split))
    truths = gold_truths([completion.pk for completion in completions])
    by_completion: dict[int, dict[str, bool]] = {completion.pk: {} for completion in completions}
    for (pk, key), truth in truths.items():
        by_completion[pk][key] = truth
    return [(row.as_conversation(), by_completion[row.pk]) for row in completions]


def conversation_sets() -> QuerySet[ConversationSet]:
    """Sets with their sizes, for the list page."""
    completion = "conversations__completions"
    return (
        ConversationSet.objects.select_related("policy")
        .annotate(
            n_train=Count(completion, filter=Q(conversations__split="train")),
            n_test=Count(completion, filter=Q(conversations__split="test")),
        )
        .order_by("purpose", "name")
    )
