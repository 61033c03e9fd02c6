"""Workers take batches, may die anywhere, and leave each grade exactly once."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotation.models import ConversationSet
from grading.models import Grade, GraderRun, GradingAttempt, GradingBatch
from grading.selectors.runs import run_progress
from grading.services import batches
from grading.services.batches import claim_batch, renewed, store_answers
from rbr_app.rbr.engines import Answer
from tests.db.grading.work import answers, claimed, expire, pause_of, started
from tests.factories import (
    GradeFactory,
    GradingBatchFactory,
    fill,
    proposition,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


# Taking a batch


def test_batches_are_taken_in_order_and_held_for_a_while(gold: ConversationSet) -> None:
    run = started(gold)
    found = [claimed(run) for _ in range(5)]
    assert [claim.batch.ordinal for claim in found] == [0, 1, 2, 3, 4]
    assert claim_batch(run=run) is None
    for batch in run.batches.all():
        assert batch.leased_until is not None
        left = batch.leased_until - timezone.now()
        assert batches.LEASE - timedelta(seconds=5) < left <= batches.LEASE


def test_taking_a_batch_opens_an_attempt_of_this_worker(gold: ConversationSet) -> None:
    attempt = claimed(started(gold)).attempt
    attempt.refresh_from_db()
    assert attempt.worker == batches.worker_name()
    assert (attempt.finished_at, attempt.error, attempt.calls) == (None, "", 0)


def test_a_batch_that_is_done_is_not_taken(gold: ConversationSet) -> None:
    run = started(gold)
    run.batches.filter(ordinal__lt=4).update(state="done")
    assert claimed(run).batch.ordinal == 4
    assert claim_batch(run=run) is None


def test_renewing_prolongs_the_lease(gold: ConversationSet) -> None:
    claim = claimed(started(gold))
    expire(claim)
    claim.renew()
    batch = GradingBatch.objects.get(pk=claim.batch.pk)
    assert batch.leased_until is not None
    assert batch.leased_until > timezone.now() + batches.LEASE - timedelta(seconds=5)


def test_an_expired_lease_is_taken_over_and_the_dead_attempt_is_closed(
    gold: ConversationSet,
) -> None:
    run = started(gold)
    dead = claimed(run)
    expire(dead)
    alive = claimed(run)
    assert alive.batch == dead.batch
    assert alive.attempt != dead.attempt
    dead.attempt.refresh_from_db()
    assert dead.attempt.finished_at is not None
    assert "the worker died" in dead.attempt.error
    assert alive.attempt.error == ""


@pytest.mark.django_db(transaction=True)
def test_many_workers_take_every_batch_exactly_once(gold: ConversationSet) -> None:
    fill(gold, "test", 20)
    run = started(gold)
    # 23 completions × 3 propositions in batches of 2: 35 batches
    assert run.batches.count() == 35
    barrier = Barrier(6)

    def work(_: int) -> list[int]:
        mine = []
        try:
            barrier.wait(10)
            while claim := claim_batch(run=GraderRun.objects.get(pk=run.pk)):
                mine.append(claim.batch.pk)
            return mine
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(work, range(6)))
    flat = [pk for mine in taken for pk in mine]
    assert len(flat) == len(set(flat)) == 35
    assert GradingAttempt.objects.count() == 35


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_just_being_taken_is_skipped_without_waiting(
    gold: ConversationSet,
) -> None:
    run = started(gold)
    locked, over = Event(), Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                GradingBatch.objects.select_for_update().get(run=run, ordinal=0)
                locked.set()
                over.wait(20)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        try:
            assert locked.wait(10)
            assert claimed(run).batch.ordinal == 1
        finally:
            over.set()


# Storing


def test_answers_are_stored_with_what_they_cost(gold: ConversationSet) -> None:
    claim = claimed(started(gold))
    no_signal = Answer(None, 0.01, "maybe", "no signal: mass 0.01", prompt_tokens=7)
    store_answers(claim=claim, answers=[*answers(1, p=0.75), no_signal])
    first, second = (
        Grade.objects.get(completion=completion, proposition=key)
        for completion, key in claim.batch.cells
    )
    assert (first.p, first.mass, first.token, first.null_reason) == (0.75, 0.9, "yes", "")
    assert (second.p, second.mass, second.token) == (None, 0.01, "maybe")
    assert second.null_reason == "no signal: mass 0.01"
    claim.attempt.refresh_from_db()
    # 10 + 7 prompt tokens, 4 + 0 of them cached, one call each
    assert (claim.attempt.prompt_tokens, claim.attempt.cached_tokens) == (17, 4)
    assert claim.attempt.calls == 2
    assert claim.attempt.finished_at is not None
    assert claim.attempt.error == ""
    assert GradingBatch.objects.get(pk=claim.batch.pk).state == "done"


def test_an_odd_token_is_cut_to_what_the_column_holds(gold: ConversationSet) -> None:
    claim = claimed(started(gold))
    odd = Answer(0.5, 0.9, "a\x00" * 100)
    store_answers(claim=claim, answers=[odd, Answer(None, None, "", "x" * 600)])
    assert Grade.objects.get(p=0.5).token == "a" * 50
    assert Grade.objects.get(p=None).null_reason == "x" * 500


def test_a_late_workers_answers_are_dropped(gold: ConversationSet) -> None:
    run = started(gold)
    late = claimed(run)
    expire(late)
    quick = claimed(run)
    store_answers(claim=quick, answers=answers(2, p=0.25))
    store_answers(claim=late, answers=answers(2, p=0.75))
    assert list(Grade.objects.values_list("p", flat=True)) == [0.25, 0.25]
    # Both spent their calls.
    assert run_progress(run).calls == 4


def test_the_late_worker_may_also_be_the_first_to_store(gold: ConversationSet) -> None:
    run = started(gold)
    late = claimed(run)
    expire(late)
    quick = claimed(run)
    store_answers(claim=late, answers=answers(2, p=0.75))
    store_answers(claim=quick, answers=answers(2, p=0.25))
    assert list(Grade.objects.values_list("p", flat=True)) == [0.75, 0.75]


def test_too_few_answers_store_nothing(gold: ConversationSet) -> None:
    claim = claimed(started(gold))
    with pytest.raises(ValueError, match="zip"):
        store_answers(claim=claim, answers=answers(1))
    assert not Grade.objects.exists()
    assert GradingBatch.objects.get(pk=claim.batch.pk).state == "open"


def test_the_database_keeps_one_grade_per_cell_of_a_run(gold: ConversationSet) -> None:
    claim = claimed(started(gold))
    store_answers(claim=claim, answers=answers(2))
    grade = Grade.objects.latest("pk")
    with pytest.raises(IntegrityError, match="grade_identity"), transaction.atomic():
        GradeFactory(run=grade.run, completion=grade.completion, proposition=grade.proposition)


@pytest.mark.parametrize(
    "wrong",
    [
        {"p": None, "null_reason": ""},
        {"p": 0.5, "null_reason": "no signal"},
        {"p": 1.01},
        {"p": -0.01},
        {"p": float("nan")},
    ],
)
def test_the_database_wants_a_probability_or_a_reason(
    gold: ConversationSet, wrong: dict[str, Any]
) -> None:
    [completion] = fill(gold, "test", 1)
    helps = proposition(completion, "helps")
    with pytest.raises(IntegrityError, match="grade_p_or_reason"), transaction.atomic():
        GradeFactory(run=started(gold), completion=completion, proposition=helps, **wrong)


# The lease's thread


def test_a_lease_is_renewed_while_the_work_goes_on_and_not_after() -> None:
    beats: list[int] = []
    three = Event()

    def renew() -> None:
        beats.append(1)
        if len(beats) >= 3:
            three.set()

    with renewed(renew, every=0.01):
        assert three.wait(10)
    after = len(beats)
    assert not Event().wait(0.05)
    assert len(beats) == after


def test_a_lease_that_cannot_be_renewed_once_is_renewed_the_next_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    beats: list[int] = []
    again = Event()

    def renew() -> None:
        beats.append(1)
        if len(beats) == 1:
            raise OSError("the database is away")
        again.set()

    with caplog.at_level(logging.WARNING), renewed(renew, every=0.01):
        assert again.wait(10)
    assert "could not be renewed" in caplog.text


def test_an_error_in_the_work_ends_the_renewing_and_goes_on() -> None:
    beats: list[int] = []
    with pytest.raises(ZeroDivisionError), renewed(lambda: beats.append(1), every=60):
        raise ZeroDivisionError
    assert beats == []


@pytest.mark.django_db(transaction=True)
def test_a_batch_whose_worker_lives_is_not_taken_over(gold: ConversationSet) -> None:
    run = started(gold)
    claim = claimed(run)
    expire(claim)
    with renewed(claim.renew, every=0.02):
        for _ in range(200):
            if pause_of(claim) > 0:
                break
            Event().wait(0.02)
        assert claimed(run).batch != claim.batch


def test_batches_of_a_run_are_numbered_once(gold: ConversationSet) -> None:
    run = started(gold)
    with pytest.raises(IntegrityError, match="batch_ordinal"), transaction.atomic():
        GradingBatchFactory(run=run, ordinal=0)
