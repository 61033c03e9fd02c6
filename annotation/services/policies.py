"""Adds policy versions, and says which of them changed what words mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation.models import (
    DefinitionChange,
    DefinitionFlag,
    Policy,
    PolicyVersion,
    Proposition,
)
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.lint import Finding, errors
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import PolicyError, as_key
from rbr_app.rbr.policy_check import parse_document
from rbr_app.rbr.policy_diff import Change, diff, rules_changed, touched_propositions
from rbr_app.rbr.policy_files import read_policy
from rbr_app.rbr.policy_writer import write_policy


class UnsoundPolicy(PolicyError):
    """A policy whose classes overlap or leave gaps; `findings` hold the witnesses."""

    def __init__(self, findings: Collection[Finding]) -> None:
        super().__init__("; ".join(finding.message for finding in findings))
        self.findings = tuple(findings)


class StaleSave(ValueError):
    """Somebody saved a version in the meantime; `latest` is theirs."""

    def __init__(self, latest: PolicyVersion) -> None:
        super().__init__(f"{latest} was saved in the meantime")
        self.latest = latest


class NothingChanged(ValueError):
    """The version would be the same as the one it is based on."""


@dataclass(frozen=True)
class PolicyImport:
    """What an import did: the version that holds the file's policy, and whether it is new."""

    version: PolicyVersion
    added: bool


@transaction.atomic
def import_policy(
    *,
    text: str,
    name: str = "",
    fallback_name: str = "",
    author: User | None = None,
    note: str = "",
    wording_only: bool = False,
) -> PolicyImport:
    """Add the policy in `text` as the next version of the line `name`.

    Without `name` the file's own counts, else `fallback_name`. The same policy again is the same
    version. Whatever differs from the latest version in a way that can change what a label means
    is taken to do so, unless `wording_only`. Raises `PolicyError` when the file cannot be used.
    """
    policy = read_policy(text)
    key = as_key(name or policy.name or fallback_name)
    if not key:
        raise PolicyError("the policy has no name: give one")
    longest = Policy._meta.get_field("name").max_length or 0
    if len(key) > longest:
        raise PolicyError(f"the name {key!r} is longer than {longest} characters")
    Policy.objects.get_or_create(name=key)
    line = _locked(name=key)
    latest = line.versions.order_by("number").last()
    if latest is not None and latest.fingerprint == fingerprint(policy.as_document()):
        return PolicyImport(latest, added=False)
    changes = diff(latest.as_policy(), policy) if latest else []
    meaning = () if wording_only else touched_propositions(changes)
    version = _add_version(
        line,
        latest,
        policy,
        source=text,
        author=author,
        note=note,
        meaning=meaning,
        rules=rules_changed(changes),
    )
    return PolicyImport(version, added=True)


@transaction.atomic
def save_version(
    *,
    policy: Policy,
    base: PolicyVersion,
    document: Mapping[str, Any],
    author: User | None,
    note: str = "",
    meaning: Collection[str] = (),
    rules_changed: bool = False,
) -> PolicyVersion:
    """Add the edited `document` as the version after `base`.

    `meaning` names the propositions that mean something else now. Raises `StaleSave` when `base`
    is no longer the latest version, `UnsoundPolicy` or `PolicyError` when the policy cannot be
    used, and `NothingChanged`. Of several people who save at once on one base, one succeeds.
    """
    line = _locked(pk=policy.pk)
    latest = line.versions.select_related("policy").latest("number")
    if latest.pk != base.pk:
        raise StaleSave(latest)
    edited = parse_document(document, name=line.name)
    if findings := errors(edited):
        raise UnsoundPolicy(findings)
    if latest.fingerprint == fingerprint(edited.as_document()):
        raise NothingChanged(f"nothing differs from {latest}")
    changed = {change.proposition for change in diff(latest.as_policy(), edited)}
    return _add_version(
        line,
        latest,
        edited,
        source=write_policy(edited),
        author=author,
        note=note,
        meaning=[key for key in meaning if key in changed],
        rules=rules_changed,
    )


@dataclass(frozen=True)
class MeaningChoice:
    """A proposition of which the author has to say whether its meaning changed."""

    key: str
    changes: tuple[Change, ...]
    default: bool


def meaning_choices(base: PolicyVersion, edited: KernelPolicy) -> list[MeaningChoice]:
    """The propositions that `edited` changes and whose labels a change of meaning makes stale.

    A proposition that an earlier version had and `base` has not may have labels of old.
    """
    changes = diff(base.as_policy(), edited)
    known = set(Proposition.objects.filter(policy=base.policy_id).values_list("key", flat=True))
    found = []
    for key in edited.proposition_keys:
        about = tuple(change for change in changes if change.proposition == key)
        if about and key in known:
            found.append(MeaningChoice(key, about, any(c.default_meaning for c in about)))
    return found


@transaction.atomic
def resolve_flag(*, flag: DefinitionFlag, actor: User) -> DefinitionFlag:
    """Close a note on a definition. One that is closed stays as it was closed."""
    flag = DefinitionFlag.objects.select_for_update().get(pk=flag.pk)
    if flag.resolved_at is None:
        flag.resolved_at, flag.resolved_by = timezone.now(), actor
        flag.save(update_fields=["resolved_at", "resolved_by"])
    return flag


def _locked(**which: Any) -> Policy:
    """The line, held until the transaction ends: whoever adds a version to it takes turns."""
    return Policy.objects.select_for_update().get(**which)


def _add_version(
    line: Policy,
    parent: PolicyVersion | None,
    policy: KernelPolicy,
    *,
    source: str,
    author: User | None,
    note: str,
    meaning: Collection[str],
    rules: bool,
) -> PolicyVersion:
    document = policy.as_document()
    version = PolicyVersion.objects.create(
        policy=line,
        number=parent.number + 1 if parent else 1,
        parent=parent,
        author=author,
        note=note,
        source=source,
        document=document,
        fingerprint=fingerprint(document),
    )
    known = set(Proposition.objects.filter(policy=line).values_list("key", flat=True))
    Proposition.objects.bulk_create(
        [Proposition(policy=line, key=key) for key in policy.proposition_keys],
        ignore_conflicts=True,
    )
    # What is new here has no labels that could have meant something else, what is gone no use.
    keys = known.intersection(meaning, policy.proposition_keys)
    changed = Proposition.objects.filter(policy=line, key__in=keys)
    rows = [DefinitionChange(version=version, proposition=row) for row in changed]
    if parent is not None and rules:
        rows.append(DefinitionChange(version=version, proposition=None))
    DefinitionChange.objects.bulk_create(rows)
    return version
