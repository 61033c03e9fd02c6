"""Exports of Label Studio and Argilla: their shapes, what is left out, what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.conversations import Conversation, Message, RowError
from rbr_app.rbr.foreign_labels import ANSWERS, ForeignLabels, Reading, RecordError
from rbr_app.rbr.label_formats import READERS, read_argilla, read_label_studio

CONVERSATION = Conversation((Message("user", "Help?"),), "No.")
DATA = {"prompt": "Help?", "completion": "No.", "id": "c-1"}
TIMES = {
    "lead_time": 12.5,
    "created_at": "2026-03-09T21:52:49.513742Z",
    "updated_at": "2026-03-09T22:16:08.746926Z",
}


def result(name: str = "apology", choice: str = "Yes", **changes: Any) -> dict[str, Any]:
    return {
        "id": "Dx_aB91ISN",
        "from_name": name,
        "to_name": "dialogue",
        "type": "choices",
        "origin": "manual",
        "value": {"choices": [choice]},
    } | changes


def annotation(*results: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": 1001,
        "completed_by": 10,
        "result": list(results),
        "was_cancelled": False,
        "ground_truth": False,
        **TIMES,
        "task": 1,
    } | changes


def task(*annotations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "data": DATA,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [{"model_version": "m", "result": [result(choice="No")]}],
        "project": 83,
    } | changes


def studio(*tasks: Any, **reading: Any) -> ForeignLabels:
    return read_label_studio(json.dumps(list(tasks)), Reading(**reading))


def response(value: object = "yes", user: str = "u-1", **changes: Any) -> dict[str, Any]:
    return {"value": value, "user_id": user, "status": "submitted"} | changes


def nested(responses: object = None, **changes: Any) -> dict[str, Any]:
    """A record of Argilla's `to_json`."""
    return {
        "id": "c-1",
        "fields": {"prompt": "Help?", "response": "No."},
        "metadata": {},
        "suggestions": {"apology": {"value": "no", "score": 0.9, "agent": "m"}},
        "responses": {"apology": [response()]} if responses is None else responses,
        "vectors": {},
        "_server_id": "4e9588d6-e2d6-450d-82c6-b33324d94708",
    } | changes


def flat(**changes: Any) -> dict[str, Any]:
    """A row of the flattened form; `__` stands for the dot of a column's name."""
    row = {
        "id": "c-1",
        "status": "completed",
        "_server_id": "4e9588d6-e2d6-450d-82c6-b33324d94708",
        "prompt": "Help?",
        "response": "No.",
        "apology.responses": ["yes", "no"],
        "apology.responses.users": ["u-1", "u-2"],
        "apology.responses.status": ["submitted", "submitted"],
        "apology.suggestion": "no",
    }
    return row | {name.replace("__", "."): value for name, value in changes.items()}


def argilla(*records: Any, **reading: Any) -> ForeignLabels:
    return read_argilla(json.dumps(list(records)), Reading(**reading))


def answers(found: ForeignLabels) -> list[tuple[str, bool | None, str]]:
    return [(label.key, label.answer, label.person) for label in found.labels]


# Label Studio, JSON


def test_a_task_of_label_studio_is_read_with_all_it_says() -> None:
    found = studio(task(annotation(result(), result("Third person", "no"))))
    assert answers(found) == [("apology", True, "10"), ("third_person", False, "10")]
    label = found.labels[0]
    assert (label.row, label.external_id, label.seconds) == (1, "c-1", 12.5)
    assert label.at == datetime(2026, 3, 9, 22, 16, 8, 746926, tzinfo=UTC)
    assert label.conversation is not None
    assert label.conversation.fingerprint == CONVERSATION.fingerprint
    assert label.conversation.id == "c-1"
    assert (found.left_out, found.without_status) == ({}, 0)


def test_each_annotation_is_its_persons() -> None:
    who = {"id": 3, "email": "ana@example.org", "first_name": "", "last_name": ""}
    found = studio(
        task(annotation(result()), annotation(result(choice="No"), completed_by=who)),
        task(annotation(result(choice="Unsure"), completed_by={"id": 4})),
    )
    assert answers(found) == [
        ("apology", True, "10"),
        ("apology", False, "ana@example.org"),
        ("apology", None, "4"),
    ]
    assert [label.row for label in found.labels] == [1, 1, 2]


def test_cancelled_annotations_drafts_and_other_controls_are_left_out_and_counted() -> None:
    note = result("note", type="textarea", value={"text": ["hm"]})
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    found = studio(
        task(
            annotation(result(), note, relation, result(value={"choices": []})),
            annotation(result(choice="No"), was_cancelled=True),
            annotation(),
            drafts=[{"id": 7, "result": [result()]}],
        ),
        task(),
    )
    assert answers(found) == [("apology", True, "10")]
    assert found.left_out == {"draft": 1, "not a choice": 2, "unanswered": 1, "cancelled": 1}


