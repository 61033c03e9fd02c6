"""Truths and conjunctions as people set them: by toggles of true, false and neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.http import QueryDict

from annotation.draft_items import Document, keys_of
from rbr_app.rbr.policy import Policy

TRUTHS = {"true": True, "false": False}
TRUTH_FIELD = "is_"


def known_truths(policy: Policy, data: QueryDict) -> dict[str, bool]:
    """The truths that a query string such as ``?is_apology=true`` states."""
    given = {key: data.get(f"{TRUTH_FIELD}{key}", "") for key in policy.proposition_keys}
    return {key: TRUTHS[value] for key, value in given.items() if value in TRUTHS}


@dataclass(frozen=True)
class GridCell:
    field: str
    value: str
    column: str


@dataclass(frozen=True)
class GridRow:
    name: str
    is_derived: bool
    cells: tuple[GridCell, ...]

    @property
    def used(self) -> bool:
        return any(cell.value for cell in self.cells)


@dataclass(frozen=True)
class LiteralGrid:
    """Conjunctions as a grid: a row per (derived) proposition, a column per conjunction."""

    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]

    @classmethod
    def of(
        cls,
        document: Document,
        conjunctions: Mapping[str, Mapping[str, bool]],
        without: Iterable[str] = (),
    ) -> LiteralGrid:
        """`without` leaves out names that the conjunctions must not use."""
        derived = keys_of(document, "derived_propositions")
        names = [*derived, *keys_of(document, "propositions")]
        left_out = set(without)
        return cls(
            tuple(conjunctions),
            tuple(
                GridRow(
                    name,
                    name in derived,
                    tuple(
                        GridCell(
                            f"literal:{column}:{name}", toggle_value(literals.get(name)), column
                        )
                        for column, literals in conjunctions.items()
                    ),
                )
                for name in names
                if name not in left_out
            ),
        )

    @classmethod
    def posted(
        cls,
        document: Document,
        columns: Iterable[str],
        data: QueryDict,
        without: Iterable[str] = (),
    ) -> LiteralGrid:
        empty = cls.of(document, {column: {} for column in columns}, without)
        sent = {
            column: {
                row.name: TRUTHS[value]
                for row in empty.rows
                if (value := data.get(f"literal:{column}:{row.name}", "")) in TRUTHS
            }
            for column in empty.columns
        }
        return cls.of(document, sent, without)

    def literals(self, column: str) -> dict[str, bool]:
        cells = [(row.name, cell) for row in self.rows for cell in row.cells]
        return {
            name: TRUTHS[cell.value] for name, cell in cells if cell.column == column and cell.value
        }


def toggle_value(wanted: bool | None) -> str:
    """How a toggle says true, false or neither."""
    return "" if wanted is None else "true" if wanted else "false"
