"""Whether the names of a policy fit together, and the order its derived propositions need.

Nothing here decides whether the classes are exclusive and exhaustive: see `lint`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from . import policy_shape as shape
from .policy import (
    KEY_PATTERN,
    POLARITIES,
    Category,
    ContentArea,
    Literals,
    Policy,
    PolicyError,
    Proposition,
    ResponseType,
)

LONGEST_KEY = 100
DEEPEST = 100
"""So many derived propositions may stand on each other; rules are resolved by recursion."""

_REQUIRED = (
    *("title", "summary", "content_areas", "categories", "response_types", "template"),
    *("propositions", "derived", "completion_classes", "class_order"),
)
_OPTIONAL = ("implications", "exclusions")
_Titled = TypeVar("_Titled", Category, ContentArea, ResponseType)


def parse_document(document: object, name: str = "") -> Policy:
    """A well-formed policy from the form of `Policy.as_document`, whoever changed it.

    Derived propositions are put in an order in which each uses earlier ones only, categories
    beside the others of their area. Raises `PolicyError` for whatever is missing, unknown, of the
    wrong type or does not fit; its classes may still overlap or leave gaps.
    """
    root = shape.map_of(document, "the document")
    if different := [key for key in _REQUIRED if key not in root]:
        raise PolicyError(f"the document lacks {', '.join(map(repr, different))}")
    _check_fields(root, (*_REQUIRED, *_OPTIONAL), "the document")
    areas = tuple(_titled(ContentArea, root, "content_areas"))
    prompt = shape.map_of(root["template"], "template")
    _check_fields(prompt, ("text", "order"), "template")
    policy = Policy(
        propositions=tuple(_propositions(root)),
        derived=in_order(_derived(root)),
        completion_classes=shape.completion_classes(root["completion_classes"]),
        class_order=shape.class_order(root["class_order"], "class_order"),
        template=shape.template(prompt.get("text"), "template.text", prompt.get("order")),
        response_types=tuple(_titled(ResponseType, root, "response_types")),
        content_areas=areas,
        categories=_by_area(_titled(Category, root, "categories"), areas),
        title=shape.text_of(root, "title", "the document"),
        summary=shape.text_of(root, "summary", "the document"),
        implications=shape.implications(root.get("implications", ()), given="given"),
        exclusions=shape.exclusions(root.get("exclusions", ())),
        name=name,
    )
    check_policy(policy)
    return policy


def _check_fields(row: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    if unknown := [key for key in row if key not in known]:
        raise PolicyError(f"{where} has no field {unknown[0]!r}")


def _rows(root: Mapping[str, Any], section: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Key, place and fields of each row of a section."""
    for number, value in enumerate(shape.list_of(root[section], section)):
        where = f"{section}[{number}]"
        row = shape.map_of(value, where)
        if "key" not in row:
            raise PolicyError(f"{where} has no key")
        yield shape.text_of(row, "key", where), where, row


def _propositions(root: Mapping[str, Any]) -> Iterator[Proposition]:
    for key, where, row in _rows(root, "propositions"):
        _check_fields(row, [field.name for field in fields(Proposition)], where)
        yield shape.proposition(key, row)


def _derived(root: Mapping[str, Any]) -> dict[str, Literals]:
    found: dict[str, Literals] = {}
    for key, where, row in _rows(root, "derived"):
        _check_fields(row, ("key", "all_of"), where)
        if key in found:
            raise PolicyError(f"derived_propositions: {key!r} stands twice")
        found[key] = shape.conjunction(row.get("all_of"), f"derived_propositions.{key}")
    return found


def _titled(kind: type[_Titled], root: Mapping[str, Any], section: str) -> Iterator[_Titled]:
    names = [field.name for field in fields(kind)]
    for key, where, row in _rows(root, section):
        _check_fields(row, names, where)
        if "response_type" in names and "response_type" not in row:
            raise PolicyError(f"{section}.{key} has no response type")
        yield kind(**{name: shape.text_of(row, name, f"{section}.{key}") for name in row})


def _by_area(
    categories: Iterable[Category], areas: tuple[ContentArea, ...]
) -> tuple[Category, ...]:
    """The order in which a file would hold them: nested in their areas."""
    rank = {area.key: number for number, area in enumerate(areas)}
    return tuple(sorted(categories, key=lambda category: rank.get(category.area, len(areas))))


def in_order(derived: Mapping[str, Literals]) -> dict[str, Literals]:
    """The derived propositions so that each uses earlier ones only; a right order stays as it is.

    Raises `PolicyError` that names a cycle, or when they stand on each other too deep.
    """
    found: dict[str, Literals] = {}
    left = dict(derived)
    depth = dict.fromkeys(derived, 0)
    while left:
        ready = False
        for name, literals in [*left.items()]:
            needed = [other for other in literals if other in derived]
            if all(other in found for other in needed):
                found[name] = left.pop(name)
                depth[name] = 1 + max((depth[other] for other in needed), default=0)
                ready = True
        if not ready:
            raise PolicyError(f"derived_propositions: cycle: {' → '.join(_cycle(left))}")
    if deep := [name for name, levels in depth.items() if levels > DEEPEST]:
        raise PolicyError(f"derived_propositions.{deep[0]} stands on more than {DEEPEST} others")
    return found


