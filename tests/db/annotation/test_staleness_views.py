"""The page of stale labels."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from annotation.models import (
    Label,
    Policy,
    Reveal,
)
from annotation.services.policies import import_policy
from tests.db.annotation.policy_pages import (
    CONSTRAINED,
    HTMX,
    SHARPER,
    text,
    url,
)
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def line(db: None) -> Policy:
    return import_policy(text=CONSTRAINED).version.policy


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


# Stale labels


@pytest.fixture
def stale(line: Policy, ana: User, ben: User) -> dict[str, Label]:
    """One stale label of ana, one of ben and one of the file, each on a completion of its own."""
    gold = ConversationSetFactory(policy=line)
    found = {
        name: LabelFactory(
            completion=CompletionFactory(conversation__conversation_set=gold),
            key="rude",
            annotator=person,
        )
        for name, person in (("ana", ana), ("ben", ben), ("file", None))
    }
    import_policy(text=CONSTRAINED.replace(*SHARPER))
    return found


def test_stale_labels_are_counted_and_listed_with_what_changed(
    page: Client, line: Policy, stale: dict[str, Label]
) -> None:
    response = page.get(url("policy_stale", line))
    assert response.context["summary"].n == 3
    assert text(response).count("<del>rude</del><ins>insulting</ins>") == 3
    mine = page.get(url("policy_stale", line, f"?person={stale['ana'].annotator_id}"), headers=HTMX)
    assert [row["label"] for row in mine.context["rows"]] == [stale["ana"]]
    assert "3 labels stale" in text(page.get(url("policy", line)))


def test_the_stale_page_takes_as_many_queries_for_many_labels_as_for_few(
    page: Client, line: Policy, stale: dict[str, Label]
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page.get(url("policy_stale", line))
        return len(captured)

    few = queries()
    for label in list(stale.values()) * 3:
        LabelFactory(
            completion=CompletionFactory(
                conversation__conversation_set=label.completion.conversation.conversation_set
            ),
            key="rude",
            annotator=label.annotator,
            policy_version=label.policy_version,
        )
    assert page.get(url("policy_stale", line)).context["n_listed"] == 12
    assert queries() == few


def test_the_answer_of_somebody_else_is_hidden_until_asked_for(
    page: Client, line: Policy, ana: User, stale: dict[str, Label]
) -> None:
    def hidden() -> list[Label]:
        rows = page.get(url("policy_stale", line)).context["rows"]
        return [row["label"] for row in rows if row["is_hidden"]]

    assert hidden() == [stale["ben"]]
    page.post(reverse("reveal_stale_label", args=[stale["ben"].pk]))
    assert hidden() == []
    assert Reveal.objects.get().annotator == ana


def test_a_label_that_still_holds_leaves_the_list(
    page: Client, line: Policy, stale: dict[str, Label]
) -> None:
    response = page.post(
        reverse("confirm_stale_label", args=[stale["ana"].pk]) + "?proposition=rude", headers=HTMX
    )
    assert response.status_code == 200
    assert response.context["summary"].n == 2
    assert response.context["proposition"] == "rude"
    plain = page.post(reverse("confirm_stale_label", args=[stale["file"].pk]))
    assert plain["Location"].startswith(url("policy_stale", line))


def test_all_labels_of_a_proposition_are_confirmed_at_once(
    page: Client, line: Policy, stale: dict[str, Label]
) -> None:
    page.post(url("confirm_labels", line), {"proposition": "rude", "latest": "2"})
    assert page.get(url("policy_stale", line)).context["summary"].n == 0
    unknown = page.post(url("confirm_labels", line), {"proposition": "x", "latest": "2"})
    assert unknown.status_code == 404


def test_nothing_is_confirmed_under_a_definition_that_was_not_shown(
    page: Client, line: Policy, stale: dict[str, Label]
) -> None:
    page.post(url("confirm_labels", line), {"proposition": "rude", "latest": "1"})
    assert page.get(url("policy_stale", line)).context["summary"].n == 3
