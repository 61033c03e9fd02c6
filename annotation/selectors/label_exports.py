"""What an export holds: a row for each label, one for each Gold cell, or a conversation a line.

Rows come completion by completion, so that a set of any size needs the memory of one chunk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Count, Min, Q, QuerySet, Sum, TextChoices
from django.utils.crypto import salted_hmac

from annotation.models import (
    Adjudication,
    Assignment,
    Completion,
    ConversationSet,
    GoldTruth,
    GoldVersion,
    GoldVersionRow,
    Label,
)
from annotation.models.labels import WITHDRAWN
from annotation.selectors.conversations import completions_of
from annotation.selectors.definition_changes import meaning_changes

Row = dict[str, Any]
Truth = tuple[bool | None, str]
CHUNK = 1_000
"""Completions that are read at once."""


class What(TextChoices):
    LABELS = "labels", "labels: a row for each answer of a person"
    GOLD = "gold", "Gold truths: a row for each cell"
    CONVERSATIONS = "conversations", "conversations with their Gold truths"


class People(TextChoices):
    NAMES = "names", "by their names"
    PSEUDONYMS = "pseudonyms", "by pseudonyms"
    NONE = "none", "not at all"


CELL: dict[str, type] = {
    "set": str,
    "completion": int,
    "external_id": str,
    "fingerprint": str,
    "prompt_fingerprint": str,
    "split": str,
    "category": str,
    "response_type": str,
    "proposition": str,
}
DEFINITION: dict[str, type] = {
    "policy": str,
    "policy_version": int,
    "policy_fingerprint": str,
    "stale": bool,
}
COLUMNS: dict[str, dict[str, type]] = {
    What.LABELS: CELL
    | {
        "answer": str,
        "source": str,
        "person": str,
        "clicked_at": datetime,
        "active_seconds": float,
        "after_reveal": bool,
        "prelabel": str,
    }
    | DEFINITION,
    What.GOLD: CELL
    | {
        "truth": bool,
        "source": str,
        "people": int,
        "adjudication_reason": str,
        "adjudication_note": str,
        "adjudicator": str,
        "adjudicated_at": datetime,
    }
    | DEFINITION,
}
"""The columns of each table and what they hold; any may be null."""


@dataclass(frozen=True)
class LabelExport:
    """Which table of a set, or of a frozen version of it, and how people appear in it."""

    conversation_set: ConversationSet
    what: str
    people: str = People.NAMES
    split: str = "all"
    version: GoldVersion | None = None

    @property
    def name(self) -> str:
        """A file's name, without the ending."""
        version = f"v{self.version.number}" if self.version else ""
        split = "" if self.split == "all" else self.split
        return "-".join(filter(None, (self.conversation_set.name, version, split, self.what)))

    def rows(self) -> Iterator[Row]:
        """The table's rows, or conversations as `import_conversations` reads them."""
        made = {What.LABELS: self._labels, What.GOLD: self._gold}.get(
            What(self.what), self._conversations
        )
        for places in self._chunks():
            yield from made(places)

    def _chunks(self) -> Iterator[list[_Place]]:
        """Completions in the set's order; those of a version with the split they had in it."""
        last = 0
        while places := self._places_after(last):
            yield places
            last = places[-1].completion.pk

    def _places_after(self, last: int) -> list[_Place]:
        if self.version is None:
            found = completions_of(self.conversation_set, self.split).filter(pk__gt=last)
            return [_place(completion) for completion in found[:CHUNK]]
        frozen = GoldVersionRow.objects.filter(version=self.version, completion__gt=last)
        if self.split != "all":
            frozen = frozen.filter(split=self.split)
        rows = frozen.select_related("completion__conversation").order_by("completion")[:CHUNK]
        return [
            _Place(row.completion, row.split, row.category, row.response_type, row.truths)
            for row in rows
        ]

    # The three tables

    def _labels(self, places: list[_Place]) -> Iterator[Row]:
        seconds = _active_seconds(places)
        by_pk = {place.completion.pk: place for place in places}
        labels = (
            Label.objects.filter(completion__in=by_pk)
            .exclude(answer=WITHDRAWN)
            .select_related("proposition", "annotator", "policy_version")
            .defer("policy_version__document", "policy_version__source")
            .order_by("completion", "proposition", "annotator")
        )
        for label in labels:
            key = label.proposition.key
            yield {
                **self._cell(by_pk[label.completion_id], key),
                "answer": label.answer,
                "source": "imported" if label.annotator is None else "person",
                "person": self._person(label.annotator_id, label.annotator),
                "clicked_at": label.clicked_at,
                "active_seconds": seconds.get((label.completion_id, label.annotator_id)),
                "after_reveal": label.after_reveal,
                "prelabel": label.prelabel or None,
                **self._definition(key, label.policy_version.number),
            }

    def _gold(self, places: list[_Place]) -> Iterator[Row]:
        truths = {p.completion.pk: p.truths for p in places} if self.version else _truths(places)
        decisions, voices = self._decisions(places), _voices(places)
        for place in places:
            for key, (truth, source) in sorted(truths.get(place.completion.pk, {}).items()):
                cell = (place.completion.pk, key)
                decision = decisions.get(cell) if source == "adjudicated" else None
                voice = voices.get(cell, _Voice())
                number = voice.imported if source == "imported" else voice.asked
                if decision:
                    number = decision.policy_version.number
                if self.version:
                    number = self.version.policy_version.number
                yield {
                    **self._cell(place, key),
                    "truth": truth,
                    "source": source,
                    "people": voice.people,
                    "adjudication_reason": decision and decision.reason,
                    "adjudication_note": decision and (decision.note or None),
                    "adjudicator": decision
                    and self._person(decision.adjudicator_id, decision.adjudicator),
                    "adjudicated_at": decision and decision.at,
                    **self._definition(key, number),
                }

    def _conversations(self, places: list[_Place]) -> Iterator[Row]:
        truths = {p.completion.pk: p.truths for p in places} if self.version else _truths(places)
        for place in places:
            completion = place.completion
            row: Row = {
                "id": completion.external_id,
                "split": place.split,
                "category": place.category,
                "response_type": place.response_type,
                "prompt": completion.conversation.prompt,
                "completion": completion.text,
                "completion_type": completion.completion_type,
                "rm_score": completion.rm_score,
                # A null says that nobody could decide; what is in dispute is left out.
                "propositions": {
                    key: truth
                    for key, (truth, source) in truths.get(completion.pk, {}).items()
                    if source != GoldTruth.Source.DISPUTED
                },
            }
            optional = ("id", "category", "completion_type", "rm_score")
            yield {k: v for k, v in row.items() if k not in optional or v not in ("", None)}

    # What rows are made of

    def _cell(self, place: _Place, key: str) -> Row:
        completion = place.completion
        return {
            "set": self.conversation_set.name,
            "completion": completion.pk,
            "external_id": completion.external_id or None,
            "fingerprint": completion.fingerprint,
            "prompt_fingerprint": completion.conversation.prompt_fingerprint,
            "split": place.split,
            "category": place.category or None,
            "response_type": place.response_type,
            "proposition": key,
        }

    def _definition(self, key: str, number: int | None) -> Row:
        changed = self._changes.get(key, ())
        return {
            "policy": self.conversation_set.policy.name,
            "policy_version": number,
            "policy_fingerprint": None if number is None else self._fingerprints[number],
            "stale": bool(number and changed and changed[-1] > number),
        }

    def _person(self, pk: int | None, name: object) -> str | None:
        if pk is None or self.people == People.NONE:
            return None
        return pseudonym(pk) if self.people == People.PSEUDONYMS else str(name)

    def _decisions(self, places: list[_Place]) -> dict[tuple[int, str], Adjudication]:
        """The latest adjudication of each cell, as of the version if one is exported."""
        found = Adjudication.objects.filter(completion__in=[p.completion.pk for p in places])
        if self.version:
            found = found.filter(at__lte=self.version.created_at)
        latest = (
            found.order_by("completion", "proposition", "-pk")
            .distinct("completion", "proposition")
            .select_related("proposition", "adjudicator", "policy_version")
            .defer("policy_version__document", "policy_version__source")
        )
        return {(row.completion_id, row.proposition.key): row for row in latest}

    @cached_property
    def _changes(self) -> Mapping[str, tuple[int, ...]]:
        return meaning_changes(self.conversation_set.policy).numbers

    @cached_property
    def _fingerprints(self) -> dict[int, str]:
        versions = self.conversation_set.policy.versions
        return dict(versions.values_list("number", "fingerprint"))


