"""Edits a person's draft of a policy. A draft exists from its first edit on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

from django.contrib.auth.models import User
from django.db import transaction

from annotation.draft_items import (
    Document,
    Item,
    Values,
    add_item,
    move_item,
    remove_item,
    write_item,
)
from annotation.models import Policy, PolicyDraft, PolicyVersion
from annotation.services.policies import save_version
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy_check import parse_document
from rbr_app.rbr.policy_diff import diff, rules_changed
from rbr_app.rbr.policy_files import parse_policy
from rbr_app.rbr.policy_merge import Conflict, merge

T = TypeVar("T")


class DraftChanged(ValueError):
    """The draft is not the one that its author looked at."""


@dataclass(frozen=True)
class Draft:
    """Whose edits of which policy. `base` is the version the person saw when they began."""

    policy: Policy
    author: User
    base: PolicyVersion


def write(*, draft: Draft, item: Item, values: Values) -> tuple[PolicyDraft, Item]:
    """Replace the values of a part; the part under its new key, should that have changed."""
    return _edit(draft, lambda document: write_item(document, item, values))


def add(*, draft: Draft, section: str, values: Values) -> tuple[PolicyDraft, Item]:
    """Add a part to a section."""
    return _edit(draft, lambda document: add_item(document, section, values))


def remove(*, draft: Draft, item: Item) -> PolicyDraft:
    """Remove a part and what mentions it."""
    return _edit(draft, lambda document: (remove_item(document, item), None))[0]


def move(*, draft: Draft, item: Item, step: int) -> tuple[PolicyDraft, Item]:
    """Move a part `step` places down its section."""
    return _edit(draft, lambda document: move_item(document, item, step))


def write_source(*, draft: Draft, text: str) -> PolicyDraft:
    """Replace the whole draft by a policy file; one that raises `PolicyError` replaces nothing."""
    document = parse_policy(text).as_document()
    return _edit(draft, lambda _: (document, None))[0]


@transaction.atomic
def discard_draft(*, policy: Policy, author: User) -> bool:
    """Throw the person's edits away; whether there were any."""
    return PolicyDraft.objects.filter(policy=policy, author=author).delete()[0] > 0


@transaction.atomic
def save_draft(
    *, draft: Draft, seen: str = "", note: str = "", meaning: Collection[str] = ()
) -> PolicyVersion:
    """Make the draft the next version of its policy, and end it.

    `seen` is the fingerprint of the document that the author looked at, if that is to be checked:
    `DraftChanged` when an edit in another tab came after it.
    What `services.policies.save_version` refuses leaves the draft as it is. A change of the rules
    is a change of meaning, whatever else the author says.
    """
    stored = _stored(draft)
    if seen and seen != fingerprint(stored.document):
        raise DraftChanged("the draft was edited since this was shown: look at it again")
    base = stored.base.as_policy()
    version = save_version(
        policy=draft.policy,
        base=stored.base,
        document=stored.document,
        author=draft.author,
        note=note,
        meaning=meaning,
        rules_changed=rules_changed(diff(base, parse_document(stored.document))),
    )
    stored.delete()
    return version


@transaction.atomic
def rebase_draft(*, draft: Draft) -> tuple[PolicyDraft, tuple[Conflict, ...]]:
    """Move the draft onto the latest version; what both changed stays as the draft has it."""
    stored = _stored(draft)
    latest = draft.policy.versions.select_related("policy").latest("number")
    if latest.pk == stored.base_id:
        return stored, ()
    mine = KernelPolicy.from_document(stored.document)
    merged = merge(stored.base.as_policy(), mine, latest.as_policy())
    stored.base, stored.document = latest, merged.document
    stored.save(update_fields=["base", "document", "updated_at"])
    return stored, merged.conflicts


def _stored(draft: Draft) -> PolicyDraft:
    """The draft's row, locked: edits in two tabs follow each other and none undoes another."""
    rows = PolicyDraft.objects.select_for_update(of=("self",)).select_related("base__policy")
    return rows.get(policy=draft.policy, author=draft.author)


@transaction.atomic
def _edit(draft: Draft, change: Callable[[Document], tuple[Document, T]]) -> tuple[PolicyDraft, T]:
    """Apply a change to the stored draft, begun from `draft.base` if there is none yet."""
    begun = {"base": draft.base, "document": draft.base.document}
    PolicyDraft.objects.get_or_create(policy=draft.policy, author=draft.author, defaults=begun)
    stored = _stored(draft)
    stored.document, found = change(stored.document)
    stored.save(update_fields=["document", "updated_at"])
    return stored, found
