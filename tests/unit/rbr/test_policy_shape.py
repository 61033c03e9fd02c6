"""Values of unknown type are read or refused; whole files are in test_policy_files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr import policy_shape as shape
from rbr_app.rbr.policy import Implication, PolicyError

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)
READERS: list[Callable[[object], object]] = [
    lambda value: shape.map_of(value, "here"),
    lambda value: shape.list_of(value, "here"),
    lambda value: shape.conjunctions(value, "here"),
    lambda value: shape.completion_classes(value),
    lambda value: shape.class_order(value, "here"),
    lambda value: shape.template(value, "here", value),
    lambda value: shape.implications(value, given="if"),
    lambda value: shape.exclusions(value),
    lambda value: shape.proposition("key", {"question": value, "examples": value}),
    lambda value: shape.proposition("key", {"question": "?", "polarity": value}),
]


@given(ANYTHING, st.sampled_from(READERS))
def test_any_value_is_read_or_refused(value: object, read: Callable[[object], object]) -> None:
    with suppress(PolicyError):
        read(value)


def test_constraints_are_read_with_the_field_of_their_form() -> None:
    row = {"given": {"a": True}, "then": {"b": False}}
    assert shape.implications([row], given="given") == (Implication({"a": True}, {"b": False}),)
    with pytest.raises(PolicyError, match="`if` and `then`"):
        shape.implications([row], given="if")


def test_an_exclusion_is_a_map_or_a_list_of_what_is_never_all_true() -> None:
    assert shape.exclusions([["a", "b"], {"a": False}]) == (
        {"a": True, "b": True},
        {"a": False},
    )


def test_a_response_type_is_known_by_its_key() -> None:
    assert shape.by_response_type({"Hard Refuse": 1}, "here") == {"hard_refuse": 1}
    with pytest.raises(PolicyError, match="here names 'comply' twice"):
        shape.by_response_type({"Comply": 1, "comply": 2}, "here")
