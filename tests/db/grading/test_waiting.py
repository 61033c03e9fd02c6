"""A job that no worker takes says so on its page, and what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import ConversationSet
from grading.models import GraderProbe, GraderRun
from grading.services.batches import claim_batch
from grading.services.runs import start_run
from tests.factories import GraderProbeFactory, GraderVersionFactory

pytestmark = pytest.mark.django_db
ADVICE = "No worker has taken this yet"


@pytest.fixture
def page(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


def advised(page: Client, path: str) -> bool:
    return ADVICE in page.get(path).text


def test_a_probe_that_waits_long_says_so_and_a_new_one_does_not(page: Client) -> None:
    probe = GraderProbeFactory()
    path = reverse("grader_card", args=[probe.grader.name])
    assert not advised(page, path)
    asked = timezone.now() - timedelta(seconds=11)
    GraderProbe.objects.filter(pk=probe.pk).update(requested_at=asked)
    assert advised(page, path)
    GraderProbe.objects.filter(pk=probe.pk).update(state=GraderProbe.State.RUNNING)
    assert not advised(page, path)


def test_a_run_that_nobody_has_begun_says_so_until_somebody_does(
    page: Client, gold: ConversationSet
) -> None:
    run = start_run(grader_version=GraderVersionFactory(), conversation_set=gold, split="all").run
    path = reverse("run", args=[run.pk])
    assert not advised(page, path)
    started = timezone.now() - timedelta(seconds=11)
    GraderRun.objects.filter(pk=run.pk).update(started_at=started)
    assert advised(page, path)
    assert claim_batch(run=run)
    assert not advised(page, path)
