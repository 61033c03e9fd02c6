"""The coverage map: how many positives and negatives each proposition has, and where it is thin."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import ConversationSet, GoldTruth
from annotation.selectors.conversations import completions_of
from annotation.selectors.overview import (
    SetNumbers,
    SetSizes,
    in_policy_order,
    set_numbers,
    set_sizes,
)
from annotation.selectors.truth_sql import INCOMPLETE, TruthSQL

HEAT = (1, 10, 50, 200)
"""The rarer truth of a cell reaches these counts at the steps of its colour."""


@dataclass(frozen=True)
class CoverageCell:
    """One proposition among the rows of one response type and split (empty: of all)."""

    key: str
    split: str
    response_type: str
    positives: int
    negatives: int
    rows: int
    floor: int

    @property
    def undecided(self) -> int:
        return self.rows - self.positives - self.negatives

    @property
    def few_positives(self) -> bool:
        return self.positives < self.floor

    @property
    def few_negatives(self) -> bool:
        return self.negatives < self.floor

    @property
    def is_thin(self) -> bool:
        return self.few_positives or self.few_negatives

    @property
    def heat(self) -> int:
        """The step of the rarer truth, 0 where there is none of it."""
        return sum(min(self.positives, self.negatives) >= step for step in HEAT)


@dataclass(frozen=True)
class CoverageRow:
    key: str
    cells: tuple[CoverageCell, ...]

    @property
    def n_thin(self) -> int:
        return sum(cell.is_thin for cell in self.cells)


@dataclass(frozen=True)
class ClassCell:
    """How many rows of a response type and split are of a class."""

    name: str
    split: str
    response_type: str
    n: int
    floor: int
    defined: bool
    """Whether the policy has such a class for the response type."""

    @property
    def is_thin(self) -> bool:
        return self.n < self.floor


@dataclass(frozen=True)
class ClassCoverage:
    """A response type with its cells, class by class and in each as `CoverageMap.splits`."""

    response_type: str
    cells: tuple[ClassCell, ...]


@dataclass(frozen=True)
class CoverageMap:
    """Rows are propositions, columns response types within splits."""

    sizes: SetSizes
    numbers: SetNumbers
    floor: int

    @property
    def splits(self) -> list[str]:
        return list(self.sizes.splits)

    @property
    def response_types(self) -> list[str]:
        return in_policy_order(self.numbers.policy, self.sizes.response_types)

    @property
    def rows(self) -> list[CoverageRow]:
        return [
            CoverageRow(
                key,
                tuple(
                    self.cell(key, split, kind)
                    for split in self.splits
                    for kind in self.response_types
                ),
            )
            for key in self.numbers.policy.proposition_keys
        ]

    def cell(self, key: str, split: str = "", response_type: str = "") -> CoverageCell:
        """One cell; without split or response type it adds up over them."""
        strata = [
            (held_split, kind)
            for held_split, kind in self.sizes.counts
            if split in ("", held_split) and response_type in ("", kind)
        ]
        return CoverageCell(
            key,
            split,
            response_type,
            positives=sum(self.numbers.positives[key, *stratum] for stratum in strata),
            negatives=sum(self.numbers.negatives[key, *stratum] for stratum in strata),
            rows=sum(self.sizes.counts[stratum] for stratum in strata),
            floor=self.floor,
        )

    @property
    def classes(self) -> list[ClassCoverage]:
        """How many rows are of each class, whether or not there is any."""
        policy, count = self.numbers.policy, self.numbers.classes
        return [
            ClassCoverage(
                kind,
                tuple(
                    ClassCell(
                        name,
                        split,
                        kind,
                        n=count[split, kind, name],
                        floor=self.floor,
                        defined=name in policy.classes_of(kind),
                    )
                    for name in policy.class_order
                    for split in self.splits
                ),
            )
            for kind in self.response_types
        ]

    @property
    def n_incomplete(self) -> int:
        return sum(n for (_, _, name), n in self.numbers.classes.items() if name == INCOMPLETE)


def coverage_cell(
    conversation_set: ConversationSet, key: str, split: str = "", response_type: str = ""
) -> CoverageCell:
    """One cell of the map without the others; over every split and response type that is empty."""
    where = {"conversation__split": split, "conversation__response_type": response_type}
    asked = {name: value for name, value in where.items() if value}
    rows = completions_of(conversation_set).filter(**asked).order_by()
    cells = GoldTruth.objects.filter(completion__in=rows, proposition__key=key)
    return CoverageCell(
        key,
        split,
        response_type,
        positives=cells.filter(truth=True).count(),
        negatives=cells.filter(truth=False).count(),
        rows=rows.count(),
        floor=conversation_set.coverage_floor,
    )


def coverage_map(conversation_set: ConversationSet, rules: TruthSQL) -> CoverageMap:
    """Two queries, whatever the size of the set."""
    return CoverageMap(
        set_sizes(conversation_set),
        set_numbers(conversation_set, rules),
        conversation_set.coverage_floor,
    )
