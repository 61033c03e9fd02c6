"""The parts of a policy from values that anybody may have written: a file's, a form's.

Every function takes the value and `where` it stands, and raises `PolicyError` when the value has
not the shape that is wanted. Whether the names fit together is `policy_check`'s to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .policy import (
    POLARITIES,
    Example,
    Implication,
    Literals,
    PolicyError,
    PromptTemplate,
    Proposition,
    as_key,
)

ORDERS = ("question_first", "conversation_first")
PLACEHOLDERS = ("question", "examples", "conversation", "response")


def map_of(value: object, where: str) -> Mapping[str, Any]:
    """A map whose keys are names."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise PolicyError(f"`{where}` must be a map of names")
    for key in value:
        check_storable(key, f"a name in `{where}`")
    return value


def list_of(value: object, where: str) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise PolicyError(f"`{where}` must be a list")
    return value


def text_of(row: Mapping[str, Any], key: str, where: str) -> str:
    """The text called `key` of a row; empty where the row has none."""
    value = row.get(key, "")
    if not isinstance(value, str):
        raise PolicyError(f"{where}: `{key}` must be text, not {value!r}")
    check_storable(value, f"{where}: `{key}`")
    return value


def check_storable(text: str, where: str) -> None:
    """Refuse what UTF-8 and PostgreSQL cannot hold; YAML can write both as escapes."""
    if "\x00" in text:
        raise PolicyError(f"{where} holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PolicyError(f"{where} holds half of a surrogate pair")


def proposition(key: str, row: Mapping[str, Any], *, question: str = "question") -> Proposition:
    """`question` is the field that holds the question: the two file forms differ in it."""
    text = text_of(row, question, key)
    if not text.strip():
        raise PolicyError(f"proposition {key!r}: `{question}` is missing")
    examples = row.get("examples", ())
    if not isinstance(examples, (list, tuple)):
        raise PolicyError(f"proposition {key!r}: `examples` must be a list")
    return Proposition(
        key=key,
        question=text,
        guideline=text_of(row, "guideline", key),
        examples=tuple(_example(value, f"{key}.examples[{n}]") for n, value in enumerate(examples)),
        polarity=_polarity(row.get("polarity", {}), f"{key}.polarity"),
    )


def _example(value: object, where: str) -> Example:
    row = map_of(value, where)
    answer = row.get("answer")
    if not isinstance(answer, bool):
        raise PolicyError(f"{where}: `answer` must be true or false")
    return Example(text_of(row, "user", where), text_of(row, "assistant", where), answer)


def _polarity(value: object, where: str) -> dict[str, str]:
    stated = by_response_type(map_of(value, where), where)
    for response_type, polarity in stated.items():
        if polarity not in POLARITIES:
            wanted = ", ".join(POLARITIES)
            raise PolicyError(f"{where}.{response_type} must be one of {wanted}, not {polarity!r}")
    return stated


def by_response_type(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values under the keys of their response types, however a file spells those."""
    found = {as_key(name): value for name, value in values.items()}
    if len(found) < len(values):
        keys = [as_key(name) for name in values]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise PolicyError(f"{where} names {twice!r} twice")
    return found


def conjunction(value: object, where: str) -> Literals:
    literals = map_of(value, where)
    if not literals:
        raise PolicyError(f"{where} is empty: name at least one proposition")
    for key, wanted in literals.items():
        if not isinstance(wanted, bool):
            raise PolicyError(f"{where}.{key} must be true or false, not {wanted!r}")
    return literals


def conjunctions(value: object, where: str) -> dict[str, Literals]:
    rows = map_of(value, where)
    return {name: conjunction(literals, f"{where}.{name}") for name, literals in rows.items()}


def completion_classes(value: object) -> dict[str, dict[str, Literals]]:
    """Class -> response type -> conjunction."""
    return {
        name: by_response_type(
            conjunctions(by_type, f"completion_classes.{name}"), f"completion_classes.{name}"
        )
        for name, by_type in map_of(value, "completion_classes").items()
    }


def class_order(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise PolicyError(f"`{where}` must be a list of class names, best first")
    if len(set(value)) != len(value):
        raise PolicyError(f"`{where}` names a class twice")
    return tuple(value)


def template(value: object, where: str, order: object = None) -> PromptTemplate:
    if not isinstance(value, str):
        raise PolicyError(f"`{where}` must be text")
    check_storable(value, f"`{where}`")
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


def implications(value: object, *, given: str) -> tuple[Implication, ...]:
    """`given` is the field of the condition: `if` in a file, `given` in a document."""
    found = []
    for number, row in enumerate(list_of(value, "implications")):
        where = f"implications[{number}]"
        fields = map_of(row, where)
        if set(fields) != {given, "then"}:
            raise PolicyError(f"{where} must have `{given}` and `then` and nothing else")
        found.append(
            Implication(
                conjunction(fields[given], f"{where}.{given}"),
                conjunction(fields["then"], f"{where}.then"),
            )
        )
    return tuple(found)


def exclusions(value: object) -> tuple[Literals, ...]:
    """Each is a map of names to true or false, or a list of names that are never all true."""
    found = []
    for number, row in enumerate(list_of(value, "exclusions")):
        where = f"exclusions[{number}]"
        if isinstance(row, list):
            if not all(isinstance(name, str) for name in row):
                raise PolicyError(f"{where} must list names, or map names to true or false")
            if len(set(row)) < len(row):
                raise PolicyError(f"{where} names a proposition twice")
            row = dict.fromkeys(row, True)
        found.append(conjunction(row, where))
    return tuple(found)
