"""How the labelling of a set goes."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from annotation.models import ConversationSet
from annotation.selectors.progress import people_answers, set_progress
from rbr_app.http import Request, wants_fragment


@require_safe
def progress(request: Request, pk: int) -> HttpResponse:
    """The page; while people work htmx asks for the part that changes with every item."""
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    context = {"set": found, "tab": "progress", "progress": set_progress(found)}
    if wants_fragment(request):
        return render(request, "annotation/_progress.html", context)
    context |= {"answers": people_answers(found)}
    return render(request, "annotation/progress.html", context)
