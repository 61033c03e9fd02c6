"""Reads policy files: the form of this project, and the one in which OpenAI released theirs.

Both are YAML. The released form (Mu et al. 2024, code release) has `simple_propositions` with a
`prompt` each and one `prompt_template`; it states no content areas, so its policies map no
category to a response type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from .lint import gaps, overlaps
from .policy import (
    KEY_PATTERN,
    Category,
    ContentArea,
    Example,
    Literals,
    Policy,
    PolicyError,
    PromptTemplate,
    Proposition,
    ResponseType,
    as_key,
)

FORMAT = "rbr-policy/1"
ORDERS = ("question_first", "conversation_first")
LONGEST_KEY = 100
PLACEHOLDERS = ("question", "examples", "conversation", "response")


def read_policy(text: str) -> Policy:
    """A policy that may be used: well-formed, its classes exclusive and exhaustive.

    Raises `PolicyError` with every overlap and gap and a witness assignment for each.
    """
    policy = parse_policy(text)
    if witnesses := [*overlaps(policy), *gaps(policy)]:
        raise PolicyError("; ".join(map(str, witnesses)))
    return policy


def parse_policy(text: str) -> Policy:
    """A well-formed policy; its classes may still overlap or leave gaps."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except RecursionError:
        raise PolicyError("not YAML that can be read: it is nested too deep") from None
    # PyYAML gives plain ValueErrors for dates and numbers that do not exist.
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"not YAML: {' '.join(str(error).split())}") from error
    root = _map(document, "the file")
    policy = _released(root) if "simple_propositions" in root else _ours(root)
    _check_names(policy)
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
    prompt = _map(root.get("prompt"), "prompt")
    areas, categories = _content_policy(_map(root.get("content_areas", {}), "content_areas"))
    return Policy(
        propositions=tuple(
            _proposition(key, row, question="question") for key, row in _rows(root, "propositions")
        ),
        derived=_conjunctions(root.get("derived_propositions", {}), "derived_propositions"),
        completion_classes=_classes(root),
        class_order=_class_order(root.get("class_order"), "class_order"),
        template=_template(prompt.get("template"), "prompt.template", prompt.get("order")),
        response_types=tuple(
            ResponseType(key, _text(row, "title", key), _text(row, "description", key))
            for key, row in _rows(root, "response_types")
        ),
        content_areas=areas,
        categories=categories,
        title=_text(root, "title", "the file"),
        summary=_text(root, "summary", "the file"),
        name=_text(root, "name", "the file"),
    )


def _released(root: Mapping[str, Any]) -> Policy:
    classes = _classes(root)
    keys = dict.fromkeys(key for by_type in classes.values() for key in by_type)
    return Policy(
        propositions=tuple(
            _proposition(key, row, question="prompt")
            for key, row in _rows(root, "simple_propositions")
        ),
        derived=_conjunctions(root.get("derived_propositions", {}), "derived_propositions"),
        completion_classes=classes,
        class_order=_class_order(root.get("completion_class_order"), "completion_class_order"),
        template=_template(root.get("prompt_template"), "prompt_template", None),
        response_types=tuple(ResponseType(key, key.replace("_", " ").capitalize()) for key in keys),
    )


def _content_policy(
    areas: Mapping[str, Any],
) -> tuple[tuple[ContentArea, ...], tuple[Category, ...]]:
    found: list[ContentArea] = []
    categories: list[Category] = []
    for area, value in areas.items():
        row = _map(value, f"content_areas.{area}")
        found.append(ContentArea(area, _text(row, "title", area), _text(row, "description", area)))
        for key, category in _map(row.get("categories", {}), f"{area}.categories").items():
            where = f"content_areas.{area}.categories.{key}"
            details = _map(category, where)
            categories.append(
                Category(
                    key=key,
                    response_type=as_key(_text(details, "response_type", where)),
                    area=area,
                    title=_text(details, "title", where),
                    description=_text(details, "description", where),
                )
            )
    return tuple(found), tuple(categories)


def _proposition(key: str, row: Mapping[str, Any], *, question: str) -> Proposition:
    text = _text(row, question, key)
    if not text.strip():
        raise PolicyError(f"proposition {key!r}: `{question}` is missing")
    examples = row.get("examples", [])
    if not isinstance(examples, list):
        raise PolicyError(f"proposition {key!r}: `examples` must be a list")
    return Proposition(
        key=key,
        question=text.strip(),
        guideline=_text(row, "guideline", key).strip(),
        examples=tuple(_example(value, f"{key}.examples[{n}]") for n, value in enumerate(examples)),
    )


def _example(value: object, where: str) -> Example:
    row = _map(value, where)
    answer = row.get("answer")
    if not isinstance(answer, bool):
        raise PolicyError(f"{where}: `answer` must be true or false")
    return Example(_text(row, "user", where), _text(row, "assistant", where), answer)


