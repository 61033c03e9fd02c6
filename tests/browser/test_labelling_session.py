"""A labelling session: items of a queue, one after the other, mostly with the keyboard alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Browser, expect

from annotation.models import (
    Assignment,
    Completion,
    ConversationSet,
    Label,
    LabellingQueue,
    QueueSlot,
    Reveal,
)
from annotation.models.labels import Answer
from annotation.services.labels import record_label
from annotation.services.queues import claim_next, complete, open_queue
from tests.browser.conftest import Site
from tests.factories import proposition

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue(gold: ConversationSet, rhea: User) -> LabellingQueue:
    """Three completions in order, to be labelled by two people each."""
    pks = list(Completion.objects.order_by("pk").values_list("pk", flat=True)[:3])
    return open_queue(conversation_set=gold, completions=pks, overlap=2, actor=rhea)


def item_path(item: Assignment) -> str:
    return f"/queues/{item.queue_id}/items/{item.pk}/"


def start(site: Site, person: User, queue: LabellingQueue) -> Assignment:
    site.sign_in(person)
    item = claim_next(queue=queue, annotator=person)
    assert item is not None
    site.open(item_path(item))
    expect(site.page.locator("#label-row-helps")).to_be_focused()
    return item


def answers(person: User, completion: int) -> dict[str, str]:
    found = Label.objects.filter(annotator=person, completion=completion)
    return dict(found.values_list("proposition__key", "answer"))


def test_a_whole_session_with_the_keyboard_alone(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    site.sign_in(ana)
    page = site.page
    site.open(f"/queues/{queue.pk}/")
    button = page.locator(f"form[action='/queues/{queue.pk}/next/'] button").first
    button.focus()
    page.keyboard.press("Enter")
    for number in range(3):
        expect(page.locator(".walker-place")).to_have_text(f"{number} / 3")
        expect(page.locator("#label-row-helps")).to_be_focused()
        page.keyboard.press("y")
        expect(page.locator("#label-row-rude")).to_be_focused()
        page.keyboard.press("n")
        page.keyboard.press("Control+Enter")
    page.wait_for_url(f"**/queues/{queue.pk}/")
    done = Assignment.objects.filter(annotator=ana, completed_at__isnull=False)
    assert done.count() == 3
    for item in done:
        assert answers(ana, item.completion_id) == {"helps": "true", "rude": "false"}
    assert QueueSlot.objects.filter(annotator=ana, completed_at__isnull=False).count() == 3


def test_an_item_is_not_complete_before_every_deciding_row_is_answered(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.press("j")
    page.keyboard.press("n")
    for _ in range(2):
        page.keyboard.press("Control+Enter")
        expect(page.locator("#label-say")).to_contain_text("1 unanswered")
        expect(page.locator("#label-row-helps")).to_be_focused()
    page.keyboard.press("u")
    # An open fold is asked for once; what decides no class may stay open.
    page.keyboard.press("e")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label-say")).to_contain_text("decide no class")
    expect(page.locator("#label-row-cites")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    item.refresh_from_db()
    assert item.completed_at is not None


def test_completing_works_from_inside_the_note_and_takes_it_along(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.type("yn")
    page.keyboard.press("m")
    page.keyboard.type("Half a\nthought")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    assert item.completion.notes.get(author=ana).text == "Half a\nthought"


def test_plain_enter_completes_for_whoever_wants_it(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    start(site, ana, queue)
    page = site.page
    page.keyboard.press("?")
    page.check("[data-preference=plain-enter]")
    page.keyboard.press("Escape")
    page.focus("#label-row-helps")
    page.keyboard.type("yn")
    page.keyboard.press("Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")


def test_an_undo_goes_back_to_the_item_before(site: Site, ana: User, queue: LabellingQueue) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.type("yn")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    expect(page.locator(".decision")).to_have_count(2)
    page.keyboard.press("z")
    page.wait_for_url(f"**{item_path(item)}#label-row-rude")
    expect(page.locator("#label-row-rude")).to_be_focused()
    expect(page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "false")
    assert answers(ana, item.completion_id) == {"helps": "true", "rude": ""}
    page.keyboard.press("Control+z")
    expect(page.locator("#label-row-helps")).to_be_focused()
    expect(page.locator("#answer-helps-true")).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".decision")).to_have_count(0)


def test_a_decision_of_the_rail_reopens_its_item_at_its_row(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.type("yn")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    page.click(".decision >> nth=1")
    page.wait_for_url(f"**{item_path(item)}#label-row-helps")
    expect(page.locator("#label-row-helps")).to_be_focused()


def test_a_skipped_item_is_left_to_others_and_can_be_taken_up_again(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.press("s")
    expect(page.locator(".walker-place")).to_have_text("0 / 3, 1 skipped")
    item.refresh_from_db()
    assert item.skipped_at is not None
    assert not QueueSlot.objects.filter(annotator=ana, completion=item.completion_id).exists()
    site.open(item_path(item))
    page.click("text=Take it up again")
    expect(page.locator("#label-lease")).to_contain_text("reserved for you")


def test_nobody_elses_answers_are_in_the_html_before_the_item_is_complete(
    site: Site, ana: User, ben: User, queue: LabellingQueue
) -> None:
    theirs = claim_next(queue=queue, annotator=ben)
    assert theirs is not None
    for key in ("helps", "rude"):
        record_label(
            completion=theirs.completion,
            proposition=proposition(theirs.completion, key),
            answer=Answer.TRUE,
            actor=ben,
            policy_version=queue.conversation_set.policy.latest,
        )
    complete(assignment=theirs)
    item = start(site, ana, queue)
    assert item.completion_id == theirs.completion_id
    page = site.page
    page.keyboard.type("yn")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    html = page.content()
    assert ">ben<" not in html
    assert 'class="said' not in html
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    # The item that was just completed is one key away.
    page.keyboard.press("r")
    page.wait_for_url(f"**{item_path(item)}")
    expect(page.locator("#label-row-helps .said-agrees").first).to_contain_text("ben true")
    expect(page.locator("#label-row-rude .said-differs").first).to_contain_text("ben true")
    expect(page.locator(".label-notice")).to_contain_text("1 of your answers differ")
    expect(page.locator("[data-next]")).to_be_focused()
    page.click("#answer-rude-true")
    expect(page.locator("#label-row-rude")).to_contain_text("left out of agreement")
    page.locator("[data-next]").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    assert Label.objects.get(annotator=ana, proposition__key="rude").after_reveal


def test_who_wants_to_sees_the_reveal_after_each_item(
    site: Site, ana: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    page.keyboard.press("?")
    page.check("[data-preference=show-reveal]")
    page.keyboard.press("Escape")
    page.focus("#label-row-helps")
    page.keyboard.type("yn")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".label-notice")).to_contain_text("Completed")
    expect(page.locator("[data-next]")).to_be_focused()
    assert Reveal.objects.filter(completion=item.completion_id, annotator=ana).exists()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".walker-place")).to_have_text("1 / 3")
    expect(page.locator("#label-row-helps")).to_be_focused()


def test_the_reservation_counts_down_and_its_end_is_said(
    site: Site, ana: User, ben: User, queue: LabellingQueue
) -> None:
    item = start(site, ana, queue)
    page = site.page
    lease = page.locator("#label-lease")
    # The first reservation is of ten minutes.
    expect(lease).to_contain_text("reserved for you 9:")
    before = lease.inner_text()
    page.wait_for_timeout(1200)
    assert lease.inner_text() != before
    page.keyboard.type("yn")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    # The person left; both places went to somebody else.
    slot = QueueSlot.objects.get(queue=queue, annotator=ana)
    slot.annotator, slot.leased_until = ben, timezone.now() + timedelta(minutes=5)
    slot.save()
    QueueSlot.objects.filter(queue=queue, completion=item.completion_id, annotator=None).delete()
    page.reload()
    expect(page.locator("#label-expired")).to_be_visible()
    expect(page.locator("#label-lease")).to_have_text("reservation ended")
    expect(page.locator("#answer-helps-true")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label-row-helps")).to_be_focused()
    item.refresh_from_db()
    assert item.completed_at is not None
    assert item.is_extra


def test_a_page_in_use_renews_its_reservation(site: Site, ana: User, queue: LabellingQueue) -> None:
    item = start(site, ana, queue)
    QueueSlot.objects.filter(annotator=ana).update(
        leased_until=timezone.now() - timedelta(seconds=5)
    )
    site.page.reload()
    # Nobody took the place in the meantime, so it is the person's again.
    expect(site.page.locator("#label-lease")).to_contain_text("reserved for you 9:")
    expect(site.page.locator("#label-expired")).to_be_hidden()
    assert QueueSlot.objects.get(annotator=ana).leased_until > timezone.now()
    item.refresh_from_db()
    assert item.beat_at is not None


def test_a_session_works_without_javascript(
    browser: Browser, site: Site, ana: User, queue: LabellingQueue
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(ana)
    item = claim_next(queue=queue, annotator=ana)
    assert item is not None
    plain.open(item_path(item))
    plain.page.click("#answer-helps-true")
    plain.page.click("text=Complete and next")
    expect(plain.page.locator("#label-say")).to_contain_text("1 unanswered. rude")
    plain.page.click("#answer-rude-false")
    plain.page.click("text=Complete and next")
    expect(plain.page.locator(".walker-place")).to_have_text("1 / 3")
    plain.page.click("[data-skip]")
    expect(plain.page.locator(".walker-place")).to_have_text("1 / 3, 1 skipped")
    assert answers(ana, item.completion_id) == {"helps": "true", "rude": "false"}
    context.close()
