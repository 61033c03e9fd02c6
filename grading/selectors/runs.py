"""Runs and how far they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from annotation.models import ConversationSet
from grading.models import (
    GraderRun,
    GradingAttempt,
    GradingBatch,
)

RATE_WINDOW = timedelta(seconds=60)


def run_for_grading(pk: int) -> GraderRun:
    return GraderRun.objects.select_related("grader_version__grader", "policy_version__policy").get(
        pk=pk
    )


def abandoned_runs() -> QuerySet[GraderRun]:
    """Running runs that have no batch in work: all that is open is free, or nothing is open."""
    held = GradingBatch.objects.filter(
        run=OuterRef("pk"), state=GradingBatch.State.OPEN, leased_until__gte=Now()
    )
    return GraderRun.objects.filter(~Exists(held), status=GraderRun.Status.RUNNING).select_related(
        "grader_version"
    )


def runs() -> QuerySet[GraderRun]:
    """Runs, newest first, for list pages."""
    return GraderRun.objects.select_related(
        "grader_version__grader", "policy_version__policy", "conversation_set", "started_by"
    ).order_by("-pk")


def last_run(conversation_set: ConversationSet, grader: str, split: str) -> GraderRun | None:
    """The newest run of a grader over a split under the set's latest policy, finished or not."""
    return (
        runs()
        .filter(
            conversation_set=conversation_set,
            grader_version__grader__name=grader,
            policy_version=conversation_set.policy.latest,
            split=split,
        )
        .first()
    )


@dataclass(frozen=True)
class Progress:
    """How far a run is. Cells and grades are counts, `rate` is cells per second."""

    cells: int
    grades: int
    nulls: int
    calls: int
    reused: int
    prompt_tokens: int
    cached_tokens: int
    errors: int
    seconds: float
    rate: float | None

    @property
    def share(self) -> float:
        return self.grades / self.cells if self.cells else 0.0

    @property
    def percent(self) -> int:
        return int(100 * self.share)

    @property
    def seconds_left(self) -> float | None:
        return (self.cells - self.grades) / self.rate if self.rate else None

    @property
    def cached_share(self) -> float | None:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def run_progress(run: GraderRun) -> Progress:
    """Counted from the rows at each call; nothing is kept that could drift."""
    batches = run.batches.aggregate(
        cells=Sum("n_cells", default=0),
        done=Sum("n_cells", default=0, filter=Q(state=GradingBatch.State.DONE)),
    )
    attempts = GradingAttempt.objects.filter(batch__run=run)
    spent = attempts.aggregate(
        calls=Sum("calls", default=0),
        reused=Sum("reused", default=0),
        prompt_tokens=Sum("prompt_tokens", default=0),
        cached_tokens=Sum("cached_tokens", default=0),
        errors=Count("pk", filter=~Q(error="")),
        first=Min("started_at"),
        last=Max("finished_at"),
    )
    seconds = _seconds(spent["first"], run.finished_at or timezone.now())
    return Progress(
        cells=batches["cells"],
        grades=batches["done"],
        nulls=run.grades.filter(p=None).count(),
        calls=spent["calls"],
        reused=spent["reused"],
        prompt_tokens=spent["prompt_tokens"],
        cached_tokens=spent["cached_tokens"],
        errors=spent["errors"],
        seconds=seconds,
        rate=_rate(run, attempts, batches["done"], seconds),
    )


def _seconds(first: datetime | None, last: datetime) -> float:
    return (last - first).total_seconds() if first else 0.0


def _rate(
    run: GraderRun, attempts: QuerySet[GradingAttempt], done: int, seconds: float
) -> float | None:
    """Cells per second: over the last minute while the run goes, over all of it afterwards."""
    if run.status != GraderRun.Status.RUNNING:
        return done / seconds if done and seconds else None
    recent = attempts.filter(finished_at__gt=Now() - RATE_WINDOW, error="").aggregate(
        cells=Sum(F("batch__n_cells")), first=Min("started_at")
    )
    if not recent["cells"]:
        return None
    return float(recent["cells"] / max(_seconds(recent["first"], timezone.now()), 1e-3))
