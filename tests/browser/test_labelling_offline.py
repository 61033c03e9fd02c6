"""Answers on a bad line: offline, reloaded, in two tabs, signed out, refused. None is lost."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, Route, expect

from annotation.models import (
    Assignment,
    Completion,
    CompletionNote,
    ConversationSet,
    Label,
    LabelEvent,
    LabellingQueue,
)
from annotation.services.queues import claim_next, open_queue
from tests.browser.conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 15_000
"""Milliseconds in which a retry comes, on a busy machine too."""
FULL = "() => { Storage.prototype.setItem = () => { throw new DOMException('full'); }; }"
"""A browser whose storage takes nothing more."""


@pytest.fixture
def queue(gold: ConversationSet, rhea: User) -> LabellingQueue:
    return open_queue(conversation_set=gold, actor=rhea)


@pytest.fixture
def item(site: Site, ana: User, queue: LabellingQueue) -> Assignment:
    """Ana's first item, open in the browser."""
    site.sign_in(ana)
    found = claim_next(queue=queue, annotator=ana)
    assert found is not None
    site.open(f"/queues/{found.queue_id}/items/{found.pk}/")
    expect(site.page.locator("#label-row-helps")).to_be_focused()
    return found


def answers(user: User) -> dict[str, str]:
    return dict(Label.objects.filter(annotator=user).values_list("proposition__key", "answer"))


def pill(page: Page, text: str) -> None:
    expect(page.locator("#save-state")).to_contain_text(text, timeout=SOON)


def forgive_the_network(site: Site) -> None:
    site.problems = [text for text in site.problems if "Failed to fetch" not in text]


def fail_saves(page: Page, status: int) -> None:
    """Have every save refused in this way, without asking the server."""

    def refuse(route: Route) -> None:
        route.fulfill(status=status, body="not now")

    page.route("**/labels/*/", refuse)


