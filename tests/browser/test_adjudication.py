"""Adjudication by keyboard and by mouse; nothing that was typed is lost."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from annotation.models import Adjudication, ConversationSet, DefinitionFlag, GoldTruth
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.services.adjudication import adjudicate
from tests.browser.conftest import Site
from tests.factories import ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def disputes(ana: User, ben: User) -> list[GoldTruth]:
    """Three completions of which ana says that they help and ben that they do not."""
    for completion in fill(ConversationSetFactory(name="gold"), "test", 3):
        LabelFactory(completion=completion, annotator=ana, answer=Answer.TRUE)
        LabelFactory(completion=completion, annotator=ben, answer=Answer.FALSE)
    return list(GoldTruth.objects.order_by("completion"))


@pytest.fixture
def opened(site: Site, rhea: User, disputes: list[GoldTruth]) -> Site:
    site.sign_in(rhea)
    site.open(f"/gold-sets/{ConversationSet.objects.get().pk}/adjudication/")
    return site


def shows(site: Site, truth: GoldTruth) -> None:
    """Wait until the card of the cell is open."""
    cell = f"{truth.completion_id}:helps"
    expect(site.page.locator("#adjudication-card")).to_have_attribute("data-cell", cell)


def counts(site: Site, text: str) -> None:
    expect(site.page.locator("#dispute-counts")).to_contain_text(text)


def decisions() -> list[tuple[str, str, str]]:
    return list(Adjudication.objects.order_by("pk").values_list("answer", "reason", "note"))


def test_every_dispute_is_decided_by_keyboard_alone(
    opened: Site, disputes: list[GoldTruth]
) -> None:
    key = opened.page.keyboard
    counts(opened, "3 disputed")
    shows(opened, disputes[0])
    key.press("j")
    shows(opened, disputes[1])
    key.press("y")
    key.press("2")
    key.press("m")
    key.type("yes, j and 1 are letters here")
    key.press("Control+Enter")
    shows(opened, disputes[2])
    counts(opened, "1 decided")
    key.press("n")
    key.press("3")
    key.press("f")
    key.type("What is help?")
    key.press("Meta+Enter")
    # What was passed over comes back.
    shows(opened, disputes[0])
    key.press("u")
    key.press("6")
    key.press("Control+Enter")
    expect(opened.page.locator("#adjudication")).to_contain_text("All 3 disputed cells are decided")
    counts(opened, "3 decided")
    assert decisions() == [
        ("true", "guideline_gap", "yes, j and 1 are letters here"),
        ("false", "annotator_error", ""),
        ("cannot_decide", "other", ""),
    ]
    assert DefinitionFlag.objects.get().text == "What is help?"
    truths = GoldTruth.objects.order_by("completion").values_list("truth", "source")
    assert list(truths) == [
        (None, "adjudicated"), (True, "adjudicated"), (False, "adjudicated"),
    ]  # fmt: skip


def test_a_chip_adopts_a_persons_answer(opened: Site, disputes: list[GoldTruth]) -> None:
    opened.page.get_by_role("button", name="Adopt the answer of ben").click()
    expect(opened.page.locator("input[name=answer][value=false]")).to_be_checked()
    opened.page.get_by_text("edge case").click()
    opened.page.get_by_role("button", name="Save and next").click()
    shows(opened, disputes[1])
    assert decisions() == [("false", "edge_case", "")]
    assert opened.page.url.endswith(f"?cell={disputes[1].completion_id}%3Ahelps")


def test_a_missing_reason_is_asked_for_and_the_note_is_kept(
    opened: Site, disputes: list[GoldTruth]
) -> None:
    opened.expected.add(422)
    opened.page.keyboard.press("y")
    opened.page.fill("#adjudication-note", "hard to say")
    opened.page.keyboard.press("Control+Enter")
    expect(opened.page.locator("#reason-error")).to_be_visible()
    expect(opened.page.locator("#adjudication-note")).to_have_value("hard to say")
    expect(opened.page.locator("input[name=reason]").first).to_be_focused()
    opened.page.keyboard.press("5")
    opened.page.keyboard.press("Control+Enter")
    shows(opened, disputes[1])
    assert decisions() == [("true", "subjective", "hard to say")]


def test_what_was_typed_on_a_card_is_there_when_it_is_opened_again(
    opened: Site, disputes: list[GoldTruth]
) -> None:
    note = opened.page.locator("#adjudication-note")
    note.fill("half a thought")
    note.press("Escape")
    opened.page.keyboard.press("j")
    shows(opened, disputes[1])
    expect(note).to_have_value("")
    opened.page.keyboard.press("k")
    shows(opened, disputes[0])
    expect(note).to_have_value("half a thought")
    opened.page.reload()
    expect(note).to_have_value("half a thought")


def test_keys_do_nothing_while_typing_with_a_modifier_or_under_a_dialog(
    opened: Site, disputes: list[GoldTruth]
) -> None:
    page = opened.page
    page.keyboard.press("Alt+y")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("y")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    page.focus("#id_proposition")
    page.keyboard.press("y")
    expect(page.locator("input[name=answer]:checked")).to_have_count(0)
    shows(opened, disputes[0])


def test_a_decision_that_crossed_mine_is_shown_and_can_be_overruled(
    opened: Site, disputes: list[GoldTruth], ana: User
) -> None:
    opened.expected.add(409)
    adjudicate(
        completion=disputes[0].completion, proposition=disputes[0].proposition,
        answer=Answer.FALSE, reason=Reason.GUIDELINE_GAP, note="", adjudicator=ana,
        policy_version=ConversationSet.objects.get().policy.latest,
    )  # fmt: skip
    opened.page.keyboard.press("y")
    opened.page.keyboard.press("1")
    opened.page.keyboard.press("Control+Enter")
    expect(opened.page.locator("#adjudication-form")).to_contain_text(
        "ana has decided this meanwhile"
    )
    expect(opened.page.locator("input[value=ambiguous]")).to_be_checked()
    opened.page.keyboard.press("Control+Enter")
    shows(opened, disputes[1])
    assert decisions() == [("false", "guideline_gap", ""), ("true", "ambiguous", "")]


def test_filters_are_in_the_address(opened: Site, disputes: list[GoldTruth]) -> None:
    opened.page.select_option("#id_proposition", "rude")
    expect(opened.page.locator("#adjudication")).to_contain_text("No disputed cell meets")
    assert opened.page.url.endswith("proposition=rude")
    opened.page.go_back()
    shows(opened, disputes[0])


def test_adjudication_works_without_javascript(
    browser: Browser, opened: Site, rhea: User, disputes: list[GoldTruth]
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(opened.url, context.new_page())
    plain.sign_in(rhea)
    plain.open(f"/gold-sets/{ConversationSet.objects.get().pk}/adjudication/")
    plain.page.check("input[name=answer][value=true]")
    plain.page.check("input[name=reason][value=subjective]")
    plain.page.get_by_role("button", name="Save and next").click()
    shows(plain, disputes[1])
    assert decisions() == [("true", "subjective", "")]
    context.close()
