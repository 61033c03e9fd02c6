"""Frozen versions of a Gold set: their list, freezing, one of them, its difference to another."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from annotation.forms.gold_sets import FreezeForm
from annotation.models import Completion, ConversationSet, GoldVersion
from annotation.selectors import gold_versions as select_gold_versions
from annotation.services.gold_versions import FreezeRefused, freeze_gold_set
from rbr_app.http import Request, page_of, render_list, see_other, wants_fragment

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
def gold_versions(request: Request, pk: int) -> HttpResponse:
    """The versions; a POST freezes the set as it is."""
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    form = FreezeForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        try:
            version, added = freeze_gold_set(
                conversation_set=found, author=request.user, note=form.cleaned_data["note"]
            )
        except FreezeRefused as error:
            form.add_error(None, str(error))
        else:
            said = f"Version {version.number} is frozen."
            if not added:
                said = f"Nothing changed since version {version.number}: it is the same state."
            messages.success(request, said)
            return see_other(request, reverse("gold_versions", args=[pk]))
    context = {
        "set": found,
        "tab": "versions",
        "form": form,
        "page": page_of(request, select_gold_versions.gold_versions(found), PAGE_SIZE),
    }
    page = "_freeze_form.html" if wants_fragment(request) else "gold_versions.html"
    status = 422 if request.method == "POST" else 200
    return render(request, f"annotation/{page}", context, status=status)


def _version(pk: int, number: int) -> GoldVersion:
    rows = GoldVersion.objects.select_related(
        "conversation_set__policy", "policy_version__policy", "author", "parent"
    )
    return get_object_or_404(rows, conversation_set=pk, number=number)


@require_safe
def gold_version(request: Request, pk: int, number: int) -> HttpResponse:
    """One version: what changed since the one of `?against=` (its parent), and its rows."""
    version = _version(pk, number)
    others = list(
        GoldVersion.objects.filter(conversation_set=pk).exclude(pk=version.pk).order_by("-number")
    )
    asked = request.GET.get("against", str(version.parent.number) if version.parent else "")
    against = next((other for other in others if str(other.number) == asked), None)
    page = page_of(request, select_gold_versions.version_rows(version), PAGE_SIZE)
    context = {
        "set": version.conversation_set,
        "tab": "versions",
        "version": version,
        "policy": version.policy_version.as_policy(),
        "others": others,
        "against": against,
        "page": page,
    }
    if not wants_fragment(request) and against is not None:
        diff = select_gold_versions.version_diff(against, version)
        completions = Completion.objects.select_related("conversation")
        named = completions.in_bulk([row.completion for row in diff.rows])
        context |= {"diff": diff, "changed": [(row, named[row.completion]) for row in diff.rows]}
    return render_list(
        request, "annotation/gold_version.html", "annotation/_gold_version_rows.html", context
    )


@require_safe
def gold_version_export(request: Request, pk: int, number: int) -> StreamingHttpResponse:
    version = _version(pk, number)
    response = StreamingHttpResponse(
        select_gold_versions.export_lines(version), content_type="application/jsonl; charset=utf-8"
    )
    name = f"{version.conversation_set}-v{version.number}-{version.content_hash[:12]}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
