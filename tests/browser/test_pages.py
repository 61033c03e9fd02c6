"""Every page: quiet console, strict policy kept, no sideways scrolling, both widths."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import expect

from annotation.models import ConversationSet
from grading.models import GraderVersion
from grading.services.runs import start_run
from grading.tasks import grade_run
from tests.browser.conftest import Site
from tests.factories import CompletionFactory

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "longwordwithoutanybreak" * 30
HOSTILE = f"<script>document.title='owned'</script><img src=x onerror=alert(1)> \u202e{LONG}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_every_page_is_quiet_and_fits(
    site: Site, rhea: User, gold: ConversationSet, version: GraderVersion,
    width: int, height: int, scheme: str,
) -> None:  # fmt: skip
    hostile = CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=[{"role": "user", "content": HOSTILE}],
        text=HOSTILE,
        external_id=LONG[:200],
    )
    run = start_run(grader_version=version, conversation_set=gold, split="all").run
    grade_run(run.pk)
    site.page.set_viewport_size({"width": width, "height": height})
    site.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    site.expected.add(404)
    site.open("/login/")
    assert_fits(site, "/login/")
    site.sign_in(rhea)
    for path in (
        reverse("dashboard"),
        reverse("policies"),
        reverse("policy", args=[gold.policy_id]),
        reverse("gold_sets"),
        reverse("gold_set", args=[gold.pk]),
        reverse("label", args=[hostile.pk]),
        reverse("graders"),
        reverse("runs"),
        reverse("run", args=[run.pk]),
        reverse("run_proposition", args=[run.pk, "helps"]) + "?show=all",
        "/runs/999999/",
    ):
        site.open(path)
        assert_fits(site, path)
        assert "owned" not in site.page.title(), path


def assert_fits(site: Site, path: str) -> None:
    width = site.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1], f"{path} scrolls sideways: {width}"
    expect(site.page.locator("main")).to_be_visible()


def test_the_theme_is_chosen_and_kept(site: Site, rhea: User) -> None:
    site.sign_in(rhea)
    site.page.emulate_media(color_scheme="light")
    site.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = site.page.evaluate(ground)
    site.page.click("[data-theme-toggle]")  # system -> light
    site.page.click("[data-theme-toggle]")  # light -> dark
    dark = site.page.evaluate(ground)
    assert dark != light
    site.open("/runs/")
    assert site.page.evaluate(ground) == dark


def test_the_rule_table_changes_class_in_place(
    site: Site, rhea: User, gold: ConversationSet
) -> None:
    site.sign_in(rhea)
    site.open(f"/policies/{gold.policy_id}/")
    site.page.click("#rule-table >> text=poor")
    expect(site.page.locator("#rule-table [aria-current]")).to_have_text("poor")
    assert "class=poor" in site.page.url
