"""Labels that people gave in another tool: first what an import would do, then the import."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_http_methods

from annotation.forms.exchange import LabelsUploadForm
from annotation.models import ConversationSet
from annotation.services.conversations import ImportRefused
from annotation.services.label_imports import import_labels
from rbr_app.http import Request

SHOWN = 50
"""Conflicts and unmatched records that the page lists; the command names all."""


@require_http_methods(["GET", "HEAD", "POST"])
def import_label_file(request: Request, pk: int) -> HttpResponse:
    """The form; a POST shows what would happen, and does it if it says `step=import`.

    409 when the file is not the one that was looked at.
    """
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    posted = request.method == "POST"
    form = LabelsUploadForm(
        request.POST if posted else None, request.FILES or None, conversation_set=found
    )
    context: dict[str, Any] = {"set": found, "form": form, "shown": SHOWN}
    if not posted:
        return render(request, "annotation/label_import.html", context)
    status = 422
    if form.is_valid():
        content = form.cleaned_data["file"].read()
        context["digest"] = digest = sha256(content).hexdigest()
        wanted = request.POST.get("step") == "import"
        is_known = form.cleaned_data["digest"] in ("", digest)
        try:
            context["report"] = import_labels(
                conversation_set=found,
                content=content,
                tool=form.cleaned_data["tool"],
                actor=request.user,
                reading=form.reading,
                policy_version=form.version,
                dry_run=not (wanted and is_known),
            )
            context |= {"is_done": wanted and is_known, "is_other_file": wanted and not is_known}
            status = 200 if is_known or not wanted else 409
        except ImportRefused as error:
            form.add_error("file", str(error))
    page = "_label_import.html" if request.htmx else "label_import.html"
    return render(request, f"annotation/{page}", context, status=status)
