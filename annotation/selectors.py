"""Reads annotation's rows, each function shaped for one page or one kernel call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from annotation.models import Completion, ConversationSet, Label, LabelEvent, Policy, Proposition
from annotation.models.labels import TRUTH
from rbr_app.rbr.conversations import Conversation as KernelConversation
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.rules import completion_classes, leaves

Truths = dict[tuple[int, str], bool]
"""(completion pk, proposition key) -> truth. Undecided and unlabelled cells are absent."""


def gold_truths(completions: Iterable[int]) -> Truths:
    """The truth that counts for each cell: the latest person's label, else the imported one."""
    labels = (
        Label.objects.filter(completion__in=completions)
        .annotate(is_imported=Q(annotator=None))
        .order_by("completion", "proposition", "is_imported", "-updated_at", "-pk")
        .distinct("completion", "proposition")
        .values_list("completion", "proposition__key", "answer")
    )
    return {
        (completion, key): truth
        for completion, key, answer in labels.iterator(chunk_size=10_000)
        if (truth := TRUTH[answer]) is not None
    }


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


def policies() -> QuerySet[Policy]:
    return Policy.objects.annotate(
        n_versions=Count("versions", distinct=True),
        n_propositions=Count("propositions", distinct=True),
    ).order_by("name")


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


@dataclass(frozen=True)
class LabelRow:
    """One proposition on the labelling page. `mine` and `gold` are answers, empty when absent."""

    proposition: Proposition
    question: str
    guideline: str
    relevant: bool
    mine: str
    imported: str
    gold: bool | None


def label_rows(completion: Completion, policy: KernelPolicy, user_pk: int) -> list[LabelRow]:
    """Every proposition of the policy, those that decide the completion's class first."""
    conversation = completion.conversation
    deciding = set(leaves(policy, conversation.response_type))
    propositions = {
        row.key: row
        for row in Proposition.objects.filter(policy=conversation.conversation_set.policy)
    }
    labels = Label.objects.filter(completion=completion)
    mine = dict(labels.filter(annotator=user_pk).values_list("proposition__key", "answer"))
    imported = dict(labels.filter(annotator=None).values_list("proposition__key", "answer"))
    truths = gold_truths([completion.pk])
    rows = [
        LabelRow(
            proposition=propositions[item.key],
            question=item.question,
            guideline=item.guideline,
            relevant=item.key in deciding,
            mine=mine.get(item.key, ""),
            imported=imported.get(item.key, ""),
            gold=truths.get((completion.pk, item.key)),
        )
        for item in policy.propositions
    ]
    return sorted(rows, key=lambda row: not row.relevant)


@dataclass(frozen=True)
class ImpliedClass:
    """The class that Gold truths imply; `missing` names what still has to be decided."""

    name: str
    missing: tuple[str, ...]


def implied_class(policy: KernelPolicy, response_type: str, rows: list[LabelRow]) -> ImpliedClass:
    truth = {row.proposition.key: row.gold for row in rows if row.gold is not None}
    missing = tuple(key for key in leaves(policy, response_type) if key not in truth)
    if missing:
        return ImpliedClass("", missing)
    full = dict.fromkeys(policy.proposition_keys, False) | truth
    names = completion_classes(policy, response_type, full)
    return ImpliedClass(" and ".join(names) or "no class", ())


def recent_events(completion: Completion) -> QuerySet[LabelEvent]:
    """The last changes of a completion's labels, newest first."""
    return (
        LabelEvent.objects.filter(label__completion=completion)
        .select_related("label__proposition", "actor")
        .order_by("-at", "-pk")[:10]
    )
