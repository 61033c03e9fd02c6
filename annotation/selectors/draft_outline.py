"""The parts of a draft as a list to walk through, with what the linter says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from annotation.draft_items import CONSTRAINTS, SINGLE, Document, Item, keys_of, read_item
from rbr_app.rbr.constraints import formula
from rbr_app.rbr.lint import ERROR, WARNING, Finding
from rbr_app.rbr.policy import Implication

TITLES = {
    "overview": "Title and summary",
    "content_areas": "Content areas",
    "categories": "Categories",
    "response_types": "Response types",
    "propositions": "Propositions",
    "derived_propositions": "Derived propositions",
    "completion_classes": "Classes, best first",
    "implications": "Implications",
    "exclusions": "Exclusions",
    "prompt": "Grader prompt",
}
ONE = {
    "content_areas": "content area",
    "categories": "category",
    "response_types": "response type",
    "propositions": "proposition",
    "derived_propositions": "derived proposition",
    "completion_classes": "class",
    "implications": "implication",
    "exclusions": "exclusion",
}


@dataclass(frozen=True)
class Entry:
    """One part: its address, how it is called, and how much the linter found in it."""

    item: Item
    name: str
    n_errors: int
    n_warnings: int
    changed: bool


@dataclass(frozen=True)
class OutlineSection:
    """A section with its parts. `one` is what one of them is called; empty where none is added."""

    section: str
    title: str
    one: str
    needs_key: bool
    entries: tuple[Entry, ...]


def outline(
    document: Document, base: Document, findings: Iterable[Finding]
) -> list[OutlineSection]:
    """Every part of a draft; those that differ from `base` are marked."""
    found = Counter((item, finding.severity) for finding in findings for item in parts_of(finding))

    def entry(item: Item) -> Entry:
        return Entry(
            item,
            name_of(document, item),
            n_errors=found[item, ERROR],
            n_warnings=found[item, WARNING],
            changed=_differs(document, base, item),
        )

    return [
        OutlineSection(
            section,
            title,
            ONE.get(section, ""),
            section not in CONSTRAINTS,
            tuple(
                entry(Item(section, key))
                for key in ([""] if section in SINGLE else keys_of(document, section))
            ),
        )
        for section, title in TITLES.items()
    ]


def name_of(document: Document, item: Item) -> str:
    """What a part is called in a list: its key, or a constraint as a formula."""
    if item.section == "implications":
        return formula(Implication(**read_item(document, item)))
    if item.section == "exclusions":
        return f"never {formula(read_item(document, item)['literals'])}"
    return item.key or TITLES[item.section]


def _differs(document: Document, base: Document, item: Item) -> bool:
    if item.section in CONSTRAINTS:
        return document[item.section][int(item.key)] not in base.get(item.section, ())
    if item.section not in SINGLE and item.key not in keys_of(base, item.section):
        return True
    return read_item(document, item) != read_item(base, item)


@dataclass(frozen=True)
class LintLine:
    """A finding with the parts it is about, and a query that opens its witness."""

    finding: Finding
    items: tuple[Item, ...]
    witness: str


def lint_lines(findings: Iterable[Finding]) -> list[LintLine]:
    """The findings for the linter's panel."""
    return [LintLine(finding, parts_of(finding), _witness_query(finding)) for finding in findings]


def parts_of(finding: Finding) -> tuple[Item, ...]:
    """Where to look: the classes that a finding names, else the part that its place lies in."""
    if finding.classes:
        return tuple(Item("completion_classes", name) for name in finding.classes)
    item = Item.at(finding.where)
    return (item,) if item else ()


def _witness_query(finding: Finding) -> str:
    if finding.witness is None or not finding.response_type:
        return ""
    truths = {f"is_{key}": str(value).lower() for key, value in finding.witness.items()}
    return urlencode({"response_type": finding.response_type, **truths})
