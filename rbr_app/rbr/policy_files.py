"""Reads policy files: the form of this project, and the one in which OpenAI released theirs.

Both are YAML. The released form (Mu et al. 2024, code release) has `simple_propositions` with a
`prompt` each and one `prompt_template`; it states no content areas, so its policies map no
category to a response type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from . import policy_shape as shape
from .lint import errors
from .policy import Category, ContentArea, Literals, Policy, PolicyError, ResponseType, as_key
from .policy_check import check_policy, in_order

FORMAT = "rbr-policy/1"


def read_policy(text: str) -> Policy:
    """A policy that may be used: well-formed, its classes exclusive and exhaustive.

    Raises `PolicyError` with every error of `lint`, each overlap and gap with a witness.
    """
    policy = parse_policy(text)
    if findings := errors(policy):
        raise PolicyError("; ".join(finding.message for finding in findings))
    return policy


def parse_policy(text: str) -> Policy:
    """A well-formed policy; its classes may still overlap or leave gaps.

    Derived propositions may stand in any order in the file. Raises `PolicyError`.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except RecursionError:
        raise PolicyError("not YAML that can be read: it is nested too deep") from None
    # PyYAML gives plain ValueErrors for dates and numbers that do not exist.
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"not YAML: {' '.join(str(error).split())}") from error
    root = shape.map_of(document, "the file")
    policy = _released(root) if "simple_propositions" in root else _ours(root)
    check_policy(policy)
    return policy


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one map: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} stands twice in one map", key_node.start_mark
                )
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


def _ours(root: Mapping[str, Any]) -> Policy:
    if root.get("format") != FORMAT:
        raise PolicyError(f"`format` must be {FORMAT!r}, or the file must be in the released form")
    prompt = shape.map_of(root.get("prompt"), "prompt")
    areas, categories = _content_policy(
        shape.map_of(root.get("content_areas", {}), "content_areas")
    )
    return Policy(
        propositions=tuple(shape.proposition(key, row) for key, row in _rows(root, "propositions")),
        derived=_derived(root),
        completion_classes=shape.completion_classes(root.get("completion_classes")),
        class_order=shape.class_order(root.get("class_order"), "class_order"),
        template=shape.template(prompt.get("template"), "prompt.template", prompt.get("order")),
        response_types=tuple(
            ResponseType(
                key, shape.text_of(row, "title", key), shape.text_of(row, "description", key)
            )
            for key, row in _rows(root, "response_types")
        ),
        content_areas=areas,
        categories=categories,
        title=shape.text_of(root, "title", "the file"),
        summary=shape.text_of(root, "summary", "the file"),
        implications=shape.implications(root.get("implications", []), given="if"),
        exclusions=shape.exclusions(root.get("exclusions", [])),
        name=shape.text_of(root, "name", "the file"),
    )


def _released(root: Mapping[str, Any]) -> Policy:
    classes = shape.map_of(root.get("completion_classes"), "completion_classes")
    return Policy(
        propositions=tuple(
            shape.proposition(key, row, question="prompt")
            for key, row in _rows(root, "simple_propositions")
        ),
        derived=_derived(root),
        completion_classes=shape.completion_classes(classes),
        class_order=shape.class_order(root.get("completion_class_order"), "completion_class_order"),
        template=shape.template(root.get("prompt_template"), "prompt_template"),
        response_types=_response_types(name for by_type in classes.values() for name in by_type),
    )


def _response_types(names: Iterator[str]) -> tuple[ResponseType, ...]:
    """The types that a released file's classes name. A spelling that is no key is the title."""
    titles: dict[str, str] = {}
    for name in names:
        key = as_key(name)
        titles.setdefault(key, default_title(key) if name == key else name)
    return tuple(ResponseType(key, title) for key, title in titles.items())


def default_title(key: str) -> str:
    """The title of a response type of which a released file gives nothing but the key."""
    return key.replace("_", " ").capitalize()


def _derived(root: Mapping[str, Any]) -> dict[str, Literals]:
    found = shape.conjunctions(root.get("derived_propositions", {}), "derived_propositions")
    return in_order(found)


def _content_policy(
    areas: Mapping[str, Any],
) -> tuple[tuple[ContentArea, ...], tuple[Category, ...]]:
    found: list[ContentArea] = []
    categories: list[Category] = []
    for area, value in areas.items():
        row = shape.map_of(value, f"content_areas.{area}")
        title, description = (shape.text_of(row, key, area) for key in ("title", "description"))
        found.append(ContentArea(area, title, description))
        for key, category in shape.map_of(row.get("categories", {}), f"{area}.categories").items():
            where = f"content_areas.{area}.categories.{key}"
            details = shape.map_of(category, where)
            categories.append(
                Category(
                    key=key,
                    response_type=as_key(shape.text_of(details, "response_type", where)),
                    area=area,
                    title=shape.text_of(details, "title", where),
                    description=shape.text_of(details, "description", where),
                )
            )
    return tuple(found), tuple(categories)


def _rows(root: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = shape.map_of(root.get(key), key)
    if not rows:
        raise PolicyError(f"`{key}` is empty")
    for name, value in rows.items():
        yield name, shape.map_of(value if value is not None else {}, f"{key}.{name}")
