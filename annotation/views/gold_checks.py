"""What a Gold set lacks and where it contradicts itself: coverage, consistency, split, leakage."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from annotation.forms.gold_sets import FloorForm, SplitForm
from annotation.models import Completion, ConversationSet
from annotation.models.conversations import Split
from annotation.selectors.consistency import consistency
from annotation.selectors.coverage import CoverageCell, coverage_cell, coverage_map
from annotation.selectors.leakage import found_leaks
from annotation.selectors.overview import set_sizes
from annotation.selectors.truth_sql import truth_sql
from annotation.services.gold_sets import configure_gold_set
from annotation.services.splits import SplitRefused, draw_split
from rbr_app.http import Request, see_other, wants_fragment
from rbr_app.rbr.policy import Policy


def _found(pk: int) -> ConversationSet:
    return get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)


@require_http_methods(["GET", "HEAD", "POST"])
def gold_coverage(request: Request, pk: int) -> HttpResponse:
    """The coverage map, with one cell opened by the query string; a POST changes the floor."""
    found = _found(pk)
    version = found.policy.latest
    policy = version.as_policy()
    context = {"set": found, "tab": "coverage", "version": version, "policy": policy}
    context["cell"] = _opened(request, found, policy)
    if request.GET.get("part") == "cell" and wants_fragment(request):
        return render(request, "annotation/_coverage_cell.html", context)
    is_post = request.method == "POST"
    held = {"coverage_floor": found.coverage_floor}
    form = FloorForm(request.POST if is_post else held, label_suffix="")
    refused = not form.is_valid()
    if is_post and not refused:
        found = configure_gold_set(
            conversation_set=found,
            coverage_floor=form.cleaned_data["coverage_floor"],
            allow_majority=found.allow_majority,
            note=found.note,
        )
        if not request.htmx:
            return see_other(request, reverse("gold_coverage", args=[pk]))
    context |= {
        "form": form,
        "coverage": coverage_map(found, truth_sql(policy, found.policy_id)),
    }
    page = "_coverage.html" if wants_fragment(request) else "gold_coverage.html"
    response = render(request, f"annotation/{page}", context, status=422 if refused else 200)
    response["Vary"] = "HX-Request"
    return response


def _opened(request: Request, found: ConversationSet, policy: Policy) -> CoverageCell | None:
    """The cell that the query string names; an unknown split or response type names none."""
    key = request.GET.get("proposition", "")
    split, kind = request.GET.get("split", ""), request.GET.get("response_type", "")
    if key not in policy.proposition_keys or split not in ("", *Split.values):
        return None
    return coverage_cell(found, key, split, kind)


@require_safe
def gold_consistency(request: Request, pk: int) -> HttpResponse:
    found = _found(pk)
    version = found.policy.latest
    policy = version.as_policy()
    report = consistency(found, truth_sql(policy, found.policy_id))
    named = {
        pk
        for finding in [*report.constraints, report.several_classes, report.no_class]
        for pk in finding.completions
    } | {pk for conflict in report.conflicts for pk in conflict.completions}
    context = {
        "set": found,
        "tab": "consistency",
        "version": version,
        "policy": policy,
        "report": report,
        "completions": Completion.objects.select_related("conversation").in_bulk(named),
    }
    return render(request, "annotation/gold_consistency.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def gold_split(request: Request, pk: int) -> HttpResponse:
    """How the set is split; a POST draws it anew."""
    found = _found(pk)
    form = SplitForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            drawn = draw_split(conversation_set=found, **given)
        except SplitRefused as error:
            form.add_error(None, str(error))
        else:
            said = f"{drawn.moved:,} completions changed sides."
            if drawn.merged:
                said += f" {drawn.merged:,} prompts that stood in both splits are one now."
            messages.success(request, said)
            return see_other(request, reverse("gold_split", args=[pk]))
    context = {
        "set": found,
        "tab": "split",
        "sizes": set_sizes(found),
        "form": form,
        "n_versions": found.gold_versions.count(),
    }
    page = "_gold_split_form.html" if wants_fragment(request) else "gold_split.html"
    status = 422 if request.method == "POST" else 200
    return render(request, f"annotation/{page}", context, status=status)


@require_safe
def gold_leakage(request: Request, pk: int) -> HttpResponse:
    """What stands in both splits. It takes seconds, so the page asks for it when somebody does."""
    found = _found(pk)
    context = {
        "set": found,
        "tab": "split",
        "report": found_leaks(found),
        "now": timezone.now(),
    }
    page = "_leakage.html" if wants_fragment(request) else "gold_leakage.html"
    return render(request, f"annotation/{page}", context)
