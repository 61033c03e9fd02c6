"""Runs for list pages: each with its counts, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from grading.models import Grade, GraderRun, GraderVersion, GradingAttempt, GradingBatch
from grading.selectors.runs import runs
from grading.selectors.staleness import StaleKeys, stale_keys_of


@dataclass(frozen=True)
class RunLine:
    """A run with what is counted from its rows."""

    run: GraderRun
    cells: int
    done: int
    nulls: int
    first_attempt: datetime | None
    stale: StaleKeys

    @property
    def seconds(self) -> float | None:
        """From the first attempt to the end, or to now."""
        if self.first_attempt is None:
            return None
        return ((self.run.finished_at or timezone.now()) - self.first_attempt).total_seconds()


def counted_runs() -> QuerySet[GraderRun]:
    """Runs, newest first, annotated with their counts."""
    batches = GradingBatch.objects.filter(run=OuterRef("pk")).order_by().values("run")
    attempts = GradingAttempt.objects.filter(batch__run=OuterRef("pk")).order_by()
    nulls = Grade.objects.filter(run=OuterRef("pk"), p=None).order_by().values("run")
    return runs().annotate(
        n_cells=Coalesce(Subquery(batches.annotate(x=Sum("n_cells")).values("x")), 0),
        n_done=Coalesce(
            Subquery(batches.filter(state="done").annotate(x=Sum("n_cells")).values("x")), 0
        ),
        n_nulls=Coalesce(Subquery(nulls.annotate(x=Count("pk")).values("x")), 0),
        first_attempt=Subquery(
            attempts.values("batch__run").annotate(x=Min("started_at")).values("x")
        ),
    )


def run_lines(found: Iterable[GraderRun]) -> list[RunLine]:
    """The lines of `counted_runs`, or of a slice of them."""
    listed = list(found)
    stale = stale_keys_of(listed)
    return [
        RunLine(run, run.n_cells, run.n_done, run.n_nulls, run.first_attempt, stale[run.pk])  # type: ignore[attr-defined]
        for run in listed
    ]


def startable_versions() -> QuerySet[GraderVersion]:
    """What a run can be started with: the latest version of each grader that works."""
    latest = GraderVersion.objects.order_by("grader", "-number").distinct("grader").values("pk")
    return (
        GraderVersion.objects.filter(pk__in=latest)
        .select_related("grader")
        .order_by("grader__name")
    )


def last_errors(run: GraderRun, n: int = 5) -> QuerySet[GradingAttempt]:
    """The newest attempts of a run that went wrong."""
    failed = GradingAttempt.objects.filter(~Q(error=""), batch__run=run)
    return failed.select_related("batch").order_by("-finished_at", "-pk")[:n]
