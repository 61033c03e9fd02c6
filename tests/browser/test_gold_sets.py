"""Gold sets in a real browser: making one, coverage, leaks, versions; pages fit and are quiet."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import ConversationSet, LabellingQueue
from annotation.services.gold_versions import freeze_gold_set
from tests.browser.conftest import Site
from tests.browser.test_pages import assert_fits
from tests.factories import CompletionFactory, fill

pytestmark = pytest.mark.django_db(transaction=True)
SERIOUS = {"serious", "critical"}


def paths(gold: ConversationSet) -> list[str]:
    names = ("coverage", "consistency", "split", "leakage", "versions", "settings")
    return [
        reverse("gold_sets"),
        reverse("gold_set_new") + f"?sources={gold.pk}",
        reverse("gold_set", args=[gold.pk]),
        *(reverse(f"gold_{name}", args=[gold.pk]) for name in names),
        reverse("gold_coverage", args=[gold.pk]) + "?proposition=helps&split=test",
        reverse("gold_version", args=[gold.pk, 2]),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_a_set_is_quiet_fits_and_can_be_used_by_all(
    site: Site, rhea: User, gold: ConversationSet, scheme: str
) -> None:
    long = "longwordwithoutanybreak" * 30
    gold.note = long[:500]
    gold.save()
    freeze_gold_set(conversation_set=gold, author=rhea, note=long[:500])
    CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=[{"role": "user", "content": f"<script>alert(1)</script> {long}"}],
        text=long,
        external_id=long[:200],
    )
    freeze_gold_set(conversation_set=gold)
    site.sign_in(rhea)
    site.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for width, height in ((1280, 900), (390, 844)):
        site.page.set_viewport_size({"width": width, "height": height})
        for path in paths(gold):
            site.open(path)
            assert_fits(site, path)
            if width == 1280:
                found = Axe().run(site.page).response["violations"]
                serious = [
                    (row["id"], [node["target"] for node in row["nodes"]][:3])
                    for row in found
                    if row["impact"] in SERIOUS
                ]
                assert serious == [], path


def test_a_set_is_made_from_a_sample_that_is_seen_before(
    site: Site, rhea: User, gold: ConversationSet
) -> None:
    site.sign_in(rhea)
    site.open(reverse("gold_set", args=[gold.pk]))
    site.page.click("summary:has-text('More')")
    site.page.click("text=New set from this one")
    expect(site.page.locator(".draw-count")).to_have_text("7 completions")
    site.page.fill("#id_name", "half")
    site.page.fill("#id_size", "4")
    site.page.locator("#id_size").blur()
    expect(site.page.locator(".draw-count")).to_have_text("4 completions")
    # What was typed elsewhere is still there.
    expect(site.page.locator("#id_name")).to_have_value("half")
    site.page.select_option("#id_split", "test")
    expect(site.page.locator(".draw-count")).to_have_text("3 completions")
    site.page.click("text=Make the set")
    expect(site.page.locator("h1")).to_have_text("half")
    expect(site.page.locator("#messages")).to_contain_text("3 completions and 9 labels")


def test_a_thin_cell_becomes_a_queue_in_two_clicks(
    site: Site, rhea: User, gold: ConversationSet
) -> None:
    fill(gold, "train", 2)
    site.sign_in(rhea)
    site.open(reverse("gold_coverage", args=[gold.pk]))
    site.page.click("a[aria-label^='cites, train, comply']")
    expect(site.page.locator("#coverage-cell")).to_contain_text("0 true, 4 false, 2 undecided")
    site.page.click("text=Label these next")
    site.page.wait_for_url("**/queues/*/")
    assert LabellingQueue.objects.get().slots.count() == 2


def test_the_floor_changes_what_is_red_in_place(
    site: Site, rhea: User, gold: ConversationSet
) -> None:
    site.sign_in(rhea)
    site.open(reverse("gold_coverage", args=[gold.pk]))
    cell = "td:has(a[aria-label^='helps, train, comply'])"
    expect(site.page.locator(f"{cell}.thin")).to_be_visible()
    site.page.fill("#id_coverage_floor", "2")
    site.page.press("#id_coverage_floor", "Enter")
    expect(site.page.locator(f"{cell}.heat-1")).to_be_visible()
    site.expected.add(422)
    site.page.fill("#id_coverage_floor", "")
    site.page.evaluate("document.querySelector('#id_coverage_floor').required = false")
    site.page.press("#id_coverage_floor", "Enter")
    expect(site.page.locator("#coverage [role=alert]")).to_have_text(
        "Give a number, 0 for no floor."
    )


def test_leaks_are_looked_for_when_somebody_asks(
    site: Site, rhea: User, gold: ConversationSet
) -> None:
    for split in ("train", "test"):
        CompletionFactory(
            conversation__conversation_set=gold,
            conversation__split=split,
            conversation__prompt=[{"role": "user", "content": "The very same question?"}],
        )
    site.sign_in(rhea)
    site.open(reverse("gold_split", args=[gold.pk]))
    site.page.click("text=Look for leaks")
    expect(site.page.locator("#leakage .leak-kinds")).to_contain_text("the same prompt")
    assert site.page.url.endswith("/split/")


def test_a_version_is_frozen_and_compared(site: Site, rhea: User, gold: ConversationSet) -> None:
    site.sign_in(rhea)
    site.open(reverse("gold_versions", args=[gold.pk]))
    site.page.fill("#id_note", "first")
    site.page.click("button:has-text('Freeze')")
    expect(site.page.locator("tbody tr")).to_have_count(1)
    fill(gold, "train", 1)
    site.page.click("button:has-text('Freeze')")
    expect(site.page.locator("tbody tr")).to_have_count(2)
    site.page.click("a:has-text('v2')")
    expect(site.page.locator(".diff-tiles .tile").first).to_contain_text("1")
