"""Labels given under an earlier definition: what changed, and whether each still holds."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotation.dependents import stale_dependents
from annotation.models import Label, Policy, Proposition, Reveal
from annotation.selectors.policy_diffs import definition_diff
from annotation.selectors.staleness import IMPORTED, listed_stale_labels, stale_summary
from annotation.services import staleness as services
from annotation.services.labels import confirm_label, reveal
from rbr_app.http import Request, page_of, render_list, see_other

PAGE_SIZE = 20


@require_safe
def policy_stale(request: Request, pk: int) -> HttpResponse:
    """Counts, the list that `?proposition=` and `?person=` choose, and what else is stale."""
    line = get_object_or_404(Policy, pk=pk)
    context = _context(request, line)
    return render_list(
        request, "annotation/policy_stale.html", "annotation/_stale_labels.html", context
    )


@require_POST
def confirm(request: Request, pk: int) -> HttpResponse:
    """Say that one label holds under the definition of now; htmx gets the list that is left."""
    found = Label.objects.select_related("proposition__policy")
    label = get_object_or_404(found, pk=pk)
    line = label.proposition.policy
    confirm_label(label=label, actor=request.user, policy_version=line.latest)
    return _answer(request, line)


@require_POST
def confirm_labels(request: Request, pk: int) -> HttpResponse:
    """Say so of all stale labels of a proposition, and of one person if `person` names them.

    `latest` is the version that the page showed: a definition that changed again since then was
    not looked at, so nothing is confirmed.
    """
    line = get_object_or_404(Policy, pk=pk)
    proposition = get_object_or_404(
        Proposition, policy=line, key=request.POST.get("proposition", "")
    )
    if request.POST.get("latest") != str(line.latest.number):
        messages.warning(request, "The policy has a newer version: look at the change first.")
        return see_other(request, _address(request, line))
    n = services.confirm_labels(
        proposition=proposition,
        labels=listed_stale_labels(line, proposition.key, request.POST.get("person", "")),
        actor=request.user,
        policy_version=line.latest,
    )
    messages.success(request, f"{n} label{'' if n == 1 else 's'} on {proposition.key} confirmed.")
    return see_other(request, reverse("policy_stale", args=[line.pk]))


@require_POST
def show_answer(request: Request, pk: int) -> HttpResponse:
    """Show somebody else's answer; from then on the reader's own labels there are not blind."""
    found = Label.objects.select_related("proposition__policy", "completion")
    label = get_object_or_404(found, pk=pk)
    reveal(completion=label.completion, annotator=request.user)
    return _answer(request, label.proposition.policy)


def _answer(request: Request, line: Policy) -> HttpResponse:
    if not request.htmx:
        return see_other(request, _address(request, line) + "#stale-labels")
    return render(request, "annotation/_stale_labels.html", _context(request, line))


def _address(request: Request, line: Policy) -> str:
    query = request.GET.urlencode()
    return reverse("policy_stale", args=[line.pk]) + (f"?{query}" if query else "")


def _context(request: Request, line: Policy) -> dict[str, Any]:
    key, person = request.GET.get("proposition", ""), request.GET.get("person", "")
    page = page_of(request, listed_stale_labels(line, key, person), PAGE_SIZE)
    labels = list(page.object_list)
    summary = stale_summary(line)
    latest = line.latest
    return {
        "policy": line,
        "latest": latest,
        "kernel": latest.as_policy(),
        "summary": summary,
        "dependents": stale_dependents(line),
        "page": page,
        "rows": _rows(line, labels, latest.number, request.user.pk),
        "proposition": key,
        "person": person,
        "imported": IMPORTED,
        "n_listed": page.paginator.count,
        "query": request.GET.urlencode(),
    }


def _rows(line: Policy, labels: list[Any], latest: int, reader: int) -> list[dict[str, Any]]:
    """The listed labels with the change since each; answers of others only where they are known."""
    versions = {version.number: version for version in line.versions.all()} if labels else {}
    known = set(
        Reveal.objects.filter(
            annotator=reader, completion__in=[label.completion_id for label in labels]
        ).values_list("completion", flat=True)
    )
    return [
        {
            "label": label,
            "changes": definition_diff(
                versions, label.proposition, label.policy_version.number, latest
            ),
            "is_hidden": label.annotator_id not in (None, reader)
            and label.completion_id not in known,
        }
        for label in labels
    ]