def test_offline_answers_are_kept_shown_and_sent_later(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    page.context.set_offline(True)
    page.keyboard.type("yn")
    page.keyboard.press("m")
    page.keyboard.type("seen on a train")
    page.keyboard.press("Escape")
    pill(page, "Offline: 3 changes queued – retrying")
    expect(page.locator("#label-row-helps")).to_have_attribute("data-pending", "true")
    # Chosen, but not shown as the server's answer.
    expect(page.locator("#answer-helps-true")).to_have_attribute("aria-pressed", "false")
    assert answers(ana) == {}
    page.context.set_offline(False)
    pill(page, "Saved")
    expect(page.locator("#answer-helps-true")).to_have_attribute("aria-pressed", "true")
    assert answers(ana) == {"helps": "true", "rude": "false"}
    assert CompletionNote.objects.get(author=ana).text == "seen on a train"
    forgive_the_network(site)


def test_answers_that_wait_survive_a_reload(site: Site, ana: User, item: Assignment) -> None:
    page = site.page
    fail_saves(page, 503)
    site.expected.add(503)
    page.keyboard.type("yn")
    pill(page, "2 answers queued")
    page.reload()
    expect(page.locator("#label-row-helps")).to_have_attribute("data-pending", "true")
    expect(page.locator("#label-row-rude")).to_have_attribute("data-pending", "false")
    page.unroute("**/labels/*/")
    pill(page, "Saved")
    assert answers(ana) == {"helps": "true", "rude": "false"}
    assert LabelEvent.objects.count() == 2


def test_an_item_is_left_only_when_its_answers_have_arrived(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    fail_saves(page, 503)
    site.expected.add(503)
    page.keyboard.type("yn")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#label-say")).to_contain_text("completes as soon as the server has them")
    page.keyboard.press("Escape")
    expect(page.locator("#label-say")).to_contain_text("Stopped")
    page.keyboard.press("Control+Enter")
    page.unroute("**/labels/*/")
    expect(page.locator(".walker-place")).to_have_text("1 / 7", timeout=SOON)
    item.refresh_from_db()
    assert item.completed_at is not None
    assert answers(ana) == {"helps": "true", "rude": "false"}


def test_an_answer_that_was_never_sent_is_undone_in_the_browser(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    page.context.set_offline(True)
    page.keyboard.type("yn")
    pill(page, "2 answers queued")
    page.keyboard.press("z")
    pill(page, "1 answer queued")
    expect(page.locator("#label-row-rude")).to_be_focused()
    page.context.set_offline(False)
    pill(page, "Saved")
    assert answers(ana) == {"helps": "true"}
    forgive_the_network(site)


def test_two_tabs_send_each_answer_once_and_show_the_same(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    other = Site(site.url, page.context.new_page())
    other.watch()
    other.open(f"/completions/{item.completion_id}/label/")
    page.context.set_offline(True)
    page.keyboard.press("y")
    other.page.click("#answer-rude-true")
    pill(page, "2 answers queued")
    pill(other.page, "2 answers queued")
    page.context.set_offline(False)
    for tab in (page, other.page):
        for button in ("#answer-helps-true", "#answer-rude-true"):
            expect(tab.locator(button)).to_have_attribute("aria-pressed", "true", timeout=SOON)
    assert answers(ana) == {"helps": "true", "rude": "true"}
    assert LabelEvent.objects.count() == 2
    # The tab of the queue still sends for its item, the other one for none.
    assert page.locator("#label-row-rude [name=assignment]").count() == 1
    assert other.page.locator("#label-row-rude [name=assignment]").count() == 0
    # The last click wins, whichever tab it was made in.
    other.page.click("#answer-rude-false")
    expect(page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "true")
    page.click("#answer-rude-cannot")
    expect(other.page.locator("#answer-rude-cannot")).to_have_attribute("aria-pressed", "true")
    assert answers(ana)["rude"] == "cannot_decide"
    forgive_the_network(site)


def test_an_ended_session_says_so_and_keeps_the_answers(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    Session.objects.all().delete()
    page.keyboard.press("y")
    pill(page, "Signed out: 1 answer kept – sign in")
    assert answers(ana) == {}
    page.click("#save-state a")
    page.fill("#id_username", "ana")
    page.fill("#id_password", "ana's password")
    page.click("main button[type=submit]")
    expect(page.locator("#answer-helps-true")).to_have_attribute(
        "aria-pressed", "true", timeout=SOON
    )
    assert answers(ana) == {"helps": "true"}


def test_nothing_is_saved_in_the_name_of_whoever_signed_in_meanwhile(
    site: Site, ana: User, ben: User, item: Assignment
) -> None:
    page = site.page
    site.expected.add(409)
    site.sign_in(ben)
    page.keyboard.press("y")
    pill(page, "1 answer kept")
    assert not Label.objects.filter(annotator__isnull=False).exists()
    site.sign_in(ana)
    page.reload()
    pill(page, "Saved")
    assert answers(ana) == {"helps": "true"}
    assert answers(ben) == {}


def test_a_refused_answer_is_named_at_its_row_and_blocks_no_other(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    site.expected.add(422)
    page.evaluate("document.getElementById('answer-helps-true').value = 'perhaps'")
    page.click("#answer-helps-true")
    page.click("#answer-rude-true")
    expect(page.locator("#label-row-helps .row-problem")).to_contain_text("has to be true, false")
    pill(page, "Saved")
    assert answers(ana) == {"rude": "true"}


def test_leaving_is_warned_of_only_if_the_browser_could_not_keep_the_answers(
    site: Site, ana: User, item: Assignment
) -> None:
    page = site.page
    warnings: list[str] = []
    page.on("dialog", lambda dialog: (warnings.append(dialog.type), dialog.accept()))
    page.context.set_offline(True)
    page.keyboard.press("y")
    pill(page, "1 answer queued – retrying")
    page.evaluate(FULL)
    page.keyboard.press("n")
    pill(page, "2 answers queued, not kept if you leave – retrying")
    page.context.set_offline(False)
    pill(page, "Saved")
    page.reload()
    assert warnings == []
    fail_saves(page, 503)
    site.expected.add(503)
    page.evaluate(FULL)
    page.click("#answer-rude-true")
    pill(page, "not kept if you leave")
    page.reload()
    assert warnings == ["beforeunload"]
    forgive_the_network(site)


def test_a_click_is_timed_by_the_servers_clock(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    completion = Completion.objects.order_by("pk").first()
    assert completion is not None
    site.sign_in(ana)
    # A browser whose clock is an hour slow: its clicks are no older than what the server holds.
    site.page.add_init_script("const now = Date.now; Date.now = () => now() - 3600000;")
    site.open(f"/completions/{completion.pk}/label/")
    for answer in ("true", "false", "true"):
        site.page.click(f"#answer-rude-{answer}")
        expect(site.page.locator(f"#answer-rude-{answer}")).to_have_attribute(
            "aria-pressed", "true"
        )
    kinds = LabelEvent.objects.values_list("kind", flat=True)
    assert list(kinds) == [LabelEvent.Kind.ANSWERED] * 3
