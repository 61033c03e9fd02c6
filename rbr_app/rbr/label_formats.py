"""Labels that people gave in Label Studio or Argilla, from the files that these export.

Label Studio (JSON and JSON-MIN): a task has `data` and `annotations`, an annotation one person's
`result`s; those of type `choices` answer the question that `from_name` names. JSON-MIN is one flat
record for each annotation. Argilla 2 (``to_json``, ``to_list``, or JSONL of the flattened form that
goes to Hugging Face): a record has `fields` and `responses`, or columns ``<question>.responses``,
``….users`` and ``….status``. Source: label-studio-sdk's `converter.py`, argilla's `_generic.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .foreign_labels import (
    COMPLETIONS,
    IDS,
    PROMPTS,
    Answer,
    ForeignLabels,
    Json,
    Place,
    Reading,
    Record,
    list_of,
    plain_choice,
    read_labels,
    read_records,
)

MIN_NAMES = {"annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
"""What JSON-MIN puts beside a task's columns and the answers."""


def read_label_studio(data: bytes | str, reading: Reading | None = None) -> ForeignLabels:
    """The labels of a Label Studio export, JSON or JSON-MIN.

    JSON-MIN does not say which of its names are questions: they are those in `reading.keys` if it
    holds any, else each that somewhere has a known answer. Its `id` is Label Studio's own number of
    the task, so there it names a completion only if `reading.id` is "id".

    Raises `RowError` where `read_labels` does.
    """
    reading = reading or Reading()
    records = list(read_records(data))
    questions = _min_questions(records, reading)

    def opened(record: Json) -> Record:
        if isinstance(record.get("data"), dict):
            return Record(record["data"], _task_answers(record))
        own = MIN_NAMES | questions | ({"id"} - {reading.id})
        columns = {name: value for name, value in record.items() if name not in own}
        who = record.get("annotator")
        asked = [Answer(name, record[name], who, record) for name in record if name in questions]
        return Record(columns, asked)

    return read_labels(records, reading, opened)


def read_argilla(data: bytes | str, reading: Reading | None = None) -> ForeignLabels:
    """The labels of an Argilla 2 export, nested or flattened. Raises as `read_label_studio` does.

    Suggestions are a model's, and no labels. Every question whose answers are not true or false
    must be left out by `reading.keys`.
    """

    def opened(record: Json) -> Record:
        if isinstance(record.get("fields"), dict):
            return Record(record["fields"], _nested_answers(record), str(record.get("id") or ""))
        return Record(record, _flat_answers(record))

    return read_labels(read_records(data), reading or Reading(), opened)


READERS: Mapping[str, Callable[[bytes | str, Reading | None], ForeignLabels]] = {
    "label_studio": read_label_studio,
    "argilla": read_argilla,
}


def _task_answers(task: Json) -> Iterator[Answer]:
    for _ in list_of(task, "drafts"):
        yield Answer(left_out="draft")
    for annotation in list_of(task, "annotations", dict):
        if annotation.get("was_cancelled"):
            yield Answer(left_out="cancelled")
            continue
        for result in list_of(annotation, "result", dict):
            if result.get("type") == "choices":
                who, name = annotation.get("completed_by"), str(result.get("from_name") or "")
                yield Answer(name, result.get("value"), who, annotation)
            else:
                yield Answer(left_out="not a choice")


def _min_questions(places: Iterable[Place], reading: Reading) -> frozenset[str]:
    if reading.keys:
        return frozenset(reading.keys)
    named = {reading.prompt, reading.completion, reading.id}
    others = named.union(PROMPTS, COMPLETIONS, IDS, MIN_NAMES)
    return frozenset(
        name
        for place in places
        if isinstance(place.record, dict)
        for name, value in place.record.items()
        if isinstance(value, str) and plain_choice(value) in reading.known and name not in others
    )


def _nested_answers(record: Json) -> Iterator[Answer]:
    responses = record.get("responses") or {}
    if not isinstance(responses, dict):
        raise ValueError("`responses` must be an object")
    for name in responses:
        for response in list_of(responses, name, dict):
            value, user, status = (response.get(part) for part in ("value", "user_id", "status"))
            yield _argilla_answer(name, value, user, status)


def _flat_answers(record: Json) -> Iterator[Answer]:
    for column in [name for name in record if name.endswith(".responses")]:
        values = list_of(record, column)
        nobody: list[Any] = [None] * len(values)
        users = list_of(record, f"{column}.users") or nobody
        states = list_of(record, f"{column}.status") or nobody
        if not len(values) == len(users) == len(states):
            raise ValueError(f"`{column}`, its users and its status differ in length")
        for value, user, status in zip(values, users, states, strict=True):
            yield _argilla_answer(column.removesuffix(".responses"), value, user, status)


def _argilla_answer(name: str, value: object, user: object, status: object) -> Answer:
    if status in ("discarded", "draft"):
        return Answer(name, left_out=str(status))
    if status not in (None, "submitted"):
        raise ValueError(f"`{name}` has the unknown status {str(status)[:50]!r}")
    return Answer(name, value, user, has_status=status is not None)
