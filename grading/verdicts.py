"""What runs know, as annotation asks for it: its queues, its suggestions and its reveals."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Exists, OuterRef

from annotation.models import ConversationSet
from annotation.verdicts import VerdictSource
from grading.models import Grade, GraderRun

PREFIX = "run:"


class RunVerdicts:
    """The grades of runs that have ended, completed or not, for `annotation.verdicts`."""

    def sources(self, conversation_set: ConversationSet) -> list[VerdictSource]:
        runs = (
            GraderRun.objects.filter(
                Exists(Grade.objects.filter(run=OuterRef("pk"))), conversation_set=conversation_set
            )
            # While a run goes, its grades are those of whichever cells came first.
            .exclude(status=GraderRun.Status.RUNNING)
            .select_related("grader_version__grader")
            .order_by("-pk")
        )
        return [VerdictSource(f"{PREFIX}{run.pk}", _title(run)) for run in runs]

    def probabilities(
        self, source: str, completions: Collection[int] | None = None
    ) -> dict[tuple[int, str], float]:
        pk = source.removeprefix(PREFIX)
        if pk == source or not pk.isdecimal():
            return {}
        grades = Grade.objects.filter(run=int(pk), p__isnull=False)
        if completions is not None:
            grades = grades.filter(completion__in=completions)
        cells = grades.values_list("completion", "proposition__key", "p")
        return {
            (completion, key): p
            for completion, key, p in cells.iterator(chunk_size=20_000)
            if p is not None
        }


def _title(run: GraderRun) -> str:
    """Grader, run and split; what is missing of an unfinished run is said."""
    partly = "" if run.status == GraderRun.Status.COMPLETED else f", {run.status} before its end"
    return f"{run.grader_version}, {run}, {run.split}{partly}"
