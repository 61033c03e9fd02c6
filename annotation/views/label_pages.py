"""What the two labelling pages share: a sheet's context, the way back to it, whose page it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from annotation.models import Assignment, Completion
from annotation.selectors.asking import current_version
from annotation.selectors.decisions import SHOWN, decisions, label_events
from annotation.selectors.labelling import Sheet, labelling_sheet, note_of
from annotation.services.labels import last_answers
from rbr_app.http import Request

UNFOLDED = 3
"""Turns of the prompt that are shown at once; those before them are folded."""
PERSON = "X-Labeller"
NOW = "X-Now"
"""The server's clock in milliseconds: the browser counts its clicks by it."""

View = Callable[..., HttpResponse]


def of_this_person(view: View) -> View:
    """Refuse what the page of another person sends: whoever shares a browser shares its cookies."""

    @wraps(view)
    def checked(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        sent = request.headers.get(PERSON, "")
        if sent and sent != str(request.user.pk):
            return HttpResponse(f"You are signed in as {request.user} now.", status=409)
        return view(request, *args, **kwargs)

    return checked


def completion_or_404(pk: int) -> Completion:
    found = Completion.objects.select_related("conversation__conversation_set__policy")
    return get_object_or_404(found, pk=pk)


def own_item(request: Request, pk: int, **wanted: Any) -> Assignment:
    """The person's own item; nobody else's can be opened."""
    found = Assignment.objects.filter(annotator=request.user, **wanted).select_related(
        "queue", "annotator", "completion__conversation__conversation_set__policy"
    )
    return get_object_or_404(found, pk=pk)


def item_of_form(request: Request, completion: Completion) -> Assignment | None:
    """The item on whose page a form stood; none for a form of the free page."""
    sent = request.POST.get("assignment", "")
    if not sent:
        return None
    if not sent.isdecimal():
        raise Http404("no such item")
    return own_item(request, int(sent), completion=completion)


def sheet_of(
    request: Request, completion: Completion, assignment: Assignment | None = None
) -> Sheet:
    return labelling_sheet(
        completion=completion,
        version=current_version(completion.conversation.conversation_set.policy),
        annotator=request.user,
        assignment=assignment,
    )


def page_of_sheet(request: Request, completion: Completion, assignment: Assignment | None) -> str:
    """The address of the page that shows a completion; the free page keeps its filters."""
    if assignment is not None:
        return reverse("queue_item", args=[assignment.queue_id, assignment.pk])
    query = request.GET.urlencode()
    return reverse("label", args=[completion.pk]) + (f"?{query}" if query else "")


def context_of(request: Request, sheet: Sheet) -> dict[str, Any]:
    """What the fragments of a sheet need."""
    # Ten policies with their texts would be the heaviest part of every save.
    texts = ("policy_version__document", "policy_version__source")
    answered = last_answers(request.user).defer(*texts)
    return {
        "sheet": sheet,
        "completion": sheet.completion,
        "policy": sheet.policy,
        "item": sheet.assignment,
        "decisions": decisions(answered[:SHOWN], request.user),
        "query": request.GET.urlencode(),
    }


def page_context(request: Request, sheet: Sheet) -> dict[str, Any]:
    """What the page around them needs on top."""
    conversation = sheet.completion.conversation
    turns = conversation.turns
    return context_of(request, sheet) | {
        "conversation": conversation,
        "set": conversation.conversation_set,
        "earlier_turns": turns[:-UNFOLDED],
        "turns": turns[-UNFOLDED:],
        "note": note_of(sheet.completion, request.user),
        "events": label_events(sheet.completion) if sheet.revealed else [],
        "now": milliseconds(),
    }


def render_sheet(
    request: Request, name: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """A fragment that says when it was true, so that a browser never shows an older one over it."""
    now = milliseconds()
    response = render(request, f"annotation/{name}", context, status=status)
    response[NOW] = str(now)
    return response


def milliseconds() -> int:
    return int(time.time() * 1000)
