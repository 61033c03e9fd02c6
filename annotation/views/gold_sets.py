"""Sets of conversations, and one of them with its numbers and its completions."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from annotation.forms import CompletionFilterForm
from annotation.models import Completion, ConversationSet
from annotation.selectors import conversations as select_conversations
from annotation.selectors.browsing import filtered_completions
from annotation.selectors.overview import Overview, set_overview
from rbr_app.http import Request, page_of, render_list

PAGE_SIZE = 25


@require_safe
def gold_sets(request: Request) -> HttpResponse:
    return render(
        request, "annotation/gold_sets.html", {"sets": select_conversations.conversation_sets()}
    )


@require_safe
def gold_set(request: Request, pk: int) -> HttpResponse:
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    version = found.policy.latest
    policy = version.as_policy()
    overview = set_overview(found, policy)
    form = CompletionFilterForm(request.GET, policy=policy, categories=overview.categories)
    wanted = form.as_filter()
    pks = filtered_completions(found, policy, wanted, overview)
    page = page_of(request, pks, PAGE_SIZE)
    kept = [(name, str(value)) for name, value in request.GET.items() if value and name != "page"]
    context = {
        "set": found,
        "version": version,
        "policy": policy,
        "overview": overview,
        "form": form,
        "is_filtered": bool(wanted),
        "page": page,
        "rows": _rows(page.object_list, overview, wanted.proposition),
        "proposition": wanted.proposition,
        "query": urlencode(kept),
    }
    return render_list(
        request, "annotation/gold_set.html", "annotation/_completion_list.html", context
    )


def _rows(pks: Any, overview: Overview, proposition: str) -> list[dict[str, Any]]:
    """The listed completions with their class and, if one is asked about, its truth."""
    found = Completion.objects.select_related("conversation").in_bulk(list(pks))
    return [
        {
            "completion": found[pk],
            "completion_class": overview.classes[pk],
            "truth": overview.truths.get((pk, proposition)),
        }
        for pk in pks
    ]
