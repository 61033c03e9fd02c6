"""A person's draft of a policy, and what the linter says of it."""

from __future__ import annotations

from django.contrib.auth.models import User

from annotation.models import Policy, PolicyDraft
from rbr_app.rbr.lint import ERROR, Finding, lint
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import PolicyError
from rbr_app.rbr.policy_check import parse_document


def draft_of(policy: Policy, author: User) -> PolicyDraft:
    """The stored draft, or where there is none an unsaved one that equals the latest version."""
    stored = policy.drafts.select_related("base__policy").filter(author=author).first()
    if stored is not None:
        return stored
    base = policy.latest
    return PolicyDraft(policy=policy, author=author, base=base, document=base.document)


def draft_policy(draft: PolicyDraft) -> KernelPolicy | None:
    """The draft as a policy, or None while its names do not fit together."""
    try:
        return parse_document(draft.document, name=draft.policy.name)
    except PolicyError:
        return None


def draft_findings(draft: PolicyDraft) -> list[Finding]:
    """What is wrong or doubtful with a draft: errors first.

    The first thing that makes it unreadable hides the rest: classes are not compared while a name
    is unknown.
    """
    try:
        return lint(parse_document(draft.document, name=draft.policy.name))
    except PolicyError as error:
        return [Finding("unreadable", ERROR, str(error), _place(str(error)))]


def _place(message: str) -> str:
    """Messages of the kernel begin with the place they are about, or with what is wrong there."""
    first = message.split(" ")[0].strip("`:'\"")
    if first == "proposition":
        return f"propositions.{message.split(' ')[1].strip(chr(39) + ':')}"
    return first
