"""A run from its form to its report, live."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from annotation.models import ConversationSet
from grading.models import GraderRun, GraderVersion
from grading.services.batches import claim_batch, grade_batch
from grading.tasks import grade_run
from rbr_app.rbr.engines import fake
from tests.browser.conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)


def grade_one_batch(run: GraderRun) -> None:
    claim = claim_batch(run=run)
    assert claim is not None
    assert grade_batch(claim=claim, run=run, policy=run.policy_version.as_policy())


def test_a_run_progresses_live_and_polls_no_more_when_it_has_ended(
    site: Site, rhea: User, gold: ConversationSet, version: GraderVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fake, "KIND", replace(fake.KIND, batch_size=2))
    site.sign_in(rhea)
    site.open("/runs/")
    site.page.click("#run-form button[type=submit]")
    progress = site.page.locator("#run-progress")
    expect(progress).to_contain_text("0 / 21")
    run = GraderRun.objects.get()
    grade_one_batch(run)
    expect(progress).to_contain_text("2 / 21")
    grade_run(run.pk)
    expect(progress).to_contain_text("completed")
    expect(progress).to_contain_text("21 / 21")
    # The report has followed: seven rows for each proposition.
    expect(site.page.locator("#run-report tbody tr").first).to_contain_text("7")
    site.page.wait_for_timeout(500)
    seen = len(site.requests)
    site.page.wait_for_timeout(2500)
    assert len(site.requests) == seen


def test_a_run_is_stopped_and_resumed_by_hand(
    site: Site, rhea: User, gold: ConversationSet, version: GraderVersion
) -> None:
    site.sign_in(rhea)
    site.open("/runs/")
    site.page.click("#run-form button[type=submit]")
    site.page.click("#stop-run")
    expect(site.page.locator("#resume-run")).to_have_text("Resume 21 of 21")
    site.page.click("#resume-run")
    expect(site.page.locator("#stop-run")).to_be_visible()
    assert GraderRun.objects.get().status == GraderRun.Status.RUNNING


def test_a_form_that_is_refused_keeps_what_was_typed(
    site: Site, rhea: User, gold: ConversationSet, version: GraderVersion
) -> None:
    site.sign_in(rhea)
    site.expected.add(422)
    site.open("/runs/")
    site.page.eval_on_selector("#run-form", "form => { form.noValidate = true; }")
    site.page.select_option("#id_split", "train")
    site.page.fill("#id_limit", "0")
    site.page.click("#run-form button[type=submit]")
    expect(site.page.locator("#run-form [role=alert]")).to_contain_text("Limit")
    expect(site.page.locator("#id_split")).to_have_value("train")
    assert not GraderRun.objects.exists()


def test_sorting_and_filtering_live_in_the_address(
    site: Site, rhea: User, gold: ConversationSet, version: GraderVersion
) -> None:
    site.sign_in(rhea)
    site.open(f"/gold-sets/{gold.pk}/")
    site.page.select_option("#id_split", "test")
    expect(site.page.locator(".list-head")).to_contain_text("3 of 7")
    assert site.page.url.endswith("?split=test")
    site.page.reload()
    expect(site.page.locator(".list-head")).to_contain_text("3 of 7")
    expect(site.page.locator("#id_split")).to_have_value("test")
