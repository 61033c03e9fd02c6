"""Graders and their probes."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Prefetch, Q, QuerySet
from django.db.models.functions import Now

from annotation.models import ConversationSet, Policy
from annotation.selectors.conversations import completions_of
from grading.models import (
    Grader,
    GraderProbe,
    GraderVersion,
)
from rbr_app.rbr.engines import Cell, EngineError
from rbr_app.rbr.policy import Policy as KernelPolicy

PROBE_COMPLETIONS = 16

PROBE_PROPOSITIONS = 2


def probe_sample() -> tuple[KernelPolicy, list[Cell]]:
    """The newest policy, and some cells of a set under it to measure a grader's speed on."""
    newest = ConversationSet.objects.select_related("policy").order_by("-created_at").first()
    line = newest.policy if newest else Policy.objects.order_by("-created_at").first()
    if line is None:
        raise EngineError("there is no policy to take the grader prompt from: import one first")
    policy = line.latest.as_policy()
    completions = completions_of(newest)[:PROBE_COMPLETIONS] if newest else []
    return policy, [
        Cell(completion.as_conversation(), proposition)
        for proposition in policy.propositions[:PROBE_PROPOSITIONS]
        for completion in completions
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
