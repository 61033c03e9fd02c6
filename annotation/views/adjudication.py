"""Adjudication: the disputed cells of a set, and one of them to decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from annotation.forms.adjudication import AdjudicationForm, DisputeFilterForm
from annotation.models import ConversationSet, GoldTruth
from annotation.models.adjudication import Reason
from annotation.selectors import disputes
from annotation.selectors.browsing import place_in
from annotation.selectors.dispute_card import DisputeCard, dispute_card, is_revealed
from annotation.selectors.disputes import DisputeFilter
from annotation.services.adjudication import DecidedMeanwhile
from annotation.services.adjudication import adjudicate as adjudicate_cell
from annotation.services.labels import reveal
from rbr_app.http import Request, render_list

PAGE_SIZE = 25


@require_safe
def adjudication(request: Request, pk: int) -> HttpResponse:
    """The list and one card: the cell that `?cell=` names, else the first of the page."""
    found = _set(pk)
    context = _context(request, found, opened=_named(found, request.GET.get("cell", "")))
    return render_list(
        request, "annotation/adjudication.html", "annotation/_adjudication.html", context
    )


@require_POST
def adjudicate(request: Request, pk: int, completion: int, key: str) -> HttpResponse:
    """Decide a cell and open the one that follows it in the list."""
    found = _set(pk)
    truth = disputes.named_truth(found, f"{completion}:{key}")
    if truth is None:
        raise Http404("nobody has answered this")
    form = AdjudicationForm(request.POST)
    if not form.is_valid():
        return _again(request, found, truth, form, status=422)
    before = disputes.disputed_cells(found, _filter_form(request, found).as_filter())
    try:
        adjudicate_cell(
            completion=truth.completion,
            proposition=truth.proposition,
            adjudicator=request.user,
            policy_version=found.policy.latest,
            **form.as_decision(),
        )
    except DecidedMeanwhile as meanwhile:
        more = {"standing": meanwhile.standing}
        return _again(request, found, truth, form, status=409, **more)
    context = _context(request, found, opened=truth, former=before) | {"saved": truth}
    address = _address(context)
    if not request.htmx:
        return redirect(address)
    response = render(request, "annotation/_adjudication.html", context)
    response["HX-Replace-Url"] = address
    return response


def _again(
    request: Request,
    found: ConversationSet,
    truth: GoldTruth,
    form: AdjudicationForm,
    status: int,
    **more: Any,
) -> HttpResponse:
    """The same card with what was typed, and why it was not saved."""
    context = _context(request, found, opened=truth) | {"form": form} | more
    page = "_adjudication.html" if request.htmx else "adjudication.html"
    return render(request, f"annotation/{page}", context, status=status)


def _set(pk: int) -> ConversationSet:
    return get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)


def _named(found: ConversationSet, cell: str) -> GoldTruth | None:
    if not cell:
        return None
    if (truth := disputes.named_truth(found, cell)) is None:
        raise Http404(f"nobody has answered {cell}")
    return truth


def _filter_form(request: Request, found: ConversationSet) -> DisputeFilterForm:
    people = disputes.people_of(found)
    return DisputeFilterForm(request.GET, policy=found.policy.latest.as_policy(), people=people)


def _context(
    request: Request,
    found: ConversationSet,
    opened: GoldTruth | None = None,
    former: Sequence[int] | None = None,
) -> dict[str, Any]:
    """The page with a card open: `opened`, what follows it in the `former` list, or the first."""
    filter_form = _filter_form(request, found)
    wanted = filter_form.as_filter()
    pks = disputes.disputed_cells(found, wanted)
    pk = opened.pk if opened else None
    if opened and former is not None:
        pk = disputes.following(pks, former, opened.pk)
    page = _page(request, pks, pk)
    pk = pk or next(iter(page.object_list), None)
    place = place_in(pks, pk) if pk else None
    ways = {"previous": place.previous, "following": place.following} if place else {}
    near = [way for way in ways.values() if way is not None]
    lines = {line.truth.pk: line for line in disputes.dispute_lines([*page.object_list, *near])}
    if former is not None or opened is None:
        opened = lines[pk].truth if pk in lines else None
    return {
        "set": found,
        "tab": "adjudication",
        "page_url": reverse("adjudication", args=[found.pk]),
        "filter_form": filter_form,
        "wanted": wanted,
        "counts": disputes.dispute_counts(found, wanted),
        "everywhere": disputes.dispute_counts(found, DisputeFilter()),
        "page": page,
        "lines": [lines[pk] for pk in page.object_list if pk in lines],
        "card": _card(request, found, opened),
        "place": place,
        "neighbours": {way: lines[pk].cell for way, pk in ways.items() if pk in lines},
        "n_shared": None if pks else disputes.shared_cells(found),
        "reasons": Reason,
        "query": _query(request),
    }


def _page(request: Request, pks: Sequence[int], pk: int | None) -> Page[int]:
    """The page of the list that holds `pk`, else the one that is asked for."""
    paginator = Paginator(pks, PAGE_SIZE)
    if pk in pks:
        return paginator.page(pks.index(pk) // PAGE_SIZE + 1)
    return paginator.get_page(request.GET.get("page"))


def _card(request: Request, found: ConversationSet, opened: GoldTruth | None) -> DisputeCard | None:
    """The card. Whoever opens it reads what others say of the completion; that is recorded."""
    if opened is None:
        return None
    if not is_revealed(opened, request.user.pk):
        reveal(completion=opened.completion, annotator=request.user)
    return dispute_card(opened, found.policy.latest)


def _query(request: Request) -> str:
    """The filter as a query string."""
    kept = [(name, str(value)) for name, value in request.GET.items() if value]
    return urlencode([(name, value) for name, value in kept if name not in ("cell", "page")])


def _address(context: dict[str, Any]) -> str:
    """Where the page with this context reopens."""
    parts = [context["query"]] if context["query"] else []
    if context["card"]:
        parts.append(urlencode({"cell": context["card"].cell}))
    return "?".join([str(context["page_url"]), *(["&".join(parts)] if parts else [])])
