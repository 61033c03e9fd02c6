"""How far this installation has come: the steps from a policy to a report."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q

from annotation.models import Completion, ConversationSet, Label, Policy
from grading.models import GraderProbe, GraderRun, GraderVersion


@dataclass(frozen=True)
class Chain:
    """Counts along the chain; each property says whether a step can be taken."""

    policies: int
    sets: int
    completions: int
    imported_labels: int
    own_labels: int
    annotators: int
    graders: int
    probing: int
    runs: int
    running: int
    completed: int
    last_completed: GraderRun | None

    @property
    def labels(self) -> int:
        return self.imported_labels + self.own_labels

    @property
    def next_step(self) -> str:
        """The first step that is not done."""
        steps = {
            "policy": self.policies,
            "conversations": self.completions,
            "labels": self.labels,
            "grader": self.graders,
            "run": self.runs,
            "report": self.completed,
        }
        return next((name for name, n in steps.items() if not n), "")


def chain() -> Chain:
    labels = Label.objects.aggregate(
        imported=Count("pk", filter=Q(annotator=None)),
        own=Count("pk", filter=~Q(annotator=None)),
        people=Count("annotator", distinct=True),
    )
    runs = GraderRun.objects.aggregate(
        n=Count("pk"),
        running=Count("pk", filter=Q(status=GraderRun.Status.RUNNING)),
        completed=Count("pk", filter=Q(status=GraderRun.Status.COMPLETED)),
    )
    done = GraderRun.objects.filter(status=GraderRun.Status.COMPLETED)
    active = [GraderProbe.State.PENDING, GraderProbe.State.RUNNING]
    return Chain(
        policies=Policy.objects.count(),
        sets=ConversationSet.objects.count(),
        completions=Completion.objects.count(),
        imported_labels=labels["imported"],
        own_labels=labels["own"],
        annotators=labels["people"],
        graders=GraderVersion.objects.values("grader").distinct().count(),
        probing=GraderProbe.objects.filter(state__in=active).count(),
        runs=runs["n"],
        running=runs["running"],
        completed=runs["completed"],
        last_completed=done.select_related("grader_version__grader", "conversation_set")
        .order_by("-finished_at")
        .first(),
    )
