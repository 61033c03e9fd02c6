"""The JSONL form: what is read, what is refused and where, and what makes rows the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.conversations import (
    Conversation,
    Message,
    RowError,
    fingerprint,
    parse_conversation,
    read_conversations,
)

PROMPT = [{"role": "user", "content": "Hello?"}]


def row(**changes: Any) -> dict[str, Any]:
    """A sound row; a change to `...` leaves the key out."""
    given = {
        "prompt": PROMPT,
        "completion": "Hi.",
        "category": "None",
        "response_type": "Hard Refuse",
        "propositions": {"apology": False, "judgement": None, "third_person": True},
    } | changes
    return {key: value for key, value in given.items() if value is not ...}


def line(**changes: Any) -> str:
    return json.dumps(row(**changes))


def read(*lines: str | bytes) -> list[tuple[int, Conversation]]:
    return list(read_conversations(lines))


def only(*lines: str | bytes) -> Conversation:
    [(_, conversation)] = read(*lines)
    return conversation


def refusal(*lines: str | bytes) -> RowError:
    with pytest.raises(RowError) as caught:
        read(*lines)
    return caught.value


# What is read


def test_a_row_is_read_with_all_its_keys() -> None:
    conversation = only(
        line(
            id="a-1",
            completion_type="perfect",
            rm_score=-1.5,
            split="test",
            propositions={"apology": True},
        )
    )
    assert conversation == Conversation(
        prompt=(Message("user", "Hello?"),),
        completion="Hi.",
        category="None",
        response_type="hard_refuse",
        labels={"apology": True},
        id="a-1",
        completion_type="perfect",
        rm_score=-1.5,
        split="test",
    )


def test_a_completion_may_be_a_string_or_a_list_of_one_assistant_message() -> None:
    as_list = [{"role": "assistant", "content": "Hi."}]
    assert only(line(completion=as_list)) == only(line(completion="Hi."))


def test_an_empty_completion_is_a_completion() -> None:
    assert only(line(completion="")).completion == ""
    assert only(line(completion=[{"role": "assistant", "content": ""}])).completion == ""


def test_what_is_optional_may_be_missing_or_null() -> None:
    bare = only(json.dumps({"prompt": PROMPT, "completion": "Hi."}))
    assert bare == Conversation(prompt=(Message("user", "Hello?"),), completion="Hi.")
    nulls = dict.fromkeys(
        ["category", "response_type", "propositions", "id", "completion_type", "rm_score", "split"]
    )
    assert only(line(**nulls)) == bare


def test_a_null_label_means_nobody_could_decide() -> None:
    assert only(line()).labels == {"apology": False, "judgement": None, "third_person": True}


def test_a_number_as_id_becomes_its_digits() -> None:
    assert only(line(id=17)).id == "17"


def test_an_integer_rm_score_is_a_float() -> None:
    score = only(line(rm_score=2)).rm_score
    assert score == 2.0
    assert isinstance(score, float)


@pytest.mark.parametrize("name", ["Hard Refuse", "hard_refuse", " hard-refuse ", "HARD REFUSE"])
def test_response_types_are_read_as_keys(name: str) -> None:
    assert only(line(response_type=name)).response_type == "hard_refuse"


def test_texts_are_kept_to_the_letter() -> None:
    text = "  two\r\nlines\t\u2028 and a \N{SNOWMAN} 🙂 {braces} \\u0041 "
    conversation = only(line(completion=text, prompt=[{"role": "user", "content": text}]))
    assert conversation.completion == text
    assert conversation.prompt[0].content == text


def test_a_prompt_may_have_several_turns_and_a_system_message() -> None:
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Bye."},
    ]
    prompt = only(line(prompt=turns)).prompt
    assert [message.role for message in prompt] == ["system", "user", "assistant", "user"]


def test_blank_lines_are_skipped_and_counted() -> None:
    rows = read("", line(id="a"), "   \t", "\n", line(id="b"), "")
    assert [(number, conversation.id) for number, conversation in rows] == [(2, "a"), (5, "b")]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert only(b"\xef\xbb\xbf" + line().encode()) == only(line())
    assert only("\ufeff" + line()) == only(line())


def test_windows_line_ends_are_read_and_counted_like_others() -> None:
    data = f"{line(id='a')}\r\n\r\n{line(id='b')}\r\n".encode()
    rows = read(*data.splitlines())
    assert [(number, conversation.id) for number, conversation in rows] == [(1, "a"), (3, "b")]
    assert rows == read(*data.splitlines(keepends=True))


def test_bytes_and_text_are_read_alike() -> None:
    text = json.dumps(row(completion="Grüße 🙂"), ensure_ascii=False)
    assert only(text.encode()) == only(text)


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    assert only(line(completion="🙂")).completion == "🙂"
    assert "\\ud83d" in line(completion="🙂")


def test_the_released_rows_are_read_unchanged(released: Path) -> None:
    rows = read(*(released / "gold_train.jsonl").read_bytes().splitlines())
    assert len(rows) == 351
    assert {conversation.response_type for _, conversation in rows} == {
        "hard_refuse",
        "comply",
        "safe_refuse_1",
        "safe_refuse_2",
    }
    # method.md, section 3: conversations have 1, 3, 5 or 7 prompt turns.
    assert {len(conversation.prompt) for _, conversation in rows} == {1, 3, 5, 7}
    assert all(len(conversation.labels) == 23 for _, conversation in rows)


# What is refused

USER = {"role": "user", "content": "Hello?"}
ASSISTANT = {"role": "assistant", "content": "Hi."}
REFUSED = {
    "no JSON": ("{'a': 1}", "not JSON"),
    "half a line": (line()[:-5], "not JSON"),
    "a list": ("[]", "object"),
    "a number": ("7", "object"),
    "nesting without end": ("[" * 100_000, "nested too deep"),
    "an integer without end": (line(rm_score=...)[:-1] + ', "rm_score": ' + "9" * 5000 + "}", ""),
    "no prompt": (line(prompt=...), "`prompt`"),
    "an empty prompt": (line(prompt=[]), "`prompt`"),
    "a prompt that is text": (line(prompt="Hello?"), "`prompt`"),
    "a message that is text": (line(prompt=["Hello?"]), "`prompt[0]`"),
    "an unknown role": (
        line(prompt=[USER, {"role": "tool", "content": ""}]),
        "`prompt[1].role` must be one of system, user, assistant, not 'tool'",
    ),
    "a role that is a list": (line(prompt=[{"role": [], "content": ""}]), "`prompt[0].role`"),
    "a message without content": (line(prompt=[{"role": "user"}]), "`prompt[0].content`"),
    "content that is a number": (
        line(prompt=[{"role": "user", "content": 7}]),
        "`prompt[0].content` must be a string, not int",
    ),
    "a prompt that ends with the assistant": (
        line(prompt=[USER, ASSISTANT]),
        "`prompt` must end with a user message",
    ),
    "no completion": (line(completion=...), "`completion` is missing"),
    "a null completion": (line(completion=None), "`completion`"),
    "a completion that is a number": (line(completion=7), "`completion`"),
    "an empty list as completion": (line(completion=[]), "`completion`"),
    "two completions": (
        line(completion=[ASSISTANT, ASSISTANT]),
        "`completion` must be a string or a list of one assistant message",
    ),
    "a user's completion": (
        line(completion=[USER]),
        "`completion` must be a string or a list of one assistant message",
    ),
    "labels that are a list": (line(propositions=["apology"]), "`propositions`"),
    "a label that is a number": (
        line(propositions={"apology": 1}),
        "`propositions.apology` must be true, false or null, not 1",
    ),
    "a label that is a word": (
        line(propositions={"apology": "true"}),
        "`propositions.apology` must be true, false or null, not 'true'",
    ),
    "a category that is a list": (line(category=["None"]), "`category`"),
    "a response type that is an object": (line(response_type={}), "`response_type`"),
    "a NUL in the completion": (line(completion="a\x00b"), "`completion` holds a NUL"),
    "a NUL in the prompt": (
        line(prompt=[{"role": "user", "content": "a\x00"}]),
        "`prompt[0].content` holds a NUL",
    ),
    "a NUL in the id": (line(id="\x00"), "`id` holds a NUL"),
    "half a surrogate pair": (line(completion="a\ud83d"), "`completion` holds half"),
    "the other half": (line(completion="\ude42a"), "`completion` holds half"),
    "NaN as score": (line(rm_score=float("nan")), "`rm_score` must be a finite number"),
    "infinity as score": (line(rm_score=float("inf")), "`rm_score` must be a finite number"),
    "a score beyond floats": (line(rm_score=10**400), "`rm_score` must be a finite number"),
    "a score that overflows": (line(rm_score=...)[:-1] + ', "rm_score": 1e999}', "`rm_score`"),
    "a score in words": (line(rm_score="1.0"), "`rm_score` must be a finite number"),
    "a truth as score": (line(rm_score=True), "`rm_score` must be a finite number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_line_is_refused_with_its_number_and_the_reason(case: str) -> None:
    text, reason = REFUSED[case]
    error = refusal(line(), "", text, line())
    assert error.line == 3
    assert str(error).startswith("line 3: ")
    assert reason in error.reason
    assert "\n" not in str(error)


def test_bytes_that_are_no_utf_8_are_refused_with_their_place() -> None:
    error = refusal(line(), b'{"prompt": "\xff"}')
    assert str(error) == "line 2: not UTF-8 (invalid start byte at byte 12)"


def test_the_first_bad_line_is_the_one_that_is_named() -> None:
    assert refusal(line(), "nonsense", line(prompt=[])).line == 2


def test_rows_before_a_bad_line_are_yielded_first() -> None:
    rows = read_conversations([line(id="a"), "nonsense"])
    assert next(rows)[1].id == "a"
    with pytest.raises(RowError):
        next(rows)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([*row(), "role", "content", "id", "rm_score"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_conversation_or_a_row_error(value: object) -> None:
    try:
        conversation = only(json.dumps(value))
    except RowError:
        return
    assert conversation.prompt[-1].role == "user"


@given(st.binary(max_size=40))
def test_any_bytes_are_blank_or_a_row_error(data: bytes) -> None:
    try:
        rows = read(data)
    except RowError:
        return
    assert rows == []


# What makes rows the same


def parsed(**changes: Any) -> Conversation:
    return parse_conversation(row(**changes))


def test_the_fingerprint_is_sha256_of_canonical_json() -> None:
    # printf '{"a":1,"b":"ü"}' | sha256sum, with the two bytes of ü in UTF-8
    wanted = "1a59e522e02ce50ad2c27c11a6d30f8667489c199580627fe9e3e33e2b0e91d5"
    assert fingerprint({"b": "ü", "a": 1}) == wanted


def test_the_prompt_fingerprint_changes_with_roles_texts_and_the_order_of_turns() -> None:
    two = [USER, ASSISTANT, USER]
    prompts = [
        [USER],
        [{"role": "user", "content": "Hello"}],
        [{"role": "user", "content": "hello?"}],
        [{"role": "user", "content": "Hello? "}],
        two,
        [USER, USER, USER],
        [{"role": "system", "content": "Hello?"}, USER],
        # The same characters, cut elsewhere.
        [{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}],
        [{"role": "user", "content": "a"}, {"role": "user", "content": "bc"}],
    ]
    found = [parsed(prompt=prompt).prompt_fingerprint for prompt in prompts]
    assert len(set(found)) == len(prompts)


def test_the_prompt_fingerprint_is_the_prompts_alone() -> None:
    first, second = parsed(completion="Hi."), parsed(completion="Go.", category="other", id="x")
    assert first.prompt_fingerprint == second.prompt_fingerprint
    assert first.fingerprint != second.fingerprint


def test_the_fingerprint_is_that_of_prompt_and_completion_alone() -> None:
    first = parsed()
    other = parsed(
        propositions={}, category="x", response_type="Comply", id="x", rm_score=1.0,
        completion_type="bad",
    )  # fmt: skip
    assert first.fingerprint == other.fingerprint
    assert first.fingerprint != replace(first, completion="Hi. ").fingerprint
    assert first.fingerprint != parsed(prompt=[USER, ASSISTANT, USER]).fingerprint


def test_an_answer_in_the_prompt_is_not_the_answer_to_it() -> None:
    # Turns "Hello?" and completion "" against the completion moved into the prompt.
    shorter = parsed(prompt=[USER], completion="Hello?")
    longer = parsed(prompt=[USER, USER], completion="")
    assert shorter.fingerprint != longer.fingerprint


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2, 3]}) == fingerprint({"b": [2, 3], "a": 1})
    assert fingerprint({"a": [2, 3]}) != fingerprint({"a": [3, 2]})
    assert fingerprint(None) != fingerprint("null")
    assert fingerprint(1) != fingerprint("1")
    assert fingerprint(True) != fingerprint(1)


def test_a_key_that_stands_twice_in_a_row_is_refused_by_name() -> None:
    line = '{"prompt": [{"role": "user", "content": "Hi"}], "completion": "a", "completion": "b"}'
    with pytest.raises(RowError, match="line 1: `completion` stands twice"):
        list(read_conversations([line]))


def test_an_id_may_be_a_number_and_not_a_truth_value() -> None:
    row = {"prompt": [{"role": "user", "content": "Hi"}], "completion": "a"}
    assert parse_conversation(row | {"id": 7}).id == "7"
    with pytest.raises(ValueError, match="`id` must be a string, not bool"):
        parse_conversation(row | {"id": True})
