"""Labels from elsewhere, whatever the tool: what a file's names, answers and times mean.

A format (see `label_formats`) says where a record's columns and answers stand; the rest is here:
finding the records, whose completion it is, what a choice means, who answered and when, and the
place of whatever is wrong.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from .conversations import Conversation, RowError, parse_conversation
from .policy import as_key

Json: TypeAlias = dict[str, Any]
_Reference: TypeAlias = tuple[str, Conversation | None]

PROMPTS = ("prompt", "conversation", "messages", "chat", "dialogue", "instruction", "input")
COMPLETIONS = ("completion", "response", "answer", "output", "text")
IDS = ("external_id", "id", "completion_id")
SPEAKERS = ("role", "from", "author")
TEXTS = ("content", "value", "text")
ROLE_NAMES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}

ANSWERS: Mapping[str, bool | None] = {
    **dict.fromkeys(("yes", "y", "true", "t", "1"), True),
    **dict.fromkeys(("no", "n", "false", "f", "0"), False),
    **dict.fromkeys(("unsure", "not sure", "unknown", "undecided", "unclear", "skip", "skipped")),
    **dict.fromkeys(("cannot decide", "can't decide", "cannot tell", "can't tell")),
    **dict.fromkeys(("cannot assess", "don't know", "i don't know")),
}
"""What choices mean, in lower case, `_` and `-` between letters as spaces. None: cannot decide."""


class RecordError(RowError):
    """A record of a JSON list that cannot be read. `line` is its place in the list, from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.args = (f"record {line}: {reason}",)


@dataclass(frozen=True)
class Reading:
    """How a file's names are to be understood; what is empty is guessed by usual names.

    `keys` maps a question's name to a proposition, or to None to leave it out; a name that it does
    not hold becomes a key by `as_key`. `answers` adds choices to `ANSWERS`. `prompt`, `completion`
    and `id` name the columns. `person` is who answered where the file does not say.
    """

    keys: Mapping[str, str | None] = field(default_factory=dict)
    answers: Mapping[str, bool | None] = field(default_factory=dict)
    prompt: str = ""
    completion: str = ""
    id: str = ""
    person: str = ""

    @cached_property
    def known(self) -> dict[str, bool | None]:
        """The meaning of every choice, by its plain form."""
        return {**ANSWERS, **{plain_choice(name): value for name, value in self.answers.items()}}


@dataclass(frozen=True)
class ForeignLabel:
    """One person's answer to one proposition of one completion.

    `row` counts lines of JSONL and items of a list, from 1. The completion is known by its
    `external_id` ("" if the file gives none), by its `conversation` (None without the texts of both
    prompt and completion), or by both. `seconds` is the time of the whole annotation, all its
    questions together; `at` when it was last changed, in UTC unless the file says another zone.
    """

    row: int
    external_id: str
    conversation: Conversation | None
    key: str
    answer: bool | None
    person: str
    seconds: float | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class ForeignLabels:
    """The labels of a file in its order, and how much was left out and why.

    A person who annotated a task twice has two labels. `left_out` counts Label Studio's "cancelled"
    and "draft" annotations, and answers: "discarded", "draft", "unanswered", "not a choice",
    "question left out". `without_status` labels may not have been submitted.
    """

    labels: tuple[ForeignLabel, ...]
    left_out: Mapping[str, int]
    without_status: int = 0


@dataclass(frozen=True)
class Answer:
    """An answer as it stands in the file; `left_out` says why it is none."""

    name: str = ""
    value: object = None
    who: object = None
    times: Json = field(default_factory=dict)
    left_out: str = ""
    has_status: bool = True


class Record(NamedTuple):
    """What any format's record comes down to: columns, answers, an id beside the columns."""

    columns: Json
    answers: Iterable[Answer]
    id: str = ""


class Place(NamedTuple):
    """A record, where it stands, and the error of something wrong there."""

    row: int
    record: Any
    error: type[RowError]


_Labelled: TypeAlias = tuple[ForeignLabel | None, Answer]


def read_labels(
    places: Iterable[Place], reading: Reading, opened: Callable[[Json], Record]
) -> ForeignLabels:
    """The labels of all records, each opened by its format.

    Raises `RowError` at the first record that cannot be read: a choice that is no known answer, two
    choices, nobody who answered, neither an id nor texts, a time that is none.
    """
    labels: list[ForeignLabel] = []
    left_out: Counter[str] = Counter()
    without_status = 0
    for place in places:
        try:
            if not isinstance(place.record, dict):
                raise ValueError("a record must be a JSON object")
            for label, answer in _labels(place.row, opened(place.record), reading):
                if label is None:
                    left_out[answer.left_out] += 1
                else:
                    labels.append(label)
                    without_status += not answer.has_status
        except ValueError as error:
            raise place.error(place.row, str(error)) from error
    return ForeignLabels(tuple(labels), dict(left_out), without_status)


