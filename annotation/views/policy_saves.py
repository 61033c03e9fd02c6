"""From a draft to a version: what changed, what it means, what to do if somebody was first."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.draft_items import Item
from annotation.forms.policies import SaveForm
from annotation.models import Policy, PolicyDraft
from annotation.selectors import policies as select_policies
from annotation.selectors.draft_outline import lint_lines
from annotation.selectors.policy_diffs import as_items, conflict_diffs, policy_diff
from annotation.selectors.policy_drafts import draft_findings, draft_of
from annotation.services import policy_drafts as services
from annotation.services.policies import (
    NothingChanged,
    StaleSave,
    UnsoundPolicy,
    meaning_choices,
)
from rbr_app.http import Request, see_other, wants_fragment
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.lint import ERROR
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import PolicyError
from rbr_app.rbr.policy_diff import diff, rules_changed
from rbr_app.rbr.policy_merge import merge


@require_http_methods(["GET", "HEAD", "POST"])
def save(request: Request, pk: int) -> HttpResponse:
    """Show what a new version would change, and save it on POST."""
    line = get_object_or_404(Policy, pk=pk)
    draft = draft_of(line, request.user)
    if draft.pk is None:
        messages.info(request, "There is no draft to save: nothing was changed.")
        return see_other(request, reverse("policy_draft", args=[pk]))
    if request.method != "POST":
        if draft.base_id != line.latest.pk:
            return _conflict(request, draft, status=200)
        return _dialog(request, draft, _save_form(draft))
    form = _save_form(draft, request)
    if not form.is_valid():
        return _dialog(request, draft, form, status=422)
    try:
        version = services.save_draft(
            draft=services.Draft(line, request.user, draft.base),
            seen=form.cleaned_data["seen"],
            note=form.cleaned_data["note"],
            meaning=form.meaning,
        )
    except StaleSave:
        return _conflict(request, draft, status=409)
    except UnsoundPolicy:
        return _dialog(request, draft, form, status=422)
    except (PolicyError, NothingChanged, services.DraftChanged) as error:
        draft = draft_of(line, request.user)
        form.refuse(str(error), seen=fingerprint(draft.document))
        return _dialog(request, draft, form, status=422)
    messages.success(request, f"{version} is saved.")
    return see_other(request, reverse("policy", args=[pk]))


@require_POST
def rebase(request: Request, pk: int) -> HttpResponse:
    """Move the draft onto the latest version; the editor marks what stayed as the draft had it."""
    line = get_object_or_404(Policy, pk=pk)
    draft = draft_of(line, request.user)
    editor = reverse("policy_draft", args=[pk])
    if draft.pk is None:
        return see_other(request, editor)
    _, conflicts = services.rebase_draft(draft=services.Draft(line, request.user, draft.base))
    paths = [("conflict", conflict.path) for conflict in conflicts]
    first = next((item for _, path in paths if (item := Item.at(path))), Item("overview"))
    messages.info(
        request,
        f"Your draft stands on v{line.latest.number} now."
        + (" Where both of you changed the same, yours stayed." if conflicts else ""),
    )
    return see_other(request, f"{editor}?{urlencode([('item', str(first)), *paths])}")


@require_safe
def policy_versions(request: Request, pk: int) -> HttpResponse:
    """Every version and what changed; `?from=&to=` compares two, else the latest and its parent."""
    line = get_object_or_404(Policy, pk=pk)
    versions = list(select_policies.versions_of(line))
    by_number = {str(version.number): version for version in versions}
    new = by_number.get(request.GET.get("to", ""), versions[0])
    parent = by_number[str(new.parent.number)] if new.parent else new
    old = by_number.get(request.GET.get("from", ""), parent)
    context = {
        "policy": line,
        "rows": [(version, select_policies.meaning_change(version)) for version in versions],
        "old": old,
        "new": new,
        "items": policy_diff(old.as_policy(), new.as_policy()),
    }
    page = "_version_diff.html" if wants_fragment(request) else "policy_versions.html"
    response = render(request, f"annotation/{page}", context)
    response["Vary"] = "HX-Request"
    return response


def _save_form(draft: PolicyDraft, request: Request | None = None) -> SaveForm:
    edited = KernelPolicy.from_document(draft.document, name=draft.policy.name)
    return SaveForm(
        request.POST if request else None,
        choices=meaning_choices(draft.base, edited),
        initial={"seen": fingerprint(draft.document)},
    )


def _dialog(
    request: Request, draft: PolicyDraft, form: SaveForm, status: int = 200
) -> HttpResponse:
    base = draft.base.as_policy()
    edited = KernelPolicy.from_document(draft.document, name=draft.policy.name)
    changes = diff(base, edited)
    findings = draft_findings(draft)
    context: dict[str, Any] = {
        "policy": draft.policy,
        "draft": draft,
        "form": form,
        "items": as_items(changes),
        "rules_changed": rules_changed(changes),
        "lint": lint_lines(row for row in findings if row.severity == ERROR),
        "n_warnings": sum(row.severity != ERROR for row in findings),
        "next_number": draft.base.number + 1,
    }
    return _render(request, "save", context, status)


def _conflict(request: Request, draft: PolicyDraft, status: int) -> HttpResponse:
    latest = draft.policy.latest
    base, theirs = draft.base.as_policy(), latest.as_policy()
    mine = KernelPolicy.from_document(draft.document, name=draft.policy.name)
    context: dict[str, Any] = {
        "policy": draft.policy,
        "draft": draft,
        "latest": latest,
        "theirs": policy_diff(base, theirs),
        "mine": policy_diff(base, mine),
        "conflicts": conflict_diffs(merge(base, mine, theirs).conflicts),
    }
    return _render(request, "conflict", context, status)


def _render(request: Request, kind: str, context: dict[str, Any], status: int) -> HttpResponse:
    page = "_draft_save.html" if wants_fragment(request) else "policy_draft_save.html"
    context["kind"] = kind
    return render(request, f"annotation/{page}", context, status=status)
