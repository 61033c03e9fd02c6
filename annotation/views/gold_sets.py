"""Sets of conversations: their list, one of them with its completions, a new one, its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from annotation.forms.completions import CompletionFilterForm
from annotation.forms.gold_sets import GoldSetDraft, SettingsForm
from annotation.models import Completion, ConversationSet, GoldTruth, Policy
from annotation.selectors import gold_sets as select_gold_sets
from annotation.selectors.browsing import CompletionFilter, filtered_completions
from annotation.selectors.overview import completion_classes_of, set_numbers, set_sizes
from annotation.selectors.truth_sql import TruthSQL, truth_sql
from annotation.services.gold_sets import GoldSetRefused, configure_gold_set, create_gold_set
from rbr_app.http import Request, page_of, render_list, see_other, wants_fragment

PAGE_SIZE = 25
AT_ONCE = 5_000
"""Completions up to which the class table is counted with the page; a larger set's comes after."""


@require_safe
def gold_sets(request: Request) -> HttpResponse:
    return render(request, "annotation/gold_sets.html", {"sets": select_gold_sets.gold_sets()})


@require_safe
def gold_set(request: Request, pk: int) -> HttpResponse:
    """The set with its completions; `?part=classes` is the table of its classes alone."""
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    version = found.policy.latest
    policy = version.as_policy()
    rules = truth_sql(policy, found.policy_id)
    if request.GET.get("part") == "classes":
        rows = set_numbers(found, rules).class_rows()
        context = {"set": found, "policy": policy, "class_rows": rows}
        return render(request, "annotation/_class_table.html", context)
    sizes = set_sizes(found)
    form = CompletionFilterForm(request.GET, policy=policy, categories=sizes.categories)
    wanted = form.as_filter()
    page = page_of(request, filtered_completions(found, policy, wanted), PAGE_SIZE)
    kept = [(name, str(value)) for name, value in request.GET.items() if value and name != "page"]
    context = {
        "set": found,
        "tab": "completions",
        "version": version,
        "policy": policy,
        "sizes": sizes,
        "form": form,
        "is_filtered": bool(wanted),
        "page": page,
        "rows": _rows(list(page.object_list), rules, wanted),
        "proposition": wanted.proposition,
        "query": urlencode(kept),
    }
    if not wants_fragment(request) and sizes.n <= AT_ONCE:
        context["class_rows"] = set_numbers(found, rules).class_rows()
    return render_list(
        request, "annotation/gold_set.html", "annotation/_completion_list.html", context
    )


def _rows(pks: Sequence[int], rules: TruthSQL, wanted: CompletionFilter) -> list[dict[str, Any]]:
    """The listed completions with their class and, if one is asked about, its truth."""
    found = Completion.objects.select_related("conversation").in_bulk(pks)
    classes = completion_classes_of(rules, pks)
    truths: dict[int, bool | None] = {}
    if wanted.proposition:
        cells = GoldTruth.objects.filter(completion__in=pks, proposition__key=wanted.proposition)
        truths = dict(cells.values_list("completion", "truth"))
    return [
        {"completion": found[pk], "completion_class": classes[pk], "truth": truths.get(pk)}
        for pk in pks
    ]


@require_http_methods(["GET", "HEAD", "POST"])
def gold_set_new(request: Request) -> HttpResponse:
    """The form with what it would copy; a POST makes the set."""
    is_post = request.method == "POST"
    status = 422 if is_post else 200
    if not Policy.objects.exists():
        return render(request, "annotation/gold_set_new.html", {}, status=status)
    draft = GoldSetDraft.of(request.POST if is_post else request.GET)
    if is_post and draft.is_valid():
        try:
            made = create_gold_set(**draft.request, actor=request.user)
        except GoldSetRefused as error:
            draft.form.add_error(error.field or None, str(error))
        else:
            said = f"{len(made.draw.pks):,} completions and {made.labels:,} labels were copied."
            messages.success(request, said)
            return see_other(request, reverse("gold_set", args=[made.conversation_set.pk]))
    context = {
        "form": draft.form,
        "filter_form": draft.filter_form,
        "draw": draft.draw,
        "show_errors": is_post,
    }
    page = "_gold_set_form.html" if wants_fragment(request) else "gold_set_new.html"
    response = render(request, f"annotation/{page}", context, status=status)
    response["Vary"] = "HX-Request"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
def gold_settings(request: Request, pk: int) -> HttpResponse:
    found = get_object_or_404(ConversationSet.objects.select_related("policy"), pk=pk)
    is_post = request.method == "POST"
    held = {name: getattr(found, name) for name in SettingsForm.base_fields}
    form = SettingsForm(request.POST if is_post else held, label_suffix="")
    if is_post and form.is_valid():
        configure_gold_set(conversation_set=found, **form.cleaned_data)
        messages.success(request, "The settings are saved.")
        return see_other(request, reverse("gold_settings", args=[pk]))
    context = {"set": found, "tab": "settings", "form": form}
    page = "_gold_settings.html" if wants_fragment(request) else "gold_settings.html"
    return render(request, f"annotation/{page}", context, status=422 if is_post else 200)