def _cycle(left: Mapping[str, Literals]) -> list[str]:
    """One cycle among derived propositions each of which waits for another."""
    path = [next(iter(left))]
    while path.count(path[-1]) < 2:
        path.append(next(name for name in left[path[-1]] if name in left))
    return path[path.index(path[-1]) :]


def check_policy(policy: Policy) -> None:
    """Raises `PolicyError` where a name is malformed, twice, unknown, or used before it stands.

    Types are not checked: `parse_document` reads values of unknown type.
    """
    _check_keys(policy)
    _check_texts(policy.as_document(), "the policy")
    shape.template(policy.template.text, "prompt.template", policy.template.order)
    known = set(policy.proposition_keys)
    for name, literals in policy.derived.items():
        if name in known:
            raise PolicyError(f"{name!r} is both a proposition and a derived proposition")
        if below := [other for other in literals if other in policy.derived and other not in known]:
            raise PolicyError(
                f"derived_propositions.{name} stands above {below[0]!r}, which it uses"
            )
        _check_known(literals, known, f"derived_propositions.{name}")
        known.add(name)
    _check_classes(policy, known)
    _check_response_types(policy)
    _check_constraints(policy, known)


def _check_keys(policy: Policy) -> None:
    if not policy.propositions:
        raise PolicyError("`propositions` is empty")
    if not policy.response_types:
        raise PolicyError("`response_types` is empty")
    for key in (*policy.proposition_keys, *policy.derived, *policy.response_type_keys):
        if not KEY_PATTERN.fullmatch(key):
            raise PolicyError(f"{key!r} is not a key: use lower snake case")
    areas = [area.key for area in policy.content_areas]
    # A conversation names its category by the key alone, so that it stands once in the policy.
    categories = [category.key for category in policy.categories]
    for section, keys in {
        "propositions": policy.proposition_keys,
        "derived_propositions": policy.derived,
        "response_types": policy.response_type_keys,
        "content_areas": areas,
        "categories": categories,
        "completion_classes": policy.completion_classes,
    }.items():
        counts = Counter([*keys])
        if twice := [key for key in counts if counts[key] > 1]:
            raise PolicyError(f"{section}: {twice[0]!r} stands twice")
        if long := [key for key in counts if len(key) > LONGEST_KEY]:
            raise PolicyError(f"{long[0]!r} is longer than {LONGEST_KEY} characters")


def _check_texts(value: object, where: str) -> None:
    if isinstance(value, str):
        shape.check_storable(value, where)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_texts(key, f"a name in {where}")
            _check_texts(inner, f"{where}: `{key}`")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_texts(inner, where)


def _check_classes(policy: Policy, known: set[str]) -> None:
    if set(policy.class_order) != set(policy.completion_classes):
        different = set(policy.class_order) ^ set(policy.completion_classes)
        raise PolicyError(f"class order and classes differ by {', '.join(sorted(different))}")
    shape.class_order(policy.class_order, "class_order")
    for name, by_type in policy.completion_classes.items():
        for response_type, literals in by_type.items():
            where = f"completion_classes.{name}.{response_type}"
            _check_response_type(policy, response_type, where)
            _check_known(literals, known, where)


def _check_response_types(policy: Policy) -> None:
    areas = {area.key for area in policy.content_areas}
    for category in policy.categories:
        where = f"content_areas.{category.area}.categories.{category.key}"
        _check_response_type(policy, category.response_type, where)
        if category.area not in areas:
            raise PolicyError(f"{where}: unknown content area {category.area!r}")
    for proposition in policy.propositions:
        if not proposition.question:
            raise PolicyError(f"proposition {proposition.key!r}: `question` is missing")
        for response_type, polarity in proposition.polarity.items():
            where = f"propositions.{proposition.key}.polarity"
            _check_response_type(policy, response_type, where)
            if polarity not in POLARITIES:
                raise PolicyError(f"{where}: {polarity!r} is none of {', '.join(POLARITIES)}")


def _check_response_type(policy: Policy, response_type: str, where: str) -> None:
    if response_type not in policy.response_type_keys:
        raise PolicyError(f"{where}: unknown response type {response_type!r}")


def _check_constraints(policy: Policy, known: set[str]) -> None:
    for number, implication in enumerate(policy.implications):
        _check_known(implication.given, known, f"implications[{number}]")
        _check_known(implication.then, known, f"implications[{number}]")
        if implication in policy.implications[:number]:
            raise PolicyError(f"implications[{number}] stands twice")
    for number, exclusion in enumerate(policy.exclusions):
        _check_known(exclusion, known, f"exclusions[{number}]")
        if exclusion in policy.exclusions[:number]:
            raise PolicyError(f"exclusions[{number}] stands twice")


def _check_known(literals: Literals, known: set[str], where: str) -> None:
    if not literals:
        raise PolicyError(f"{where} is empty: name at least one proposition")
    for name in literals:
        if name not in known:
            raise PolicyError(
                f"{where} uses {name!r}, which is neither a proposition nor a derived proposition"
            )
