"""Walks the completions of a set, filtered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from annotation.models import ConversationSet
from annotation.selectors.conversations import completions_of
from annotation.selectors.overview import Overview, set_overview
from rbr_app.rbr.policy import Policy

INCOMPLETE = "incomplete"


@dataclass(frozen=True)
class CompletionFilter:
    """What a listed completion has to be like; an empty field asks for nothing."""

    split: str = ""
    response_type: str = ""
    category: str = ""
    completion_class: str = ""
    proposition: str = ""
    value: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return any(astuple(self))

    @property
    def reads_labels(self) -> bool:
        return bool(self.completion_class or (self.proposition and self.value))


def filtered_completions(
    conversation_set: ConversationSet,
    policy: Policy,
    wanted: CompletionFilter,
    overview: Overview | None = None,
) -> list[int]:
    """The pks of the completions that meet the filter, in file order."""
    found = completions_of(conversation_set, wanted.split or "all")
    if wanted.response_type:
        found = found.filter(conversation__response_type=wanted.response_type)
    if wanted.category:
        found = found.filter(conversation__category=wanted.category)
    if wanted.text:
        found = found.annotate(prompt_text=Cast("conversation__prompt", TextField())).filter(
            Q(text__icontains=wanted.text) | Q(prompt_text__icontains=wanted.text)
        )
    pks = list(found.values_list("pk", flat=True))
    if not wanted.reads_labels:
        return pks
    known = overview or set_overview(conversation_set, policy)
    if wanted.completion_class:
        name = "" if wanted.completion_class == INCOMPLETE else wanted.completion_class
        pks = [pk for pk in pks if known.classes[pk] == name]
    if wanted.proposition and wanted.value:
        truth = {"true": True, "false": False}.get(wanted.value)
        pks = [pk for pk in pks if known.truths.get((pk, wanted.proposition)) is truth]
    return pks


@dataclass(frozen=True)
class Place:
    """Where a completion stands in a list that somebody walks; counts from 1."""

    number: int
    total: int
    previous: int | None
    following: int | None


def place_in(pks: Sequence[int], pk: int) -> Place | None:
    """None when the completion is not in the list."""
    if pk not in pks:
        return None
    index = pks.index(pk)
    return Place(
        number=index + 1,
        total=len(pks),
        previous=pks[index - 1] if index else None,
        following=pks[index + 1] if index + 1 < len(pks) else None,
    )
