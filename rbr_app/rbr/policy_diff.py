"""What differs between two policies, and three-way merging.

A policy's document is read as sections of items of fields: section ``propositions``, item
``apology``, field ``guideline``. Items are told apart by their keys, so an edit of one field never
meets an edit of another. Constraints have no key: theirs is what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from .constraints import formula
from .policy import Policy

Fields = Mapping[str, Any]
Items = Mapping[str, Fields]
"""The items of a section by their keys, in order."""

_ROWS = ("propositions", "response_types", "content_areas", "categories")
_NO_MEANING = {"title", "polarity", "text", "order"}
"""Fields that change no label: names, hints, and what only a grader reads."""
_RULES = {"derived", "completion_classes"}


@dataclass(frozen=True)
class Change:
    """One field that differs, or with an empty `field` a whole item that is new or gone.

    `kind` is ``added``, ``removed`` or ``changed``; the values are JSON values. A section without
    items of its own has the key ``""``; its order, where that differs, is the field ``order``.
    `default_meaning` is False where the change cannot alter what a label means. `proposition` is
    the key of the proposition that the change is about, if it is about one.
    """

    section: str
    key: str
    field: str
    kind: str
    old: Any
    new: Any
    default_meaning: bool
    proposition: str = ""


def diff(old: Policy, new: Policy) -> list[Change]:
    """Every difference; empty exactly when the policies are equal."""
    before, after = sections(old), sections(new)
    return [change for name in before for change in _section_diff(name, before[name], after[name])]


def touched_propositions(changes: Iterable[Change]) -> tuple[str, ...]:
    """The propositions whose labels may mean something else after these changes."""
    touched = (change.proposition for change in changes if change.default_meaning)
    return tuple(dict.fromkeys(key for key in touched if key))


def rules_changed(changes: Iterable[Change]) -> bool:
    """Whether the same labels may lead to another class, or another class may count as better."""
    return any(
        change.section in _RULES
        or (change.section == "response_types" and not change.field)
        or (change.section == "categories" and change.field in ("", "response_type"))
        for change in changes
    )


def sections(policy: Policy) -> dict[str, Items]:
    """The policy's document by section, item and field. The order of classes is their rank."""
    document = policy.as_document()
    rows = {
        name: {row["key"]: {k: v for k, v in row.items() if k != "key"} for row in document[name]}
        for name in _ROWS
    }
    return {
        "policy": {"": {key: document[key] for key in ("title", "summary")}},
        **{name: rows[name] for name in ("content_areas", "categories", "response_types")},
        "template": {"": document["template"]},
        "propositions": rows["propositions"],
        "derived": {row["key"]: {"all_of": row["all_of"]} for row in document["derived"]},
        "completion_classes": {
            name: document["completion_classes"][name] for name in policy.class_order
        },
        "implications": {
            formula(rule): {"given": rule.given, "then": rule.then} for rule in policy.implications
        },
        "exclusions": {formula(rule): {"all_of": rule} for rule in policy.exclusions},
    }


def reordered(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether the keys that both have stand in another order."""
    return [key for key in old if key in new] != [key for key in new if key in old]


def _section_diff(section: str, old: Items, new: Items) -> list[Change]:
    found = []
    for key in dict.fromkeys((*old, *new)):
        if key in old and key in new:
            found += _item_diff(section, key, old[key], new[key])
        else:
            found.append(_change(section, key, "", old.get(key), new.get(key)))
    # Derived propositions stand in whatever order their parts allow.
    if section != "derived" and reordered([*old], [*new]):
        found.append(_change(section, "", "order", [*old], [*new]))
    return found


def _item_diff(section: str, key: str, old: Fields, new: Fields) -> list[Change]:
    return [
        _change(section, key, field, old.get(field), new.get(field))
        for field in dict.fromkeys((*old, *new))
        if old.get(field) != new.get(field)
    ]


def _change(section: str, key: str, field: str, old: Any, new: Any) -> Change:
    ranks = section == "completion_classes"
    return Change(
        section=section,
        key=key,
        field=field,
        kind="added" if old is None else "removed" if new is None else "changed",
        old=old,
        new=new,
        default_meaning=ranks or field not in _NO_MEANING,
        proposition=key if section == "propositions" else "",
    )


def word_diff(old: str, new: str) -> list[tuple[str, str]]:
    """The two texts as pieces: ``equal``, ``delete`` (old alone) and ``insert`` (new alone).

    All but the inserts make the old text, all but the deletes the new one. Pieces begin and end
    at words, so that prose shows whole words changed.
    """
    before, after = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (old, new))
    # White space between other words is no common ground.
    matcher = SequenceMatcher(str.isspace, before, after)
    found: list[tuple[str, str]] = []
    for op, start, end, first, last in matcher.get_opcodes():
        if op == "equal":
            found.append(("equal", "".join(before[start:end])))
            continue
        pieces = {"delete": "".join(before[start:end]), "insert": "".join(after[first:last])}
        found += [(kind, text) for kind, text in pieces.items() if text]
    return found
