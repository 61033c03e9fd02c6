"""Reads grading's rows, each function shaped for one page or one kernel call."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, F, Max, Min, OuterRef, Prefetch, Q, QuerySet, Sum
from django.db.models.functions import Now
from django.utils import timezone

from annotation.models import ConversationSet, Policy
from annotation.selectors import completions_of, gold_truths
from grading.models import (
    Grade,
    Grader,
    GraderProbe,
    GraderRun,
    GraderVersion,
    GradingAttempt,
    GradingBatch,
)
from rbr_app.rbr.engines import Cell, EngineError, engine_kind
from rbr_app.rbr.metrics import (
    FLOOR,
    MacroScores,
    PropositionScores,
    macro_scores,
    proposition_scores,
)
from rbr_app.rbr.policy import Policy as KernelPolicy

PROBE_COMPLETIONS = 16
PROBE_PROPOSITIONS = 2
RATE_WINDOW = timedelta(seconds=60)


def run_for_grading(pk: int) -> GraderRun:
    return GraderRun.objects.select_related("grader_version__grader", "policy_version__policy").get(
        pk=pk
    )


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


def abandoned_runs() -> QuerySet[GraderRun]:
    """Running runs that have no batch in work: all that is open is free, or nothing is open."""
    held = GradingBatch.objects.filter(
        run=OuterRef("pk"), state=GradingBatch.State.OPEN, leased_until__gte=Now()
    )
    return GraderRun.objects.filter(~Exists(held), status=GraderRun.Status.RUNNING).select_related(
        "grader_version"
    )


def graders() -> QuerySet[Grader]:
    """Graders with their versions and last probe, for the list page."""
    return Grader.objects.order_by("name").prefetch_related(
        Prefetch("versions", GraderVersion.objects.order_by("-number")),
        Prefetch("probes", GraderProbe.objects.order_by("-pk")),
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


@dataclass(frozen=True)
class ReportRow:
    key: str
    scores: PropositionScores


@dataclass(frozen=True)
class Report:
    """Grades against the Gold labels that count now, per proposition of a run."""

    run: GraderRun
    split: str
    rows: list[ReportRow]
    macro: MacroScores
    macro_floor: MacroScores
    out_of_fold: bool


def report_splits(run: GraderRun) -> list[str]:
    """The splits a report of `run` can be about, the default first.

    A grader that learns is judged on held-out rows unless nothing else was graded.
    """
    if run.split != GraderRun.Scope.ALL:
        return [run.split]
    learns = engine_kind(run.grader_version.engine).learns
    return ["test", "train", "all"] if learns else ["all", "test", "train"]


def run_report(run: GraderRun, split: str = "") -> Report:
    """The report of a run for one split (default: the first of `report_splits`)."""
    split = split or report_splits(run)[0]
    grades = Grade.objects.filter(run=run)
    if split != "all":
        grades = grades.filter(completion__conversation__split=split)
    truths = gold_truths(grades.values_list("completion", flat=True).distinct())
    columns: dict[str, tuple[list[bool], list[float], list[float | None]]] = defaultdict(
        lambda: ([], [], [])
    )
    cells = grades.values_list("completion", "proposition__key", "p", "mass")
    for completion, key, p, mass in cells.iterator(chunk_size=20_000):
        truth = truths.get((completion, key))
        if truth is not None and p is not None:
            columns[key][0].append(truth)
            columns[key][1].append(p)
            columns[key][2].append(mass)
    asked = set(run.propositions.values_list("key", flat=True))
    order = [key for key in run.policy_version.as_policy().proposition_keys if key in asked]
    rows = [ReportRow(key, proposition_scores(*columns[key])) for key in order]
    scores = [row.scores for row in rows]
    return Report(
        run=run,
        split=split,
        rows=rows,
        macro=macro_scores(scores),
        macro_floor=macro_scores(scores, FLOOR),
        out_of_fold=engine_kind(run.grader_version.engine).learns and split != "test",
    )
