"""What is wanted: policies, one version of them, their file, a playground for their rules."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_POST, require_safe

from annotation.dependents import stale_dependents
from annotation.literal_grids import known_truths
from annotation.models import DefinitionFlag, Policy, PolicyVersion
from annotation.selectors import policies as select_policies
from annotation.selectors.playground import playground as select_playground
from annotation.selectors.policy_drafts import draft_of, draft_policy
from annotation.selectors.rule_table import rule_table
from annotation.selectors.staleness import stale_summary
from annotation.services.policies import resolve_flag
from rbr_app.http import Request, wants_fragment
from rbr_app.rbr.policy_writer import FORMS, released_losses, write_policy


@require_safe
def policies(request: Request) -> HttpResponse:
    context = {
        "policies": select_policies.policies(request.user.pk),
        "upload_url": _url("policy_upload"),
    }
    return render(request, "annotation/policies.html", context)


@require_safe
def policy(request: Request, pk: int) -> HttpResponse:
    """The latest version, or the one that `?version=` names; `?class=` lights a class's cells."""
    line = get_object_or_404(Policy, pk=pk)
    versions = list(select_policies.versions_of(line))
    version = _chosen(request, versions)
    kernel = version.as_policy()
    lit = request.GET.get("class", "")
    context: dict[str, Any] = {
        "policy": line,
        "version": version,
        "kernel": kernel,
        "rules": rule_table(kernel),
        "lit": lit if lit in kernel.class_order else "",
    }
    if wants_fragment(request):
        return render(request, "annotation/_rule_table.html", context)
    context |= {
        "versions": versions,
        "latest": versions[0],
        "change": select_policies.meaning_change(version),
        "areas": select_policies.areas(kernel),
        "derived": select_policies.derived_of(kernel),
        "constraints": select_policies.constraints_of(kernel),
        "propositions": list(zip(kernel.propositions, context["rules"], strict=True)),
        "sets": line.conversation_sets.order_by("name"),
        "flags": select_policies.open_flags(line),
        "stale": stale_summary(line),
        "dependents": stale_dependents(line),
        "draft": draft_of(line, request.user),
        "other_drafts": select_policies.other_drafts(line, request.user.pk),
        "losses": released_losses(kernel),
    }
    return render(request, "annotation/policy.html", context)


@require_safe
def policy_export(request: Request, pk: int) -> HttpResponse:
    """The policy file of a version; `?form=released` is refused where it would lose something."""
    line = get_object_or_404(Policy, pk=pk)
    version = _chosen(request, list(select_policies.versions_of(line)))
    kernel = version.as_policy()
    form = request.GET.get("form", "ours")
    if form not in FORMS:
        raise Http404(f"no form {form!r}")
    if form == "released" and (losses := released_losses(kernel)):
        context = {"policy": line, "version": version, "losses": losses}
        return render(request, "annotation/policy_losses.html", context, status=422)
    response = HttpResponse(write_policy(kernel, form), content_type="application/yaml")
    name = f"{line.name}-v{version.number}{'-released' if form == 'released' else ''}.yaml"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
def policy_playground(request: Request, pk: int) -> HttpResponse:
    """What truths imply under a version, or under the reader's draft with `?draft=1`."""
    line = get_object_or_404(Policy, pk=pk)
    versions = list(select_policies.versions_of(line))
    version = _chosen(request, versions)
    of_draft = request.GET.get("draft") == "1"
    kernel = draft_policy(draft_of(line, request.user)) if of_draft else version.as_policy()
    context: dict[str, Any] = {
        "policy": line,
        "version": version,
        "versions": versions,
        "of_draft": of_draft,
        "kernel": kernel,
    }
    if kernel is not None:
        asked = request.GET.get("response_type", "")
        kind = asked if asked in kernel.response_type_keys else kernel.response_type_keys[0]
        context["ground"] = select_playground(kernel, kind, known_truths(kernel, request.GET))
    page = "_playground.html" if wants_fragment(request) else "policy_playground.html"
    response = render(request, f"annotation/{page}", context)
    response["Vary"] = "HX-Request"
    return response


@require_POST
def resolve(request: Request, pk: int) -> HttpResponse:
    """Close a note on a definition; htmx gets the notes that are left."""
    found = DefinitionFlag.objects.select_related("proposition__policy")
    flag = get_object_or_404(found, pk=pk)
    line = flag.proposition.policy
    resolve_flag(flag=flag, actor=request.user)
    if not request.htmx:
        return redirect(reverse("policy", args=[line.pk]) + "#definition-flags")
    context = {"policy": line, "flags": select_policies.open_flags(line)}
    return render(request, "annotation/_definition_flags.html", context)


def _chosen(request: Request, versions: list[PolicyVersion]) -> PolicyVersion:
    """The version that `?version=` names, else the latest."""
    number = request.GET.get("version", "")
    return next((v for v in versions if str(v.number) == number), versions[0])


def _url(name: str) -> str:
    """The address of a page that may not be there."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
