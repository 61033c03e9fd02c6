"""Labels: the truth that counts, and what the labelling page shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from annotation.models import Completion, Label, LabelEvent, Proposition
from annotation.models.labels import TRUTH
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