def _labels(row: int, record: Record, reading: Reading) -> Iterator[_Labelled]:
    """Each answer with its label, or without one and with the reason."""
    reference: _Reference | None = None
    for answer in record.answers:
        key = reading.keys.get(answer.name, as_key(answer.name))
        choice = None if answer.left_out or key is None else _one_choice(answer)
        if key is None or choice is None:
            why = answer.left_out or ("question left out" if key is None else "unanswered")
            yield None, replace(answer, left_out=why)
        else:
            reference = reference or _reference(record, reading)
            yield _label(row, reference, key, choice, answer, reading), answer


def _label(
    row: int, reference: _Reference, key: str, choice: object, answer: Answer, reading: Reading
) -> ForeignLabel:
    if plain_choice(choice) not in reading.known:
        raise ValueError(f"`{answer.name}` is answered {str(choice)[:80]!r}, no known answer")
    if not key:
        raise ValueError(f"`{answer.name}` makes no key, so it must be mapped to a proposition")
    person = _person(answer.who) or reading.person
    if not person:
        raise ValueError("it does not say who answered")
    seconds = _seconds(answer.times.get("lead_time"))
    at = _time(answer.times.get("updated_at") or answer.times.get("created_at"))
    said = reading.known[plain_choice(choice)]
    return ForeignLabel(row, *reference, key, said, person, seconds, at)


def _reference(record: Record, reading: Reading) -> _Reference:
    """The completion's id and texts; `ValueError` if it has neither."""
    own_id = _column(record.columns, reading.id, IDS)
    external_id = record.id if own_id is None else str(own_id)
    messages = _messages(_column(record.columns, reading.prompt, PROMPTS))
    completion = _column(record.columns, reading.completion, COMPLETIONS)
    if completion is None and messages and messages[-1]["role"] == "assistant":
        completion = messages.pop()["content"]
    if messages and completion is not None:
        row = {"prompt": messages, "completion": completion, "id": external_id}
        return external_id, parse_conversation(row)
    if not external_id:
        raise ValueError("neither an id nor both a prompt and a completion")
    return external_id, None


def read_records(data: bytes | str) -> Iterator[Place]:
    """The records of a JSON list, of a single object, or of JSONL, with their places."""
    try:
        text = (data.decode() if isinstance(data, bytes) else data).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RowError(1, f"not UTF-8 ({error.reason} at byte {error.start})") from error
    if text.lstrip()[:1] == "{":
        # Not `splitlines`: it also splits at U+2028 and others that JSON strings may hold.
        lines = [(n, line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
        yield from (Place(number, _json(line, number), RowError) for number, line in lines)
    elif text.strip():
        found = _json(text, 1)
        for number, record in enumerate(found if isinstance(found, list) else [found], start=1):
            yield Place(number, record, RecordError)


def _json(text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = line + getattr(error, "lineno", 1) - 1
        raise RowError(at, f"not JSON ({getattr(error, 'msg', error)})") from error


def list_of(record: Json, name: str, of: type = object) -> list[Any]:
    """The list of `of` called `name`, empty where it is missing; `ValueError` if it is none."""
    value = [] if record.get(name) is None else record[name]
    if not isinstance(value, list) or not all(isinstance(item, of) for item in value):
        raise ValueError(f"`{name}` must be a list" + " of objects" * (of is dict))
    return value


def _column(columns: Json, wanted: str, usual: Sequence[str]) -> Any:
    if wanted and columns.get(wanted) is None:
        raise ValueError(f"`{wanted}` is missing")
    names = [wanted] if wanted else usual
    return next((columns[name] for name in names if columns.get(name) is not None), None)


def _messages(value: object) -> list[Json]:
    """A prompt as messages: text is one user turn; roles and texts under their usual names."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise ValueError("a prompt must be text or a list of messages")
    roles = [str(_column(turn, "", SPEAKERS)).casefold() for turn in value]
    texts = [_column(turn, "", TEXTS) for turn in value]
    turns = zip(roles, texts, strict=True)
    return [{"role": ROLE_NAMES.get(role, role), "content": text} for role, text in turns]


def _one_choice(answer: Answer) -> object:
    """The one choice of an answer, None where there is none."""
    value = answer.value
    if isinstance(value, dict):
        value = value.get("choices", value)
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise ValueError(f"`{answer.name}` has {len(value)} choices, one wanted")
    return value[0] if value else None


def plain_choice(choice: object) -> str:
    """A choice as `ANSWERS` spells it."""
    # Between letters only, for -1 is not 1.
    text = re.sub(r"(?<=[^\W\d_])[-_](?=[^\W\d_])", " ", str(choice).casefold())
    return " ".join(text.replace("’", "'").split())


def _person(who: object) -> str:
    """A user's e-mail address or number; "" if unsaid, in Argilla's spelling too."""
    if isinstance(who, dict):
        who = who.get("email") or who.get("username") or who.get("id")
    return "" if who in (None, "None") else str(who)


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f"`lead_time` must be a number of seconds, not {str(value)[:50]!r}")
    return float(value)


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{str(value)[:50]!r} is no time") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
