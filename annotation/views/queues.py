"""Labelling queues: the list, a form to open one, one of them, and the way to its next item."""

from __future__ import annotations

from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from annotation.forms.queues import QueueDraft
from annotation.models import ConversationSet, LabellingQueue
from annotation.selectors import queues as select_queues
from annotation.services.queues import (
    QueueRefused,
    claim_next,
    close_queue,
    open_queue,
    requeue_skipped,
)
from rbr_app.http import Request, page_of, see_other, wants_fragment

PAGE_SIZE = 50


@require_safe
def queues(request: Request) -> HttpResponse:
    page = page_of(request, select_queues.queues(), PAGE_SIZE)
    lines = select_queues.queue_lines(page.object_list, request.user)
    # What one can go on with at once stands before what one has to wait for.
    mine = sorted(
        (line for line in lines if line.is_mine),
        key=lambda line: (not line.standing.is_reserving, not line.standing.available),
    )
    context = {"page": page, "lines": lines, "mine": mine}
    return render(request, "annotation/queues.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def queue_new(request: Request) -> HttpResponse:
    data = request.POST if request.method == "POST" else request.GET
    sets = ConversationSet.objects.select_related("policy").order_by("name")
    found = _asked_set(data, sets, required=request.method == "POST")
    if found is None:
        status = 422 if request.method == "POST" else 200
        return render(request, "annotation/queue_new.html", {"sets": sets}, status=status)
    draft = QueueDraft.of(found, data)
    if request.method == "POST" and draft.is_valid():
        try:
            queue = open_queue(**draft.request, actor=request.user)
        except QueueRefused as error:
            draft.form.add_error(None, str(error))
        else:
            return see_other(request, reverse("queue", args=[queue.pk]))
    context = draft.context() | {"sets": sets, "show_errors": request.method == "POST"}
    page = "annotation/_queue_form.html" if wants_fragment(request) else "annotation/queue_new.html"
    response = render(request, page, context, status=422 if request.method == "POST" else 200)
    response["Vary"] = "HX-Request"
    return response


def _asked_set(
    data: QueryDict, sets: QuerySet[ConversationSet], *, required: bool
) -> ConversationSet | None:
    """The set that is named; when none is and none has to be, the first."""
    asked = data.get("conversation_set", "")
    if not asked:
        return None if required else sets.first()
    return get_object_or_404(sets, pk=asked if asked.isdecimal() and len(asked) < 19 else 0)


@require_safe
def queue(request: Request, pk: int) -> HttpResponse:
    """The queue; htmx asks for the part that changes while people work."""
    found = _queue(pk)
    context = {
        "queue": found,
        "standing": select_queues.standing(found, request.user),
        "people": select_queues.queue_people(found),
    }
    if wants_fragment(request):
        return render(request, "annotation/_queue_standing.html", context)
    context |= {"propositions": list(found.propositions.order_by("pk"))}
    return render(request, "annotation/queue.html", context)


@require_POST
def queue_next(request: Request, pk: int) -> HttpResponse:
    """The person's next item, or the queue's page, which says why there is none."""
    return _go_on(request, _queue(pk))


@require_POST
def queue_requeue(request: Request, pk: int) -> HttpResponse:
    found = _queue(pk)
    requeue_skipped(queue=found, annotator=request.user)
    return _go_on(request, found)


@require_POST
def queue_close(request: Request, pk: int) -> HttpResponse:
    close_queue(queue=_queue(pk), actor=request.user)
    return see_other(request, reverse("queue", args=[pk]))


def _go_on(request: Request, queue: LabellingQueue) -> HttpResponse:
    item = claim_next(queue=queue, annotator=request.user)
    if item is None:
        return see_other(request, reverse("queue", args=[queue.pk]))
    return see_other(request, reverse("queue_item", args=[queue.pk, item.pk]))


def _queue(pk: int) -> LabellingQueue:
    found = LabellingQueue.objects.select_related("conversation_set__policy", "created_by")
    return get_object_or_404(found, pk=pk)
