"""The editor: a person's draft of a policy, one part at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe

from annotation.draft_items import SECTIONS, SINGLE, Item, ItemError, read_item, uses
from annotation.forms.policies import FORMS, ItemForm, SourceForm
from annotation.models import Policy, PolicyDraft, PolicyVersion, Proposition
from annotation.selectors.draft_outline import lint_lines, name_of, outline
from annotation.selectors.policies import other_drafts
from annotation.selectors.policy_drafts import draft_findings, draft_of
from annotation.services import policy_drafts as services
from rbr_app.http import Request, see_other, wants_fragment
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import PolicyError, as_key
from rbr_app.rbr.policy_writer import write_policy

OVERVIEW = Item("overview")


@require_safe
def policy_draft(request: Request, pk: int) -> HttpResponse:
    """One part of the draft beside all others; `?item=` names it, `?tab=yaml` shows the file."""
    line = get_object_or_404(Policy, pk=pk)
    return _editor(request, draft_of(line, request.user), _asked(request.GET))


@require_POST
def write(request: Request, pk: int) -> HttpResponse:
    """Save one part."""
    draft = _draft(request, pk)
    item = _asked(request.POST)
    try:
        form = _form(draft, item, request.POST)
        if not form.is_valid():
            return _editor(request, draft, item, form=form)
        stored, item = services.write(draft=_whose(draft), item=item, values=form.as_values())
    except ItemError as error:
        return _refused(request, draft, item, str(error))
    return _changed(request, stored, item)


@require_POST
def add(request: Request, pk: int) -> HttpResponse:
    """Add an empty part to a section; its values are filled in where it stands."""
    draft = _draft(request, pk)
    section, key = request.POST.get("section", ""), as_key(request.POST.get("key", ""))
    try:
        if section not in SECTIONS or section in SINGLE:
            raise ItemError(f"a policy has no section {section!r}")
        values = _blank(draft, section, key)
        stored, item = services.add(draft=_whose(draft), section=section, values=values)
    except ItemError as error:
        return _refused(request, draft, _asked(request.POST), str(error))
    return _changed(request, stored, item)


@require_POST
def remove(request: Request, pk: int) -> HttpResponse:
    """Remove a part and what mentions it."""
    draft = _draft(request, pk)
    item = _asked(request.POST)
    try:
        stored = services.remove(draft=_whose(draft), item=item)
    except ItemError as error:
        return _refused(request, draft, OVERVIEW, str(error))
    return _changed(request, stored, OVERVIEW)


@require_POST
def move(request: Request, pk: int) -> HttpResponse:
    """Move a part one place up, or down with `step=1`."""
    draft = _draft(request, pk)
    item = _asked(request.POST)
    step = 1 if request.POST.get("step") == "1" else -1
    try:
        stored, item = services.move(draft=_whose(draft), item=item, step=step)
    except ItemError as error:
        return _refused(request, draft, OVERVIEW, str(error))
    return _changed(request, stored, item)


@require_POST
def write_source(request: Request, pk: int) -> HttpResponse:
    """Replace the draft by a policy file; one that cannot be read stays in the form."""
    draft = _draft(request, pk)
    form = SourceForm(request.POST)
    if form.is_valid():
        try:
            text = form.cleaned_data["text"].replace("\r\n", "\n")
            stored = services.write_source(draft=_whose(draft), text=text)
        except PolicyError as error:
            form.add_error("text", str(error))
        else:
            return _changed(request, stored, OVERVIEW, tab="yaml")
    return _editor(request, draft, OVERVIEW, source=form)


@require_POST
def discard(request: Request, pk: int) -> HttpResponse:
    line = get_object_or_404(Policy, pk=pk)
    if services.discard_draft(policy=line, author=request.user):
        messages.info(request, "Your draft is thrown away.")
    return see_other(request, reverse("policy", args=[line.pk]))


def _draft(request: Request, pk: int) -> PolicyDraft:
    """The draft that is being changed; a new one stands on the version that the page showed."""
    line = get_object_or_404(Policy, pk=pk)
    draft = draft_of(line, request.user)
    number = request.POST.get("base", "")
    if draft.pk is None and number.isdecimal():
        seen = get_object_or_404(
            PolicyVersion.objects.select_related("policy"), policy=line, number=number
        )
        draft.base, draft.document = seen, seen.document
    return draft


def _whose(draft: PolicyDraft) -> services.Draft:
    return services.Draft(draft.policy, draft.author, draft.base)


def _asked(data: QueryDict) -> Item:
    try:
        return Item.parse(data.get("item", "overview"))
    except ItemError:
        return OVERVIEW


def _form(draft: PolicyDraft, item: Item, data: QueryDict | None = None) -> ItemForm:
    values = read_item(draft.document, item)
    return FORMS[item.section](data, document=draft.document, item=item, values=values)


def _blank(draft: PolicyDraft, section: str, key: str) -> Mapping[str, Any]:
    first = {
        name: next((row["key"] for row in draft.document[name]), "")
        for name in ("response_types", "content_areas")
    }
    titled = {"key": key, "title": "", "description": ""}
    blanks: dict[str, Mapping[str, Any]] = {
        "content_areas": titled,
        "response_types": titled,
        "categories": titled
        | {"response_type": first["response_types"], "area": first["content_areas"]},
        "propositions": {"key": key, "question": "", "guideline": "", "examples": []},
        "derived_propositions": {"key": key, "all_of": {}},
        "completion_classes": {"key": key, "rules": {}},
        "implications": {"given": {}, "then": {}},
        "exclusions": {"literals": {}},
    }
    return blanks[section]


def _changed(request: Request, draft: PolicyDraft, item: Item, tab: str = "") -> HttpResponse:
    query = urlencode({"tab": tab} if tab else {"item": str(item)})
    kept = "".join(f"&{urlencode({'conflict': path})}" for path in request.GET.getlist("conflict"))
    url = f"{reverse('policy_draft', args=[draft.policy_id])}?{query}{kept}"
    if not request.htmx:
        return see_other(request, url)
    response = _editor(request, draft, item, saved=True, tab=tab)
    response["HX-Replace-Url"] = url
    return response


def _refused(request: Request, draft: PolicyDraft, item: Item, reason: str) -> HttpResponse:
    return _editor(request, draft, item, refusal=reason)


def _editor(
    request: Request,
    draft: PolicyDraft,
    item: Item,
    *,
    form: ItemForm | None = None,
    source: SourceForm | None = None,
    refusal: str = "",
    saved: bool = False,
    tab: str = "",
) -> HttpResponse:
    """The page or its fragment; 422 with the form as it was sent if something is wrong with it."""
    refused = bool(refusal or form or source)
    tab = "yaml" if source else tab or request.GET.get("tab", "")
    findings = draft_findings(draft)
    latest = draft.policy.latest
    context: dict[str, Any] = {
        "policy": draft.policy,
        "editor": reverse("policy_draft", args=[draft.policy_id]),
        "draft": draft,
        "latest": latest,
        "is_stale": draft.base_id != latest.pk,
        "sections": outline(draft.document, draft.base.document, findings),
        "lint": lint_lines(findings),
        "n_errors": sum(finding.severity == "error" for finding in findings),
        "conflicts": request.GET.getlist("conflict"),
        "others": other_drafts(draft.policy, request.user.pk),
        "refusal": refusal,
        "saved": saved,
        "tab": tab,
    }
    context |= _source(draft, source) if tab == "yaml" else _part(draft, item, form)
    page = "_draft.html" if wants_fragment(request) else "policy_draft.html"
    response = render(request, f"annotation/{page}", context, status=422 if refused else 200)
    response["Vary"] = "HX-Request"
    return response


def _part(draft: PolicyDraft, item: Item, form: ItemForm | None) -> dict[str, Any]:
    try:
        form = form or _form(draft, item)
    except ItemError:
        item = OVERVIEW
        form = _form(draft, item)
    is_known = (
        item.section == "propositions"
        and Proposition.objects.filter(policy=draft.policy, key=item.key).exists()
    )
    return {
        "item": item,
        "item_name": name_of(draft.document, item),
        "form": form,
        "uses": [(use, name_of(draft.document, use)) for use in uses(draft.document, item)],
        "n_labels": _n_labels(draft.policy, item.key) if is_known else 0,
    }


def _n_labels(line: Policy, key: str) -> int:
    return Proposition.objects.get(policy=line, key=key).labels.count()


def _source(draft: PolicyDraft, form: SourceForm | None) -> dict[str, Any]:
    policy = KernelPolicy.from_document(draft.document, name=draft.policy.name)
    return {"source": form or SourceForm(initial={"text": write_policy(policy)})}
