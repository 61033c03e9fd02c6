"""Policies for their pages: the list, one version, its history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery

from annotation.models import (
    DefinitionChange,
    DefinitionFlag,
    Policy,
    PolicyDraft,
    PolicyVersion,
)
from rbr_app.rbr.policy import Category, ContentArea, Literals
from rbr_app.rbr.policy import Policy as KernelPolicy


def policies(user_pk: int) -> QuerySet[Policy]:
    """Policies with their sizes, when they last changed, and the reader's draft if there is one."""
    newest = PolicyVersion.objects.filter(policy=OuterRef("pk")).order_by("-number")
    mine = PolicyDraft.objects.filter(policy=OuterRef("pk"), author=user_pk)
    return Policy.objects.annotate(
        n_versions=Count("versions", distinct=True),
        n_propositions=Count("propositions", distinct=True),
        n_sets=Count("conversation_sets", distinct=True),
        n_drafts=Count("drafts", distinct=True),
        title=Subquery(newest.values("document__title")[:1]),
        changed_at=Subquery(newest.values("created_at")[:1]),
        draft_at=Subquery(mine.values("updated_at")[:1]),
    ).order_by("name")


def versions_of(policy: Policy) -> QuerySet[PolicyVersion]:
    """The versions of a policy, newest first, with what changed its meaning in each."""
    changes = DefinitionChange.objects.select_related("proposition").order_by("proposition__key")
    return (
        policy.versions.select_related("policy", "author", "parent")
        .prefetch_related(Prefetch("definition_changes", changes, to_attr="changes"))
        .order_by("-number")
    )


@dataclass(frozen=True)
class MeaningChange:
    """What a version's author said of it: wording only, or whose meaning changed."""

    propositions: tuple[str, ...]
    rules: bool

    def __str__(self) -> str:
        named = [*self.propositions, *(["rules"] if self.rules else [])]
        return f"meaning changed: {', '.join(named)}" if named else "wording only"

    def __bool__(self) -> bool:
        return bool(self.propositions or self.rules)


def meaning_change(version: PolicyVersion) -> MeaningChange | None:
    """For a version out of `versions_of`; a first version changed nothing."""
    if version.parent_id is None:
        return None
    rows: list[DefinitionChange] = version.changes  # type: ignore[attr-defined]
    keys = tuple(row.proposition.key for row in rows if row.proposition is not None)
    return MeaningChange(keys, any(row.proposition_id is None for row in rows))


def open_flags(policy: Policy) -> QuerySet[DefinitionFlag]:
    """Notes that a definition needs work, oldest first."""
    return (
        DefinitionFlag.objects.filter(proposition__policy=policy, resolved_at=None)
        .select_related("proposition", "author", "policy_version", "completion")
        .order_by("pk")
    )


def other_drafts(policy: Policy, user_pk: int) -> list[tuple[str, datetime]]:
    """Who else is editing the policy, and since when their draft rests."""
    rows = policy.drafts.exclude(author=user_pk).order_by("-updated_at")
    return list(rows.values_list("author__username", "updated_at"))


def in_order(policy: KernelPolicy, literals: Literals) -> Literals:
    """A conjunction in the policy's order, derived propositions first: a JSON column has none."""
    names = (*policy.derived, *policy.proposition_keys)
    return {name: literals[name] for name in names if name in literals}


def derived_of(policy: KernelPolicy) -> list[tuple[str, Literals]]:
    return [(name, in_order(policy, literals)) for name, literals in policy.derived.items()]


def constraints_of(policy: KernelPolicy) -> list[tuple[Literals, Literals]]:
    """Implications as ``(if, then)``, and exclusions as ``(never, nothing)``."""
    rules = [(in_order(policy, r.given), in_order(policy, r.then)) for r in policy.implications]
    return rules + [(in_order(policy, literals), {}) for literals in policy.exclusions]


Areas = list[tuple[ContentArea | None, list[Category]]]


def areas(policy: KernelPolicy) -> Areas:
    """Content areas with their categories; categories of no area come last."""
    known = {area.key for area in policy.content_areas}
    groups: Areas = [
        (area, [row for row in policy.categories if row.area == area.key])
        for area in policy.content_areas
    ]
    rest = [row for row in policy.categories if row.area not in known]
    return [*groups, (None, rest)] if rest else groups
