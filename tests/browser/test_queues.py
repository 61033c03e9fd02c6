"""Labelling queues in a browser: one is opened, gone through, and says why nothing is left."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import Assignment, Completion, ConversationSet, LabellingQueue
from annotation.services.queues import claim_next, complete, open_queue, skip
from tests.browser.conftest import Audit, Site
from tests.factories import fill

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture
def rows(gold: ConversationSet) -> list[Completion]:
    """Two rows that nobody labelled, beside the labelled ones of the set."""
    return fill(gold, "train", 2)


@pytest.fixture
def queue(gold: ConversationSet, rows: list[Completion]) -> LabellingQueue:
    named = [row.pk for row in rows]
    return open_queue(conversation_set=gold, name="Two rows", completions=named, actor=None)


def where(queue: LabellingQueue) -> str:
    return reverse("queue", args=[queue.pk])


def test_a_queue_is_opened_with_the_form_and_begun(
    site: Site, gold: ConversationSet, rows: list[Completion], rhea: User
) -> None:
    site.sign_in(rhea)
    site.open(reverse("queues"))
    site.page.get_by_role("link", name="Open a queue").click()
    expect(site.page.locator("#queue-size")).to_have_text("9 completions")
    site.page.get_by_label("Gold truth", exact=True).select_option("undecided")
    expect(site.page.locator("#queue-size")).to_have_text("2 completions")
    site.page.get_by_label("People per completion").fill("2")
    site.page.get_by_label("People per completion").press("Tab")
    expect(site.page.locator("#queue-size")).to_have_text("2 completions × 2 people = 4 places")
    site.page.get_by_role("radio", name="random Drawn").check()
    expect(site.page.get_by_role("radio", name="grader is uncertain")).to_be_disabled()
    site.page.get_by_label("Name", exact=True).fill("What nobody labelled")
    site.page.get_by_role("button", name="Open the queue").click()
    expect(site.page.get_by_role("heading", level=1)).to_have_text("What nobody labelled")
    [queue] = LabellingQueue.objects.all()
    assert (queue.order, queue.overlap, queue.selection) == ("random", 2, {"state": "undecided"})
    site.page.get_by_role("button", name="Start labelling").click()
    site.page.wait_for_url("**/items/*/")
    [item] = Assignment.objects.filter(annotator=rhea)
    assert site.page.url.endswith(reverse("queue_item", args=[queue.pk, item.pk]))


def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(
    site: Site, gold: ConversationSet, rhea: User
) -> None:
    site.expected = {422}
    site.sign_in(rhea)
    site.open(reverse("queue_new"))
    site.page.get_by_label("Name", exact=True).fill("Kept")
    site.page.get_by_label("Text", exact=True).fill("no such words anywhere")
    expect(site.page.locator("#queue-size")).to_have_text("0 completions")
    site.page.get_by_role("button", name="Open the queue").click()
    refusal = site.page.get_by_role("alert")
    expect(refusal).to_contain_text("no completion of gold meets this")
    expect(site.page.get_by_label("Name", exact=True)).to_have_value("Kept")


def test_the_list_offers_to_continue_where_one_was(
    site: Site, queue: LabellingQueue, ana: User
) -> None:
    item = claim_next(queue=queue, annotator=ana)
    assert item is not None
    site.sign_in(ana)
    site.open(reverse("queues"))
    site.page.get_by_role("button", name="Continue").click()
    site.page.wait_for_url(f"**{reverse('queue_item', args=[queue.pk, item.pk])}")


def test_waiting_for_others_ends_by_itself_when_something_comes_free(
    site: Site, queue: LabellingQueue, ana: User, ben: User
) -> None:
    item = claim_next(queue=queue, annotator=ben)
    assert item is not None
    complete(assignment=item)
    last = claim_next(queue=queue, annotator=ben)
    assert last is not None
    site.sign_in(ana)
    site.open(where(queue))
    action = site.page.locator(f"#queue-action-{queue.pk}")
    expect(action).to_contain_text("1 item is with other people. The first comes free in")
    skip(assignment=last)
    expect(action.get_by_role("button", name="Start labelling")).to_be_visible(timeout=15_000)


def test_skipped_items_are_offered_again_and_the_end_is_said_once_it_is_true(
    site: Site, queue: LabellingQueue, ana: User
) -> None:
    for _ in range(2):
        item = claim_next(queue=queue, annotator=ana)
        assert item is not None
        skip(assignment=item)
    site.sign_in(ana)
    site.open(where(queue))
    action = site.page.locator(f"#queue-action-{queue.pk}")
    expect(action).to_contain_text("You skipped 2 items that still want an answer.")
    action.get_by_role("button", name="Go through them again").click()
    site.page.wait_for_url("**/items/*/")
    for _ in range(2):
        item = claim_next(queue=queue, annotator=ana)
        assert item is not None
        complete(assignment=item)
    site.open(where(queue))
    expect(action).to_contain_text("Finished.")
    site.open(reverse("queues"))
    expect(site.page.get_by_text("You have done your part of every open queue.")).to_be_visible()


def test_a_queue_is_closed_only_on_purpose(site: Site, queue: LabellingQueue, rhea: User) -> None:
    site.sign_in(rhea)
    site.open(where(queue))
    site.page.get_by_text("Close the queue").click()
    site.page.get_by_role("button", name="Close it").click()
    expect(site.page.get_by_text("no more items are handed out")).to_be_visible()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_fit_and_have_no_serious_accessibility_problem(
    site: Site,
    gold: ConversationSet,
    queue: LabellingQueue,
    ana: User,
    ben: User,
    audit: Audit,
    size: dict[str, int],
    scheme: str,
) -> None:
    for person in (ana, ben):
        item = claim_next(queue=queue, annotator=person)
        assert item is not None
        complete(assignment=item)
    site.sign_in(ana)
    site.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    site.page.set_viewport_size(size)  # type: ignore[arg-type]
    for address in (
        reverse("queues"),
        reverse("queue_new"),
        where(queue),
        reverse("progress", args=[gold.pk]),
    ):
        site.open(address)
        assert site.page.evaluate("document.documentElement.scrollWidth") <= size["width"], address
        assert audit(site.page) == [], address
