"""Pages of annotation: policies, sets, labelling."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, Label
from tests.factories import (
    ConversationSetFactory,
    LabelFactory,
    fill,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
HOSTILE = '<script>alert(1)</script>\u202egnihtemos & "quoted" {{ 7|add:7 }}'


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Four train rows and three test rows, labelled."""
    conversation_set = ConversationSetFactory(name="gold")
    fill(conversation_set, "train", 4, labelled=True)
    fill(conversation_set, "test", 3, labelled=True)
    return conversation_set


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    found = Completion.objects.order_by("pk").first()
    assert found is not None
    return found


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


def label_url(completion: Completion, key: str = "") -> str:
    return (
        reverse("record_label", args=[completion.pk, key])
        if key
        else reverse("label", args=[completion.pk])
    )


def text(response: Any) -> str:
    return str(response.content.decode())


def test_every_page_opens(page: Client, completion: Completion) -> None:
    conversation_set = completion.conversation.conversation_set
    for url in (
        reverse("policies"),
        reverse("policy", args=[conversation_set.policy_id]),
        reverse("gold_sets"),
        reverse("gold_set", args=[conversation_set.pk]),
        label_url(completion),
    ):
        assert page.get(url).status_code == 200, url


def test_nothing_is_shown_or_changed_without_signing_in(
    client: Client, completion: Completion
) -> None:
    conversation_set = completion.conversation.conversation_set
    for url in (
        reverse("policies"),
        reverse("policy", args=[conversation_set.policy_id]),
        reverse("conversations"),
        reverse("gold_sets"),
        reverse("gold_set", args=[conversation_set.pk]),
        label_url(completion),
    ):
        response = client.get(url)
        assert response.status_code == 302, url
        assert response["Location"].startswith("/login/"), url
    refused = client.post(label_url(completion, "helps"), {"answer": "true"})
    assert refused.status_code == 302
    assert not Label.objects.exclude(annotator=None).exists()


def test_an_unknown_row_is_404(page: Client, completion: Completion) -> None:
    for name in ("policy", "gold_set", "label"):
        assert page.get(reverse(name, args=[10**9])).status_code == 404
    assert page.post(label_url(completion, "nonsense"), {"answer": "true"}).status_code == 404


def test_a_page_takes_no_post_and_saving_takes_no_get(page: Client, completion: Completion) -> None:
    conversation_set = completion.conversation.conversation_set
    for url in (
        reverse("policies"),
        reverse("policy", args=[conversation_set.policy_id]),
        reverse("gold_sets"),
        reverse("gold_set", args=[conversation_set.pk]),
        label_url(completion),
    ):
        assert page.post(url).status_code == 405, url
    assert page.get(label_url(completion, "helps")).status_code == 405


def test_empty_lists_say_which_command_fills_them(page: Client) -> None:
    assert "import_policy" in text(page.get(reverse("policies")))
    assert "import_conversations" in text(page.get(reverse("gold_sets")))


def test_conversations_lead_to_the_sets(page: Client) -> None:
    assert page.get(reverse("conversations"))["Location"] == reverse("gold_sets")


def test_an_older_version_can_be_looked_at(page: Client, gold: ConversationSet) -> None:
    url = reverse("policy", args=[gold.policy_id])
    assert page.get(url, {"version": "1"}).context["version"].number == 1
    assert page.get(url, {"version": "77"}).context["version"].number == 1


def test_a_set_is_counted_by_split_and_class(page: Client, gold: ConversationSet) -> None:
    context = page.get(reverse("gold_set", args=[gold.pk])).context
    assert context["sizes"].splits == {"train": 4, "test": 3}
    # Row i helps where i is even, is rude where 3 divides i. Train 0..3: rude, poor, ideal, rude;
    # test 0..2: rude, poor, ideal.
    (row,) = context["class_rows"]
    assert [(cell.name, cell.n) for cell in row.counts] == [
        ("ideal", 2), ("poor", 2), ("rude_completion", 3), ("", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "n"),
    [
        ({}, 7),
        ({"split": "test"}, 3),
        ({"completion_class": "rude_completion"}, 3),
        ({"completion_class": "incomplete"}, 0),
        ({"proposition": "helps", "value": "true", "split": "train"}, 2),
        ({"proposition": "helps", "value": "none"}, 0),
        ({"response_type": "refuse"}, 0),
        ({"category": "chat"}, 7),
        ({"text": "no such words"}, 0),
        ({"text": "QUESTION"}, 7),
        ({"split": "nonsense"}, 7),
    ],
)
def test_a_set_is_filtered_by_its_query_string(
    page: Client, gold: ConversationSet, query: dict[str, str], n: int
) -> None:
    response = page.get(reverse("gold_set", args=[gold.pk]), query, headers=HTMX)
    assert response.context["page"].paginator.count == n
    assert text(response).lstrip().startswith('<div id="completion-list">')


def test_a_list_takes_the_same_number_of_queries_however_long_it_is(
    page: Client, gold: ConversationSet, django_assert_num_queries: Any
) -> None:
    url = reverse("gold_set", args=[gold.pk])
    # Session, user, set, latest version, propositions, sizes, count, page, its rows, their
    # classes, the class table.
    with django_assert_num_queries(11):
        page.get(url)
    fill(gold, "train", 30, labelled=True)
    with django_assert_num_queries(11):
        page.get(url)


def test_the_lists_of_policies_and_sets_take_one_query_each(
    page: Client, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        LabelFactory()
    for name in ("policies", "gold_sets"):
        # Session, user, the list.
        with django_assert_num_queries(3):
            page.get(reverse(name))
