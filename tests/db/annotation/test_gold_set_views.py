"""Pages of Gold sets: all of them, the list, one set, a new one, its settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, GoldVersion, LabellingQueue
from annotation.services.gold_versions import freeze_gold_set
from annotation.views import gold_sets as views
from tests.factories import (
    ConversationSetFactory,
    PolicyFactory,
    fill,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
PARTS = (
    "gold_set",
    "gold_coverage",
    "gold_consistency",
    "gold_split",
    "gold_leakage",
    "gold_versions",
    "gold_settings",
)
"""Pages of one set that are read."""
WRITTEN = ("gold_coverage", "gold_split", "gold_versions", "gold_settings")
"""Those that take a POST too."""


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Four train rows and three test rows, labelled."""
    found = ConversationSetFactory(name="gold")
    fill(found, "train", 4, labelled=True)
    fill(found, "test", 3, labelled=True)
    return found


@pytest.fixture
def version(gold: ConversationSet, rhea: User) -> GoldVersion:
    return freeze_gold_set(conversation_set=gold, author=rhea, note="first")[0]


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


def text(response: Any) -> str:
    return str(response.content.decode())


def url(name: str, gold: ConversationSet, *more: int) -> str:
    return reverse(name, args=[gold.pk, *more])


def urls(gold: ConversationSet, version: GoldVersion) -> list[str]:
    return [
        reverse("gold_sets"),
        reverse("gold_set_new"),
        *(url(name, gold) for name in PARTS),
        url("gold_version", gold, version.number),
        url("gold_version_export", gold, version.number),
    ]


def test_every_page_opens(page: Client, gold: ConversationSet, version: GoldVersion) -> None:
    for address in urls(gold, version):
        assert page.get(address).status_code == 200, address


def test_every_page_asks_to_sign_in(
    client: Client, gold: ConversationSet, version: GoldVersion
) -> None:
    for address in urls(gold, version):
        for answer in (client.get(address), client.post(address)):
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/login/")
    assert GoldVersion.objects.count() == 1


def test_what_only_reads_takes_no_post(
    page: Client, gold: ConversationSet, version: GoldVersion
) -> None:
    reading = [url(name, gold) for name in PARTS if name not in WRITTEN]
    for address in (
        *reading,
        reverse("gold_sets"),
        url("gold_version", gold, version.number),
        url("gold_version_export", gold, version.number),
    ):
        assert page.post(address).status_code == 405, address


@pytest.mark.parametrize("name", ["gold_set_new", *WRITTEN])
def test_what_writes_takes_no_put(page: Client, gold: ConversationSet, name: str) -> None:
    address = reverse(name) if name == "gold_set_new" else url(name, gold)
    assert page.put(address).status_code == 405


def test_an_unknown_set_or_version_is_404(page: Client, gold: ConversationSet) -> None:
    for name in PARTS:
        assert page.get(reverse(name, args=[10**9])).status_code == 404, name
    for name in ("gold_version", "gold_version_export"):
        assert page.get(url(name, gold, 7)).status_code == 404


# The list and the set


def test_the_list_counts_rows_truths_disputes_and_versions(
    page: Client, gold: ConversationSet, version: GoldVersion, django_assert_num_queries: Any
) -> None:
    fill(gold, "test", 2)
    ConversationSetFactory(name="empty")
    # Session, user, the list.
    with django_assert_num_queries(3):
        response = page.get(reverse("gold_sets"))
    assert [
        (row.name, row.n_train, row.n_test, row.n_labelled, row.n_disputed, row.n_versions)
        for row in response.context["sets"]
    ] == [("empty", 0, 0, 0, 0, 0), ("gold", 4, 5, 7, 0, 1)]
    assert "7 of 9 rows have a Gold truth" in text(response)


def test_the_classes_of_a_large_set_are_counted_after_the_page(
    page: Client, gold: ConversationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "AT_ONCE", 6)
    whole = page.get(url("gold_set", gold))
    assert "class_rows" not in whole.context
    assert f'hx-get="{url("gold_set", gold)}?part=classes"' in text(whole)
    part = page.get(url("gold_set", gold), {"part": "classes"}, headers=HTMX)
    assert text(part).lstrip().startswith('<div id="class-table">')
    assert part.context["class_rows"][0].n == 7


