"""An item of a labelling queue: its page, its reservation, and how it is left."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotation.forms.labels import ItemForm
from annotation.models import Assignment
from annotation.selectors.decisions import last_completed, reserved_until
from annotation.selectors.labelling import Sheet
from annotation.selectors.queues import position
from annotation.services import queues
from annotation.services.suggestions import see_suggestions
from annotation.views.label_pages import (
    of_this_person,
    own_item,
    page_context,
    page_of_sheet,
    render_sheet,
    sheet_of,
)
from rbr_app.http import Request, see_other


@require_safe
def item(request: Request, queue_pk: int, pk: int) -> HttpResponse:
    assignment = own_item(request, pk, queue=queue_pk)
    sheet = sheet_of(request, assignment.completion, assignment)
    if assignment.queue.prelabel_source:
        see_suggestions(assignment=assignment)
    return render_sheet(request, "label_item.html", _context(request, sheet, assignment))


@require_POST
@of_this_person
def beat(request: Request, queue_pk: int, pk: int) -> HttpResponse:
    """The page is in use: renew the reservation and say until when it holds."""
    assignment = own_item(request, pk, queue=queue_pk)
    lease = queues.renew_lease(assignment=assignment, active_seconds=_form(request)[0])
    context = {"item": assignment, "reserved_until": lease.until, "held": lease.held}
    if not request.htmx:
        return redirect(page_of_sheet(request, assignment.completion, assignment))
    return render_sheet(request, "_label_lease.html", context)


@require_POST
@of_this_person
def complete(request: Request, queue_pk: int, pk: int) -> HttpResponse:
    """Complete the item and lead to the next one, or back to this one to see what others said."""
    assignment = own_item(request, pk, queue=queue_pk)
    sheet = sheet_of(request, assignment.completion, assignment)
    if sheet.unanswered and assignment.completed_at is None:
        context = _context(request, sheet, assignment) | {"refused": True}
        page = "_label_actions.html" if request.htmx else "label_item.html"
        return render_sheet(request, page, context, status=422)
    seconds, stay = _form(request)
    queues.renew_lease(assignment=assignment, active_seconds=seconds)
    queues.complete(assignment=assignment)
    if stay:
        return see_other(request, page_of_sheet(request, assignment.completion, assignment))
    return _next(request, assignment)


@require_POST
@of_this_person
def skip(request: Request, queue_pk: int, pk: int) -> HttpResponse:
    """Leave the item to others and go on."""
    assignment = own_item(request, pk, queue=queue_pk)
    queues.renew_lease(assignment=assignment, active_seconds=_form(request)[0])
    queues.skip(assignment=assignment)
    return _next(request, assignment)


@require_POST
@of_this_person
def reopen(request: Request, queue_pk: int, pk: int) -> HttpResponse:
    """Take up again an item that was skipped or whose reservation ended."""
    assignment = own_item(request, pk, queue=queue_pk)
    queues.reopen(assignment=assignment)
    return see_other(request, page_of_sheet(request, assignment.completion, assignment))


def _next(request: Request, assignment: Assignment) -> HttpResponse:
    following = queues.claim_next(queue=assignment.queue, annotator=request.user)
    if following is None:
        return see_other(request, reverse("queue", args=[assignment.queue_id]))
    return see_other(request, reverse("queue_item", args=[following.queue_id, following.pk]))


def _form(request: Request) -> tuple[float, bool]:
    """Seconds in use and whether to stay; what cannot be read counts as nothing said."""
    form = ItemForm(request.POST)
    said = form.cleaned_data if form.is_valid() else {}
    return said.get("active_seconds", 0.0), said.get("stay", False)


def _context(request: Request, sheet: Sheet, assignment: Assignment) -> dict[str, Any]:
    until = reserved_until(assignment)
    return page_context(request, sheet) | {
        "queue": assignment.queue,
        "position": position(assignment.queue, request.user),
        "reserved_until": until,
        "held": until is not None,
        "last_completed": last_completed(assignment),
    }
