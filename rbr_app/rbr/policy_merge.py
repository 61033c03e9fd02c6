"""Three-way merging of policies, item by item and field by field.

Two people start from the same policy. What only one of them changed is kept, wherever it stands;
where both changed the same field to different values, mine stays and the conflict is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .policy import Policy
from .policy_diff import Fields, Items, reordered, sections

_ABSENT = object()


@dataclass(frozen=True)
class Conflict:
    """A field or item that both sides changed differently; None where a side does not have it.

    `path` is ``section.item.field``, ``section.item`` or the section alone for its order.
    """

    path: str
    base: Any
    mine: Any
    theirs: Any


@dataclass(frozen=True)
class Merge:
    """A document in the form of `Policy.as_document`, with my side wherever there is a conflict.

    It may be unsound even without a conflict (one side used what the other removed):
    `policy_check.parse_document` tells.
    """

    document: dict[str, Any]
    conflicts: tuple[Conflict, ...]


def merge(base: Policy, mine: Policy, theirs: Policy) -> Merge:
    """My policy with what they changed since `base`. Never raises."""
    conflicts: list[Conflict] = []
    parts = zip(*(sections(policy).items() for policy in (base, mine, theirs)), strict=True)
    merged = {
        name: _section(name, base_items, my_items, their_items, conflicts)
        for (name, base_items), (_, my_items), (_, their_items) in parts
    }
    return Merge(_document(merged), tuple(conflicts))


def _section(
    name: str, base: Items, mine: Items, theirs: Items, conflicts: list[Conflict]
) -> dict[str, Fields]:
    found: dict[str, Fields] = {}
    for key in _order(name, [*base], [*mine], [*theirs], conflicts):
        path = f"{name}.{key}" if key else name
        before, here, there = (items.get(key) for items in (base, mine, theirs))
        if here is not None and there is not None:
            kept: Fields | None = _fields(path, before or {}, here, there, conflicts)
        elif before is None:
            kept = there if here is None else here
        else:
            kept = _removed(path, before, here, there, conflicts)
        if kept is not None:
            found[key] = kept
    return found


def _removed(
    path: str, base: Fields, mine: Fields | None, theirs: Fields | None, conflicts: list[Conflict]
) -> Fields | None:
    """An item that at least one side removed: gone, unless the other side changed it."""
    left = mine if mine is not None else theirs
    if left is None or left == base:
        return None
    conflicts.append(Conflict(path, base, mine, theirs))
    return mine


def _fields(
    path: str, base: Fields, mine: Fields, theirs: Fields, conflicts: list[Conflict]
) -> Fields:
    found = {}
    for field in dict.fromkeys((*mine, *theirs, *base)):
        before, here, there = (row.get(field, _ABSENT) for row in (base, mine, theirs))
        value = there if here == before else here
        if here != there and before not in (here, there):
            row = (None if value is _ABSENT else value for value in (before, here, there))
            conflicts.append(Conflict(f"{path}.{field}", *row))
        if value is not _ABSENT:
            found[field] = value
    return found


def _order(
    name: str, base: list[str], mine: list[str], theirs: list[str], conflicts: list[Conflict]
) -> list[str]:
    """All keys, in the order of the side that changed it; what a side added follows as it did."""
    moved = [order for order in (mine, theirs) if reordered(base, order)]
    if len(moved) == 2 and reordered(mine, theirs) and name == "completion_classes":
        conflicts.append(Conflict(name, base, mine, theirs))
    spine = moved[0] if moved else base
    added: dict[str, list[list[str]]] = {}
    for order in (mine, theirs):
        for anchor, group in _additions(spine, order):
            added.setdefault(anchor, []).append(group)
    # Sorted, so that it does not matter which side is mine.
    following = {
        anchor: [key for group in sorted(groups) for key in group]
        for anchor, groups in added.items()
    }
    keys = [key for anchor in (_START, *spine) for key in (anchor, *following.get(anchor, ()))]
    return [key for key in dict.fromkeys(keys) if key is not _START]


_START = "\x00"
"""Stands before the first key; no key has this character."""


def _additions(spine: Sequence[str], order: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The runs of keys that `spine` lacks, each with the key of `spine` that it follows."""
    known = set(spine)
    found: list[tuple[str, list[str]]] = [(_START, [])]
    for key in order:
        if key in known:
            found.append((key, []))
        else:
            found[-1][1].append(key)
    return [(anchor, group) for anchor, group in found if group]


def _document(merged: dict[str, dict[str, Fields]]) -> dict[str, Any]:
    rows = ("propositions", "response_types", "content_areas", "categories", "derived")
    constraints = ("implications", "exclusions")
    return {
        **merged["policy"][""],
        "template": dict(merged["template"][""]),
        **{name: [{"key": key, **row} for key, row in merged[name].items()] for name in rows},
        "completion_classes": {key: dict(row) for key, row in merged["completion_classes"].items()},
        "class_order": [*merged["completion_classes"]],
        **{name: _constraints(merged[name]) for name in constraints if merged[name]},
    }


def _constraints(items: dict[str, Fields]) -> list[Any]:
    return [row["all_of"] if "all_of" in row else dict(row) for row in items.values()]
