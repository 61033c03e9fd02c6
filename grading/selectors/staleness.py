"""Runs whose grades answer an older definition. Grades do not depend on the rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import F, Max
from django.urls import reverse

from annotation.dependents import StaleArtefact
from annotation.models import DefinitionChange, Policy
from annotation.selectors.definition_changes import because
from grading.models import GraderRun
from grading.selectors.runs import runs

StaleKeys = dict[str, str]
"""Proposition key -> why its grades are stale, such as "apology changed its meaning in v4"."""


def stale_keys(run: GraderRun) -> StaleKeys:
    """The propositions that changed their meaning after the version that `run` graded."""
    return stale_keys_of([run])[run.pk]


def stale_keys_of(found: Iterable[GraderRun]) -> defaultdict[int, StaleKeys]:
    """`stale_keys` of several runs by pk, in one query."""
    changes = (
        DefinitionChange.objects.filter(
            proposition__graderrun__in=[run.pk for run in found],
            version__number__gt=F("proposition__graderrun__policy_version__number"),
        )
        .values_list("proposition__graderrun", "proposition__key")
        .annotate(number=Max("version__number"))
        .order_by("proposition__key")
    )
    stale: defaultdict[int, StaleKeys] = defaultdict(dict)
    for pk, key, number in changes:
        stale[pk][key] = because(key, number)
    return stale


def stale_artefacts(policy: Policy) -> list[StaleArtefact]:
    """A line for each stale run, newest first: a provider of `annotation.dependents`."""
    of_policy = list(runs().filter(policy_version__policy=policy))
    stale = stale_keys_of(of_policy)
    return [
        StaleArtefact(
            kind="run",
            name=f"{run}: {run.grader_version} on {run.conversation_set}, {run.split}",
            url=reverse("run", args=[run.pk]),
            because="; ".join(stale[run.pk].values()),
        )
        for run in of_policy
        if run.pk in stale
    ]