def test_a_sampled_list_leads_to_a_queue_of_the_same_rows(
    page: Client, gold: ConversationSet
) -> None:
    body = text(page.get(url("gold_set", gold), {"sample": "3", "sample_seed": "2"}))
    assert "3 of 7 completions are in the sample" in body
    assert '<input type="hidden" name="sample" value="3">' in body
    data = {"conversation_set": gold.pk, "sample": "3", "sample_seed": "2"}
    page.post(reverse("queue_new"), data)
    assert LabellingQueue.objects.get().slots.count() == 3


# A new set


def test_the_form_shows_what_it_would_copy_before_it_does(
    page: Client, gold: ConversationSet
) -> None:
    address = reverse("gold_set_new")
    query = {"sources": gold.pk, "split": "train", "size": "3"}
    response = page.get(address, query, headers=HTMX)
    assert text(response).lstrip().startswith('<form id="gold-set-form"')
    draw = response.context["draw"]
    assert (len(draw.pks), draw.available) == (3, 4)
    assert page.get(address).context["draw"] is None
    assert ConversationSet.objects.count() == 1


def test_a_post_makes_the_set_that_was_shown(
    page: Client, gold: ConversationSet, ana: User
) -> None:
    data = {
        "name": "new",
        "sources": gold.pk,
        "policy": gold.policy_id,
        "split": "train",
        "size": "3",
        "seed": "4",
        "note": "why",
        "with_labels": "on",
    }
    shown = page.get(reverse("gold_set_new"), data).context["draw"]
    response = page.post(reverse("gold_set_new"), data)
    made = ConversationSet.objects.get(name="new")
    assert response["Location"] == url("gold_set", made)
    assert (made.policy, made.note, made.created_by) == (gold.policy, "why", ana)
    copies = Completion.objects.filter(conversation__conversation_set=made)
    assert sorted(copies.values_list("copied_from", flat=True)) == shown.pks
    assert "3 completions and 9 labels were copied." in text(page.get(response["Location"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "Give the set a name."),
        ({"name": "Not A Name"}, "Use lower case"),
        ({"name": "gold"}, "There is a set gold already."),
        ({"sources": ""}, "Choose at least one set."),
        ({"size": "0"}, "Sample size"),
        ({"text": "no such words"}, "No completion meets the filter."),
        ({"split": "nonsense"}, "Split:"),
    ],
)
def test_a_set_that_cannot_be_made_is_refused_with_the_reason(
    page: Client, gold: ConversationSet, change: dict[str, str], said: str
) -> None:
    data = {"name": "new", "sources": str(gold.pk), "policy": str(gold.policy_id)} | change
    sent = {name: value for name, value in data.items() if value}
    response = page.post(reverse("gold_set_new"), sent)
    assert response.status_code == 422
    assert said in text(response)
    assert ConversationSet.objects.count() == 1


def test_labels_of_another_policy_are_refused_at_their_box(
    page: Client, gold: ConversationSet
) -> None:
    other = PolicyFactory()
    data = {"name": "new", "sources": gold.pk, "policy": other.pk, "with_labels": "on"}
    response = page.post(reverse("gold_set_new"), data)
    assert response.status_code == 422
    assert "gold is read under another policy" in response.context["form"].errors["with_labels"][0]


def test_without_a_policy_the_form_says_what_is_missing(page: Client) -> None:
    assert "No policy yet" in text(page.get(reverse("gold_set_new")))
    assert page.post(reverse("gold_set_new"), {"name": "x"}).status_code == 422


# Settings


def test_settings_are_saved(page: Client, gold: ConversationSet) -> None:
    address = url("gold_settings", gold)
    data = {"allow_majority": "on", "coverage_floor": "9", "note": "ours"}
    assert page.post(address, data)["Location"] == address
    gold.refresh_from_db()
    assert (gold.allow_majority, gold.coverage_floor, gold.note) == (True, 9, "ours")
    page.post(address, {"coverage_floor": "9", "note": "ours"})
    gold.refresh_from_db()
    assert not gold.allow_majority


def test_settings_that_are_wrong_are_refused_with_what_was_typed(
    page: Client, gold: ConversationSet
) -> None:
    data = {"coverage_floor": "many", "note": "typed"}
    response = page.post(url("gold_settings", gold), data, headers=HTMX)
    assert response.status_code == 422
    body = text(response)
    assert body.lstrip().startswith('<form id="gold-settings"')
    assert 'value="typed"' in body
    gold.refresh_from_db()
    assert gold.note == ""
