"""YAML that reads back as what was written, and looks as a person would write it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rbr_app.rbr.yaml_text import Inline, to_yaml
from tests.unit.rbr.policies import ODD, texts

VALUES = st.recursive(
    st.one_of(st.booleans(), texts()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(texts(), VALUES, max_size=3))
@example({text: [text, {text: text}] for text in ODD})
@settings(max_examples=500)
def test_any_document_reads_back_as_it_was(document: dict[str, Any]) -> None:
    if document:
        assert yaml.safe_load(to_yaml(document)) == document


@given(texts(), texts())
def test_a_text_is_not_changed_by_what_follows(first: str, second: str) -> None:
    document = {"a": first, "b": [first, second], "c": {"d": first, "e": second}}
    assert yaml.safe_load(to_yaml(document)) == document


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Does it help?", "Does it help?"),
        ("Sorry, I can't.", "Sorry, I can't."),
        ("3 eggs", "3 eggs"),
        ("3", '"3"'),
        ("yes", '"yes"'),
        ("Null", '"Null"'),
        ("n", '"n"'),
        ("", '""'),
        ("Before I answer: which?", '"Before I answer: which?"'),
        ("- not a list", '"- not a list"'),
        ("a\tb", '"a\\tb"'),
        (" a", '" a"'),
    ],
)
def test_quotes_stand_only_where_they_are_needed(text: str, written: str) -> None:
    assert to_yaml({"a": text}) == f"a: {written}\n"


def test_several_lines_are_a_literal_block() -> None:
    assert to_yaml({"a": "one: 1\n\n  two \nthree"}) == "a: |-\n  one: 1\n\n    two \n  three\n"
    assert to_yaml({"a": "one\ntwo\n"}) == "a: |\n  one\n  two\n"
    assert to_yaml({"a": " one\ntwo"}) == "a: |2-\n   one\n  two\n"


def test_a_long_line_is_folded_within_the_width() -> None:
    text = " ".join(["word: x"] * 40)
    written = to_yaml({"a": {"b": [text]}})
    assert written.startswith("a:\n  b:\n    - >-\n      word: x word: x")
    assert max(map(len, written.splitlines())) <= 100
    assert yaml.safe_load(written) == {"a": {"b": [text]}}


def test_lists_of_maps_and_inline_values() -> None:
    rows = [{"if": {"a": True}, "then": {"b": False}}, ["a", "no"]]
    document = {"x": "1 a", "rows": [*map(Inline, rows)], "plain": [{"a": "b", "c": True}]}
    assert to_yaml(document) == (
        'x: 1 a\n\nrows:\n  - {if: {a: true}, then: {b: false}}\n  - [a, "no"]\n\n'
        "plain:\n  - a: b\n    c: true\n"
    )


def test_a_value_that_no_policy_has_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"1\.5"):
        to_yaml({"a": 1.5})
