"""Policies and conversations, brought in from a file on a page."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from annotation.forms.exchange import ConversationsUploadForm, PolicyUploadForm
from annotation.models import ConversationSet
from annotation.services.conversations import ImportRefused, import_conversations
from annotation.services.policies import import_policy
from rbr_app.http import Request, see_other
from rbr_app.rbr.policy import PolicyError

SHOWN = 50
"""Conflicts that the page lists; the command names all."""


@require_http_methods(["GET", "HEAD", "POST"])
def upload_policy(request: Request) -> HttpResponse:
    """Add a policy file as a version; what is wrong with it stands beside the text."""
    posted = request.method == "POST"
    form = PolicyUploadForm(request.POST if posted else None, request.FILES or None)
    if not posted:
        return render(request, "annotation/policy_upload.html", {"form": form})
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        data, file = form.cleaned_data, form.cleaned_data["file"]
        context["source"] = data["source"]
        try:
            imported = import_policy(
                text=data["source"],
                name=data["name"],
                fallback_name=PurePath(file.name).stem if file else "",
                author=request.user,
                note=data["note"],
                wording_only=data["wording_only"],
            )
        except PolicyError as error:
            context["problems"] = _problems(error)
        else:
            version = imported.version
            said = "was added" if imported.added else "is there already: nothing was added"
            messages.success(request, f"{version} {said}.")
            return see_other(request, reverse("policy", args=[version.policy_id]))
    page = "_policy_upload.html" if request.htmx else "policy_upload.html"
    return render(request, f"annotation/{page}", context, status=422)


def _problems(error: PolicyError) -> list[str]:
    findings = getattr(error, "findings", ())
    return [finding.message for finding in findings] or [str(error)]


@require_http_methods(["GET", "HEAD", "POST"])
def upload_conversations(request: Request) -> HttpResponse:
    """Add a file's conversations to a set, and say what was found in it."""
    posted = request.method == "POST"
    form = ConversationsUploadForm(
        request.POST if posted else None,
        request.FILES or None,
        initial={"set_name": request.GET.get("set", "")},
    )
    context: dict[str, Any] = {
        "form": form,
        "shown": SHOWN,
        "sets": ConversationSet.objects.order_by("name").values_list("name", flat=True),
    }
    if not posted:
        return render(request, "annotation/conversations_upload.html", context)
    status = 422
    if form.is_valid():
        data = form.cleaned_data
        try:
            report = import_conversations(
                lines=data["file"].read().splitlines(),
                set_name=data["set_name"],
                split=data["split"],
                purpose=data["purpose"],
                policy_name=data["policy"],
            )
            classes = [(kind, counts.most_common()) for kind, counts in report.classes.items()]
            context |= {"report": report, "classes": classes}
            status = 200
        except ImportRefused as error:
            form.add_error("file", f"{error}; nothing was imported.")
    page = "_conversations_upload.html" if request.htmx else "conversations_upload.html"
    return render(request, f"annotation/{page}", context, status=status)
