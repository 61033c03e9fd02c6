"""The steps of a run's life, as short verbs for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from annotation.models import ConversationSet
from grading.models import GraderRun, GraderVersion, GradingBatch
from grading.services.batches import Claim, claim_batch, grade_batch
from grading.services.runs import StartedRun, start_run
from rbr_app.rbr.engines import Answer
from tests.factories import GraderVersionFactory, tiny_policy

POLICY = tiny_policy()


def start(version: GraderVersion, gold: ConversationSet, **more: Any) -> StartedRun:
    return start_run(grader_version=version, conversation_set=gold, **({"split": "test"} | more))


def started(gold: ConversationSet, **settings: Any) -> GraderRun:
    """A run over the three test rows: nine cells in batches of 2, 2, 2, 2 and 1."""
    version = GraderVersionFactory(settings=settings)
    return start_run(grader_version=version, conversation_set=gold, split="test").run


def cells(run: GraderRun) -> list[tuple[int, str]]:
    """(completion, proposition key) in the order in which they will be graded."""
    keys = dict(run.propositions.values_list("pk", "key"))
    batches = run.batches.order_by("ordinal").values_list("cells", flat=True)
    return [(completion, keys[key]) for batch in batches for completion, key in batch]


def claimed(run: GraderRun) -> Claim:
    claim = claim_batch(run=run)
    assert claim is not None
    return claim


def answers(n: int, p: float = 0.5) -> list[Answer]:
    return [Answer(p, 0.9, "yes", prompt_tokens=10, cached_tokens=4) for _ in range(n)]


def grade_all(run: GraderRun) -> None:
    while claim := claim_batch(run=run):
        if not grade_batch(claim=claim, run=run, policy=POLICY):
            return


def expire(claim: Claim) -> None:
    past = timezone.now() - timedelta(seconds=1)
    GradingBatch.objects.filter(pk=claim.batch.pk).update(leased_until=past)


def free(run: GraderRun) -> None:
    """Let every pause and every lease of the run be over."""
    run.batches.update(leased_until=None)


def pause_of(claim: Claim) -> float:
    """Seconds until the batch is free."""
    until = GradingBatch.objects.get(pk=claim.batch.pk).leased_until
    assert until is not None
    return (until - timezone.now()).total_seconds()
