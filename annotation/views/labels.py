"""The labelling page: a whole conversation and every proposition about it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from annotation.forms import AnswerForm, CompletionFilterForm
from annotation.models import Completion
from annotation.models.labels import Answer
from annotation.selectors import labels as select_labels
from annotation.selectors.browsing import Place, filtered_completions, place_in
from annotation.services.labels import record_label
from rbr_app.http import Request, safe_path
from rbr_app.rbr.policy import Policy

LONGEST_WALK = 500
"""Completions that `?ids=` may name: a list that another page made, in that page's order."""


@require_safe
def label(request: Request, pk: int) -> HttpResponse:
    completion = _completion(pk)
    version = completion.conversation.conversation_set.policy.latest
    policy = version.as_policy()
    context = _context(request, completion, policy) | {
        "version": version,
        "place": _place(request, completion, policy),
        "back": safe_path(request, request.GET.get("back", "")),
    }
    return render(request, "annotation/label.html", context)


@require_POST
def record(request: Request, pk: int, key: str) -> HttpResponse:
    """Save one answer; htmx gets the row as the server has it now, and what follows from it."""
    completion = _completion(pk)
    policy = completion.conversation.conversation_set.policy.latest.as_policy()
    rows = {row.proposition.key: row for row in _rows(request, completion, policy)}
    if key not in rows:
        raise Http404(f"the policy has no proposition {key}")
    form = AnswerForm(request.POST)
    if not form.is_valid():
        context = _context(request, completion, policy) | {"row": rows[key], "form": form}
        page = "_label_row.html" if request.htmx else "label_refused.html"
        return render(request, f"annotation/{page}", context, status=422)
    record_label(
        completion=completion,
        proposition=rows[key].proposition,
        answer=Answer(form.cleaned_data["answer"]),
        actor=request.user,
    )
    if not request.htmx:
        query = request.GET.urlencode()
        back = reverse("label", args=[pk]) + (f"?{query}" if query else "")
        return redirect(f"{back}#label-row-{key}")
    context = _context(request, completion, policy)
    row = next(row for row in context["rows"] if row.proposition.key == key)
    return render(request, "annotation/_label_saved.html", context | {"row": row})


def _completion(pk: int) -> Completion:
    found = Completion.objects.select_related("conversation__conversation_set__policy")
    return get_object_or_404(found, pk=pk)


def _rows(request: Request, completion: Completion, policy: Policy) -> list[select_labels.LabelRow]:
    return select_labels.label_rows(completion, policy, request.user.pk)


def _context(request: Request, completion: Completion, policy: Policy) -> dict[str, Any]:
    rows = _rows(request, completion, policy)
    response_type = completion.conversation.response_type
    return {
        "completion": completion,
        "conversation": completion.conversation,
        "set": completion.conversation.conversation_set,
        "policy": policy,
        "rows": rows,
        "implied": select_labels.implied_class(policy, response_type, rows),
        "events": select_labels.recent_events(completion),
        "n_mine": sum(bool(row.mine) for row in rows),
        "query": request.GET.urlencode(),
    }


def _place(request: Request, completion: Completion, policy: Policy) -> Place | None:
    """The completion's place in the list that the query string describes."""
    if ids := request.GET.get("ids"):
        named = [int(part) for part in ids.split(",")[:LONGEST_WALK] if part.isdecimal()]
        return place_in(named, completion.pk)
    form = CompletionFilterForm(request.GET, policy=policy, categories=_categories(completion))
    pks = filtered_completions(completion.conversation.conversation_set, policy, form.as_filter())
    # A saved answer can take the row out of its own filter: the walk must not end there.
    return place_in(pks if completion.pk in pks else sorted([*pks, completion.pk]), completion.pk)


def _categories(completion: Completion) -> list[str]:
    conversations = completion.conversation.conversation_set.conversations
    return sorted(conversations.values_list("category", flat=True).distinct())
