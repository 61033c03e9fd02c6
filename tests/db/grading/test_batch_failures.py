"""Grading a batch: what a failure, a dead worker or a changed grader leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.models import ConversationSet
from annotation.models.labels import Answer as Said
from annotation.services.labels import record_label
from grading.models import Grade, GradingAttempt, GradingBatch
from grading.selectors.runs import run_progress
from grading.services import engines
from grading.services.batches import claim_batch, grade_batch, store_answers
from grading.services.runs import resume_run, start_run
from rbr_app.rbr.engines import Answer, Cell, EngineConfig
from rbr_app.rbr.engines.fake import FakeEngine
from rbr_app.rbr.grader import policy_prompt
from tests.db.grading.conftest import forget_engines
from tests.db.grading.work import (
    POLICY,
    answers,
    claimed,
    expire,
    free,
    grade_all,
    pause_of,
    started,
)
from tests.factories import GraderVersionFactory, latest_version, proposition

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def test_a_run_ends_with_the_engines_answer_in_every_cell(gold: ConversationSet) -> None:
    run = started(gold, null_every=3)
    grade_all(run)
    run.refresh_from_db()
    assert run.status == "completed"
    engine = FakeEngine(EngineConfig("fake", settings={"null_every": 3}))
    grades = Grade.objects.select_related("completion__conversation", "proposition")
    assert len(grades) == 9
    for grade in grades:
        cell = Cell(
            grade.completion.as_conversation(), policy_prompt(POLICY, grade.proposition.key)
        )
        [wanted] = engine.grade([cell])
        assert grade.p == (None if wanted.p is None else pytest.approx(wanted.p, rel=1e-12))
        assert (grade.token, grade.null_reason) == (wanted.token, wanted.null_reason)
    progress = run_progress(run)
    assert (progress.cells, progress.grades, progress.calls) == (9, 9, 9)
    assert progress.nulls == sum(grade.p is None for grade in grades)
    assert progress.errors == 0


def test_a_failure_is_recorded_and_frees_the_batch_after_a_pause(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    claim = claimed(run)
    assert grade_batch(claim=claim, run=run, policy=POLICY) is False
    claim.attempt.refresh_from_db()
    assert claim.attempt.error == "the fake engine fails after 0 cells, as configured"
    assert claim.attempt.finished_at is not None
    run.refresh_from_db()
    assert run.status == "running"
    assert not Grade.objects.exists()
    # Paused: the next free batch is the second one. 2^1 s later it would be free again.
    assert pause_of(claim) == pytest.approx(2.0, abs=0.5)
    assert claimed(run).batch.ordinal == 1
    expire(claim)
    assert claimed(run).batch.ordinal == 0


def test_pauses_double_up_to_a_minute(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    # After the fifth failure the run has failed; resumed, it may fail five times more.
    for wanted in (2, 4, 8, 16, 32, 60, 60):
        claim = claimed(run)
        assert claim.batch.ordinal == 0
        grade_batch(claim=claim, run=run, policy=POLICY)
        assert pause_of(claim) == pytest.approx(wanted, abs=0.5)
        resume_run(run=run)
        free(run)


def test_a_batch_that_failed_a_hundred_times_still_pauses_a_minute(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    long_ago = timezone.now() - timedelta(days=1)
    batch = run.batches.get(ordinal=0)
    for _ in range(100):
        GradingAttempt.objects.create(batch=batch, worker="w", error="x", finished_at=long_ago)
    GradingAttempt.objects.update(started_at=long_ago)
    claim = claimed(run)
    assert grade_batch(claim=claim, run=run, policy=POLICY) is False
    assert pause_of(claim) == pytest.approx(60, abs=0.5)


def test_five_failures_in_a_row_fail_the_run_with_the_cause(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    for n in range(5):
        assert run.status == "running", n
        free(run)
        grade_batch(claim=claimed(run), run=run, policy=POLICY)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error == "the fake engine fails after 0 cells, as configured"
    free(run)
    assert claim_batch(run=run) is None


def test_a_success_in_between_starts_the_count_anew(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    for _ in range(4):
        free(run)
        grade_batch(claim=claimed(run), run=run, policy=POLICY)
    free(run)
    store_answers(claim=claimed(run), answers=answers(2))
    for _ in range(4):
        free(run)
        grade_batch(claim=claimed(run), run=run, policy=POLICY)
    run.refresh_from_db()
    assert run.status == "running"


def test_a_resumed_run_has_its_full_patience_again(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    for _ in range(5):
        free(run)
        grade_batch(claim=claimed(run), run=run, policy=POLICY)
    resume_run(run=run)
    for _ in range(4):
        free(run)
        grade_batch(claim=claimed(run), run=run, policy=POLICY)
    run.refresh_from_db()
    assert run.status == "running"


def test_five_workers_that_die_in_a_row_fail_the_run_and_no_sixth_is_sent(
    gold: ConversationSet,
) -> None:
    run = started(gold)
    for _ in range(5):
        expire(claimed(run))
    assert claim_batch(run=run) is None
    assert run.status == "failed"
    assert "the worker died" in run.error
    assert GradingAttempt.objects.count() == 5


def test_a_run_that_failed_half_way_goes_on_with_what_is_missing(gold: ConversationSet) -> None:
    # Three cells are answered by each fresh engine: a batch, and half a one that is lost with it.
    run = started(gold, fail_after=3)
    stored: list[set[int]] = [set()]
    while run.status != "completed":
        forget_engines()
        for _ in range(5):
            free(run)
            grade_all(run)
        stored.append(set(Grade.objects.values_list("pk", flat=True)))
        if len(stored) == 2:
            run.refresh_from_db()
            assert run.status == "failed"
        resume_run(run=run)
    assert [len(pks) for pks in stored] == [0, 2, 4, 6, 9]
    assert all(before < after for before, after in pairwise(stored))
    # No finished call was repeated: successful attempts spent one call per cell.
    assert run_progress(run).calls == 9


class Broken(FakeEngine):
    """Does what an engine must never do; `wrong` says which."""

    wrong = ""

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        if self.wrong == "raises":
            raise ZeroDivisionError("a bug\nin two lines")
        if self.wrong == "too few":
            return super().grade(cells)[:-1]
        return [Answer(float("nan"), 0.9) for _ in cells]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("raises", "ZeroDivisionError: a bug in two lines"),
        ("too few", "the engine gave 1 answers for 2 cells"),
        ("no number", "grade_p_or_reason"),
    ],
)
def test_a_bug_in_an_engine_is_a_failure_with_its_cause(
    gold: ConversationSet, monkeypatch: pytest.MonkeyPatch, wrong: str, words: str
) -> None:
    monkeypatch.setattr("rbr_app.rbr.engines.fake.FakeEngine", Broken)
    monkeypatch.setattr(Broken, "wrong", wrong)
    run = started(gold)
    claim = claimed(run)
    assert grade_batch(claim=claim, run=run, policy=POLICY) is False
    claim.attempt.refresh_from_db()
    assert words in claim.attempt.error
    assert "\n" not in claim.attempt.error
    assert claim.attempt.finished_at is not None
    assert not Grade.objects.exists()


# A grader or labels that changed


def test_a_grader_that_is_no_longer_what_it_was_fails_the_run_at_once(
    gold: ConversationSet,
) -> None:
    facts = FakeEngine(EngineConfig("fake")).probe().facts | {"model": "of yesterday"}
    version = GraderVersionFactory(facts=facts)
    run = start_run(grader_version=version, conversation_set=gold, split="test").run
    claim = claimed(run)
    assert grade_batch(claim=claim, run=run, policy=POLICY) is False
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error == f"the grader is no longer {version}: model changed"
    claim.attempt.refresh_from_db()
    assert claim.attempt.error == run.error
    assert not Grade.objects.exists()


@pytest.mark.usefixtures("learning")
def test_labels_that_change_under_a_learning_run_fail_it_in_a_worker_that_starts_afresh(
    gold: ConversationSet, ana: User
) -> None:
    run = started(gold)
    assert grade_batch(claim=claimed(run), run=run, policy=POLICY)
    completion = gold.conversations.filter(split="train").earliest("pk").completions.get()
    helps = proposition(completion, "helps")
    record_label(
        completion=completion,
        proposition=helps,
        answer=Said.FALSE,
        actor=ana,
        policy_version=latest_version(completion),
    )
    # This worker has learned already, from the labels that the run was started with.
    assert grade_batch(claim=claimed(run), run=run, policy=POLICY)
    forget_engines()
    assert not grade_batch(claim=claimed(run), run=run, policy=POLICY)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error == "labels of the train split changed while the run was going"


@pytest.mark.usefixtures("learning")
def test_a_test_label_may_change_under_a_learning_run(gold: ConversationSet, ana: User) -> None:
    run = started(gold)
    completion = gold.conversations.filter(split="test").earliest("pk").completions.get()
    helps = proposition(completion, "helps")
    record_label(
        completion=completion,
        proposition=helps,
        answer=Said.FALSE,
        actor=ana,
        policy_version=latest_version(completion),
    )
    grade_all(run)
    run.refresh_from_db()
    assert run.status == "completed"


def test_an_engine_is_opened_once_per_process(gold: ConversationSet) -> None:
    run = started(gold)
    assert engines.engine_for(run) is engines.engine_for(run)
    other = start_run(grader_version=run.grader_version, conversation_set=gold, split="train").run
    assert engines.engine_for(other) is engines.engine_for(run)


def test_an_engine_that_does_not_open_is_tried_again(
    gold: ConversationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(gold)
    monkeypatch.delenv("RBR_ALLOW_FAKE_ENGINE")
    assert not grade_batch(claim=claimed(run), run=run, policy=POLICY)
    monkeypatch.setenv("RBR_ALLOW_FAKE_ENGINE", "1")
    assert grade_batch(claim=claimed(run), run=run, policy=POLICY)


def test_a_late_worker_that_fails_leaves_the_lease_of_its_successor_alone(
    gold: ConversationSet,
) -> None:
    run = started(gold, fail_after=0)
    late = claimed(run)
    expire(late)
    successor = claimed(run)
    assert successor.batch == late.batch
    lease = GradingBatch.objects.get(pk=late.batch.pk).leased_until
    assert not grade_batch(claim=late, run=run, policy=POLICY)
    assert GradingBatch.objects.get(pk=late.batch.pk).leased_until == lease


@pytest.mark.usefixtures("learning")
def test_a_learning_engine_gets_batches_of_one_proposition_each(gold: ConversationSet) -> None:
    # 3 rows x 3 propositions at 2 cells a batch: 2 + 1 cells for each proposition.
    run = started(gold)
    batches = list(run.batches.order_by("ordinal"))
    assert [batch.n_cells for batch in batches] == [2, 1, 2, 1, 2, 1]
    assert all(len({key for _, key in batch.cells}) == 1 for batch in batches)
