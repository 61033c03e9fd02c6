"""Adds policy versions."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction

from annotation.models import Policy, PolicyVersion, Proposition
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.policy import PolicyError, as_key
from rbr_app.rbr.policy_files import read_policy


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
) -> PolicyImport:
    """Add the policy in `text` as the next version of the line `name`.

    Without `name` the file's own counts, else `fallback_name`. The same policy again is the same
    version. Raises `PolicyError` when the file cannot be used.
    """
    policy = read_policy(text)
    key = as_key(name or policy.name or fallback_name)
    if not key:
        raise PolicyError("the policy has no name: give one")
    longest = Policy._meta.get_field("name").max_length or 0
    if len(key) > longest:
        raise PolicyError(f"the name {key!r} is longer than {longest} characters")
    Policy.objects.get_or_create(name=key)
    # Two imports into one line take turns, so that numbers follow each other.
    line = Policy.objects.select_for_update().get(name=key)
    document = policy.as_document()
    digest = fingerprint(document)
    latest = line.versions.order_by("number").last()
    if latest is not None and latest.fingerprint == digest:
        return PolicyImport(latest, added=False)
    version = PolicyVersion.objects.create(
        policy=line,
        number=latest.number + 1 if latest else 1,
        parent=latest,
        author=author,
        note=note,
        source=text,
        document=document,
        fingerprint=digest,
    )
    Proposition.objects.bulk_create(
        [Proposition(policy=line, key=key) for key in policy.proposition_keys],
        ignore_conflicts=True,
    )
    return PolicyImport(version, added=True)