def test_without_an_update_the_time_is_that_of_creation() -> None:
    [label] = studio(task(annotation(result(), updated_at=None))).labels
    assert label.at == datetime(2026, 3, 9, 21, 52, 49, 513742, tzinfo=UTC)
    offset = "2026-03-09T22:00:00+02:00"
    [label] = studio(task(annotation(result(), updated_at=offset, lead_time=None))).labels
    assert label.at == datetime(2026, 3, 9, 22, tzinfo=timezone(timedelta(hours=2)))
    assert label.seconds is None


def test_a_time_without_zone_is_utc() -> None:
    [label] = studio(task(annotation(result(), updated_at="2026-03-09T22:00:00"))).labels
    assert label.at == datetime(2026, 3, 9, 22, tzinfo=UTC)


# Label Studio, JSON-MIN


def minimal(**changes: Any) -> dict[str, Any]:
    """A record of JSON-MIN: the task's data, its number as id, the answers, who and when."""
    return {
        "prompt": "Help?",
        "completion": "No.",
        "category": "C-R",
        "id": 17,
        "apology": "Yes",
        "judgement": "No",
        "annotator": 10,
        "annotation_id": 1001,
        **TIMES,
    } | changes


def test_json_min_is_read_as_json_is() -> None:
    [first, second] = studio(minimal()).labels
    assert (first.key, first.answer, first.person) == ("apology", True, "10")
    assert (second.key, second.answer, second.seconds) == ("judgement", False, 12.5)
    assert first.at == datetime(2026, 3, 9, 22, 16, 8, 746926, tzinfo=UTC)
    assert first.conversation is not None
    assert first.conversation.fingerprint == CONVERSATION.fingerprint


def test_the_id_of_json_min_is_label_studios_own_and_no_completions() -> None:
    assert {label.external_id for label in studio(minimal()).labels} == {""}
    assert {label.external_id for label in studio(minimal(external_id="c-1")).labels} == {"c-1"}
    assert {label.external_id for label in studio(minimal(), id="id").labels} == {"17"}


def test_what_is_a_question_in_one_record_of_json_min_is_one_in_all() -> None:
    with pytest.raises(RecordError, match="record 2: `apology` is answered 'Perhaps'"):
        studio(minimal(), minimal(apology="Perhaps"))
    assert len(studio(minimal(), minimal(apology=None)).labels) == 3


def test_the_questions_of_json_min_may_be_named() -> None:
    found = studio(minimal(language="yes"), keys={"apology": "sorry", "judgement": None})
    assert answers(found) == [("sorry", True, "10")]
    assert found.left_out == {"question left out": 1}


def test_two_choices_in_json_min_are_refused() -> None:
    with pytest.raises(RecordError, match="`apology` has 2 choices, one wanted"):
        studio(minimal(), minimal(apology={"choices": ["Yes", "No"]}))


# Argilla


def test_a_nested_record_of_argilla_is_read() -> None:
    found = argilla(nested({"apology": [response(), response("No", "u-2")], "Third person": []}))
    assert answers(found) == [("apology", True, "u-1"), ("apology", False, "u-2")]
    label = found.labels[0]
    assert (label.row, label.external_id, label.seconds, label.at) == (1, "c-1", None, None)
    assert label.conversation is not None
    assert label.conversation.fingerprint == CONVERSATION.fingerprint


def test_a_flattened_row_of_argilla_is_read() -> None:
    found = argilla(flat())
    assert answers(found) == [("apology", True, "u-1"), ("apology", False, "u-2")]
    assert found.labels[0].external_id == "c-1"
    assert found.labels[0].conversation is not None
    assert found.labels[0].conversation.fingerprint == CONVERSATION.fingerprint


def test_questions_nobody_answered_are_null_columns() -> None:
    columns = {"responses": None, "responses__users": None, "responses__status": None}
    empty = {f"judgement__{name}": value for name, value in columns.items()}
    assert len(argilla(flat(**empty)).labels) == 2


def test_discarded_and_draft_responses_are_left_out_and_counted() -> None:
    states = ["discarded", "draft", "submitted"]
    one = [response(status=status) for status in states]
    found = argilla(nested({"apology": one}))
    assert answers(found) == [("apology", True, "u-1")]
    assert found.left_out == {"discarded": 1, "draft": 1}
    values = {"apology__responses": ["yes"] * 3, "apology__responses__users": ["a", "b", "c"]}
    found = argilla(flat(**values, apology__responses__status=states))
    assert answers(found) == [("apology", True, "c")]
    assert found.left_out == {"discarded": 1, "draft": 1}


def test_labels_of_exports_that_do_not_say_the_status_are_counted() -> None:
    # argilla 2's own `to_dict` writes value and user_id only.
    found = argilla(nested({"apology": [{"value": "yes", "user_id": "u-1"}]}))
    assert (len(found.labels), found.without_status) == (1, 1)
    assert argilla(nested()).without_status == 0