def pseudonym(person: int) -> str:
    """A name that is the same in every export of this site and says nothing outside it."""
    return f"person-{salted_hmac('annotation.pseudonym', str(person)).hexdigest()[:8]}"


@dataclass(frozen=True)
class _Place:
    """A completion and where it stands; `truths` only those of a frozen version."""

    completion: Completion
    split: str
    category: str
    response_type: str
    truths: Mapping[str, Truth]


@dataclass(frozen=True)
class _Voice:
    """How many people spoke on a cell; the oldest version that they, or the file, answered."""

    people: int = 0
    asked: int | None = None
    imported: int | None = None


def _place(completion: Completion) -> _Place:
    row = completion.conversation
    return _Place(completion, row.split, row.category, row.response_type, {})


def _of(model_rows: QuerySet[Any], places: list[_Place]) -> QuerySet[Any]:
    return model_rows.filter(completion__in=[place.completion.pk for place in places])


def _active_seconds(places: list[_Place]) -> dict[tuple[int, int | None], float]:
    """The time in which each person had each completion before them, in all queues together."""
    spent = _of(Assignment.objects.all(), places).values("completion", "annotator")
    rows = spent.annotate(seconds=Sum("active_seconds"))
    return {(row["completion"], row["annotator"]): row["seconds"] for row in rows}


def _truths(places: list[_Place]) -> dict[int, dict[str, Truth]]:
    found: dict[int, dict[str, Truth]] = defaultdict(dict)
    rows = _of(GoldTruth.objects.order_by("completion", "proposition"), places)
    for pk, key, truth, source in rows.values_list(
        "completion", "proposition__key", "truth", "source"
    ):
        found[pk][key] = (truth, source)
    return found


def _voices(places: list[_Place]) -> dict[tuple[int, str], _Voice]:
    person, spoken = Q(annotator__isnull=False), _of(Label.objects.exclude(answer=""), places)
    rows = spoken.values_list("completion", "proposition__key").annotate(
        people=Count("pk", filter=person),
        asked=Min("policy_version__number", filter=person),
        imported=Min("policy_version__number", filter=~person),
    )
    return {(pk, key): _Voice(*voice) for pk, key, *voice in rows}
