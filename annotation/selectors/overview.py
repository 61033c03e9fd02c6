"""What a set holds, counted: its classes and how often each proposition is true or false."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from annotation.models import ConversationSet
from annotation.models.conversations import Split
from annotation.selectors.conversations import completions_of
from annotation.selectors.labels import Truths, gold_truths
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.rules import completion_classes, leaves

UNLABELLED = ""
ENOUGH = 5
"""Positives and negatives below which a proposition says little in a split."""


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


@dataclass(frozen=True)
class SplitCoverage:
    """How many rows of a split have a proposition true, and false."""

    split: str
    positives: int
    negatives: int

    @property
    def few_positives(self) -> bool:
        return self.positives < ENOUGH

    @property
    def few_negatives(self) -> bool:
        return self.negatives < ENOUGH


@dataclass(frozen=True)
class CoverageRow:
    key: str
    splits: tuple[SplitCoverage, ...]

    @property
    def is_thin(self) -> bool:
        return any(split.few_positives or split.few_negatives for split in self.splits)


@dataclass(frozen=True)
class Overview:
    """A set in numbers. `classes` maps completion pk -> class, empty where labels are missing."""

    truths: Truths
    classes: dict[int, str]
    rows_per_split: dict[str, int]
    class_names: tuple[str, ...]
    class_rows: list[ClassRow]
    coverage: list[CoverageRow]
    categories: list[str]

    @property
    def n(self) -> int:
        return sum(self.rows_per_split.values())

    @property
    def n_thin(self) -> int:
        return sum(row.is_thin for row in self.coverage)


def set_overview(conversation_set: ConversationSet, policy: Policy) -> Overview:
    """Count the set's Gold truths. Two queries, whatever its size."""
    found = completions_of(conversation_set).values_list(
        "pk", "conversation__split", "conversation__response_type", "conversation__category"
    )
    rows = list(found)
    split_of = {pk: split for pk, split, _, _ in rows}
    type_of = {pk: kind for pk, _, kind, _ in rows}
    truths = gold_truths(completions_of(conversation_set).order_by().values_list("pk", flat=True))
    classes = classes_of(policy, type_of, truths)
    per_split = Counter(split_of.values())
    splits = [split for split in Split.values if per_split[split]]
    cells = Counter((split_of[pk], key, truth) for (pk, key), truth in truths.items())
    names = (*policy.class_order, UNLABELLED)
    return Overview(
        truths=truths,
        classes=classes,
        rows_per_split={split: per_split[split] for split in splits},
        class_names=policy.class_order,
        class_rows=_class_rows(policy, type_of, classes, names),
        coverage=[
            CoverageRow(
                key,
                tuple(
                    SplitCoverage(split, cells[split, key, True], cells[split, key, False])
                    for split in splits
                ),
            )
            for key in policy.proposition_keys
        ],
        categories=sorted({category for _, _, _, category in rows if category}),
    )


def _class_rows(
    policy: Policy, type_of: dict[int, str], classes: dict[int, str], names: tuple[str, ...]
) -> list[ClassRow]:
    count = Counter((type_of[pk], name) for pk, name in classes.items())
    per_type = Counter(type_of.values())
    known = policy.response_type_keys
    kinds = [*known, *sorted(set(type_of.values()) - set(known))]
    return [
        ClassRow(kind, per_type[kind], tuple(ClassCount(name, count[kind, name]) for name in names))
        for kind in kinds
        if per_type[kind]
    ]


def classes_of(policy: Policy, type_of: dict[int, str], truths: Truths) -> dict[int, str]:
    """The class that Gold truths imply for each completion; empty where one is missing."""
    by_completion: dict[int, dict[str, bool]] = defaultdict(dict)
    for (pk, key), truth in truths.items():
        by_completion[pk][key] = truth
    needed = {kind: set(leaves(policy, kind)) for kind in set(type_of.values())}
    blank = dict.fromkeys(policy.proposition_keys, False)
    classes = {}
    for pk, kind in type_of.items():
        known = by_completion[pk]
        complete = needed[kind] and needed[kind] <= set(known)
        found = completion_classes(policy, kind, blank | known) if complete else []
        classes[pk] = found[0] if found else UNLABELLED
    return classes