def test_other_questions_of_argilla_are_left_out_by_name() -> None:
    extra = {"apology": [response()], "comment": [response("Fine by me.")]}
    with pytest.raises(RecordError, match="`comment` is answered 'Fine by me"):
        argilla(nested(extra))
    found = argilla(nested(extra), keys={"comment": None})
    assert (len(found.labels), found.left_out) == (1, {"question left out": 1})


def test_a_chat_field_is_a_prompt() -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Help?"},
    ]
    [label] = argilla(nested(fields={"chat": chat, "response": "No."})).labels
    assert label.conversation == Conversation(
        (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Help?")),
        "No.",
        id="c-1",
    )


# What is refused


BAD_TASKS: dict[str, tuple[Any, str]] = {
    "annotations that are no list": (task(annotations={}), "`annotations` must be a list"),
    "an annotation that is none": (
        task(annotations=[3]),
        "`annotations` must be a list of objects",
    ),
    "results that are none": (task(annotation(result="x")), "`result` must be a list"),
    "a lead time in words": (task(annotation(result(), lead_time="1 s")), "`lead_time` must be"),
    "a negative lead time": (task(annotation(result(), lead_time=-1)), "`lead_time` must be"),
    "a time that is none": (task(annotation(result(), updated_at="soon")), "soon"),
    "two choices": (task(annotation(result(value={"choices": ["Yes", "No"]}))), "2 choices"),
    "a result without a name": (task(annotation(result(from_name=None))), "makes no key"),
    "neither id nor texts": (task(annotation(result()), data={"prompt": "x"}), "neither an id"),
    "a prompt that is a number": (task(annotation(result()), data={"prompt": 7}), "a prompt must"),
    "an unknown role": (
        task(annotation(result()), data={"chat": [{"role": "x", "content": ""}], "text": "y"}),
        "role",
    ),
    "a NUL": (task(annotation(result()), data={"prompt": "\0", "text": "y"}), "NUL"),
}


@pytest.mark.parametrize("case", BAD_TASKS)
def test_a_task_that_cannot_be_read_is_refused_with_the_reason(case: str) -> None:
    wrong, reason = BAD_TASKS[case]
    with pytest.raises(RecordError) as caught:
        studio(task(annotation(result())), wrong)
    assert caught.value.line == 2
    assert reason in caught.value.reason


BAD_RECORDS: dict[str, tuple[Any, str]] = {
    "responses that are a list": (nested([]) | {"responses": [1]}, "`responses` must be"),
    "a response that is text": (nested({"x": ["yes"]}), "`x` must be a list of objects"),
    "an unknown status": (nested({"x": [response(status="lost")]}), "unknown status 'lost'"),
    "users that are missing": (flat(apology__responses__users=["u-1"]), "differ in length"),
    "answers that are no list": (flat(apology__responses="yes"), "must be a list"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_an_argilla_record_that_cannot_be_read_is_refused_with_the_reason(case: str) -> None:
    wrong, reason = BAD_RECORDS[case]
    with pytest.raises(RecordError) as caught:
        argilla(flat(), wrong)
    assert caught.value.line == 2
    assert reason in caught.value.reason


NAMES = [
    *["data", "annotations", "result", "type", "value", "choices", "completed_by", "from_name"],
    *["fields", "responses", "x", "x.responses", "x.responses.users", "user_id", "status"],
    *["prompt", "completion", "id", "drafts", "annotator", "lead_time", "updated_at"],
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES), inner | st.sampled_from(["choices", "yes", "no"]), max_size=5
        )
    ),
    max_leaves=15,
)


@given(JSON, st.sampled_from(sorted(READERS.values(), key=repr)))
def test_any_json_is_labels_or_a_row_error(value: object, read: Any) -> None:
    try:
        found = read(json.dumps(value))
    except RowError:
        return
    assert all(label.person for label in found.labels)


@given(st.lists(st.sampled_from(["yes", "No", "unsure"]), min_size=1, max_size=5))
def test_the_same_answers_are_read_from_every_form(given_answers: list[str]) -> None:
    users = [f"u{n}" for n in range(len(given_answers))]
    pairs = list(zip(given_answers, users, strict=True))
    wanted = [("apology", ANSWERS[a.casefold()], u) for a, u in pairs]
    columns = {"apology__responses": given_answers, "apology__responses__users": users}
    forms = [
        argilla(nested({"apology": [response(a, u) for a, u in pairs]})),
        argilla(flat(**columns, apology__responses__status=["submitted"] * len(users))),
        studio(task(*[annotation(result(choice=a), completed_by={"email": u}) for a, u in pairs])),
        studio(*[minimal(apology=a, annotator=u, judgement=None) for a, u in pairs]),
    ]
    for found in forms:
        assert [label for label in answers(found) if label[0] == "apology"] == wanted
