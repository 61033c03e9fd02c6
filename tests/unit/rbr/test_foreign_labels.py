"""Labels from elsewhere: records and their places, completions, choices, people and times."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.conversations import Conversation, Message, RowError
from rbr_app.rbr.foreign_labels import (
    ANSWERS,
    Answer,
    ForeignLabel,
    ForeignLabels,
    Json,
    Place,
    Reading,
    Record,
    RecordError,
    read_labels,
    read_records,
)

CONVERSATION = Conversation((Message("user", "Help?"),), "No.")
COLUMNS = {"prompt": "Help?", "completion": "No."}


def read(*answers: Answer, columns: Json = COLUMNS, **reading: Any) -> ForeignLabels:
    """What is read of one record with these answers."""
    places = [Place(7, {}, RecordError)]
    return read_labels(places, Reading(**reading), lambda _: Record(columns, answers))


def said(value: object, **reading: Any) -> bool | None:
    [label] = read(Answer("apology", value, "ana"), **reading).labels
    return label.answer


def referred(columns: Json, **reading: Any) -> ForeignLabel:
    [label] = read(Answer("apology", "yes", "ana"), columns=columns, **reading).labels
    return label


def rows(places: Iterable[Place]) -> list[tuple[int, Any, str]]:
    return [(place.row, place.record, place.error.__name__) for place in places]


# Answers


@pytest.mark.parametrize("choice", ANSWERS)
def test_a_known_choice_is_read_whatever_its_case_and_spacing(choice: str) -> None:
    spellings = (choice, f" {choice.upper()} ", choice.replace(" ", "_"), choice.replace("'", "’"))
    assert {said(spelling) for spelling in spellings} == {ANSWERS[choice]}


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True), (False, False), (1, True), (0, False), ("Cannot-decide", None),
        (["Yes"], True), ({"choices": ["no"]}, False),
    ],
)  # fmt: skip
def test_a_choice_may_be_a_truth_a_digit_or_stand_in_a_list(
    value: object, meaning: bool | None
) -> None:
    assert said(value) is meaning


@pytest.mark.parametrize("value", ["perhaps", "yes and no", "", "-1", 2, -1, 1.5, {"a": 1}])
def test_an_unknown_choice_is_refused_with_the_record_and_the_choice(value: object) -> None:
    with pytest.raises(RecordError) as caught:
        said(value)
    assert caught.value.line == 7
    assert str(caught.value).startswith("record 7: `apology` is answered ")
    assert str(value) in caught.value.reason


def test_choices_may_be_added() -> None:
    added = {"acceptable": True, "Not-applicable": None, "no": None}
    assert said("Acceptable", answers=added) is True
    assert said("not applicable", answers=added) is None
    assert said("No", answers=added) is None
    assert said("yes", answers=added) is True


def test_two_choices_are_refused() -> None:
    with pytest.raises(RecordError, match="`apology` has 2 choices, one wanted"):
        said(["yes", "no"])


def test_what_is_no_answer_is_left_out_and_counted() -> None:
    found = read(
        Answer("apology", None, "ana"),
        Answer("apology", [], "ana"),
        Answer(left_out="draft"),
        Answer("comment", "Fine.", "ana"),
        Answer("apology", "no", "ana"),
        keys={"comment": None},
    )
    assert [label.answer for label in found.labels] == [False]
    assert found.left_out == {"unanswered": 2, "draft": 1, "question left out": 1}


def test_labels_that_may_not_have_been_submitted_are_counted() -> None:
    found = read(
        Answer("x", "no", "ana", has_status=False),
        Answer("x", None, "ana", has_status=False),
        Answer("x", "no", "ben"),
    )
    assert (len(found.labels), found.without_status) == (2, 1)


# Questions, people, times


def test_questions_become_keys_by_name_or_by_mapping() -> None:
    found = read(
        Answer("Third-Person view", "yes", "ana"),
        Answer("q2", "yes", "ana"),
        keys={"q2": "apology"},
    )
    assert [label.key for label in found.labels] == ["third_person_view", "apology"]


def test_a_name_that_makes_no_key_must_be_mapped() -> None:
    with pytest.raises(RecordError, match="`道歉` makes no key"):
        read(Answer("道歉", "yes", "ana"))
    [label] = read(Answer("道歉", "yes", "ana"), keys={"道歉": "apology"}).labels
    assert label.key == "apology"


@pytest.mark.parametrize(
    ("who", "person"),
    [
        (10, "10"), ("u-1", "u-1"), ({"id": 3, "email": "ana@example.org"}, "ana@example.org"),
        ({"id": 3, "email": "", "username": "ana"}, "ana"), ({"id": 3}, "3"),
    ],
)  # fmt: skip
def test_a_person_is_an_address_a_name_or_a_number(who: object, person: str) -> None:
    [label] = read(Answer("apology", "yes", who)).labels
    assert label.person == person


@pytest.mark.parametrize("who", [None, "", "None", {}, {"email": None}])
def test_who_answered_may_be_given_where_the_file_does_not_say(who: object) -> None:
    answer = Answer("apology", "yes", who)
    with pytest.raises(RecordError, match="does not say who answered"):
        read(answer)
    assert read(answer, person="ana").labels[0].person == "ana"
    assert read(Answer("apology", "yes", "ben"), person="ana").labels[0].person == "ben"


def test_times_are_read_with_the_last_change_first() -> None:
    times = {"lead_time": 3, "created_at": "2026-01-01T10:00:00Z", "updated_at": None}
    [label] = read(Answer("x", "no", "ana", times)).labels
    assert (label.seconds, label.at) == (3.0, datetime(2026, 1, 1, 10, tzinfo=UTC))
    [label] = read(Answer("x", "no", "ana", times | {"updated_at": "2026-01-02 11:00"})).labels
    assert label.at == datetime(2026, 1, 2, 11, tzinfo=UTC)
    [label] = read(Answer("x", "no", "ana")).labels
    assert (label.seconds, label.at) == (None, None)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ({"lead_time": "1 s"}, "`lead_time` must be a number of seconds, not '1 s'"),
        ({"lead_time": True}, "`lead_time`"),
        ({"lead_time": -1}, "`lead_time`"),
        ({"lead_time": float("nan")}, "`lead_time`"),
        ({"updated_at": "soon"}, "'soon' is no time"),
        ({"created_at": 1767225600}, "'1767225600' is no time"),
    ],
)
def test_a_time_that_is_none_is_refused(times: Json, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(Answer("x", "no", "ana", times))
    assert reason in caught.value.reason


# Completions


def test_prompt_and_completion_are_found_by_their_usual_names() -> None:
    for prompt in ("prompt", "conversation", "messages", "chat", "instruction"):
        for completion in ("completion", "response", "answer", "text"):
            found = referred({prompt: "Help?", completion: "No.", "language": "en"})
            assert (found.conversation, found.external_id) == (CONVERSATION, "")


def test_an_external_id_goes_before_other_ids() -> None:
    assert referred(COLUMNS | {"id": 1, "external_id": "c-1"}).external_id == "c-1"
    found = referred(COLUMNS | {"id": 1})
    assert found.external_id == "1"
    assert found.conversation is not None
    assert found.conversation.id == "1"
    # The digits of 0 are an id too.
    assert referred({"id": 0}).external_id == "0"


def test_columns_may_be_named() -> None:
    columns = {"prompt": "wrong", "q": "Help?", "a": "No.", "ref": 5}
    found = referred(columns, prompt="q", completion="a", id="ref")
    assert found.external_id == "5"
    assert found.conversation is not None
    assert found.conversation.fingerprint == CONVERSATION.fingerprint
    with pytest.raises(RecordError, match="`q` is missing"):
        referred(COLUMNS, prompt="q")


@pytest.mark.parametrize(
    ("who", "what", "user", "assistant"),
    [
        ("role", "content", "user", "assistant"),
        ("from", "value", "human", "gpt"),
        ("author", "text", "User", "Bot"),
    ],
)
def test_a_conversation_that_ends_with_the_completion_is_taken_apart(
    who: str, what: str, user: str, assistant: str
) -> None:
    turns = [{who: user, what: "Help?"}, {who: assistant, what: "No."}]
    assert referred({"messages": turns}).conversation == CONVERSATION
    # With a completion beside it, the last turn is a part of the prompt.
    with pytest.raises(RecordError, match="must end with a user message"):
        referred({"messages": turns, "completion": "So."})


def test_an_empty_completion_is_one() -> None:
    found = referred({"prompt": "Help?", "completion": ""})
    assert found.conversation is not None
    assert found.conversation.completion == ""


def test_an_id_alone_is_enough() -> None:
    found = referred({"id": 7, "image": "x.png"})
    assert (found.external_id, found.conversation) == ("7", None)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"prompt": "x"}, "neither an id nor both a prompt and a completion"),
        ({"prompt": 7, "text": "y"}, "a prompt must be text or a list of messages"),
        ({"prompt": ["x"], "text": "y"}, "a prompt must be text or a list of messages"),
        ({"chat": [{"role": "x", "content": ""}], "text": "y"}, "`prompt[0].role` must be one of"),
        ({"chat": [{"role": "user"}], "text": "y"}, "`prompt[0].content` must be a string"),
        ({"prompt": "\0", "text": "y"}, "holds a NUL character"),
        ({"prompt": "x", "text": "\ud83d"}, "holds half of a surrogate pair"),
    ],
)
def test_a_completion_that_cannot_be_known_again_is_refused(columns: Json, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        referred(columns)
    assert reason in caught.value.reason


# Files


def test_records_of_a_list_are_counted_and_of_jsonl_numbered_by_line() -> None:
    assert rows(read_records('[{"a": 1},\n\n{"a": 2}]')) == [
        (1, {"a": 1}, "RecordError"),
        (2, {"a": 2}, "RecordError"),
    ]
    for end in ("\n", "\r\n"):
        text = "\ufeff" + end.join(["", '{"a": 1}', " ", '{"a": 2}', ""])
        wanted = [(2, {"a": 1}, "RowError"), (4, {"a": 2}, "RowError")]
        assert rows(read_records(text)) == rows(read_records(text.encode())) == wanted


def test_a_line_separator_inside_a_text_does_not_end_the_line() -> None:
    assert rows(read_records('{"a": "x\u2028y"}\n')) == [(1, {"a": "x\u2028y"}, "RowError")]


def test_an_empty_file_has_no_records() -> None:
    for text in ("", " \n", "[]", "\ufeff", b"\xef\xbb\xbf"):
        assert rows(read_records(text)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "line 1: not JSON"),
        ('[{"a": 1},\n', "line 2: not JSON"),
        ('{"a": 1}\n\n{"a": ', "line 3: not JSON"),
        ("[" * 100_000, "line 1: not JSON"),
        ("[" + "9" * 5000 + "]", "line 1: not JSON"),
        (b'{"a": "\xff"}', "line 1: not UTF-8"),
        ("7", "record 1: a record must be a JSON object"),
        ('[{"id": 1}, []]', "record 2: a record must be a JSON object"),
        ('{"id": 1}\n7', "line 2: a record must be a JSON object"),
    ],
)
def test_what_is_no_record_is_refused_with_its_place(text: str | bytes, message: str) -> None:
    with pytest.raises(RowError) as caught:
        read_labels(read_records(text), Reading(), lambda record: Record(record, []))
    assert str(caught.value).startswith(message)


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_any_file_is_records_or_a_row_error(data: str | bytes) -> None:
    try:
        places = rows(read_records(data))
    except RowError:
        return
    assert all(row >= 1 for row, _, _ in places)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5)), max_size=5))
def test_a_list_and_its_lines_are_the_same_records(records: list[dict[str, str]]) -> None:
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    listed = json.dumps(records, ensure_ascii=False)
    found = [[(row, record) for row, record, _ in rows(read_records(t))] for t in (lines, listed)]
    assert found[0] == found[1] == list(enumerate(records, start=1))
