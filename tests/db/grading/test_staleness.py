"""A change of meaning makes the grades under it stale; a change of wording or rules does not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.dependents import stale_dependents
from annotation.models import ConversationSet, DefinitionChange, Proposition
from grading.models import GraderRun
from grading.selectors.reports import as_json, run_report
from grading.selectors.staleness import stale_keys
from tests.factories import GraderRunFactory, PolicyVersionFactory, tiny

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(gold: ConversationSet) -> GraderRun:
    return GraderRunFactory(conversation_set=gold)


def changed(gold: ConversationSet, number: int, *keys: str) -> None:
    """A new version that gave `keys` another meaning; "" stands for the rules."""
    version = PolicyVersionFactory(
        policy=gold.policy, number=number, source=tiny("Does it help?", f"Does it help {number}?")
    )
    for key in keys:
        named = Proposition.objects.get(policy=gold.policy, key=key) if key else None
        DefinitionChange.objects.create(version=version, proposition=named)


def test_a_change_of_meaning_after_the_run_is_named_with_its_version(
    gold: ConversationSet, run: GraderRun
) -> None:
    assert stale_keys(run) == {}
    changed(gold, 2, "helps", "rude")
    changed(gold, 3, "helps")
    assert stale_keys(run) == {
        "helps": "helps changed its meaning in v3",
        "rude": "rude changed its meaning in v2",
    }


def test_wording_rules_and_propositions_that_were_not_asked_make_no_run_stale(
    gold: ConversationSet, run: GraderRun
) -> None:
    changed(gold, 2)
    changed(gold, 3, "")
    run.propositions.remove(run.propositions.get(key="cites"))
    changed(gold, 4, "cites")
    assert stale_keys(run) == {}
    assert stale_dependents(gold.policy) == []


def test_a_run_under_the_changed_version_is_not_stale(gold: ConversationSet) -> None:
    changed(gold, 2, "helps")
    newer = GraderRunFactory(
        conversation_set=gold, policy_version=gold.policy.versions.get(number=2)
    )
    assert stale_keys(newer) == {}


def test_stale_runs_are_listed_among_what_depends_on_the_policy(
    gold: ConversationSet, run: GraderRun, django_assert_num_queries: Any
) -> None:
    second = GraderRunFactory(conversation_set=gold)
    GraderRunFactory()
    changed(gold, 2, "helps", "rude")
    with django_assert_num_queries(2):
        found = [each for each in stale_dependents(gold.policy) if each.kind == "run"]
    assert [artefact.url for artefact in found] == [
        reverse("run", args=[pk]) for pk in (second.pk, run.pk)
    ]
    assert found[1].name == f"run {run.pk}: {run.grader_version} on gold, test"
    assert found[1].because == "helps changed its meaning in v2; rude changed its meaning in v2"


def test_a_report_says_which_rows_are_stale_and_why(
    gold: ConversationSet, run: GraderRun, client: Client, rhea: User
) -> None:
    changed(gold, 2, "helps")
    report = run_report(run)
    because = "helps changed its meaning in v2"
    assert {row.key: row.stale for row in report.rows} == {
        "helps": because,
        "rude": "",
        "cites": "",
    }
    assert as_json(report)["propositions"]["helps"]["stale"] == because
    client.force_login(rhea)
    assert f"stale: {because}" in client.get(reverse("run", args=[run.pk])).content.decode()
    assert because in client.get(reverse("runs")).content.decode()
