"""Runs: the list, a form to start one, its progress and its report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from grading.forms import RunForm
from grading.models import GraderRun
from grading.selectors import reports as select_reports
from grading.selectors import runs as select_runs
from grading.selectors.listing import counted_runs, last_errors, run_lines
from grading.selectors.reports import as_json, ordered
from grading.services.runs import RunRefused, resume_run, start_run, stop_run
from grading.tasks import nudge_run
from rbr_app.http import Request, page_of, see_other, wants_fragment

PAGE_SIZE = 25
PATIENCE = timedelta(seconds=10)


@require_http_methods(["GET", "HEAD", "POST"])
def runs(request: Request) -> HttpResponse:
    if request.method == "POST":
        return _start(request)
    form = RunForm(initial=request.GET.dict())
    return render(request, "grading/runs.html", _list_context(request) | {"form": form})


def _list_context(request: Request) -> dict[str, Any]:
    page = page_of(request, counted_runs(), PAGE_SIZE)
    return {"page": page, "lines": run_lines(list(page.object_list))}


def _start(request: Request) -> HttpResponse:
    form = RunForm(request.POST)
    if form.is_valid():
        try:
            started = start_run(**form.cleaned_data, actor=request.user)
        except RunRefused as error:
            form.add_error(None, str(error))
        else:
            nudge_run(started.run)
            return see_other(request, reverse("run", args=[started.run.pk]))
    if request.htmx:
        return render(request, "grading/_run_form.html", {"form": form}, status=422)
    context = _list_context(request) | {"form": form}
    return render(request, "grading/runs.html", context, status=422)


@require_safe
def run(request: Request, pk: int) -> HttpResponse:
    found = _run(pk)
    if wants_fragment(request):
        return render(request, "grading/_run_report.html", _report_context(request, found))
    context = _progress_context(found) | _report_context(request, found)
    return render(request, "grading/run.html", context)


@require_safe
def progress(request: Request, pk: int) -> HttpResponse:
    """The polled fragment. When the run has ended it says so, for the report to follow."""
    found = _run(pk)
    if not request.htmx:
        return redirect("run", pk=pk)
    response = render(request, "grading/_run_progress.html", _progress_context(found))
    if found.status != GraderRun.Status.RUNNING:
        response["HX-Trigger"] = "run-ended"
    return response


@require_POST
def stop(request: Request, pk: int) -> HttpResponse:
    found = stop_run(run=_run(pk))
    return _changed(request, found)


@require_POST
def resume(request: Request, pk: int) -> HttpResponse:
    found = resume_run(run=_run(pk))
    if found.status == GraderRun.Status.RUNNING:
        nudge_run(found)
    return _changed(request, found)


def _changed(request: Request, run: GraderRun) -> HttpResponse:
    if not request.htmx:
        return redirect("run", pk=run.pk)
    context = _progress_context(run) | _report_context(request, run)
    return render(request, "grading/_run_changed.html", context)


@require_safe
def report_json(request: Request, pk: int) -> HttpResponse:
    found = _run(pk)
    report = select_reports.run_report(found, _split(request, found))
    return JsonResponse(as_json(report), json_dumps_params={"indent": 2})


def _run(pk: int) -> GraderRun:
    return get_object_or_404(select_runs.runs(), pk=pk)


def _split(request: Request, run: GraderRun) -> str:
    """The split that the query string asks for, if the run has it."""
    splits = select_reports.report_splits(run)
    asked = request.GET.get("split", "")
    return asked if asked in splits else splits[0]


def _progress_context(run: GraderRun) -> dict[str, Any]:
    progress = select_runs.run_progress(run)
    return {
        "run": run,
        "progress": progress,
        "missing": progress.cells - progress.grades,
        # Nobody has begun: `seconds` counts from the first attempt.
        "waits_long": run.status == GraderRun.Status.RUNNING
        and not progress.seconds
        and timezone.now() - run.started_at > PATIENCE,
        "errors": last_errors(run) if progress.errors else (),
    }


def _report_context(request: Request, run: GraderRun) -> dict[str, Any]:
    report = select_reports.run_report(run, _split(request, run))
    sort = request.GET.get("sort", "")
    lows = [row.scores.accuracy_ci[0] for row in report.rows if row.scores.accuracy_ci]
    return {
        "run": run,
        "report": report,
        "rows": ordered(report.rows, sort),
        "sort": sort,
        "stale": [row.stale for row in report.rows if row.stale],
        "splits": select_reports.report_splits(run),
        "axis_low": 0.5 if lows and min(lows) >= 0.5 else 0.0,
        "n_better": sum(row.scores.verdict == "better than baseline" for row in report.rows),
        "query": request.GET.urlencode(),
    }
