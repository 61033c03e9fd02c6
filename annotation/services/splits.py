"""Draws which conversations of a set are for training and which for testing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Max

from annotation.models import Completion, Conversation, ConversationSet
from annotation.models.conversations import Split
from rbr_app.rbr.splits import StratumCounts, split_counts, stratified_split


class SplitRefused(ValueError):
    """A split that cannot be drawn; nothing changed."""


@dataclass(frozen=True)
class DrawnSplit:
    """What a draw did. `strata` maps (response type, category) to its rows and prompts per side."""

    strata: dict[tuple[str, ...], StratumCounts]
    moved: int
    merged: int


@transaction.atomic
def draw_split(*, conversation_set: ConversationSet, test_share: float, seed: int) -> DrawnSplit:
    """Put every conversation of the set in train or test, whole prompts at a time.

    Strata are response type and category. Rows with the same prompt, category and response type
    that stood in both splits become one conversation. Versions frozen before keep their split.
    Raises `SplitRefused` for a set without completions.
    """
    held = ConversationSet.objects.select_for_update().get(pk=conversation_set.pk)
    merged = _merge_twins(held)
    rows = Completion.objects.filter(conversation__conversation_set=held).values_list(
        "pk",
        "conversation__prompt_fingerprint",
        "conversation__response_type",
        "conversation__category",
    )
    units = [(pk, prompt, (kind, category)) for pk, prompt, kind, category in rows]
    if not units:
        raise SplitRefused("The set has no completion to split.")
    split = stratified_split(units, test_share, seed)
    test = {prompt for pk, prompt, _ in units if split[pk] == "test"}
    moved = _move(held, test)
    held.split_seed, held.test_share = seed, test_share
    held.save(update_fields=["split_seed", "test_share"])
    return DrawnSplit(split_counts(units, split), moved, merged)


def _move(held: ConversationSet, test: set[str]) -> int:
    """Give every conversation its side; how many completions changed sides."""
    conversations = Conversation.objects.filter(conversation_set=held)
    to_test = conversations.filter(split=Split.TRAIN, prompt_fingerprint__in=test)
    to_train = conversations.filter(split=Split.TEST).exclude(prompt_fingerprint__in=test)
    moves = [
        (list(found.values_list("pk", flat=True)), side)
        for found, side in ((to_test, Split.TEST), (to_train, Split.TRAIN))
    ]
    for pks, side in moves:
        Conversation.objects.filter(pk__in=pks).update(split=side)
    return Completion.objects.filter(
        conversation__in=[pk for pks, _ in moves for pk in pks]
    ).count()


def _merge_twins(held: ConversationSet) -> int:
    """Make one conversation of those that differ in their split alone; how many went.

    Their completions are numbered on: the same answer in both is two occurrences of it.
    """
    twins: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    rows = Conversation.objects.filter(conversation_set=held).order_by("pk")
    columns = ("pk", "prompt_fingerprint", "category", "response_type")
    for pk, prompt, category, kind in rows.values_list(*columns):
        twins[prompt, category, kind].append(pk)
    pairs = [(first, rest) for first, *others in twins.values() for rest in others]
    for first, rest in pairs:
        _merge(first, rest)
    return len(pairs)


def _merge(first: int, rest: int) -> None:
    numbered = Completion.objects.filter(conversation=first).values("fingerprint")
    last = dict(numbered.annotate(n=Max("occurrence")).values_list("fingerprint", "n"))
    moving = Completion.objects.filter(conversation=rest)
    for fingerprint in set(moving.values_list("fingerprint", flat=True)):
        shift = last.get(fingerprint, -1) + 1
        moving.filter(fingerprint=fingerprint).update(
            conversation=first, occurrence=F("occurrence") + shift
        )
    Conversation.objects.filter(pk=rest).delete()
