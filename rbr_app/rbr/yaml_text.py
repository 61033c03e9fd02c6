"""YAML that people like to read and to edit, of maps, lists, texts and truth values.

PyYAML's own writer falls back to one long quoted line as soon as a line of a text ends with a
space; here texts of several lines are literal blocks, long lines are folded, and quotes stand only
where a reader of YAML would take the bare text for something else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

WIDTH = 100

_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What YAML does not allow as it is, and what it takes for the end of a line."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*( [A-Za-z0-9_]+)*")
_COMMENT_OR_VALUE = re.compile(r":\s|:$|\s#")


@dataclass(frozen=True)
class Inline:
    """A map or list to be written on one line: ``{a: true}``, ``[a, b]``."""

    value: Mapping[str, Any] | Sequence[Any]


def to_yaml(document: Mapping[str, Any]) -> str:
    """The document as YAML; before each map, list and block of text of the top level is a blank."""
    lines: list[str] = []
    for key, value in document.items():
        entry = _entry(key, value, 0)
        lines += ["", *entry] if lines and len(entry) > 1 else entry
    return "".join(f"{line}\n" for line in lines)


def _entry(key: str, value: object, indent: int) -> list[str]:
    head = f"{' ' * indent}{_key(key)}:"
    if isinstance(value, (dict, list)) and value:
        return [head, *_block(value, indent + 2)]
    first, *rest = _scalar(value, indent, len(head) + 1)
    return [f"{head} {first}", *rest]


def _block(value: Mapping[str, Any] | Sequence[Any], indent: int) -> list[str]:
    """A map or list that is not empty, from column `indent`."""
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in _entry(key, inner, indent)]
    return [line for item in value for line in _item(item, indent)]


def _item(value: object, indent: int) -> list[str]:
    dash = f"{' ' * indent}- "
    if isinstance(value, (dict, list)) and value:
        first, *rest = _block(value, indent + 2)
        return [dash + first[indent + 2 :], *rest]
    first, *rest = _scalar(value, indent, indent + 2)
    return [dash + first, *rest]


def _scalar(value: object, indent: int, column: int) -> list[str]:
    """The lines of a value; the first follows what stands before `column`.

    `indent` is the column of the map or list that it is in: a block of text stands deeper by two.
    """
    if not isinstance(value, str):
        return [_inline(value)]
    pad = " " * (indent + 2)
    if _may_be_literal(value):
        lines = value.removesuffix("\n").split("\n")
        # Without the number, leading white space would be taken for the block's own depth.
        mark = "|" + ("2" if value[0].isspace() else "") + ("" if value.endswith("\n") else "-")
        return [mark, *(pad + line if line else "" for line in lines)]
    plain = value if _may_be_plain(value) else _quoted(value)
    if column + len(plain) > WIDTH and _may_be_folded(value):
        return [">-", *(pad + line for line in _folded(value, WIDTH - len(pad)))]
    return [plain]


def _may_be_literal(text: str) -> bool:
    if "\n" not in text or _UNPRINTABLE.search(text):
        return False
    # White space at the very end would be invisible, and lost by the next edit.
    return bool(text.removesuffix("\n").rpartition("\n")[2].strip())


def _may_be_folded(text: str) -> bool:
    return not ("\n" in text or _UNPRINTABLE.search(text) or text != text.strip())


def _folded(text: str, width: int) -> list[str]:
    """Lines broken at single spaces alone: of a longer gap, folding would lose a part."""
    lines = [""]
    for word in re.split(r"(?<=\S) (?=\S)", text):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _may_be_plain(text: str) -> bool:
    if not text or not text[0].isalnum() or text[-1].isspace():
        return False
    if "\t" in text or "\n" in text or _UNPRINTABLE.search(text) or _COMMENT_OR_VALUE.search(text):
        return False
    return _is_text(text)


def _is_text(text: str) -> bool:
    """Whether a reader takes bare `text` for text, and not for a number, a date, a truth value."""
    # YAML 1.1 also knows these, though PyYAML does not.
    if text.casefold() in ("y", "n"):
        return False
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(text[0], [])
    return not any(pattern.match(text) for _, pattern in resolvers)


def _key(text: str) -> str:
    return text if _PLAIN_KEY.fullmatch(text) and _is_text(text) else _quoted(text)


def _inline(value: object) -> str:
    if isinstance(value, Inline):
        value = value.value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _key(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(k)}: {_inline(v)}' for k, v in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_inline, value))}]"
    raise TypeError(f"no YAML for {value!r}")


def _quoted(text: str) -> str:
    """In double quotes, where YAML knows the escapes of JSON."""
    return _UNPRINTABLE.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
