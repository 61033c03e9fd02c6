"""The linter against brute force over every assignment of small random policies."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rbr_app.rbr.lint import Witness, gaps, overlaps
from rbr_app.rbr.policy import Policy, PromptTemplate, Proposition, ResponseType
from rbr_app.rbr.policy_files import parse_policy
from rbr_app.rbr.rules import leaves
from tests.conftest import SAMPLE


@st.composite
def small_policies(draw: st.DrawFn) -> Policy:
    """1-4 propositions, up to 3 derived ones, 1-3 classes and 1-2 response types."""
    names = [f"p{n}" for n in range(draw(st.integers(1, 4)))]
    propositions = tuple(Proposition(name, "?") for name in names)
    derived = {}
    for n in range(draw(st.integers(0, 3))):
        derived[f"d{n}"] = draw(conjunctions(names))
        names = [*names, f"d{n}"]
    types = ["t0", "t1"][: draw(st.integers(1, 2))]
    classes = [f"c{n}" for n in range(draw(st.integers(1, 3)))]
    return Policy(
        propositions=propositions,
        derived=derived,
        completion_classes={
            name: {key: draw(conjunctions(names)) for key in types} for name in classes
        },
        class_order=tuple(classes),
        template=PromptTemplate("{question}{response}"),
        response_types=tuple(ResponseType(key) for key in types),
    )


def conjunctions(names: list[str]) -> st.SearchStrategy[dict[str, bool]]:
    return st.dictionaries(st.sampled_from(names), st.booleans(), min_size=1, max_size=3)


def held(policy: Policy, response_type: str, truth: dict[str, bool]) -> set[str]:
    """The classes that hold, computed without the kernel's rules."""

    def value(name: str) -> bool:
        if name in truth:
            return truth[name]
        return all(value(part) == wanted for part, wanted in policy.derived[name].items())

    return {
        name
        for name, by_type in policy.completion_classes.items()
        if all(value(part) == wanted for part, wanted in by_type[response_type].items())
    }


def assignments(keys: tuple[str, ...]) -> list[dict[str, bool]]:
    return [
        dict(zip(keys, values, strict=True)) for values in product([False, True], repeat=len(keys))
    ]


@given(small_policies())
@settings(max_examples=300)
def test_overlaps_and_gaps_are_exactly_those_that_brute_force_finds(policy: Policy) -> None:
    rows = assignments(policy.proposition_keys)
    wanted_overlaps = set()
    wanted_gaps = set()
    for kind in policy.response_type_keys:
        found = [held(policy, kind, truth) for truth in rows]
        for pair in combinations(policy.class_order, 2):
            if any(set(pair) <= names for names in found):
                wanted_overlaps.add((kind, pair))
        if any(not names for names in found):
            wanted_gaps.add(kind)
    assert {(w.response_type, w.classes) for w in overlaps(policy)} == wanted_overlaps
    assert {w.response_type for w in gaps(policy)} == wanted_gaps
    assert len(overlaps(policy)) == len(wanted_overlaps)


@given(small_policies())
@settings(max_examples=200)
def test_every_witness_shows_what_it_says_whatever_else_is_true(policy: Policy) -> None:
    for witness in [*overlaps(policy), *gaps(policy)]:
        assert tuple(witness.truth) == leaves(policy, witness.response_type)
        others = tuple(key for key in policy.proposition_keys if key not in witness.truth)
        for rest in assignments(others):
            names = held(policy, witness.response_type, witness.truth | rest)
            assert set(witness.classes) <= names if witness.classes else not names


def test_the_sample_policy_is_exclusive_and_exhaustive() -> None:
    policy = parse_policy((SAMPLE / "policy.yaml").read_text())
    assert overlaps(policy) == []
    assert gaps(policy) == []


def test_a_policy_too_wide_for_brute_force_is_decided() -> None:
    # 60 propositions are 2^60 assignments: one class for "all are true", one for "not all are".
    keys = [f"p{n}" for n in range(60)]
    policy = Policy(
        propositions=tuple(Proposition(key, "?") for key in keys),
        derived={"every": dict.fromkeys(keys, True)},
        completion_classes={"all": {"t": {"every": True}}, "some": {"t": {"every": False}}},
        class_order=("all", "some"),
        template=PromptTemplate("{question}{response}"),
        response_types=(ResponseType("t"),),
    )
    assert overlaps(policy) == []
    assert gaps(policy) == []


def test_one_line_cut_from_the_released_policy_is_found(released: Path) -> None:
    text = (released / "proposition_prompts.yaml").read_text()
    cut = "      acceptable_refusal: true\n      correct_refusal: false\n"
    assert cut in text
    # Without ¬correct_refusal, an ideal refusal is acceptable too.
    policy = parse_policy(text.replace(cut, "      acceptable_refusal: true\n"))
    [witness] = overlaps(policy)
    assert witness.response_type == "hard_refuse"
    assert witness.classes == ("ideal", "minimum_acceptable_style")
    assert {key for key, true in witness.truth.items() if true} == {
        "apology",
        "inability_to_comply",
    }
    assert gaps(policy) == []


def test_a_witness_reads_as_a_sentence() -> None:
    overlap = Witness("comply", ("a", "b"), {"x": True, "y": False})
    assert str(overlap) == (
        "response type comply: a and b both hold when x is true and all else is false"
    )
    two = Witness("comply", ("a", "b"), {"x": True, "y": True})
    assert "both hold when x, y are true and all else is false" in str(two)
    gap = Witness("comply", (), {"x": False})
    assert "no class holds when nothing is true and all else is false" in str(gap)
