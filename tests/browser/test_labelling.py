"""Labelling a completion by mouse, by key, without JavaScript; what is saved is what is shown."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from annotation.models import (
    Completion,
    CompletionNote,
    Conversation,
    ConversationSet,
    Label,
    LabelEvent,
)
from annotation.models.labels import Answer
from grading.models import GraderVersion
from grading.services.runs import start_run
from grading.tasks import grade_run
from tests.browser.conftest import Site
from tests.factories import LabelFactory

pytestmark = pytest.mark.django_db(transaction=True)


def first(gold: ConversationSet) -> Completion:
    found = Completion.objects.filter(conversation__conversation_set=gold).order_by("pk").first()
    assert found is not None
    return found


def answers(user: User) -> dict[str, str]:
    return dict(Label.objects.filter(annotator=user).values_list("proposition__key", "answer"))


def pressed(site: Site, key: str) -> list[str]:
    buttons = site.page.locator(f"#label-row-{key} [aria-pressed=true]")
    return [button.get_attribute("value") or "" for button in buttons.all()]


def saved(site: Site) -> None:
    expect(site.page.locator("#save-state")).to_contain_text("Saved")


@pytest.fixture
def page_of_first(site: Site, ana: User, gold: ConversationSet) -> Site:
    """The free page of the first completion, with ana at it."""
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/?split=train")
    return site


def test_somebody_signs_in_corrects_a_label_and_sees_the_report_change(
    site: Site, ana: User, gold: ConversationSet, version: GraderVersion
) -> None:
    run = start_run(grader_version=version, conversation_set=gold, split="all").run
    grade_run(run.pk)
    site.open(f"/runs/{run.pk}/")
    site.page.fill("#id_username", "ana")
    site.page.fill("#id_password", "ana's password")
    site.page.click("main button[type=submit]")
    # Signing in leads to the page that was asked for.
    positives = site.page.locator("tr", has_text="cites").locator("td").nth(1)
    expect(positives).to_have_text("0")

    site.page.click("text=cites")
    site.page.click("text=all >> nth=-1")
    site.page.locator(".row-link").first.click()
    # The verdict was on the page before, so what others say is no secret here.
    expect(site.page.locator("#label-row-cites .said").first).to_be_visible()
    site.page.click("#answer-cites-true")
    saved(site)
    expect(site.page.locator("#label-row-cites")).to_contain_text("left out of agreement")
    assert answers(ana) == {"cites": Answer.TRUE}

    site.open(f"/runs/{run.pk}/")
    expect(positives).to_have_text("1")


def test_rows_are_answered_by_key_and_the_class_follows(page_of_first: Site, ana: User) -> None:
    page = page_of_first.page
    implied = page.locator("#label-implied")
    page.keyboard.press("j")
    expect(page.locator("#label-row-helps")).to_be_focused()
    page.keyboard.press("y")
    expect(page.locator("#label-row-rude")).to_be_focused()
    # It helps: poor is out, the others are open until it is known whether it is rude.
    expect(implied.locator(".is-possible")).to_have_text(["ideal", "rude completion"])
    page.keyboard.press("2")
    expect(implied.locator(".chip")).to_have_text(["ideal"])
    expect(implied).to_contain_text("2 of 2 answered")
    page.keyboard.press("e")
    page.keyboard.press("j")
    expect(page.locator("#label-row-cites")).to_be_focused()
    page.keyboard.press("U")
    saved(page_of_first)
    assert answers(ana) == {"helps": "true", "rude": "false", "cites": "cannot_decide"}
    assert [pressed(page_of_first, key) for key in ("helps", "rude", "cites")] == [
        ["true"], ["false"], ["cannot_decide"],
    ]  # fmt: skip


def test_keys_move_between_rows_and_completions(page_of_first: Site) -> None:
    page = page_of_first.page
    page.keyboard.press("k")
    # The row of no rule is folded, so the last one in sight is the second.
    expect(page.locator("#label-row-rude")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#label-row-helps")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.locator("#label-row-rude")).to_be_focused()
    for key, place in (("]", "2 / 4"), ("[", "1 / 4"), ("Control+Enter", "2 / 4")):
        page.keyboard.press(key)
        expect(page.locator(".walker-place")).to_have_text(place)


def test_an_answer_key_says_nothing_of_a_row_that_was_not_looked_at(
    page_of_first: Site, ana: User
) -> None:
    page_of_first.page.keyboard.press("y")
    expect(page_of_first.page.locator("#label-row-helps")).to_be_focused()
    assert answers(ana) == {}
    page_of_first.page.keyboard.press("y")
    saved(page_of_first)
    assert answers(ana) == {"helps": "true"}


def test_keys_do_nothing_in_fields_with_modifiers_and_under_the_list_of_keys(
    page_of_first: Site, ana: User
) -> None:
    page = page_of_first.page
    page.keyboard.press("j")
    for combination in ("Alt+y", "Control+y", "Meta+y"):
        page.keyboard.press(combination)
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("y")
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.focus("[data-preference=blur]")
    page.keyboard.press("y")
    page.keyboard.press("m")
    page.focus("#label-note-text")
    page.keyboard.type("yes, 1 zebra\n")
    expect(page.locator("#label-note-text")).to_have_value("yes, 1 zebra\n")
    page.keyboard.press("Escape")
    expect(page.locator("#label-row-helps")).to_be_focused()
    saved(page_of_first)
    assert answers(ana) == {}
    assert not LabelEvent.objects.exists()


def test_a_character_typed_with_altgr_is_a_key_like_any_other(page_of_first: Site) -> None:
    # A German keyboard types ] with AltGr, which the browser reports as Ctrl and Alt.
    page_of_first.page.evaluate(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: ']', ctrlKey: true,"
        " altKey: true, modifierAltGraph: true, bubbles: true, cancelable: true}))"
    )
    expect(page_of_first.page.locator(".walker-place")).to_have_text("2 / 4")


def test_the_guideline_opens_by_key_and_stays_open_when_the_row_is_saved(
    page_of_first: Site, gold: ConversationSet
) -> None:
    version = gold.policy.latest
    document = version.document
    document["propositions"][0]["guideline"] = "Help is what was asked for."
    type(version).objects.create(
        policy=gold.policy, number=2, source="", document=document, fingerprint="2" * 64
    )
    page = page_of_first.page
    page.reload()
    guideline = page.locator("#label-row-helps .label-guideline")
    page.keyboard.press("j")
    expect(guideline).to_be_hidden()
    page.keyboard.press("g")
    expect(guideline).to_be_visible()
    page.keyboard.press("Enter")
    expect(guideline).to_be_hidden()
    page.keyboard.press("Shift+G")
    page.keyboard.press("y")
    saved(page_of_first)
    expect(guideline).to_be_visible()


def test_the_last_of_several_quick_answers_counts(page_of_first: Site, ana: User) -> None:
    page_of_first.page.evaluate(
        "for (const value of ['true', 'false', 'cannot', 'false'])"
        " document.getElementById(`answer-rude-${value}`).click()"
    )
    saved(page_of_first)
    expect(page_of_first.page.locator("#answer-rude-false")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert answers(ana) == {"rude": "false"}
    said = LabelEvent.objects.order_by("pk").values_list("new", flat=True)
    assert list(said) == ["true", "false", "cannot_decide", "false"]


def test_a_note_and_a_flag_are_saved_while_typing_and_are_there_again(
    page_of_first: Site, ana: User
) -> None:
    page = page_of_first.page
    page.keyboard.press("m")
    page.keyboard.type("Odd one")
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(page.locator("[data-flag]")).to_have_attribute("aria-pressed", "true")
    saved(page_of_first)
    note = CompletionNote.objects.get(author=ana)
    assert (note.text, note.flagged) == ("Odd one", True)
    page.reload()
    expect(page.locator("#label-note-text")).to_have_value("Odd one")
    expect(page.locator("[data-flag]")).to_have_attribute("aria-pressed", "true")


def test_what_others_say_is_shown_when_asked_for(
    page_of_first: Site, ben: User, gold: ConversationSet
) -> None:
    LabelFactory(completion=first(gold), key="rude", annotator=ben, answer=Answer.FALSE)
    page = page_of_first.page
    page.reload()
    assert page.locator(".said").count() == 0
    page.keyboard.press("j")
    page.keyboard.press("y")
    page.keyboard.press("r")
    expect(page.locator("#label-row-rude .said").first).to_have_text("ben false")
    expect(page.locator("#label-row-helps .said-agrees")).to_contain_text("file true")
    expect(page.locator("#label-row-helps")).not_to_contain_text("left out of agreement")
    page.click("#answer-rude-true")
    expect(page.locator("#label-row-rude .said-differs")).to_contain_text("ben false")
    expect(page.locator("#label-row-rude")).to_contain_text("left out of agreement")


def test_blur_is_a_choice_of_the_browser(page_of_first: Site) -> None:
    page = page_of_first.page
    expect(page.locator(".turn-completion .turn-text")).to_have_css("filter", "none")
    page.keyboard.press("b")
    page.reload()
    expect(page.locator("[data-preference=blur]")).to_be_checked()
    text = page.locator(".turn-completion .turn-text")
    expect(text).to_have_css("filter", "blur(5px)")
    text.hover()
    expect(text).to_have_css("filter", "none")


def test_labelling_works_without_javascript(
    browser: Browser, site: Site, ana: User, gold: ConversationSet
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(ana)
    plain.open(f"/completions/{first(gold).pk}/label/")
    plain.page.click("#answer-rude-false")
    assert plain.page.url.endswith("#label-row-rude")
    expect(plain.page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "true")
    plain.page.fill("#label-note-text", "By hand")
    plain.page.click("text=Save note")
    expect(plain.page.locator("#label-note-text")).to_have_value("By hand")
    plain.page.click("#label-undo button")
    expect(plain.page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "false")
    assert answers(ana) == {"rude": ""}
    context.close()


def test_a_long_conversation_opens_at_the_completion(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    completion = first(gold)
    turns = [{"role": role, "content": "many words\n" * 60} for role in ("user", "assistant")]
    Conversation.objects.filter(pk=completion.conversation_id).update(
        prompt=[*turns * 2, {"role": "user", "content": "And now?"}]
    )
    site.sign_in(ana)
    site.open(f"/completions/{completion.pk}/label/")
    expect(site.page.locator(".turn-completion")).to_be_in_viewport()
    earlier = site.page.locator(".earlier .turn")
    expect(earlier).to_have_count(2)
    expect(earlier.first).to_be_hidden()
    site.page.click("text=Show 2 earlier turns")
    expect(earlier.first).to_be_visible()
