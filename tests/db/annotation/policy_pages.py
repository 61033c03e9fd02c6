"""What the tests of the policy pages share: a policy, addresses, a proposition as a form."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from annotation.models import Policy, PolicyDraft
from tests.factories import TINY

HTMX = {"HX-Request": "true"}
CONSTRAINED = TINY + "implications:\n  - {if: {rude: true}, then: {helps: false}}\n"
SHARPER = ("Is it rude?", "Is it insulting?")


def url(name: str, line: Policy, query: str = "") -> str:
    return reverse(name, args=[line.pk]) + query


def text(response: Any) -> str:
    return str(response.content.decode())


def rude(question: str = "Is it curt?", **more: str) -> dict[str, str]:
    return {
        "base": "1",
        "item": "propositions.rude",
        "key": "rude",
        "question": question,
        "guideline": "",
        "examples-TOTAL_FORMS": "0",
        "examples-INITIAL_FORMS": "0",
        **more,
    }


def draft() -> PolicyDraft:
    return PolicyDraft.objects.get()


def row(document: Any, key: str = "rude") -> Any:
    return next(row for row in document["propositions"] if row["key"] == key)


def saving(page: Client, line: Policy, **more: str) -> Any:
    """Save the draft that the dialog shows; `more` are the other fields."""
    seen = page.get(url("save_policy_draft", line)).context["form"]["seen"].value()
    return page.post(
        url("save_policy_draft", line), {"seen": seen, "note": "", **more}, headers=HTMX
    )
