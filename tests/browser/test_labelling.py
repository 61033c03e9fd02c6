"""Labelling by mouse, by key and without JavaScript; what is saved is what is shown."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from annotation.models import Completion, Conversation, ConversationSet, Label
from annotation.models.labels import Answer
from grading.models import GraderVersion
from grading.services.runs import start_run
from grading.tasks import grade_run
from tests.browser.conftest import Site

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
    site.page.click("#answer-cites-true")
    expect(site.page.locator("#save-state")).to_contain_text("Saved")
    expect(site.page.locator("#label-events")).to_contain_text("cites")
    assert answers(ana) == {"cites": Answer.TRUE}

    site.open(f"/runs/{run.pk}/")
    expect(positives).to_have_text("1")


def test_rows_are_answered_by_key_and_the_class_follows(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/")
    expect(site.page.locator("#implied-class")).to_contain_text("rude completion")
    site.page.keyboard.press("j")
    expect(site.page.locator("#label-row-helps")).to_be_focused()
    site.page.keyboard.press("y")
    expect(site.page.locator("#label-row-rude")).to_be_focused()
    site.page.keyboard.press("2")
    expect(site.page.locator("#implied-class")).to_contain_text("ideal")
    site.page.keyboard.press("U")
    expect(site.page.locator("#implied-class")).to_contain_text("3 of 3 answered by you")
    assert answers(ana) == {"helps": "true", "rude": "false", "cites": "cannot_decide"}
    assert [pressed(site, key) for key in ("helps", "rude", "cites")] == [
        ["true"], ["false"], ["cannot_decide"],
    ]  # fmt: skip


def test_keys_move_between_rows_and_completions(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/?split=train")
    site.page.keyboard.press("k")
    expect(site.page.locator("#label-row-cites")).to_be_focused()
    site.page.keyboard.press("ArrowDown")
    expect(site.page.locator("#label-row-helps")).to_be_focused()
    site.page.keyboard.press("]")
    expect(site.page.locator(".walker-place")).to_have_text("2 / 4")
    site.page.keyboard.press("[")
    expect(site.page.locator(".walker-place")).to_have_text("1 / 4")
    site.page.keyboard.press("Control+Enter")
    expect(site.page.locator(".walker-place")).to_have_text("2 / 4")


def test_keys_do_nothing_with_a_modifier_or_while_the_list_of_keys_is_open(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/")
    site.page.keyboard.press("j")
    site.page.keyboard.press("Alt+y")
    site.page.keyboard.press("?")
    expect(site.page.locator("#keys")).to_be_visible()
    site.page.keyboard.press("y")
    site.page.keyboard.press("Escape")
    expect(site.page.locator("#keys")).to_be_hidden()
    site.page.focus("[data-blur-toggle]")
    site.page.keyboard.press("y")
    site.page.wait_for_timeout(300)
    assert answers(ana) == {}


def test_the_last_of_several_quick_answers_counts(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/")
    site.page.evaluate(
        "for (const value of ['true', 'false', 'cannot', 'false'])"
        " document.getElementById(`answer-rude-${value}`).click()"
    )
    expect(site.page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "true")
    expect(site.page.locator("#save-state")).to_contain_text("Saved")
    assert answers(ana) == {"rude": "false"}


def test_an_answer_given_offline_is_sent_when_the_server_is_back(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/")
    site.page.context.set_offline(True)
    site.page.click("#answer-rude-false")
    expect(site.page.locator("#save-state")).to_contain_text("1 answer not saved")
    assert answers(ana) == {}
    site.page.context.set_offline(False)
    expect(site.page.locator("#answer-rude-false")).to_have_attribute(
        "aria-pressed", "true", timeout=12_000
    )
    assert answers(ana) == {"rude": "false"}
    site.problems = [text for text in site.problems if "Failed to fetch" not in text]


def test_a_session_that_ended_leads_to_the_sign_in_page(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    site.sign_in(ana)
    site.open(f"/completions/{first(gold).pk}/label/")
    site.page.context.clear_cookies(name="sessionid")
    site.page.on("dialog", lambda dialog: dialog.accept())
    site.page.click("#answer-rude-false")
    expect(site.page.locator("#id_username")).to_be_visible()
    assert "next=" in site.page.url


def test_labelling_works_without_javascript(
    live_server: object, browser: Browser, site: Site, ana: User, gold: ConversationSet
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(ana)
    plain.open(f"/completions/{first(gold).pk}/label/")
    plain.page.click("#answer-rude-false")
    assert plain.page.url.endswith("#label-row-rude")
    expect(plain.page.locator("#answer-rude-false")).to_have_attribute("aria-pressed", "true")
    assert answers(ana) == {"rude": "false"}
    context.close()


def test_a_long_conversation_opens_at_the_completion(
    site: Site, ana: User, gold: ConversationSet
) -> None:
    completion = first(gold)
    turns = [{"role": role, "content": "many words\n" * 60} for role in ("user", "assistant")]
    Conversation.objects.filter(pk=completion.conversation_id).update(
        prompt=[*turns, {"role": "user", "content": "And now?"}]
    )
    site.sign_in(ana)
    site.open(f"/completions/{completion.pk}/label/")
    expect(site.page.locator(".turn-completion")).to_be_in_viewport()
    expect(site.page.locator(".turn").first).not_to_be_in_viewport(ratio=0.5)
