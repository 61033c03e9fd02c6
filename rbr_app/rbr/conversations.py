"""Messages, completions, and the JSONL form in which they are exchanged.

One line is one completion with its prompt: ``prompt`` (a list of messages that ends with a user
turn), ``completion`` (a string, or a list of one assistant message), ``category``,
``response_type``, ``propositions`` (key -> true/false, null where nobody could decide), and
optionally ``id``, ``split``, ``completion_type`` and ``rm_score``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .policy import as_key

ROLES = ("system", "user", "assistant")


class RowError(ValueError):
    """A line that is not a conversation. `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Message:
    """One turn. `role` is one of `ROLES`."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """A prompt and one completion of it, with what is known about them."""

    prompt: tuple[Message, ...]
    completion: str
    category: str = ""
    response_type: str = ""
    labels: Mapping[str, bool | None] = field(default_factory=dict)
    id: str = ""
    completion_type: str = ""
    rm_score: float | None = None
    split: str = ""

    @cached_property
    def prompt_fingerprint(self) -> str:
        """sha256 over the prompt's roles and texts: the unit of the train/test split."""
        turns = [[message.role, message.content] for message in self.prompt]
        return fingerprint(turns)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over prompt and completion; two rows with the same one are duplicates."""
        return fingerprint([self.prompt_fingerprint, self.completion])


def fingerprint(value: object) -> str:
    """sha256 (hex) of a value's canonical JSON: sorted keys, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_conversations(lines: Iterable[str | bytes]) -> Iterator[tuple[int, Conversation]]:
    """Yield ``(line number, conversation)`` for each line that is not blank.

    Raises `RowError` at the first line that is not a conversation.
    """
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode() if isinstance(line, bytes) else line
            text = text.removeprefix("\ufeff")
            if text.strip():
                yield number, parse_conversation(json.loads(text, object_pairs_hook=_object))
        except UnicodeDecodeError as error:
            raise RowError(number, f"not UTF-8 ({error.reason} at byte {error.start})") from error
        except json.JSONDecodeError as error:
            raise RowError(number, f"not JSON ({error.msg} at column {error.colno})") from error
        except RecursionError as error:
            raise RowError(number, "not JSON that can be read: it is nested too deep") from error
        except ValueError as error:
            raise RowError(number, str(error)) from error


def parse_conversation(row: object) -> Conversation:
    """A conversation from its JSON values; `ValueError` names the key that is wrong."""
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object")
    prompt = _messages(row.get("prompt"))
    if prompt[-1].role != "user":
        raise ValueError("`prompt` must end with a user message")
    return Conversation(
        prompt=prompt,
        completion=_completion(row),
        category=_text(row, "category"),
        response_type=as_key(_text(row, "response_type")),
        labels=_labels(row.get("propositions")),
        id=_text(row, "id"),
        completion_type=_text(row, "completion_type"),
        rm_score=_number(row, "rm_score"),
        split=_text(row, "split"),
    )


def _messages(value: object, key: str = "prompt") -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"`{key}` must be a list of at least one message")
    return tuple(_message(message, f"{key}[{index}]") for index, message in enumerate(value))


def _message(value: object, where: str) -> Message:
    if not isinstance(value, dict):
        raise ValueError(f"`{where}` must be an object with role and content")
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise ValueError(f"`{where}.role` must be one of {', '.join(ROLES)}, not {role!r}")
    return Message(role, _storable(content, f"{where}.content"))


def _completion(row: Mapping[str, Any]) -> str:
    if "completion" not in row:
        raise ValueError("`completion` is missing")
    value = row["completion"]
    if isinstance(value, str):
        return _storable(value, "completion")
    messages = _messages(value, "completion")
    if len(messages) != 1 or messages[0].role != "assistant":
        raise ValueError("`completion` must be a string or a list of one assistant message")
    return messages[0].content


def _labels(value: object) -> dict[str, bool | None]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("`propositions` must be an object of key: true, false or null")
    for key, truth in value.items():
        if truth is not None and not isinstance(truth, bool):
            raise ValueError(f"`propositions.{key}` must be true, false or null, not {truth!r}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice, one value would be lost without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"`{next(key for key in keys if keys.count(key) > 1)}` stands twice")
    return found


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return _storable(value, key)


def _storable(value: object, where: str) -> str:
    """`value` as text that UTF-8 and PostgreSQL can hold."""
    if not isinstance(value, str):
        raise ValueError(f"`{where}` must be a string, not {type(value).__name__}")
    if "\x00" in value:
        raise ValueError(f"`{where}` holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"`{where}` holds half of a surrogate pair") from None
    return value


def _number(row: Mapping[str, Any], key: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except OverflowError:  # an integer beyond the largest float
        pass
    raise ValueError(f"`{key}` must be a finite number, not {str(value)[:50]}")
