"""Pages of annotation: policies, sets, labelling."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, Label, LabelEvent
from annotation.models.labels import Answer
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
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


def test_the_rule_table_shows_the_class_that_is_asked_for(
    page: Client, gold: ConversationSet
) -> None:
    url = reverse("policy", args=[gold.policy_id])
    ideal = page.get(url).context["rules"]
    poor = page.get(url, {"class": "poor"}, headers=HTMX)
    # ideal: comply wants kind_help = helps and not rude; refuse wants neither.
    assert {row.key: row.demands for row in ideal} == {
        "helps": ("true", "false"),
        "rude": ("false", "false"),
        "cites": ("free", "free"),
    }
    assert {row.key: row.demands for row in poor.context["rules"]} == {
        "helps": ("false", "true"),
        "rude": ("false", "false"),
        "cites": ("free", "free"),
    }
    assert text(poor).lstrip().startswith('<div id="rule-table">')


def test_an_older_version_can_be_looked_at(page: Client, gold: ConversationSet) -> None:
    url = reverse("policy", args=[gold.policy_id])
    assert page.get(url, {"version": "1"}).context["version"].number == 1
    assert page.get(url, {"version": "77"}).context["version"].number == 1


def test_a_set_is_counted_by_split_class_and_proposition(
    page: Client, gold: ConversationSet
) -> None:
    overview = page.get(reverse("gold_set", args=[gold.pk])).context["overview"]
    assert overview.rows_per_split == {"train": 4, "test": 3}
    # Row i helps where i is even, is rude where 3 divides i. Train 0..3: rude, poor, ideal, rude;
    # test 0..2: rude, poor, ideal.
    (row,) = overview.class_rows
    assert [(cell.name, cell.n) for cell in row.counts] == [
        ("ideal", 2), ("poor", 2), ("rude_completion", 3), ("", 0),
    ]  # fmt: skip
    helps = next(row for row in overview.coverage if row.key == "helps")
    assert [(s.split, s.positives, s.negatives) for s in helps.splits] == [
        ("train", 2, 2), ("test", 2, 1),
    ]  # fmt: skip
    assert all(s.few_positives for s in helps.splits)


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


def test_previous_and_next_walk_the_filtered_list(page: Client, gold: ConversationSet) -> None:
    pks = list(
        Completion.objects.filter(conversation__split="test")
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    place = page.get(reverse("label", args=[pks[1]]), {"split": "test"}).context["place"]
    assert (place.previous, place.number, place.total, place.following) == (pks[0], 2, 3, pks[2])


def test_a_list_of_ids_is_walked_in_its_own_order(page: Client, gold: ConversationSet) -> None:
    a, b, c = Completion.objects.order_by("pk").values_list("pk", flat=True)[:3]
    place = page.get(reverse("label", args=[a]), {"ids": f"{c},{a},{b},x"}).context["place"]
    assert (place.previous, place.following) == (c, b)


def test_an_answer_that_leaves_the_filter_does_not_end_the_walk(
    page: Client, gold: ConversationSet
) -> None:
    query = {"proposition": "helps", "value": "true"}
    pks = page.get(reverse("gold_set", args=[gold.pk]), query).context["page"].object_list
    url = reverse("record_label", args=[pks[0], "helps"])
    page.post(url, {"answer": "false"})
    place = page.get(reverse("label", args=[pks[0]]), query).context["place"]
    assert place.following == pks[1]


def test_the_way_back_is_a_path_of_this_site_or_not_offered(
    page: Client, completion: Completion
) -> None:
    for back in ("//evil.example/", "https://evil.example/", "javascript:alert(1)", "\\\\evil"):
        assert page.get(label_url(completion), {"back": back}).context["back"] == ""
    assert page.get(label_url(completion), {"back": "/runs/1/"}).context["back"] == "/runs/1/"


def test_an_answer_returns_its_row_the_class_and_the_changes(
    page: Client, ana: User, completion: Completion
) -> None:
    response = page.post(label_url(completion, "rude"), {"answer": "false"}, headers=HTMX)
    assert response.status_code == 200
    body = text(response)
    assert body.lstrip().startswith('<li id="label-row-rude"')
    assert 'id="implied-class"' in body
    assert 'id="label-events"' in body
    assert body.count('hx-swap-oob="true"') == 2
    # The row was rude; without that it helps, which is ideal for comply.
    assert response.context["implied"].name == "ideal"
    stored = Label.objects.get(annotator=ana)
    assert (stored.proposition.key, stored.answer) == ("rude", Answer.FALSE)


def test_an_answer_without_htmx_leads_back_to_its_row(page: Client, completion: Completion) -> None:
    url = label_url(completion, "rude")
    response = page.post(f"{url}?split=train", {"answer": "cannot_decide"})
    assert response.status_code == 302
    assert response["Location"] == f"{label_url(completion)}?split=train#label-row-rude"


@pytest.mark.parametrize("data", [{}, {"answer": "maybe"}, {"answer": ""}])
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_an_answer_that_is_none_is_refused_with_its_row(
    page: Client, completion: Completion, data: dict[str, str], headers: dict[str, str]
) -> None:
    response = page.post(label_url(completion, "rude"), data, headers=headers)
    assert response.status_code == 422
    assert 'id="label-row-rude"' in text(response)
    assert 'role="alert"' in text(response)
    assert not LabelEvent.objects.exists()


def test_propositions_that_decide_the_class_come_first(
    page: Client, completion: Completion
) -> None:
    rows = page.get(label_url(completion)).context["rows"]
    assert [(row.proposition.key, row.relevant) for row in rows] == [
        ("helps", True), ("rude", True), ("cites", False),
    ]  # fmt: skip


def test_hostile_text_is_shown_and_never_run(page: Client) -> None:
    conversation = ConversationFactory(
        prompt=[{"role": "system", "content": HOSTILE}, {"role": "user", "content": HOSTILE}],
        category=HOSTILE[:100],
    )
    completion = CompletionFactory(conversation=conversation, text=HOSTILE, external_id=HOSTILE)
    gold_set = reverse("gold_set", args=[conversation.conversation_set.pk])
    for url in (label_url(completion), gold_set, f"{gold_set}?text=%3Cscript%3Ealert"):
        body = text(page.get(url))
        assert "<script>alert" not in body, url
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body, url


def test_an_empty_completion_is_shown_as_such(page: Client) -> None:
    assert "The completion is empty" in text(page.get(label_url(CompletionFactory(text=""))))
    blank = text(page.get(label_url(CompletionFactory(text=" \n "))))
    assert "white space only" in blank


def test_a_list_takes_the_same_number_of_queries_however_long_it_is(
    page: Client, gold: ConversationSet, django_assert_num_queries: Any
) -> None:
    url = reverse("gold_set", args=[gold.pk])
    # Session, user, set, latest version, rows, labels, filtered rows, page.
    with django_assert_num_queries(8):
        page.get(url)
    fill(gold, "train", 30, labelled=True)
    with django_assert_num_queries(8):
        page.get(url)


def test_the_labelling_page_takes_few_queries(
    page: Client, completion: Completion, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(11):
        page.get(label_url(completion))


def test_the_lists_of_policies_and_sets_take_one_query_each(
    page: Client, django_assert_num_queries: Any
) -> None:
    for _ in range(3):
        LabelFactory()
    for name in ("policies", "gold_sets"):
        # Session, user, the list.
        with django_assert_num_queries(3):
            page.get(reverse(name))
