"""How runs end: completed, stopped, failed, and resumed with what is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotation.models import ConversationSet
from grading.models import Grade, GraderVersion
from grading.selectors.runs import run_progress
from grading.services.batches import claim_batch, store_answers
from grading.services.runs import (
    StartedRun,
    complete_run,
    fail_run,
    resume_run,
    stop_run,
)
from grading.tasks import grade_run
from rbr_app.rbr.engines import Answer as Graded
from tests.db.grading.work import start
from tests.factories import (
    GraderRunFactory,
)

pytestmark = pytest.mark.django_db


def test_a_run_is_completed_when_no_batch_is_open(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    complete_run(run=run)
    run.refresh_from_db()
    assert (run.status, run.finished_at) == ("running", None)
    run.batches.update(state="done")
    complete_run(run=run)
    run.refresh_from_db()
    assert run.status == "completed"
    assert run.finished_at is not None


def test_a_completed_run_stays_completed(version: GraderVersion, gold: ConversationSet) -> None:
    run = start(version, gold).run
    grade_run(run.pk)
    run.refresh_from_db()
    ended = run.finished_at
    complete_run(run=run)
    stop_run(run=run)
    fail_run(run=run, error="too late")
    assert resume_run(run=run).status == "completed"
    assert (run.finished_at, run.error) == (ended, "")
    assert start(version, gold) == StartedRun(run, added=False)


def test_a_stopped_run_whose_last_batch_was_in_flight_is_completed_by_it(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    claim = claim_batch(run=run)
    assert claim is not None
    stop_run(run=run)
    store_answers(claim=claim, answers=[Graded(0.5, 0.9)] * 9)
    complete_run(run=run)
    run.refresh_from_db()
    assert run.status == "completed"


def test_a_run_that_is_over_has_an_end_and_one_that_goes_on_has_none() -> None:
    for given in ({"status": "stopped"}, {"status": "running", "finished_at": timezone.now()}):
        with pytest.raises(IntegrityError, match="run_finished_at"), transaction.atomic():
            GraderRunFactory(**given)


@pytest.mark.usefixtures("small_batches")
def test_a_stopped_run_takes_no_further_batch(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    assert claim_batch(run=run) is not None
    stop_run(run=run)
    assert (run.status, run.error) == ("stopped", "")
    assert run.finished_at is not None
    assert claim_batch(run=run) is None
    grade_run(run.pk)
    assert not Grade.objects.exists()


@pytest.mark.usefixtures("small_batches")
def test_resuming_grades_only_what_is_missing(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    claim = claim_batch(run=run)
    assert claim is not None
    store_answers(claim=claim, answers=[Graded(0.25, 0.9)] * 2)
    stop_run(run=run)
    resume_run(run=run)
    assert (run.status, run.finished_at) == ("running", None)
    grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == "completed"
    # 3 completions × 3 propositions, each graded by one call; the first two kept as they were.
    progress = run_progress(run)
    assert (progress.cells, progress.grades, progress.calls) == (9, 9, 9)
    kept = Grade.objects.filter(p=0.25).values_list("completion", "proposition")
    assert sorted(map(list, kept)) == sorted(claim.batch.cells)


def test_starting_a_failed_run_again_resumes_it(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    fail_run(run=run, error="no memory")
    assert (run.status, run.error) == ("failed", "no memory")
    assert start(version, gold) == StartedRun(run, added=False)
    run.refresh_from_db()
    assert (run.status, run.error, run.finished_at) == ("running", "", None)


def test_resuming_ends_the_pause_of_a_batch_that_failed(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    run.batches.update(leased_until=timezone.now() + timedelta(seconds=60))
    assert claim_batch(run=run) is None
    fail_run(run=run, error="no memory")
    resume_run(run=run)
    assert claim_batch(run=run) is not None


def test_resuming_leaves_a_batch_with_the_worker_that_still_grades_it(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold).run
    assert claim_batch(run=run) is not None
    stop_run(run=run)
    resume_run(run=run)
    assert claim_batch(run=run) is None
    assert not run.batches.get().attempts.exclude(error="").exists()
