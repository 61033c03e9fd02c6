"""The parts of a draft: reading, writing, adding, removing and moving one of them.

A draft is the kernel's `Policy.as_document`; nothing here asks whether the whole makes sense,
which is the linter's to say. Every function takes a document and returns another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rbr_app.rbr.policy import KEY_PATTERN

Document = dict[str, Any]
Values = Mapping[str, Any]

LISTS = {
    "content_areas": "content_areas",
    "categories": "categories",
    "response_types": "response_types",
    "propositions": "propositions",
    "derived_propositions": "derived",
}
"""Section, as files and the linter name it -> the list of keyed rows in a document."""
CONSTRAINTS = ("implications", "exclusions")
SINGLE = ("overview", "prompt")
SECTIONS = (*SINGLE, *LISTS, "completion_classes", *CONSTRAINTS)
PLACES = {
    "policy": "overview",
    "template": "prompt",
    "derived": "derived_propositions",
    "class_order": "completion_classes",
}
"""What a diff or an error calls a section, where that is another name."""
LONGEST_KEY = 100


class ItemError(ValueError):
    """An edit that a draft cannot take. The message is for the person who made it."""


@dataclass(frozen=True)
class Item:
    """The address of a part, written ``propositions.apology``, ``implications.0``, ``prompt``."""

    section: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.section}.{self.key}" if self.key else self.section

    @classmethod
    def parse(cls, text: str) -> Item:
        """`ItemError` unless the section exists; the key is looked up later."""
        section, _, key = text.partition(".")
        if section not in SECTIONS or (section in SINGLE) is bool(key):
            raise ItemError(f"a policy has no part {text!r}")
        return cls(section, key)

    @classmethod
    def at(cls, place: str) -> Item | None:
        """The part that a place lies in, such as ``completion_classes.ideal.comply``.

        Places are those of findings and of conflicts; None where no single part is meant.
        """
        section, _, rest = place.replace("[", ".").replace("]", "").partition(".")
        section = PLACES.get(section, section)
        if section == "content_areas" and ".categories." in rest:
            section, rest = "categories", rest.partition(".categories.")[2]
        if section in SINGLE:
            return cls(section)
        key = rest.split(".")[0]
        if section not in SECTIONS or not key or (section in CONSTRAINTS and not key.isdecimal()):
            return None
        return cls(section, key)


def keys_of(document: Document, section: str) -> list[str]:
    """The keys of a section's parts, in order; constraints go by their place."""
    if section in LISTS:
        return [row["key"] for row in document[LISTS[section]]]
    if section == "completion_classes":
        return list(document["class_order"])
    return [str(number) for number in range(len(document.get(section, ())))]


def read_item(document: Document, item: Item) -> Values:
    """The values of a part, as `write_item` takes them; `ItemError` when it is not there."""
    if item.section == "overview":
        return {"title": document["title"], "summary": document["summary"]}
    if item.section == "prompt":
        return dict(document["template"])
    if item.key not in keys_of(document, item.section):
        raise ItemError(f"{item} is no longer in the draft")
    if item.section == "completion_classes":
        return {"key": item.key, "rules": document["completion_classes"][item.key]}
    if item.section == "exclusions":
        return {"literals": document["exclusions"][int(item.key)]}
    return dict(_rows(document, item.section)[_place(document, item)])


def write_item(document: Document, item: Item, values: Values) -> tuple[Document, Item]:
    """The document with a part's values replaced; a new key renames it wherever it is used."""
    read_item(document, item)
    changed = _copy(document)
    if item.section == "overview":
        changed |= values
    elif item.section == "prompt":
        changed["template"] = dict(values)
    elif item.section == "completion_classes":
        changed["completion_classes"][item.key] = values["rules"]
    elif item.section == "exclusions":
        changed["exclusions"][int(item.key)] = values["literals"]
    else:
        rows = _rows(changed, item.section)
        place = _place(changed, item)
        rows[place] = {**rows[place], **values, **({"key": item.key} if "key" in values else {})}
    key = values.get("key", item.key)
    if key == item.key:
        return changed, item
    _check_key(document, item.section, key)
    return _rename(changed, item, key), Item(item.section, key)


def add_item(document: Document, section: str, values: Values) -> tuple[Document, Item]:
    """The document with a new part at the end of its section."""
    changed = _copy(document)
    if section in CONSTRAINTS:
        rows = changed.setdefault(section, [])
        rows.append(values["literals"] if section == "exclusions" else dict(values))
        return changed, Item(section, str(len(rows) - 1))
    key = values["key"]
    _check_key(document, section, key)
    if section == "completion_classes":
        changed["completion_classes"][key] = values["rules"]
        changed["class_order"].append(key)
    else:
        _rows(changed, section).append(dict(values))
    return changed, Item(section, key)


def remove_item(document: Document, item: Item) -> Document:
    """The document without a part, and without what mentions it: see `uses`."""
    read_item(document, item)
    if item.section in SINGLE:
        raise ItemError(f"{item} cannot be removed")
    changed = _copy(document)
    if item.section == "completion_classes":
        del changed["completion_classes"][item.key]
        changed["class_order"].remove(item.key)
        return changed
    del _rows(changed, item.section)[_place(changed, item)]
    if item.section in ("propositions", "derived_propositions"):
        _each_conjunction(changed, lambda literals: _without(literals, item.key))
        _drop_empty_rules(changed)
    elif item.section == "response_types":
        for rules in changed["completion_classes"].values():
            rules.pop(item.key, None)
        for row in changed["propositions"]:
            row.get("polarity", {}).pop(item.key, None)
    elif item.section == "content_areas":
        changed["categories"] = [row for row in changed["categories"] if row["area"] != item.key]
    return changed


