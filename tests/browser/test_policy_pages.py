"""Policies in a browser: the rule table, the playground, the editor, two editors, stale labels."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from annotation.models import ConversationSet, Label, Policy, PolicyDraft, PolicyVersion
from annotation.services.policies import import_policy
from tests.browser.conftest import Site
from tests.factories import ConversationSetFactory, fill, tiny

pytestmark = pytest.mark.django_db(transaction=True)
SHARPER = ("Is it rude?", "Is it insulting?")
QUESTION = "#part-question"


@pytest.fixture
def line(gold: ConversationSet) -> Policy:
    return gold.policy


def question(document: Any, key: str = "rude") -> str:
    return str(next(row["question"] for row in document["propositions"] if row["key"] == key))


def stored(user: User) -> Any:
    return PolicyDraft.objects.get(author=user).document


def lit(page: Page) -> list[str]:
    """The propositions of which a cell is lit."""
    return page.evaluate(
        """() => {
          const plain = getComputedStyle(document.querySelector("table.rules tbody th"));
          return [...document.querySelectorAll("table.rules tbody tr")]
            .filter((row) => [...row.cells].slice(1).some(
              (cell) => getComputedStyle(cell).backgroundColor !== plain.backgroundColor
                && getComputedStyle(cell).backgroundColor !== "rgba(0, 0, 0, 0)"))
            .map((row) => row.cells[0].textContent.trim());
        }"""
    )


# The rule table


def test_hovering_or_focusing_a_class_lights_its_cells(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    site.open(f"/policies/{line.pk}/")
    assert lit(site.page) == []
    # ideal and poor ask something of helps and rude; the third class of rude alone.
    site.page.hover("[data-light='0']")
    assert lit(site.page) == ["helps", "rude"]
    site.page.hover("[data-light='2']")
    assert lit(site.page) == ["rude"]
    site.page.hover("h1")
    assert lit(site.page) == []
    site.page.focus("[data-light='2']")
    assert lit(site.page) == ["rude"]


def test_a_class_stays_lit_by_its_address_without_javascript(
    site: Site, browser: Browser, rhea: User, line: Policy
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(rhea)
    plain.open(f"/policies/{line.pk}/")
    plain.page.click("#rule-table >> text=rude completion")
    assert "class=rude_completion" in plain.page.url
    expect(plain.page.locator("table.rules[data-lit='2']")).to_be_visible()
    context.close()


# The playground


def test_the_playground_answers_to_clicks_and_keys_and_is_reopened_by_its_address(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    site.open(f"/policies/{line.pk}/playground/")
    site.page.click("#toggle-helps .toggle-true")
    expect(site.page.locator(".implied-card")).to_contain_text("Still possible")
    site.page.focus("#toggle-rude input:checked")
    site.page.keyboard.press("f")
    expect(site.page.locator(".implied-card")).to_contain_text("ideal")
    expect(site.page.locator(".why-holds .why-head")).to_contain_text("ideal")
    site.page.wait_for_url("**is_rude=false**")
    address = site.page.url
    site.page.goto("about:blank")
    site.page.goto(address)
    expect(site.page.locator(".implied-card")).to_contain_text("ideal")
    expect(site.page.locator("#toggle-helps .toggle-true input")).to_be_checked()


def test_the_playground_works_without_javascript(
    site: Site, browser: Browser, rhea: User, line: Policy
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(rhea)
    plain.open(f"/policies/{line.pk}/playground/")
    plain.page.check("#toggle-rude input[value=true]", force=True)
    plain.page.click("text=Show what follows")
    expect(plain.page.locator(".implied-card")).to_contain_text("rude completion")
    context.close()


# The editor


def edit(site: Site, line: Policy, item: str = "propositions.rude") -> None:
    site.open(f"/policies/{line.pk}/draft/?item={item}")


def saved(site: Site) -> None:
    expect(site.page.locator("#draft-state[data-state=saved]")).to_be_visible()


def test_a_question_is_edited_saved_as_a_change_of_meaning_and_its_labels_turn_stale(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    edit(site, line)
    site.page.fill(QUESTION, "Is it rude and is it long?")
    site.page.keyboard.press("Control+Enter")
    expect(site.page.locator("#draft-lint")).to_contain_text("rude may ask two things at once")
    saved(site)
    site.page.fill(QUESTION, "Is it insulting?")
    site.page.keyboard.press("Control+Enter")
    expect(site.page.locator("#draft-lint")).not_to_contain_text("two things")

    site.page.click("#draft-save-link")
    dialog = site.page.locator("#draft-dialog")
    expect(dialog.locator("ins")).to_have_text("insulting")
    expect(dialog.locator("input[value=meaning]")).to_be_checked()
    dialog.locator("textarea").fill("sharper")
    dialog.locator("button[type=submit]").click()
    expect(site.page.locator(".version")).to_have_text("v2")
    # Seven completions, each with one imported label on `rude`.
    expect(site.page.locator(".stale-banner")).to_contain_text("7 labels stale")
    site.page.click("text=Review them")
    expect(site.page.locator(".review-row")).to_have_count(7)
    site.page.keyboard.press("h")
    expect(site.page.locator(".review-row")).to_have_count(6)
    site.page.click("#stale-labels table >> text=rude")
    site.page.on("dialog", lambda dialog: dialog.accept())
    site.page.click("text=All 6 still hold")
    expect(site.page.locator("#stale-labels")).to_contain_text("No label is stale")
    version = PolicyVersion.objects.get(policy=line, number=2)
    assert version.note == "sharper"
    rude = Label.objects.filter(proposition__key="rude")
    assert set(rude.values_list("policy_version", flat=True)) == {version.pk}


def test_leaving_a_field_saves_it_and_the_next_part_opens(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    edit(site, line)
    site.page.fill(QUESTION, "Is it curt?")
    site.page.click("#draft-outline >> text=helps")
    expect(site.page.locator("#draft-item-title")).to_have_text("helps")
    expect(site.page.locator(QUESTION)).to_have_value("Does it help?")
    assert question(stored(rhea)) == "Is it curt?"
    site.page.click("#draft-outline >> text=rude >> nth=0")
    expect(site.page.locator(QUESTION)).to_have_value("Is it curt?")


def test_examples_are_typed_one_after_the_other(site: Site, rhea: User, line: Policy) -> None:
    site.sign_in(rhea)
    edit(site, line)
    for number in range(2):
        site.page.fill(f"#id_examples-{number}-user", f"user {number}")
        site.page.fill(f"#id_examples-{number}-assistant", f"assistant {number}")
        site.page.keyboard.press("Control+Enter")
        expect(site.page.locator(".example-field")).to_have_count(number + 2)
    # A field that is left saves too: the last of several requests has both texts.
    for _ in range(100):
        if said(rhea)[-1:] == [("user 1", "assistant 1")]:
            break
        site.page.wait_for_timeout(50)
    assert said(rhea) == [("user 0", "assistant 0"), ("user 1", "assistant 1")]


def said(user: User) -> list[tuple[str, str]]:
    rude = next(row for row in stored(user)["propositions"] if row["key"] == "rude")
    return [(row["user"], row["assistant"]) for row in rude["examples"]]


def test_toggles_of_a_class_are_set_by_key_and_an_overlap_leads_to_its_witness(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    edit(site, line, "completion_classes.poor")
    site.page.focus("input[name='literal:comply:rude']:checked")
    site.page.keyboard.press("-")
    expect(site.page.locator("#draft-lint")).to_contain_text("both hold")
    assert stored(rhea)["completion_classes"]["poor"]["comply"] == {"helps": False}
    site.page.click("text=open the witness")
    expect(site.page.locator(".why-holds")).to_have_count(2)


def test_what_was_typed_and_not_saved_is_there_after_a_reload(
    site: Site, rhea: User, line: Policy
) -> None:
    site.sign_in(rhea)
    edit(site, line)
    site.page.locator(QUESTION).press("Control+End")
    site.page.keyboard.type(" Really?")
    expect(site.page.locator("#draft-state")).to_have_text("Not saved yet")
    site.page.reload()
    expect(site.page.locator(QUESTION)).to_have_value("Is it rude? Really?")
    expect(site.page.locator(".kept")).to_be_visible()
    assert not PolicyDraft.objects.exists()
    site.page.focus(QUESTION)
    site.page.keyboard.press("Control+Enter")
    saved(site)
    assert question(stored(rhea)) == "Is it rude? Really?"
    site.page.reload()
    expect(site.page.locator(".kept")).to_be_hidden()


def test_a_server_that_is_away_loses_nothing(site: Site, rhea: User, line: Policy) -> None:
    site.sign_in(rhea)
    edit(site, line)
    site.page.context.set_offline(True)
    site.page.fill(QUESTION, "Is it curt?")
    site.page.keyboard.press("Control+Enter")
    expect(site.page.locator("#draft-state")).to_have_text("Not saved: kept in this browser")
    site.page.context.set_offline(False)
    site.page.keyboard.press("Control+Enter")
    saved(site)
    assert question(stored(rhea)) == "Is it curt?"
    site.problems = [text for text in site.problems if "Failed to fetch" not in text]


def test_text_that_is_no_policy_stays_in_the_yaml_tab(site: Site, rhea: User, line: Policy) -> None:
    site.expected.add(422)
    site.sign_in(rhea)
    site.open(f"/policies/{line.pk}/draft/?tab=yaml")
    box = site.page.locator("#draft-source textarea")
    box.fill("format: [half")
    site.page.keyboard.press("Control+Enter")
    expect(site.page.locator("#source-error")).to_contain_text("not YAML")
    expect(box).to_have_value("format: [half")
    box.fill(tiny(*SHARPER))
    site.page.keyboard.press("Control+Enter")
    saved(site)
    assert question(stored(rhea)) == "Is it insulting?"


def test_the_editor_works_without_javascript(
    site: Site, browser: Browser, rhea: User, line: Policy
) -> None:
    context = browser.new_context(java_script_enabled=False)
    plain = Site(site.url, context.new_page())
    plain.sign_in(rhea)
    edit(plain, line)
    plain.page.fill(QUESTION, "Is it curt?")
    plain.page.click(".item-form button[type=submit]")
    assert question(stored(rhea)) == "Is it curt?"
    plain.page.click("#draft-save-link")
    plain.page.check("input[value=wording]")
    plain.page.click(".save-form button[type=submit]")
    expect(plain.page.locator(".version")).to_have_text("v2")
    context.close()


# Two editors


def test_who_saves_second_sees_both_changes_and_rebases(
    site: Site, browser: Browser, ana: User, ben: User, line: Policy
) -> None:
    site.expected.add(409)
    site.sign_in(ana)
    context = browser.new_context()
    other = Site(site.url, context.new_page())
    other.watch()
    other.sign_in(ben)
    for each, text in ((site, "Is it curt?"), (other, "Is it harsh?")):
        edit(each, line)
        each.page.fill(QUESTION, text)
        each.page.keyboard.press("Control+Enter")
        saved(each)
        each.page.click("#draft-save-link")
        expect(each.page.locator("#draft-dialog")).to_be_visible()
    other.page.click("#draft-dialog button[type=submit]")
    expect(other.page.locator(".version")).to_have_text("v2")
    site.page.click("#draft-dialog button[type=submit]")
    dialog = site.page.locator("#draft-dialog")
    expect(dialog).to_contain_text("ben saved v2")
    expect(dialog.locator(".conflict-sides")).to_contain_text("curt")
    expect(dialog.locator(".conflict-sides")).to_contain_text("harsh")
    dialog.locator("text=Rebase my draft onto v2").click()
    expect(site.page.locator("#draft-conflicts")).to_contain_text("propositions.rude.question")
    expect(site.page.locator(QUESTION)).to_have_value("Is it curt?")
    site.page.click("#draft-save-link")
    site.page.click("#draft-dialog button[type=submit]")
    expect(site.page.locator(".version")).to_have_text("v3")
    assert question(line.versions.get(number=3).document) == "Is it curt?"
    assert other.problems == []
    context.close()


# For everybody


def test_policy_pages_have_no_serious_accessibility_problem_and_never_scroll_sideways(
    site: Site, rhea: User, line: Policy
) -> None:
    fill(ConversationSetFactory(policy=line), "train", 2, labelled=True)
    import_policy(text=tiny(*SHARPER), name=line.name)
    site.sign_in(rhea)
    home = f"/policies/{line.pk}/"
    for path in (
        "/policies/",
        home,
        f"{home}playground/",
        f"{home}versions/",
        f"{home}stale/",
        f"{home}draft/?item=propositions.rude",
        f"{home}draft/?item=completion_classes.poor",
        f"{home}draft/?tab=yaml",
    ):
        for scheme in ("light", "dark"):
            site.page.emulate_media(color_scheme=scheme)
            site.open(path)
            found = Axe().run(site.page).response["violations"]
            serious = [
                (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
                for rule in found
                if rule["impact"] in ("serious", "critical")
            ]
            assert serious == [], (path, scheme)
        for width in (1280, 390):
            site.page.set_viewport_size({"width": width, "height": 900})
            assert site.page.evaluate("document.documentElement.scrollWidth") <= width, path
