"""One proposition of a run: where its grades and the labels disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from annotation.models import Completion
from grading.selectors import reports as select_reports
from grading.selectors import runs as select_runs
from grading.selectors.cells import (
    SHOWN,
    GradedCell,
    graded_cells,
    outcomes,
    p_histogram,
    shown_cells,
)
from rbr_app.http import Request, page_of, render_list

PAGE_SIZE = 25
WALK = 200
"""Completions whose ids go into the links, so that the labelling page walks this list."""


@require_safe
def proposition(request: Request, pk: int, key: str) -> HttpResponse:
    run = get_object_or_404(select_runs.runs(), pk=pk)
    if not run.propositions.filter(key=key).exists():
        raise Http404(f"{run} did not ask about {key}")
    splits = select_reports.report_splits(run)
    asked = request.GET.get("split", "")
    split = asked if asked in splits else splits[0]
    cells = graded_cells(run, key, split)
    count = outcomes(cells)
    show = _shown(request, count)
    listed = shown_cells(cells, show)
    page = page_of(request, listed, PAGE_SIZE)
    context = {
        "run": run,
        "key": key,
        "question": _question(run, key),
        "splits": splits,
        "split": split,
        "show": show,
        "n": len(cells),
        "outcomes": count,
        "n_disagree": count["fp"] + count["fn"],
        "bins": p_histogram(cells),
        "page": page,
        "rows": _rows(list(page.object_list)),
        "walk": ",".join(str(cell.completion) for cell in listed[:WALK]),
    }
    return render_list(
        request, "grading/run_proposition.html", "grading/_graded_cells.html", context
    )


def _shown(request: Request, count: Counter[str]) -> str:
    """What is asked for; else the disagreements, or everything where there is none."""
    asked = request.GET.get("show", "")
    if asked in SHOWN:
        return asked
    return "disagreements" if count["fp"] + count["fn"] else "all"


def _question(run: Any, key: str) -> str:
    question: str = run.policy_version.as_policy().proposition(key).question
    return question


def _rows(cells: Sequence[GradedCell]) -> list[dict[str, Any]]:
    found = Completion.objects.select_related("conversation").in_bulk(
        [cell.completion for cell in cells]
    )
    return [{"cell": cell, "completion": found[cell.completion]} for cell in cells]
