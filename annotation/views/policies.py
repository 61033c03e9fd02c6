"""What is wanted: policies and their versions."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.models import Policy
from annotation.selectors import policies as select_policies
from annotation.selectors.rule_table import Demand, rule_table
from rbr_app.http import Request, wants_fragment
from rbr_app.rbr.policy import Category, ContentArea
from rbr_app.rbr.policy import Policy as KernelPolicy


@require_safe
def policies(request: Request) -> HttpResponse:
    return render(request, "annotation/policies.html", {"policies": select_policies.policies()})


@require_safe
def policy(request: Request, pk: int) -> HttpResponse:
    """One version of a policy: the latest, or the one that `?version=` names."""
    line = get_object_or_404(Policy, pk=pk)
    versions = list(line.versions.select_related("policy", "author").order_by("-number"))
    number = request.GET.get("version", "")
    version = next((v for v in versions if str(v.number) == number), versions[0])
    kernel = version.as_policy()
    chosen = request.GET.get("class", "")
    name = chosen if chosen in kernel.class_order else kernel.class_order[0]
    context = {
        "policy": line,
        "version": version,
        "versions": versions,
        "kernel": kernel,
        "areas": _areas(kernel),
        "completion_class": name,
        "rules": rule_table(kernel, name),
        "demands": list(Demand),
        "sets": line.conversation_sets.order_by("name"),
    }
    page = "annotation/_rule_table.html" if wants_fragment(request) else "annotation/policy.html"
    return render(request, page, context)


def _areas(policy: KernelPolicy) -> list[tuple[ContentArea | None, list[Category]]]:
    """Content areas with their categories; categories of no area come last."""
    known = {area.key for area in policy.content_areas}
    groups: list[tuple[ContentArea | None, list[Category]]] = [
        (area, [row for row in policy.categories if row.area == area.key])
        for area in policy.content_areas
    ]
    rest = [row for row in policy.categories if row.area not in known]
    return [*groups, (None, rest)] if rest else groups
