"""Pages that check and freeze a Gold set: coverage, consistency, split, leakage, versions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import ConversationSet, GoldVersion, LabellingQueue
from annotation.services.gold_versions import freeze_gold_set
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


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


# Coverage


def test_a_cell_is_opened_with_its_rows_and_a_queue(page: Client, gold: ConversationSet) -> None:
    fill(gold, "test", 2)
    query = {"proposition": "helps", "split": "test", "response_type": "comply"}
    address = url("gold_coverage", gold)
    part = page.get(address, query | {"part": "cell"}, headers=HTMX)
    body = text(part)
    assert body.lstrip().startswith('<section id="coverage-cell"')
    cell = part.context["cell"]
    assert (cell.positives, cell.negatives, cell.undecided) == (2, 1, 2)
    assert "Label these next" in body
    assert page.get(address, query).context["cell"] == cell
    page.post(
        reverse("queue_new"), query | {"conversation_set": str(gold.pk), "state": "undecided"}
    )
    assert LabellingQueue.objects.get().slots.count() == 2


def test_a_cell_where_all_is_decided_offers_no_queue(page: Client, gold: ConversationSet) -> None:
    query = {"proposition": "helps", "split": "test", "part": "cell"}
    assert "Label these next" not in text(page.get(url("gold_coverage", gold), query, headers=HTMX))


@pytest.mark.parametrize("query", [{"proposition": "nonsense"}, {"split": "nonsense"}])
def test_an_unknown_cell_is_none(
    page: Client, gold: ConversationSet, query: dict[str, str]
) -> None:
    response = page.get(url("gold_coverage", gold), {"proposition": "helps"} | query)
    assert response.context["cell"] is None


def test_the_floor_is_changed_on_the_map(page: Client, gold: ConversationSet) -> None:
    address = url("gold_coverage", gold)
    response = page.post(address, {"coverage_floor": "2"}, headers=HTMX)
    assert text(response).lstrip().startswith('<div id="coverage">')
    assert response.context["coverage"].floor == 2
    gold.refresh_from_db()
    assert gold.coverage_floor == 2
    assert page.post(address, {"coverage_floor": "3"})["Location"] == address


@pytest.mark.parametrize("floor", ["", "-1", "x", "99999"])
def test_a_floor_that_is_none_is_refused(page: Client, gold: ConversationSet, floor: str) -> None:
    response = page.post(url("gold_coverage", gold), {"coverage_floor": floor}, headers=HTMX)
    assert response.status_code == 422
    assert 'role="alert"' in text(response)
    gold.refresh_from_db()
    assert gold.coverage_floor == 5


# Consistency


def test_contradictions_lead_to_their_completions(page: Client, gold: ConversationSet) -> None:
    prompt = [{"role": "user", "content": "Same?"}]
    conversation = ConversationFactory(conversation_set=gold, prompt=prompt)
    twice = [
        CompletionFactory(conversation=conversation, text="Yes.", occurrence=n) for n in range(2)
    ]
    for row, answer in zip(twice, ("true", "false"), strict=True):
        LabelFactory(completion=row, answer=answer)
    body = text(page.get(url("gold_consistency", gold)))
    for row in twice:
        assert reverse("label", args=[row.pk]) in body
    assert "Nothing contradicts itself" not in body


def test_a_set_without_contradictions_says_so(page: Client, gold: ConversationSet) -> None:
    assert "Nothing contradicts itself" in text(page.get(url("gold_consistency", gold)))


# Split


def test_a_split_is_drawn_and_the_page_says_what_moved(
    page: Client, gold: ConversationSet, version: GoldVersion
) -> None:
    address = url("gold_split", gold)
    assert "1 frozen version keeps the split" in text(page.get(address))
    response = page.post(address, {"test_share": "0.5", "seed": "3"})
    assert response["Location"] == address
    gold.refresh_from_db()
    assert (gold.split_seed, gold.test_share) == (3, 0.5)
    body = text(page.get(address))
    assert "completions changed sides" in body
    assert "drawn here with seed <b>3</b>" in body


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"test_share": "0", "seed": "1"},
        {"test_share": "1", "seed": "1"},
        {"test_share": "nan", "seed": "1"},
        {"test_share": "0.5", "seed": "-1"},
        {"test_share": "0.5", "seed": str(2**60)},
    ],
)
def test_a_split_that_cannot_be_drawn_is_refused(
    page: Client, gold: ConversationSet, data: dict[str, str]
) -> None:
    response = page.post(url("gold_split", gold), data, headers=HTMX)
    assert response.status_code == 422
    assert text(response).lstrip().startswith('<section id="gold-split-form"')
    gold.refresh_from_db()
    assert gold.split_seed is None


def test_an_empty_set_is_neither_split_nor_frozen(page: Client) -> None:
    empty = ConversationSetFactory()
    split = page.post(url("gold_split", empty), {"test_share": "0.5", "seed": "1"})
    assert (split.status_code, "no completion to split" in text(split)) == (422, True)
    frozen = page.post(url("gold_versions", empty), {"note": ""})
    assert (frozen.status_code, "no completion to freeze" in text(frozen)) == (422, True)


def test_leaks_are_listed_with_links_to_both_rows(page: Client, gold: ConversationSet) -> None:
    prompt = [{"role": "user", "content": "The very same question as before?"}]
    rows = [
        CompletionFactory(
            conversation__conversation_set=gold,
            conversation__split=split,
            conversation__prompt=prompt,
        )
        for split in ("train", "test")
    ]
    part = page.get(url("gold_leakage", gold), headers=HTMX)
    body = text(part)
    assert body.lstrip().startswith('<div id="leakage">')
    for row in rows:
        assert reverse("label", args=[row.pk]) in body
    assert "<h1>" in text(page.get(url("gold_leakage", gold)))


# Versions


def test_a_set_is_frozen_once_until_it_changes(
    page: Client, gold: ConversationSet, ana: User
) -> None:
    address = url("gold_versions", gold)
    page.post(address, {"note": "for the paper"})
    found = GoldVersion.objects.get()
    assert (found.note, found.author) == ("for the paper", ana)
    page.post(address, {"note": "again"})
    assert GoldVersion.objects.count() == 1
    body = text(page.get(address))
    assert "Nothing changed since version 1" in body
    assert found.content_hash[:12] in body


def test_a_note_that_is_too_long_is_refused(page: Client, gold: ConversationSet) -> None:
    response = page.post(url("gold_versions", gold), {"note": "x" * 501}, headers=HTMX)
    assert response.status_code == 422
    assert text(response).lstrip().startswith('<section id="freeze-form"')
    assert not GoldVersion.objects.exists()


def test_a_version_shows_what_changed_since_its_parent_or_another(
    page: Client, gold: ConversationSet, version: GoldVersion
) -> None:
    for _ in range(2):
        fill(gold, "test", 1)
        freeze_gold_set(conversation_set=gold)
    third = url("gold_version", gold, 3)
    assert page.get(third).context["diff"].added == 1
    assert page.get(third, {"against": "1"}).context["diff"].added == 2
    assert page.get(third, {"against": "77"}).context["against"] is None
    assert page.get(url("gold_version", gold, 1)).context["against"] is None
    assert page.get(url("gold_version", gold, 1), {"against": "3"}).context["diff"].removed == 2


def test_a_version_is_downloaded_as_lines_of_json(
    page: Client, gold: ConversationSet, version: GoldVersion
) -> None:
    response = page.get(url("gold_version_export", gold, 1))
    lines = b"".join(response.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert [json.loads(line)["split"] for line in lines] == ["train"] * 4 + ["test"] * 3
    assert f"gold-v1-{version.content_hash[:12]}.jsonl" in response["Content-Disposition"]


def test_lists_of_versions_and_rows_take_the_same_queries_however_long(
    page: Client, gold: ConversationSet, version: GoldVersion, django_assert_num_queries: Any
) -> None:
    addresses = {
        # Session, user, set with policy, count, page.
        url("gold_versions", gold): 5,
        # Session, user, version, policy name comes with it, other versions, count, page.
        url("gold_version", gold, 1): 6,
    }
    for address, n in addresses.items():
        with django_assert_num_queries(n):
            page.get(address)
    fill(gold, "test", 20)
    freeze_gold_set(conversation_set=gold)
    for address, n in addresses.items():
        with django_assert_num_queries(n):
            page.get(address)
