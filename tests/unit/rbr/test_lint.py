"""The linter against brute force over every assignment of small random policies."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings

from rbr_app.rbr.lint import Finding, Witness, errors, gaps, lint, overlaps
from rbr_app.rbr.policy import Policy, PromptTemplate, Proposition, ResponseType
from rbr_app.rbr.policy_files import parse_policy
from rbr_app.rbr.rules import leaves
from tests.conftest import SAMPLE
from tests.factories import TINY, tiny, tiny_policy
from tests.unit.rbr.policies import assignments, held, holds, keeps, small_policies


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


# Every other finding: a policy that has it, and one that has not


def found(text: str, code: str) -> list[Finding]:
    return [finding for finding in lint(parse_policy(text)) if finding.code == code]


ONE_SIDED = "examples: [{user: a, assistant: b, answer: true}"
CASES = {
    "overlap": (
        tiny("comply: {helps: false, rude: false}", "comply: {helps: false}"),
        TINY,
        "response_types.comply",
    ),
    "gap": (
        tiny("    refuse: {rude: true}", "    refuse: {rude: true, helps: false}"),
        TINY,
        "response_types.refuse",
    ),
    "contradictory_constraints": (
        TINY + "exclusions: [{helps: true}, {helps: false}]\n",
        TINY + "exclusions: [{helps: true, rude: true}, {helps: false, rude: true, cites: true}]\n",
        "exclusions",
    ),
    "missing_class": (
        tiny("    refuse: {kind_help: true}\n", ""),
        tiny("    refuse: {kind_help: true}\n", "    refuse: {helps: true, rude: false}\n"),
        "completion_classes.poor.refuse",
    ),
    "unreachable_class": (
        tiny("refuse: {kind_help: true}", "refuse: {kind_help: true, helps: false}"),
        TINY,
        "completion_classes.poor.refuse",
    ),
    "impossible_class": (
        TINY + "implications: [{if: {helps: true}, then: {rude: true}}]\n",
        TINY + "implications: [{if: {helps: true}, then: {cites: true}}]\n",
        "completion_classes.ideal.comply",
    ),
    "unused_proposition": (
        TINY,
        tiny(
            "{helps: true, rude: false}\nclass", "{helps: true, rude: false, cites: false}\nclass"
        ),
        "propositions.cites",
    ),
    "unused_derived": (
        tiny("  kind_help: {helps", "  spare: {cites: true}\n  kind_help: {helps"),
        tiny("  kind_help: {helps", "  spare: {cites: true}\n  kind_help: {helps")
        + "exclusions: [[spare, rude]]\n",
        "derived_propositions.spare",
    ),
    "unused_response_type": (
        tiny("      trick: {title: Trick, response_type: refuse}\n", ""),
        TINY,
        "response_types.refuse",
    ),
    "polarity_contradiction": (
        tiny('"Is it rude?"}', '"Is it rude?", polarity: {comply: desired}}'),
        tiny('"Is it rude?"}', '"Is it rude?", polarity: {comply: undesired}}'),
        "propositions.rude.polarity",
    ),
    "compound_wording": (
        tiny("Is it rude?", "Is it rude and does it help?"),
        tiny("Is it rude?", "Is it rude, harsh or mean?"),
        "propositions.rude.question",
    ),
    "duplicate_question": (
        tiny("Does it cite a source?", "is it  RUDE?"),
        TINY,
        "propositions.cites.question",
    ),
    "one_sided_examples": (
        tiny('"Is it rude?"}', f'"Is it rude?", {ONE_SIDED}]}}'),
        tiny('"Is it rude?"}', f'"Is it rude?", {ONE_SIDED}, {{answer: false}}]}}'),
        "propositions.rude.examples",
    ),
}


@pytest.mark.parametrize("code", CASES)
def test_a_policy_with_a_flaw_has_its_finding_and_one_without_has_not(code: str) -> None:
    flawed, sound, where = CASES[code]
    assert where in [finding.where for finding in found(flawed, code)]
    assert found(sound, code) == []


def test_errors_come_before_warnings_and_only_they_make_a_policy_unusable() -> None:
    text = tiny("comply: {helps: false, rude: false}", "comply: {helps: false}")
    policy = parse_policy(text + "exclusions: [{helps: true}, {helps: false}]\n")
    findings = lint(policy)
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities)
    assert [finding.code for finding in errors(policy)] == ["overlap", "contradictory_constraints"]
    assert findings[:2] == errors(policy)
    assert {finding.severity for finding in findings[2:]} == {"warning"}


def test_an_overlap_finding_tells_the_classes_and_the_witness() -> None:
    text = tiny("comply: {helps: false, rude: false}", "comply: {helps: false}")
    [finding] = found(text, "overlap")
    assert (finding.response_type, finding.classes) == ("comply", ("poor", "rude_completion"))
    assert finding.witness == {"helps": False, "rude": True}
    assert "poor and rude_completion both hold when rude is true" in finding.message


def test_a_proposition_that_the_constraints_force_to_one_value_is_a_warning() -> None:
    # helps → rude and not both: helps is never true.
    constraints = "implications: [{if: {helps: true}, then: {rude: true}}]\n"
    text = TINY + constraints + "exclusions: [[helps, rude]]\n"
    [finding] = found(text, "contradictory_constraints")
    assert (finding.where, finding.severity) == ("propositions.helps", "warning")
    assert "helps to be false only" in finding.message


def test_a_response_type_without_any_class_is_a_gap_and_lacks_no_class() -> None:
    text = tiny("  refuse: {title: Refuse}", "  refuse: {}\n  idle: {}")
    assert [finding.response_type for finding in found(text, "gap")] == ["idle"]
    assert found(text, "missing_class") == []


def test_a_polarity_where_the_best_class_is_silent_contradicts_nothing() -> None:
    text = tiny('a source?"}', 'a source?", polarity: {comply: desired, refuse: undesired}}')
    assert found(text, "polarity_contradiction") == []


def test_without_categories_no_response_type_is_unused() -> None:
    text = TINY[: TINY.index("content_areas:")] + TINY[TINY.index("response_types:") :]
    assert found(text, "unused_response_type") == []


@given(small_policies(constraints=True))
@settings(max_examples=300)
def test_classes_that_cannot_hold_are_exactly_those_that_brute_force_finds(policy: Policy) -> None:
    rows = assignments(policy.proposition_keys)
    allowed = [truth for truth in rows if keeps(policy, truth)]
    unreachable, impossible = set(), set()
    for kind in policy.response_type_keys:
        for name in policy.class_order:
            if not any(name in held(policy, kind, truth) for truth in rows):
                unreachable.add((kind, name))
            elif allowed and not any(name in held(policy, kind, truth) for truth in allowed):
                impossible.add((kind, name))
    findings = lint(policy)

    def cells(code: str) -> set[tuple[str, str]]:
        return {(f.response_type, *f.classes) for f in findings if f.code == code}

    assert cells("unreachable_class") == unreachable
    assert cells("impossible_class") == impossible
    for finding in findings:
        if finding.code == "impossible_class":
            rules = policy.completion_classes[finding.classes[0]][finding.response_type]
            free = dict.fromkeys(policy.proposition_keys, False) | (finding.witness or {})
            assert holds(policy, rules, free)


@given(small_policies(constraints=True))
@settings(max_examples=300)
def test_constraints_contradict_exactly_where_brute_force_says(policy: Policy) -> None:
    allowed = [row for row in assignments(policy.proposition_keys) if keeps(policy, row)]
    findings = [f for f in lint(policy) if f.code == "contradictory_constraints"]
    assert any(finding.severity == "error" for finding in findings) == (not allowed)
    forced = {key for key in policy.proposition_keys if len({row[key] for row in allowed}) == 1}
    assert {f"propositions.{key}" for key in forced} == {
        finding.where for finding in findings if finding.severity == "warning"
    }


def test_the_sample_policy_has_no_other_finding_than_its_two_unused_propositions() -> None:
    findings = lint(parse_policy((SAMPLE / "policy.yaml").read_text()))
    assert [(finding.code, finding.where) for finding in findings] == [
        ("unused_proposition", "propositions.conditional_verbiage"),
        ("unused_proposition", "propositions.prescribes_dosage"),
    ]


def test_the_released_policy_also_asks_one_question_in_two_parts(released: Path) -> None:
    findings = lint(parse_policy((released / "proposition_prompts.yaml").read_text()))
    assert [(finding.code, finding.where) for finding in findings] == [
        ("unused_proposition", "propositions.conditional_verbiage"),
        ("unused_proposition", "propositions.prescribes_dosage"),
        ("compound_wording", "propositions.meta_commentary.question"),
    ]


def test_a_policy_with_constraints_that_hold_is_sound() -> None:
    assert errors(tiny_policy()) == []
