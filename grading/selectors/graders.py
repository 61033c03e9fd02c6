"""Graders and their probes."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now

from annotation.models import ConversationSet
from annotation.selectors.conversations import completions_of
from grading.models import (
    Grader,
    GraderProbe,
    GraderVersion,
)
from rbr_app.rbr.engines import Cell
from rbr_app.rbr.grader import policy_prompt

PROBE_COMPLETIONS = 16

PROBE_PROPOSITIONS = 2


def probe_sample() -> list[Cell]:
    """Some cells of the newest set, to measure a grader's speed on."""
    newest = ConversationSet.objects.select_related("policy").order_by("-created_at").first()
    if newest is None:
        return []
    policy = newest.policy.latest.as_policy()
    return [
        Cell(completion.as_conversation(), policy_prompt(policy, key))
        for key in policy.proposition_keys[:PROBE_PROPOSITIONS]
        for completion in completions_of(newest)[:PROBE_COMPLETIONS]
    ]


def abandoned_probes() -> QuerySet[GraderProbe]:
    """Probes that nobody works on."""
    return GraderProbe.objects.filter(
        Q(state=GraderProbe.State.PENDING, requested_at__lt=Now() - timedelta(seconds=5))
        | Q(state=GraderProbe.State.RUNNING, leased_until__lt=Now())
    )


def graders() -> QuerySet[Grader]:
    """Graders with their versions and last probe, for the list page."""
    return Grader.objects.order_by("name").prefetch_related(
        Prefetch("versions", GraderVersion.objects.order_by("-number")),
        Prefetch("probes", GraderProbe.objects.order_by("-pk")),
    )
