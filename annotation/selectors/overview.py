"""What a set holds, counted: its sizes, its classes, the truths of each proposition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from django.db import connection
from django.db.models import Count

from annotation.models import Conversation, ConversationSet
from annotation.models.conversations import Split
from annotation.selectors.truth_sql import INCOMPLETE, TruthSQL
from rbr_app.rbr.policy import Policy


@dataclass(frozen=True)
class TypeSizes:
    """The rows of a response type in each split."""

    response_type: str
    train: int
    test: int

    @property
    def n(self) -> int:
        return self.train + self.test


@dataclass(frozen=True)
class SetSizes:
    """How many completions a set has in each split and response type, and its categories."""

    counts: Counter[tuple[str, str]]
    categories: tuple[str, ...]

    @property
    def n(self) -> int:
        return self.counts.total()

    @cached_property
    def splits(self) -> dict[str, int]:
        """Rows per split, of the splits that have any."""
        found = {split: self.of(split=split) for split in Split.values}
        return {split: n for split, n in found.items() if n}

    @cached_property
    def response_types(self) -> tuple[str, ...]:
        return tuple(sorted({kind for _, kind in self.counts}))

    @property
    def strata(self) -> list[TypeSizes]:
        """Train and test of each response type."""
        return [
            TypeSizes(kind, self.of(Split.TRAIN, kind), self.of(Split.TEST, kind))
            for kind in self.response_types
        ]

    def of(self, split: str = "", response_type: str = "") -> int:
        """Rows of a split and a response type; of all where one is not given."""
        return sum(
            n
            for (held_split, kind), n in self.counts.items()
            if split in ("", held_split) and response_type in ("", kind)
        )


def set_sizes(conversation_set: ConversationSet) -> SetSizes:
    """One query over the conversations and their completions."""
    rows = (
        Conversation.objects.filter(conversation_set=conversation_set)
        .values_list("split", "response_type", "category")
        .annotate(n=Count("completions"))
    )
    counts: Counter[tuple[str, str]] = Counter()
    categories = set()
    for split, kind, category, n in rows:
        if n:
            counts[split, kind] += n
        if category:
            categories.add(category)
    return SetSizes(counts, tuple(sorted(categories)))


@dataclass(frozen=True)
class ClassCount:
    """A cell of the table response type x class. The class is empty for incomplete rows."""

    name: str
    n: int


@dataclass(frozen=True)
class ClassRow:
    response_type: str
    n: int
    counts: tuple[ClassCount, ...]


Stratum = tuple[str, str]
"""Split and response type."""


@dataclass(frozen=True)
class SetNumbers:
    """Classes and truths of a set, counted in one pass.

    `classes` counts ``(split, response type, class)``; `positives` and `negatives` count
    ``(proposition key, split, response type)``.
    """

    policy: Policy
    classes: Counter[tuple[str, str, str]]
    positives: Counter[tuple[str, str, str]]
    negatives: Counter[tuple[str, str, str]]

    def class_rows(self, split: str = "") -> list[ClassRow]:
        """The table response type x class, the policy's types first."""
        count: Counter[tuple[str, str]] = Counter()
        for (held_split, kind, name), n in self.classes.items():
            if split in ("", held_split):
                count[kind, name] += n
        names = (*self.policy.class_order, INCOMPLETE)
        rows = []
        for kind in in_policy_order(self.policy, {kind for kind, _ in count}):
            cells = tuple(ClassCount(name, count[kind, name]) for name in names)
            rows.append(ClassRow(kind, sum(cell.n for cell in cells), cells))
        return rows


def in_policy_order(policy: Policy, kinds: Iterable[str]) -> list[str]:
    """Response types as the policy lists them; unknown ones come last."""
    known = policy.response_type_keys
    found = set(kinds)
    return [*(kind for kind in known if kind in found), *sorted(found - set(known))]


def set_numbers(conversation_set: ConversationSet, rules: TruthSQL) -> SetNumbers:
    """Count the set's Gold truths. One query, whatever its size."""
    rows, parameters = rules.rows(conversation_set.pk)
    case, more = rules.completion_class("response_type")
    keys = rules.policy.proposition_keys
    counts = "".join(
        f", count(*) FILTER (WHERE {side}{rules.bits[key].mask} & {rules.bits[key].weight} <> 0)"
        for key in keys
        for side in "tf"
    )
    sql = (
        f"SELECT split, response_type, {case}, count(*){counts} "  # noqa: S608
        f"FROM ({rows}) AS member GROUP BY 1, 2, 3"
    )
    numbers = SetNumbers(rules.policy, Counter(), Counter(), Counter())
    with connection.cursor() as cursor:
        cursor.execute(sql, [*more, *parameters])
        for split, kind, name, n, *cells in cursor.fetchall():
            numbers.classes[split, kind, name] += n
            for index, key in enumerate(keys):
                numbers.positives[key, split, kind] += cells[2 * index]
                numbers.negatives[key, split, kind] += cells[2 * index + 1]
    return numbers


def completion_classes_of(rules: TruthSQL, pks: Iterable[int]) -> dict[int, str]:
    """The class of each of a few completions, empty where truths are missing. One query."""
    case, parameters = rules.completion_class("response_type")
    sql = ONE_BY_ONE.format(case=case, masks=rules.masks())
    with connection.cursor() as cursor:
        cursor.execute(sql, [*parameters, list(pks)])
        return dict(cursor.fetchall())


ONE_BY_ONE = """
SELECT completion.id, {case}
FROM annotation_completion AS completion
JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
CROSS JOIN LATERAL (
    SELECT {masks} FROM annotation_goldtruth AS held WHERE held.completion_id = completion.id
) AS mask
WHERE completion.id = ANY(%s)
"""