def _classes(root: Mapping[str, Any]) -> dict[str, dict[str, Literals]]:
    classes: dict[str, dict[str, Literals]] = {}
    for name, value in _map(root.get("completion_classes"), "completion_classes").items():
        by_type = _conjunctions(value, f"completion_classes.{name}")
        classes[name] = {as_key(key): literals for key, literals in by_type.items()}
        if len(classes[name]) < len(by_type):
            key = next(key for key in by_type if [*map(as_key, by_type)].count(as_key(key)) > 1)
            raise PolicyError(f"completion_classes.{name} names {as_key(key)!r} twice")
    return classes


def _conjunctions(value: object, where: str) -> dict[str, Literals]:
    found: dict[str, Literals] = {}
    for name, literals in _map(value, where).items():
        conjunction = _map(literals, f"{where}.{name}")
        if not conjunction:
            raise PolicyError(f"{where}.{name} is empty: name at least one proposition")
        for key, wanted in conjunction.items():
            if not isinstance(wanted, bool):
                raise PolicyError(f"{where}.{name}.{key} must be true or false, not {wanted!r}")
        found[name] = conjunction
    return found


def _class_order(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PolicyError(f"`{where}` must be a list of class names, best first")
    if len(set(value)) != len(value):
        raise PolicyError(f"`{where}` names a class twice")
    return tuple(value)


def _template(value: object, where: str, order: object) -> PromptTemplate:
    if not isinstance(value, str):
        raise PolicyError(f"`{where}` must be text")
    _check_storable(value, f"`{where}`")
    for placeholder in ("question", "response"):
        if f"{{{placeholder}}}" not in value:
            raise PolicyError(f"`{where}` lacks the placeholder {{{placeholder}}}")
    for placeholder in PLACEHOLDERS:
        if value.count(f"{{{placeholder}}}") > 1 and placeholder != "question":
            raise PolicyError(f"`{where}` has the placeholder {{{placeholder}}} twice")
    if order is None:
        return PromptTemplate(value)
    if order not in ORDERS:
        raise PolicyError(f"`prompt.order` must be one of {', '.join(ORDERS)}, not {order!r}")
    return PromptTemplate(value, str(order))


def _check_names(policy: Policy) -> None:
    for key in (*policy.proposition_keys, *policy.derived, *policy.response_type_keys):
        if not KEY_PATTERN.fullmatch(key):
            raise PolicyError(f"{key!r} is not a key: use lower snake case")
        if len(key) > LONGEST_KEY:
            raise PolicyError(f"{key!r} is longer than {LONGEST_KEY} characters")
    known = set(policy.proposition_keys)
    for name, literals in policy.derived.items():
        if name in known:
            raise PolicyError(f"{name!r} is both a proposition and a derived proposition")
        _check_known(literals, known, f"derived_propositions.{name}")
        known.add(name)
    if set(policy.class_order) != set(policy.completion_classes):
        different = set(policy.class_order) ^ set(policy.completion_classes)
        raise PolicyError(f"class order and classes differ by {', '.join(sorted(different))}")
    types = set(policy.response_type_keys)
    for name, by_type in policy.completion_classes.items():
        for response_type, literals in by_type.items():
            where = f"completion_classes.{name}.{response_type}"
            if response_type not in types:
                raise PolicyError(f"{where}: unknown response type {response_type!r}")
            _check_known(literals, known, where)
    for category in policy.categories:
        if category.response_type not in types:
            where = f"content_areas.{category.area}.categories.{category.key}"
            raise PolicyError(f"{where}: unknown response type {category.response_type!r}")


def _check_known(literals: Literals, known: set[str], where: str) -> None:
    for name in literals:
        if name not in known:
            raise PolicyError(
                f"{where} uses {name!r}, which is neither a proposition nor a derived "
                "proposition defined above it"
            )


def _rows(root: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = _map(root.get(key), key)
    if not rows:
        raise PolicyError(f"`{key}` is empty")
    for name, value in rows.items():
        yield name, _map(value if value is not None else {}, f"{key}.{name}")


def _map(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise PolicyError(f"`{where}` must be a map of names")
    for key in value:
        _check_storable(key, f"a name in `{where}`")
    return value


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key, "")
    if not isinstance(value, str):
        raise PolicyError(f"{where}: `{key}` must be text, not {value!r}")
    _check_storable(value, f"{where}: `{key}`")
    return value


def _check_storable(text: str, where: str) -> None:
    """Refuse what UTF-8 and PostgreSQL cannot hold; YAML can write both as escapes."""
    if "\x00" in text:
        raise PolicyError(f"{where} holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PolicyError(f"{where} holds half of a surrogate pair")
