"""A policy's rules in SQL say what the kernel's rules say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.models import Completion, ConversationSet, GoldTruth, Policy, Proposition
from annotation.selectors import truth_sql as module
from annotation.selectors.consistency import consistency
from annotation.selectors.overview import completion_classes_of, set_numbers
from annotation.selectors.truth_sql import TruthSQL, truth_sql
from annotation.services.policies import import_policy
from rbr_app.rbr.constraints import violations
from rbr_app.rbr.policy import Implication
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import Proposition as KernelProposition
from rbr_app.rbr.policy_files import read_policy
from rbr_app.rbr.rules import completion_classes, leaves
from tests.conftest import SAMPLE
from tests.factories import (
    KEYS,
    CompletionFactory,
    ConversationSetFactory,
    PolicyFactory,
    tiny_policy,
)

pytestmark = pytest.mark.django_db
EVERY_STATE = (True, False, None)
MANY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def decide(completion: Completion, truth: dict[str, bool | None]) -> None:
    """Store truths; None is a cell in which people cannot decide."""
    policy = completion.conversation.conversation_set.policy
    pks = dict(Proposition.objects.filter(policy=policy).values_list("key", "pk"))
    GoldTruth.objects.bulk_create(
        [
            GoldTruth(
                completion=completion, proposition_id=pks[key], truth=value, source="unanimous"
            )
            for key, value in truth.items()
        ]
    )


def expected_class(policy: KernelPolicy, kind: str, truth: dict[str, bool | None]) -> str:
    """What the kernel says: the best class that holds, empty where truths are missing."""
    known = {key: value for key, value in truth.items() if value is not None}
    needed = leaves(policy, kind)
    if not needed or not set(needed) <= set(known):
        return ""
    full = dict.fromkeys(policy.proposition_keys, False) | known
    return (completion_classes(policy, kind, full) or [""])[0]


def rules_of(conversation_set: ConversationSet, policy: KernelPolicy | None = None) -> TruthSQL:
    version = conversation_set.policy.latest
    return truth_sql(policy or version.as_policy(), conversation_set.policy_id)


@pytest.mark.parametrize("kind", ["comply", "refuse", "unheard_of"])
def test_the_class_is_the_kernels_for_every_truth_of_a_small_policy(kind: str) -> None:
    gold = ConversationSetFactory()
    expected = {}
    for values in product(EVERY_STATE, repeat=3):
        completion = CompletionFactory(
            conversation__conversation_set=gold, conversation__response_type=kind
        )
        truth = dict(zip(KEYS, values, strict=True))
        decide(completion, truth)
        expected[completion.pk] = expected_class(tiny_policy(), kind, truth)
    assert completion_classes_of(rules_of(gold), expected) == expected
    assert len(set(expected.values())) == (1 if kind == "unheard_of" else 4)


def test_a_completion_without_any_truth_is_incomplete() -> None:
    completion = CompletionFactory()
    rules = rules_of(completion.conversation.conversation_set)
    assert completion_classes_of(rules, [completion.pk]) == {completion.pk: ""}
    numbers = set_numbers(completion.conversation.conversation_set, rules)
    assert numbers.classes == {("test", "comply", ""): 1}


@pytest.fixture
def sample(db: None) -> ConversationSet:
    """A set under the sample policy: 23 propositions, derived ones within derived ones."""
    version = import_policy(text=(SAMPLE / "policy.yaml").read_text()).version
    return ConversationSetFactory(policy=version.policy)


SAMPLE_KEYS = read_policy((SAMPLE / "policy.yaml").read_text()).proposition_keys
# Mostly known, because a class needs every one of its propositions.
truths = st.fixed_dictionaries(
    {key: st.sampled_from((True, False, False, False, None)) for key in SAMPLE_KEYS}
)
complete = st.fixed_dictionaries({key: st.booleans() for key in SAMPLE_KEYS})


@MANY
@given(rows=st.lists(truths | complete, min_size=1, max_size=8), data=st.data())
def test_the_class_is_the_kernels_for_random_truths_of_the_sample_policy(
    sample: ConversationSet, rows: list[dict[str, bool | None]], data: st.DataObject
) -> None:
    policy = sample.policy.latest.as_policy()
    expected = {}
    for truth in rows:
        kind = data.draw(st.sampled_from(policy.response_type_keys))
        completion = CompletionFactory(
            conversation__conversation_set=sample, conversation__response_type=kind
        )
        decide(completion, truth)
        expected[completion.pk] = expected_class(policy, kind, truth)
    assert completion_classes_of(rules_of(sample), expected) == expected


@MANY
@given(rows=st.lists(truths, min_size=1, max_size=6))
def test_constraints_are_broken_where_the_kernel_says_so(
    sample: ConversationSet, rows: list[dict[str, bool | None]]
) -> None:
    policy = replace(
        sample.policy.latest.as_policy(),
        implications=(
            Implication({"fully_complies": True}, {"partially_complies": True}),
            Implication({"apology": False}, {"acceptable_refusal": False}),
            Implication({"acceptable_refusal": False, "apology": True}, {"judgement": True}),
        ),
        exclusions=(
            {"fully_complies": True, "inability_to_comply": True},
            {"acceptable_refusal": True, "disclaimer": False},
        ),
    )
    gold = ConversationSetFactory(policy=sample.policy)
    counts = [0] * 5
    for truth in rows:
        completion = CompletionFactory(
            conversation__conversation_set=gold, conversation__response_type="comply"
        )
        decide(completion, truth)
        for broken in violations(policy, truth):
            counts[broken.number + (3 if broken.kind == "exclusion" else 0)] += 1
    found = consistency(gold, rules_of(gold, policy))
    assert [finding.n for finding in found.constraints] == counts


def test_a_policy_of_more_propositions_than_a_mask_holds_is_judged_alike() -> None:
    # 3 of the policy's own propositions around 150 of another policy's: masks start anew.
    policy = PolicyFactory()
    first, *rest = Proposition.objects.filter(policy=policy).order_by("pk")
    other = Policy.objects.create(name="between")
    for number in range(150):
        Proposition.objects.create(policy=other, key=f"p{number}")
    for row in rest:
        key, old = row.key, row.pk
        row.delete()
        assert Proposition.objects.create(policy=policy, key=key).pk > old + module.BITS
    gold = ConversationSetFactory(policy=policy)
    rules = rules_of(gold)
    assert len(rules.starts) == 2
    assert rules.bits[first.key].mask == 0
    expected = {}
    for values in product(EVERY_STATE, repeat=3):
        completion = CompletionFactory(conversation__conversation_set=gold)
        truth = dict(zip(KEYS, values, strict=True))
        decide(completion, truth)
        expected[completion.pk] = expected_class(tiny_policy(), "comply", truth)
    assert completion_classes_of(rules, expected) == expected
    numbers = set_numbers(gold, rules)
    # Each proposition is true in a third of the 27 rows, and false in a third.
    assert set(numbers.positives.values()) == set(numbers.negatives.values()) == {9}


def test_a_rule_may_reach_over_several_masks() -> None:
    # An ideal refusal wants 130 further propositions, each true.
    wide = [f"wide_{number}" for number in range(130)]
    tiny = tiny_policy()
    ideal_refusal = {"all_wide": True, "helps": False, "rude": False}
    policy = replace(
        tiny,
        propositions=(*tiny.propositions, *(KernelProposition(key, "?") for key in wide)),
        derived={**tiny.derived, "all_wide": dict.fromkeys(wide, True)},
        completion_classes={
            **tiny.completion_classes,
            "ideal": {**tiny.completion_classes["ideal"], "refuse": ideal_refusal},
        },
    )
    gold = ConversationSetFactory()
    Proposition.objects.bulk_create([Proposition(policy=gold.policy, key=key) for key in wide])
    rules = rules_of(gold, policy)
    assert len(rules.starts) == 3
    ideal = dict.fromkeys(policy.proposition_keys, True) | {"helps": False, "rude": False}
    cases = [
        ideal,
        ideal | {"wide_0": False},
        ideal | {"wide_129": False},
        ideal | {"wide_64": None},
    ]
    expected = {}
    for truth in cases:
        completion = CompletionFactory(
            conversation__conversation_set=gold, conversation__response_type="refuse"
        )
        decide(completion, truth)
        expected[completion.pk] = expected_class(policy, "refuse", truth)
    # One differing proposition is enough for no class at all; an unknown one for incomplete.
    assert list(expected.values()) == ["ideal", "", "", ""]
    assert completion_classes_of(rules, expected) == expected
    found = consistency(gold, rules)
    assert (found.no_class.n, found.several_classes.n) == (2, 0)
