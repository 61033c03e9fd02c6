"""What differs between two policies, shaped for reading: words of texts, literals of rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotation.models import PolicyVersion, Proposition
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.policy_diff import Change, diff, word_diff
from rbr_app.rbr.policy_merge import Conflict

Pieces = tuple[tuple[str, str], ...]
"""Pieces of a text: ``(equal | delete | insert, text)``."""

SECTIONS = {
    "policy": "Overview",
    "content_areas": "Content areas",
    "categories": "Categories",
    "response_types": "Response types",
    "propositions": "Propositions",
    "derived": "Derived propositions",
    "completion_classes": "Classes",
    "implications": "Implications",
    "exclusions": "Exclusions",
    "template": "Grader prompt",
}


@dataclass(frozen=True)
class LiteralDiff:
    """A literal of a conjunction on both sides; None where a side does not have it."""

    key: str
    old: bool | None
    new: bool | None

    @property
    def kind(self) -> str:
        if self.old is self.new:
            return "equal"
        return "insert" if self.old is None else "delete" if self.new is None else "flip"


@dataclass(frozen=True)
class FieldDiff:
    """One field that differs: as words, or as literals where it is a conjunction."""

    name: str
    pieces: Pieces = ()
    literals: tuple[LiteralDiff, ...] = ()


@dataclass(frozen=True)
class ItemDiff:
    """One part of a policy that is new, gone or changed."""

    section: str
    key: str
    kind: str
    fields: tuple[FieldDiff, ...]

    @property
    def heading(self) -> str:
        return SECTIONS.get(self.section, self.section)


def policy_diff(old: Policy, new: Policy) -> list[ItemDiff]:
    """Every difference, in the order of a policy's sections."""
    return as_items(diff(old, new))


def as_items(changes: Iterable[Change]) -> list[ItemDiff]:
    by_item: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        by_item.setdefault((change.section, change.key), []).append(change)
    return [
        ItemDiff(section, key, rows[0].kind if not rows[0].field else "changed", _fields(rows))
        for (section, key), rows in by_item.items()
    ]


@dataclass(frozen=True)
class ConflictDiff:
    """A part that both changed: from the text they began with to mine and to theirs."""

    path: str
    mine: FieldDiff
    theirs: FieldDiff


def conflict_diffs(conflicts: Iterable[Conflict]) -> list[ConflictDiff]:
    return [
        ConflictDiff(
            row.path,
            _field("yours", row.base, row.mine),
            _field("theirs", row.base, row.theirs),
        )
        for row in conflicts
    ]


def _fields(changes: list[Change]) -> tuple[FieldDiff, ...]:
    found: list[FieldDiff] = []
    for change in changes:
        if change.field:
            found.append(_field(change.field, change.old, change.new))
            continue
        values: Mapping[str, Any] = change.new or change.old or {}
        for name, value in values.items():
            if value not in ("", [], {}, ()):
                pair = (None, value) if change.kind == "added" else (value, None)
                found.append(_field(name, *pair))
    return tuple(found)


def _field(name: str, old: Any, new: Any) -> FieldDiff:
    label = {"all_of": "all of", "given": "if", "order": "order"}.get(name, name)
    if _is_conjunction(old) and _is_conjunction(new) and (old or new):
        before, after = old or {}, new or {}
        keys = dict.fromkeys((*before, *after))
        literals = tuple(LiteralDiff(key, before.get(key), after.get(key)) for key in keys)
        return FieldDiff(label, literals=literals)
    return FieldDiff(label, pieces=tuple(word_diff(_as_text(old), _as_text(new))))


def _is_conjunction(value: Any) -> bool:
    return value is None or (
        isinstance(value, Mapping) and all(isinstance(wanted, bool) for wanted in value.values())
    )


def _as_text(value: Any) -> str:
    """A value as a person would write it down."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        # A JSON column keeps no order; an example reads as it was said.
        said = [key for key in ("user", "assistant", "answer") if key in value]
        keys = said or list(value)
        return "\n".join(f"{key}: {_as_text(value[key])}" for key in keys)
    rows = [_as_text(row) for row in value]
    return (" › " if all("\n" not in row for row in rows) else "\n\n").join(rows)


def definition_diff(
    versions: Mapping[int, PolicyVersion], proposition: Proposition, since: int, latest: int
) -> tuple[FieldDiff, ...]:
    """How the definition of a proposition differs between two versions of its policy.

    `versions` maps numbers to versions. What a labeller does not read is left out.
    """
    old, new = (
        _definition(versions[number].document, proposition.key) for number in (since, latest)
    )
    return tuple(
        _field(name, old.get(name), new.get(name))
        for name in ("question", "guideline", "examples")
        if old.get(name) != new.get(name)
    )


def _definition(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    rows: Iterable[Mapping[str, Any]] = document["propositions"]
    return next((row for row in rows if row["key"] == key), {})
