"""What the policy asks people: its propositions as a labelling page words them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from annotation.models import Policy, PolicyVersion
from rbr_app.rbr.policy import Policy as KernelPolicy

QUESTION = re.compile(r"[^?]*\?[\"'”’)]*(?=\s|$)")
BREAK = re.compile(r"\n\s*(\n|[-*#•>`|]|\d+[.)] )")
WRAPPED = re.compile(r"(?<=[^\s.:!?>|`])\n(?=[a-z])")
"""A line break within a sentence: files wrap their lines, pages wrap them anew."""
HEADING_WORDS = 4
"""A line that ends with a colon and has fewer words announces something; it asks nothing."""


@dataclass(frozen=True)
class Wording:
    """A question in two parts: the sentence that asks, and what explains it, if anything."""

    lead: str
    rest: str


@lru_cache(maxsize=1_000)
def wording(question: str) -> Wording:
    """Find the sentence that asks, so that it can be read at a glance.

    Released questions are whole pages: the sentence mostly opens the text and ends with a question
    mark; failing that the first line that is no heading has to do. No word is lost: what is not in
    the lead is in the rest, which is the whole text where the lead does not open it.
    """
    text = question.strip()
    found = QUESTION.match(text)
    if found and not BREAK.search(found[0]):
        return Wording(_one_line(found[0]), reflowed(text[found.end() :]))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    asking = next((line for line in lines if not _is_heading(line)), text)
    lead = re.split(r"(?<=[.!?])\s", asking)[0]
    if text.startswith(lead):
        return Wording(lead, reflowed(text[len(lead) :]))
    return Wording(lead, reflowed(text))


def reflowed(text: str) -> str:
    """The text without the line breaks that only keep a file's lines short."""
    return WRAPPED.sub(" ", text.strip())


def _is_heading(line: str) -> bool:
    return line.startswith("#") or (line.endswith(":") and len(line.split()) < HEADING_WORDS)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def current_version(policy: Policy) -> PolicyVersion:
    """The newest version without its texts, which `kernel_policy` knows."""
    versions = policy.versions.select_related("policy").defer("document", "source")
    return versions.latest("number")


def kernel_policy(version: PolicyVersion) -> KernelPolicy:
    """A version's policy; parsed once per process, since a version never changes."""
    return _parsed(version.pk, version.fingerprint)


@lru_cache(maxsize=32)
def _parsed(pk: int, fingerprint: str) -> KernelPolicy:
    return PolicyVersion.objects.select_related("policy").get(pk=pk).as_policy()
