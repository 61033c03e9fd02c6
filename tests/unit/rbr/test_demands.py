"""What classes want of propositions, and which truths are desired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rbr_app.rbr.demands import Demand, demands, derived_polarity, polarity
from rbr_app.rbr.policy_files import read_policy
from tests.conftest import SAMPLE
from tests.factories import tiny_policy

SAMPLE_POLICY = read_policy((SAMPLE / "policy.yaml").read_text())
DEEP = tiny_policy(
    "{helps: true, rude: false}\nclass",
    "{helps: true, rude: false}\n  sourced: {kind_help: true, cites: true}\n"
    "  bare: {kind_help: false, cites: false}\nclass",
)


@pytest.mark.parametrize(
    ("literals", "wanted"),
    [
        ({"rude": False}, {"rude": Demand.FALSE}),
        # Derived ones that have to hold pass their literals on.
        (
            {"sourced": True},
            {"helps": Demand.TRUE, "rude": Demand.FALSE, "cites": Demand.TRUE},
        ),
        # Not kind_help: not helpful or rude.
        ({"kind_help": False}, {"helps": Demand.SOME_FALSE, "rude": Demand.SOME_TRUE}),
        # Not bare: cites, or kind_help, of which both parts are needed.
        (
            {"bare": False},
            {"cites": Demand.SOME_TRUE, "helps": Demand.DEPENDS, "rude": Demand.DEPENDS},
        ),
        # What has to be is said before what may be.
        ({"kind_help": False, "helps": True}, {"helps": Demand.TRUE, "rude": Demand.SOME_TRUE}),
    ],
)
def test_derived_propositions_are_resolved(
    literals: dict[str, bool], wanted: dict[str, Demand]
) -> None:
    assert demands(DEEP, literals) == wanted


def test_every_demand_has_a_meaning() -> None:
    assert all(demand.meaning for demand in Demand)


@pytest.mark.parametrize(
    ("key", "hard", "soft", "comply"),
    [
        ("apology", "desired", "neutral", "neutral"),
        ("judgement", "undesired", "undesired", "neutral"),
        ("disclaimer", "neutral", "desired", "neutral"),
        ("meta_commentary", "undesired", "undesired", "undesired"),
        # Compliance wants it or a question for details: neither has to be.
        ("partially_complies", "neutral", "neutral", "neutral"),
        ("prescribes_dosage", "neutral", "neutral", "neutral"),
    ],
)
def test_the_best_class_makes_a_truth_desired_or_not(
    key: str, hard: str, soft: str, comply: str
) -> None:
    kinds = ("hard_refusal", "soft_refusal", "comply")
    assert [polarity(SAMPLE_POLICY, key, kind) for kind in kinds] == [hard, soft, comply]


def test_a_stated_polarity_counts_more_than_the_rules() -> None:
    policy = tiny_policy()
    helps, rude, cites = policy.propositions
    stated = replace(cites, polarity={"comply": "desired"})
    policy = replace(policy, propositions=(helps, rude, stated))
    assert polarity(policy, "cites", "comply") == "desired"
    assert derived_polarity(policy, "cites", "comply") == "neutral"
    assert polarity(policy, "cites", "refuse") == "neutral"


def test_without_a_class_everything_is_neutral_and_an_unknown_key_is_a_key_error() -> None:
    assert polarity(tiny_policy(), "helps", "shrug") == "neutral"
    with pytest.raises(KeyError, match="hopes"):
        polarity(tiny_policy(), "hopes", "comply")