def move_item(document: Document, item: Item, step: int) -> tuple[Document, Item]:
    """The document with a part `step` places further down its section; it stops at the ends."""
    read_item(document, item)
    if item.section in SINGLE:
        raise ItemError(f"{item} has no place to move to")
    changed = _copy(document)
    is_class = item.section == "completion_classes"
    rows = changed["class_order"] if is_class else _rows(changed, item.section)
    start = rows.index(item.key) if is_class else _place(changed, item)
    end = min(max(start + step, 0), len(rows) - 1)
    rows.insert(end, rows.pop(start))
    return changed, Item(item.section, str(end)) if item.section in CONSTRAINTS else item


def uses(document: Document, item: Item) -> list[Item]:
    """The other parts that mention a part, each once."""
    key = item.key
    if item.section in ("propositions", "derived_propositions"):
        return _conjunctions_with(document, key)
    if item.section == "response_types":
        found = [
            Item("categories", row["key"])
            for row in document["categories"]
            if row["response_type"] == key
        ]
        classes = document["completion_classes"]
        return found + [
            Item("completion_classes", name)
            for name in document["class_order"]
            if key in classes.get(name, {})
        ]
    if item.section == "content_areas":
        rows = [row for row in document["categories"] if row["area"] == key]
        return [Item("categories", row["key"]) for row in rows]
    return []


def _conjunctions_with(document: Document, key: str) -> list[Item]:
    found = [
        Item("derived_propositions", row["key"])
        for row in document["derived"]
        if key in row["all_of"]
    ]
    found += [
        Item("completion_classes", name)
        for name in document["class_order"]
        if any(key in literals for literals in document["completion_classes"][name].values())
    ]
    for number, rule in enumerate(document.get("implications", ())):
        if key in rule["given"] or key in rule["then"]:
            found.append(Item("implications", str(number)))
    for number, literals in enumerate(document.get("exclusions", ())):
        if key in literals:
            found.append(Item("exclusions", str(number)))
    return found


def _copy(document: Document) -> Document:
    """As a JSON column would give it back: lists, and nothing shared."""
    copied: Document = json.loads(json.dumps(document))
    return copied


def _rows(document: Document, section: str) -> list[Any]:
    rows: list[Any] = document[LISTS.get(section, section)]
    return rows


def _place(document: Document, item: Item) -> int:
    return keys_of(document, item.section).index(item.key)


def _check_key(document: Document, section: str, key: str) -> None:
    if not KEY_PATTERN.fullmatch(key) or len(key) > LONGEST_KEY:
        raise ItemError(f"{key!r} is not a key: use lower snake case, 100 characters at most")
    named = ("propositions", "derived_propositions")
    for other in named if section in named else (section,):
        if key in keys_of(document, other):
            raise ItemError(f"there already is {key!r} among the {other.replace('_', ' ')}")


def _rename(document: Document, item: Item, key: str) -> Document:
    old = item.key
    if item.section == "completion_classes":
        classes = document["completion_classes"]
        classes[key] = classes.pop(old)
        order = document["class_order"]
        order[order.index(old)] = key
        return document
    _rows(document, item.section)[_place(document, item)]["key"] = key
    if item.section in ("propositions", "derived_propositions"):
        _each_conjunction(document, lambda literals: _with_name(literals, old, key))
    elif item.section == "response_types":
        for row in document["categories"]:
            row["response_type"] = key if row["response_type"] == old else row["response_type"]
        for rules in document["completion_classes"].values():
            if old in rules:
                rules[key] = rules.pop(old)
        for row in document["propositions"]:
            if old in row.get("polarity", {}):
                row["polarity"][key] = row["polarity"].pop(old)
    elif item.section == "content_areas":
        for row in document["categories"]:
            row["area"] = key if row["area"] == old else row["area"]
    return document


Literals = dict[str, bool]


def _each_conjunction(document: Document, change: Callable[[Literals], Literals]) -> None:
    for row in document["derived"]:
        row["all_of"] = change(row["all_of"])
    for rules in document["completion_classes"].values():
        for response_type, literals in rules.items():
            rules[response_type] = change(literals)
    for rule in document.get("implications", ()):
        rule["given"], rule["then"] = change(rule["given"]), change(rule["then"])
    if "exclusions" in document:
        document["exclusions"] = [change(literals) for literals in document["exclusions"]]


def _without(literals: Literals, key: str) -> Literals:
    return {name: wanted for name, wanted in literals.items() if name != key}


def _with_name(literals: Literals, old: str, new: str) -> Literals:
    return {new if name == old else name: wanted for name, wanted in literals.items()}


def _drop_empty_rules(document: Document) -> None:
    """A conjunction that lost its last literal says nothing: the linter names the gap it leaves."""
    for name, rules in document["completion_classes"].items():
        document["completion_classes"][name] = {key: row for key, row in rules.items() if row}
    for section in CONSTRAINTS:
        kept = [
            row
            for row in document.get(section, ())
            if (row["given"] and row["then"] if section == "implications" else row)
        ]
        if section in document:
            document[section] = kept
