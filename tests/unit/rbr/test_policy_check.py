"""Documents that anybody may have changed are read or refused, never a crash."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.policy import Category, ContentArea, Policy, PolicyError, Proposition, ResponseType
from rbr_app.rbr.policy_check import check_policy, in_order, parse_document
from rbr_app.rbr.policy_files import parse_policy
from tests.conftest import SAMPLE
from tests.factories import tiny_policy
from tests.unit.rbr.policies import whole_policies

BASE = tiny_policy()


def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(BASE.as_document()))
    return found


@given(whole_policies())
@settings(max_examples=50)
def test_a_policy_is_read_back_from_its_document(policy: Policy) -> None:
    check_policy(policy)
    assert parse_document(policy.as_document()) == policy
    stored = json.loads(json.dumps(policy.as_document()))
    assert parse_document(stored) == policy


def test_the_sample_policy_is_read_back_from_its_document() -> None:
    policy = parse_policy((SAMPLE / "policy.yaml").read_text())
    assert parse_document(json.loads(json.dumps(policy.as_document())), "sample") == policy


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


@given(st.data())
@settings(max_examples=500)
def test_a_damaged_document_is_read_or_refused_but_never_crashes(data: st.DataObject) -> None:
    damaged = document() | {
        "implications": [{"given": {"helps": True}, "then": {"rude": False}}],
        "exclusions": [{"helps": True, "rude": True}],
    }
    *path, last = data.draw(st.sampled_from(places(damaged)[1:]))
    target: Any = damaged
    for key in path:
        target = target[key]
    values = [
        None,
        1,
        0.5,
        True,
        "",
        "a",
        "\x00",
        "\ud800",
        [],
        [[]],
        {},
        {"a": 1},
        {"": True},
        ["a"],
    ]
    if data.draw(st.booleans()):
        del target[last]
    elif isinstance(target, dict) and data.draw(st.booleans()):
        target[data.draw(st.sampled_from(["", "a", "key", "\x00"]))] = target.pop(last)
    else:
        target[last] = copy.deepcopy(data.draw(st.sampled_from(values)))
    try:
        policy = parse_document(damaged)
    except PolicyError:
        return
    check_policy(policy)


@pytest.mark.parametrize("value", [None, 1, "text", [], [1], {1: 2}])
def test_what_is_no_document_at_all_is_refused(value: object) -> None:
    with pytest.raises(PolicyError):
        parse_document(value)


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an unknown section": ({"weights": {}}, ["the document", "'weights'"]),
    "an unknown field": (
        {"propositions": [{"key": "a", "question": "?", "weight": 1}]},
        ["propositions[0]", "'weight'"],
    ),
    "a row without a key": ({"propositions": [{"question": "?"}]}, ["propositions[0]", "key"]),
    "a proposition without a question": (
        {"propositions": [{"key": "a"}]},
        ["'a'", "`question` is missing"],
    ),
    "a derived proposition twice": (
        {"derived": [{"key": "a", "all_of": {"helps": True}}] * 2},
        ["derived_propositions", "'a'", "twice"],
    ),
    "a derived proposition without literals": (
        {"derived": [{"key": "a"}]},
        ["derived_propositions.a"],
    ),
    "a category without a response type": (
        {"categories": [{"key": "a", "area": "talk"}]},
        ["categories.a", "response type"],
    ),
    "a template of the wrong order": (
        {"template": {"text": "{question}{response}", "order": "x"}},
        ["order", "'x'"],
    ),
    "a constraint of a file": (
        {"implications": [{"if": {"helps": True}, "then": {"rude": False}}]},
        ["implications[0]", "`given`"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_a_document_is_named(case: str) -> None:
    changes, words = CASES[case]
    with pytest.raises(PolicyError) as caught:
        parse_document(document() | changes)
    for word in words:
        assert word in str(caught.value)


def test_a_missing_section_is_named() -> None:
    damaged = document()
    del damaged["derived"]
    with pytest.raises(PolicyError, match="lacks 'derived'"):
        parse_document(damaged)


def test_derived_propositions_and_categories_are_put_in_order() -> None:
    damaged = document()
    damaged["derived"].insert(0, {"key": "early", "all_of": {"kind_help": True}})
    damaged["content_areas"].append({"key": "walk"})
    damaged["categories"].insert(1, {"key": "path", "response_type": "comply", "area": "walk"})
    policy = parse_document(damaged)
    assert list(policy.derived) == ["kind_help", "early"]
    assert [category.key for category in policy.categories] == ["chat", "trick", "path"]


# Policies as values

POLICIES = {
    "no proposition": ({"propositions": ()}, ["`propositions`"]),
    "no response type": ({"response_types": ()}, ["`response_types`"]),
    "a proposition twice": ({"propositions": BASE.propositions * 2}, ["'helps' stands twice"]),
    "a response type twice": (
        {"response_types": (*BASE.response_types, ResponseType("comply"))},
        ["'comply' stands twice"],
    ),
    "an area twice": ({"content_areas": BASE.content_areas * 2}, ["'talk' stands twice"]),
    "a blank question": (
        {"propositions": (*BASE.propositions, Proposition("a", " "))},
        ["'a'", "`question` is missing"],
    ),
    "a category of no area": (
        {"categories": (Category("chat", "comply", "sea"),)},
        ["content_areas.sea.categories.chat", "'sea'"],
    ),
    "a long class name": (
        {"completion_classes": {"c" * 101: {}}, "class_order": ("c" * 101,)},
        ["longer than 100"],
    ),
    "a part below its whole": (
        {"derived": {"a": {"kind_help": True}, "kind_help": {"helps": True}}},
        ["derived_propositions.a", "'kind_help'"],
    ),
    "an empty conjunction": ({"exclusions": ({},)}, ["exclusions[0]", "empty"]),
    "an unknown polarity": (
        {"propositions": (*BASE.propositions, Proposition("a", "?", polarity={"comply": "bad"}))},
        ["propositions.a.polarity", "'bad'"],
    ),
    "a NUL character": (
        {"content_areas": (ContentArea("talk", "\x00"),)},
        ["content_areas", "`title`", "NUL"],
    ),
    "a template without the response": (
        {"template": replace(BASE.template, text="{question}")},
        ["prompt.template", "{response}"],
    ),
}


@pytest.mark.parametrize("case", POLICIES)
def test_what_is_wrong_with_a_policy_is_named(case: str) -> None:
    fields, words = POLICIES[case]
    with pytest.raises(PolicyError) as caught:
        check_policy(replace(BASE, **fields))  # type: ignore[arg-type]
    for word in words:
        assert word in str(caught.value)


# The order of derived propositions


@given(st.permutations(range(6)), st.data())
def test_any_order_is_sorted_and_a_right_one_is_kept(order: list[int], data: st.DataObject) -> None:
    parts = {
        n: data.draw(st.sets(st.integers(0, n - 1), max_size=2)) if n else set() for n in range(6)
    }
    rules = {n: {f"d{part}": True for part in parts[n]} | {"p": True} for n in parts}
    right = {f"d{n}": rules[n] for n in range(6)}
    assert list(in_order(right)) == list(right)
    found = list(in_order({f"d{n}": rules[n] for n in order}))
    assert sorted(found) == sorted(right)
    for n, used in parts.items():
        assert all(found.index(f"d{part}") < found.index(f"d{n}") for part in used)


def test_a_cycle_is_named_from_its_first_member_on() -> None:
    derived = {"x": {"a": True}, "a": {"p": True, "b": True}, "b": {"c": False}, "c": {"a": True}}
    with pytest.raises(PolicyError, match="cycle: a → b → c → a"):
        in_order(derived)


def test_derived_propositions_may_not_stand_on_each_other_without_end() -> None:
    chain = {f"d{n}": {f"d{n - 1}": True} for n in range(1, 102)} | {"d0": {"p": True}}
    with pytest.raises(PolicyError, match="d100 stands on more than 100"):
        in_order(chain)
    del chain["d101"], chain["d100"]
    assert next(iter(in_order(chain))) == "d0"
