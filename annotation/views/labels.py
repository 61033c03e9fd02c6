"""Labelling a completion: the page on which one is looked at by itself, and what is said of it."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from annotation.forms.completions import CompletionFilterForm
from annotation.forms.labels import AnswerForm, NoteForm
from annotation.models import Completion, Label, LabelEvent, Proposition
from annotation.models.labels import Answer
from annotation.selectors.asking import current_version, kernel_policy
from annotation.selectors.browsing import Place, filtered_completions, place_in, place_of
from annotation.selectors.decisions import decisions
from annotation.selectors.labelling import Sheet, suggestion_of
from annotation.services.labels import (
    Click,
    confirm_label,
    record_label,
    undo_last_label,
    write_note,
)
from annotation.services.labels import reveal as reveal_completion
from annotation.views.label_pages import (
    completion_or_404,
    context_of,
    item_of_form,
    milliseconds,
    of_this_person,
    page_context,
    page_of_sheet,
    render_sheet,
    sheet_of,
)
from rbr_app.http import Request, safe_path

LONGEST_WALK = 500
"""Completions that `?ids=` may name: a list that another page made, in that page's order."""
VERDICT_PAGES = "/runs/"
"""Whoever comes from one of these pages has just seen what a grader says of the completion."""


@require_safe
def label(request: Request, pk: int) -> HttpResponse:
    completion = completion_or_404(pk)
    back = safe_path(request, request.GET.get("back", ""))
    if back.startswith(VERDICT_PAGES):
        reveal_completion(completion=completion, annotator=request.user)
    sheet = sheet_of(request, completion)
    context = page_context(request, sheet) | {"place": _place(request, sheet), "back": back}
    return render_sheet(request, "label.html", context)


@require_POST
@of_this_person
def record(request: Request, pk: int, key: str) -> HttpResponse:
    """Save one answer; the page gets the row as the server has it now, and what follows from it."""
    completion = completion_or_404(pk)
    item = item_of_form(request, completion)
    version = current_version(completion.conversation.conversation_set.policy)
    if key not in kernel_policy(version).proposition_keys:
        raise Http404(f"the policy has no proposition {key}")
    form = AnswerForm(request.POST)
    if not form.is_valid():
        return _refused(request, sheet_of(request, completion, item), key, form)
    suggestion = suggestion_of(item, key)
    record_label(
        completion=completion,
        proposition=Proposition.objects.get(policy=version.policy_id, key=key),
        answer=Answer(form.cleaned_data["answer"]),
        actor=request.user,
        policy_version=version,
        click=Click(
            at=form.cleaned_data["at"],
            client_id=form.cleaned_data["client_id"],
            prelabel=suggestion.answer if suggestion else "",
        ),
    )
    return _saved(request, completion, key)


@require_POST
@of_this_person
def confirm(request: Request, pk: int, key: str) -> HttpResponse:
    """The person's answer holds under the newest definition too."""
    completion = completion_or_404(pk)
    held = Label.objects.filter(completion=completion, annotator=request.user)
    confirm_label(
        label=get_object_or_404(held, proposition__key=key),
        actor=request.user,
        policy_version=current_version(completion.conversation.conversation_set.policy),
    )
    return _saved(request, completion, key)


@require_POST
@of_this_person
def reveal(request: Request, pk: int) -> HttpResponse:
    """Show what others say; what is answered from now on is marked as such."""
    completion = completion_or_404(pk)
    item = item_of_form(request, completion)
    reveal_completion(completion=completion, annotator=request.user)
    return redirect(page_of_sheet(request, completion, item))


@require_POST
@of_this_person
def note(request: Request, pk: int) -> HttpResponse:
    """Keep the person's note on the completion, or their flag."""
    completion = completion_or_404(pk)
    item = item_of_form(request, completion)
    form = NoteForm(request.POST)
    context: dict[str, Any] = {"completion": completion, "item": item, "form": form}
    if not form.is_valid():
        return render_sheet(request, "_label_note.html", context, status=422)
    said = form.cleaned_data
    context["note"] = write_note(
        completion=completion, author=request.user, text=said["text"], flagged=said["flagged"]
    )
    if not request.htmx:
        return redirect(f"{page_of_sheet(request, completion, item)}#label-note")
    return render_sheet(request, "_label_note.html", context)


@require_POST
@of_this_person
def undo(request: Request) -> HttpResponse:
    """Take back the person's last answer, wherever it was given, and lead to it.

    `event` is the answer that the page shows as the last one: if another came in between, nothing
    is taken back, since it is not what the person sees.
    """
    event = _shown_event(request)
    undone = undo_last_label(actor=request.user, event=event)
    if undone is None:
        said = {"undone": False, "text": "Nothing was taken back: there is a newer answer."}
        if event is None:
            said["text"] = "There is nothing to take back."
        return JsonResponse(said) if request.htmx else redirect(_way_back(request))
    (decision,) = decisions([undone], request.user)
    label = undone.label
    page = page_of_sheet(request, label.completion, decision.assignment)
    where = f"{page}#label-row-{label.proposition.key}"
    if not request.htmx:
        return redirect(where)
    return JsonResponse(
        {
            "undone": True,
            "completion": label.completion_id,
            "key": label.proposition.key,
            "page": where,
            "text": f"{label.proposition.key} is {undone.get_new_display() or 'open'} again.",
            "now": milliseconds(),
        }
    )


def _shown_event(request: Request) -> LabelEvent | None:
    sent = request.POST.get("event", "")
    if not sent:
        return None
    if not sent.isdecimal():
        raise Http404("no such answer")
    return get_object_or_404(LabelEvent, pk=int(sent), actor=request.user)


def _way_back(request: Request) -> str:
    return safe_path(request, request.POST.get("back", "")) or "/"


def _saved(request: Request, completion: Completion, key: str) -> HttpResponse:
    item = item_of_form(request, completion)
    if not request.htmx:
        return redirect(f"{page_of_sheet(request, completion, item)}#label-row-{key}")
    sheet = sheet_of(request, completion, item)
    context = context_of(request, sheet) | {"row": sheet.row(key)}
    return render_sheet(request, "_label_saved.html", context)


def _refused(request: Request, sheet: Sheet, key: str, form: AnswerForm) -> HttpResponse:
    page = "_label_row.html" if request.htmx else "label_refused.html"
    context = context_of(request, sheet) | {
        "row": sheet.row(key),
        "form": form,
        "page": page_of_sheet(request, sheet.completion, sheet.assignment),
    }
    return render(request, f"annotation/{page}", context, status=422)


def _place(request: Request, sheet: Sheet) -> Place | None:
    """The completion's place in the list that the query string describes."""
    completion, policy = sheet.completion, sheet.policy
    if ids := request.GET.get("ids"):
        named = [int(part) for part in ids.split(",")[:LONGEST_WALK] if part.isdecimal()]
        return place_in(named, completion.pk)
    form = CompletionFilterForm(request.GET, policy=policy, categories=_categories(completion))
    pks = filtered_completions(completion.conversation.conversation_set, policy, form.as_filter())
    return place_of(pks, completion.pk)


def _categories(completion: Completion) -> list[str]:
    conversations = completion.conversation.conversation_set.conversations
    return sorted(conversations.values_list("category", flat=True).distinct())
