"""The first page: where things stand and what to do next."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from grading.selectors.chain import chain
from grading.selectors.listing import counted_runs, run_lines
from rbr_app.http import Request

RECENT = 8


@require_safe
def dashboard(request: Request) -> HttpResponse:
    context = {"chain": chain(), "lines": run_lines(counted_runs()[:RECENT])}
    return render(request, "grading/dashboard.html", context)
