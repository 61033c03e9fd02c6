"""Tasks are nudges: each may come late, twice or never, and the rows still come out right."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone
from kombu.transport import memory

from annotation.models import ConversationSet
from grading import tasks
from grading.models import Grade, GraderProbe, GraderRun, GraderVersion, GradingAttempt
from grading.selectors.runs import abandoned_runs
from grading.services.batches import claim_batch, store_answers
from grading.services.graders import request_probe
from grading.services.runs import complete_run, start_run, stop_run
from grading.tasks import grade_run, nudge_probe, nudge_run, probe_grader, sweep
from rbr_app.celery import app
from rbr_app.rbr.engines import Answer, EngineKind, fake
from tests.db.grading.conftest import Capture
from tests.db.grading.work import free
from tests.factories import (
    GraderProbeFactory,
    GraderRunFactory,
    GraderVersionFactory,
    GradingBatchFactory,
    fake_config,
)

pytestmark = pytest.mark.django_db

ROWS = 9
"""Cells of a run over the three test rows, three propositions each."""


def started(gold: ConversationSet, **settings: Any) -> GraderRun:
    version = GraderVersionFactory(settings=settings)
    return start_run(grader_version=version, conversation_set=gold, split="test").run


class Queue:
    """What is waiting in a broker that lives in this process."""

    def waiting(self, queue: str) -> list[SimpleNamespace]:
        found = []
        with app.connection_for_read() as connection:
            messages = connection.SimpleQueue(queue)
            while messages.qsize():
                message = messages.get_nowait()
                message.ack()
                found.append(
                    SimpleNamespace(
                        task=message.headers["task"],
                        pk=message.decode()[0][0],
                        expires=message.headers["expires"],
                    )
                )
            messages.close()
        return found

    def names(self, queue: str = "default") -> list[tuple[str, int]]:
        return [(m.task.removeprefix("grading.tasks."), m.pk) for m in self.waiting(queue)]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    monkeypatch.setattr(app.conf, "broker_url", "memory://")
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    memory.Channel.queues.clear()
    yield Queue()
    memory.Channel.queues.clear()


# grade_run


@pytest.mark.usefixtures("small_batches")
def test_grading_a_run_completes_it(gold: ConversationSet) -> None:
    run = started(gold)
    grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == "completed"
    assert run.grades.count() == ROWS
    assert not run.batches.filter(state="open").exists()


@pytest.mark.usefixtures("small_batches")
def test_grading_a_run_twice_grades_and_calls_once(gold: ConversationSet) -> None:
    run = started(gold)
    grade_run(run.pk)
    before = list(Grade.objects.values())
    ended = GraderRun.objects.get().finished_at
    grade_run(run.pk)
    assert list(Grade.objects.values()) == before
    assert GradingAttempt.objects.count() == 5
    assert GraderRun.objects.get().finished_at == ended


@pytest.mark.usefixtures("small_batches")
def test_a_failing_batch_ends_the_turn_and_leaves_the_others_for_the_next(
    gold: ConversationSet,
) -> None:
    run = started(gold, fail_after=0)
    grade_run(run.pk)
    assert GradingAttempt.objects.count() == 1
    grade_run(run.pk)
    ordinals = GradingAttempt.objects.order_by("pk").values_list("batch__ordinal", flat=True)
    assert list(ordinals) == [0, 1]


@pytest.mark.usefixtures("small_batches")
def test_five_turns_that_fail_end_the_run_with_the_cause(gold: ConversationSet) -> None:
    run = started(gold, fail_after=0)
    for _ in range(7):
        free(run)
        grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == "failed"
    assert "fails after 0 cells" in run.error
    assert GradingAttempt.objects.count() == 5


@pytest.mark.usefixtures("small_batches")
def test_a_long_run_gives_way_to_the_queue_and_nudges_itself(
    gold: ConversationSet,
    monkeypatch: pytest.MonkeyPatch,
    broker: Queue,
    django_capture_on_commit_callbacks: Capture,
) -> None:
    monkeypatch.setattr(tasks, "TURN_SECONDS", -1.0)
    run = started(gold)
    with django_capture_on_commit_callbacks(execute=True):
        grade_run(run.pk)
    assert GradingAttempt.objects.count() == 1
    assert broker.names() == [("grade_run", run.pk)]


def test_a_run_whose_last_worker_died_before_saying_so_is_completed(
    gold: ConversationSet,
) -> None:
    run = started(gold)
    claim = claim_batch(run=run)
    assert claim is not None
    store_answers(claim=claim, answers=[Answer(0.5, 0.9)] * ROWS)
    # Killed here: every grade is stored, the run is still called running.
    assert list(abandoned_runs()) == [run]
    grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == "completed"
    assert run.grades.count() == ROWS


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_a_run_that_is_over_is_not_graded(gold: ConversationSet, status: str) -> None:
    run = started(gold)
    GraderRun.objects.update(status=status, finished_at=timezone.now())
    grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == status
    assert not Grade.objects.exists()


# probe_grader


def test_a_probe_registers_the_grader_with_its_speed(gold: ConversationSet) -> None:
    probe = request_probe(name="fake", config=fake_config(seed=4))
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert probe.state == "done"
    assert probe.version is not None
    assert probe.version.facts["seed"] == 4
    assert probe.calls_per_second is not None
    assert probe.calls_per_second > 0


def test_a_probe_without_any_set_has_no_speed() -> None:
    GraderRunFactory.create().delete()
    ConversationSet.objects.all().delete()
    probe = request_probe(name="fake", config=fake_config())
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert (probe.state, probe.calls_per_second) == ("done", None)


def test_a_probe_twice_is_one_version(gold: ConversationSet) -> None:
    probe = request_probe(name="fake", config=fake_config())
    probe_grader(probe.pk)
    before = GraderProbe.objects.values().get()
    probe_grader(probe.pk)
    assert GraderProbe.objects.values().get() == before
    assert GraderVersion.objects.count() == 1


def test_a_probe_of_an_engine_that_fails_says_why(gold: ConversationSet) -> None:
    probe = request_probe(name="fake", config=fake_config(fail_after=1))
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert (probe.state, probe.version) == ("failed", None)
    assert probe.error == "the fake engine fails after 1 cells, as configured"


def test_a_probe_of_an_engine_that_may_not_be_used_says_why(
    gold: ConversationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(fake.ALLOW)
    probe = request_probe(name="fake", config=fake_config())
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert "RBR_ALLOW_FAKE_ENGINE=1" in probe.error


def test_a_probe_needs_neither_policy_nor_conversations_but_then_measures_no_speed() -> None:
    probe = request_probe(name="fake", config=fake_config())
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert (probe.state, probe.calls_per_second) == ("done", None)


def test_a_bug_in_an_engine_fails_the_probe_and_is_logged(
    gold: ConversationSet, caplog: pytest.LogCaptureFixture
) -> None:
    probe = request_probe(name="fake", config=fake_config(delay="slow"))
    probe_grader(probe.pk)
    probe.refresh_from_db()
    assert probe.state == "failed"
    assert "slow" in probe.error
    assert any(record.exc_info for record in caplog.records)


# Nudges


def test_a_run_is_nudged_once_per_process_in_its_engines_queue(
    gold: ConversationSet,
    broker: Queue,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Capture,
) -> None:
    run = started(gold)
    with django_capture_on_commit_callbacks(execute=True):
        nudge_run(run)
    assert broker.names("default") == [("grade_run", run.pk)] * tasks.PROCESSES
    # A language model stands in one process, which alone reads its queue.
    monkeypatch.setattr(fake, "KIND", EngineKind(batch_size=2, holds_model=True))
    with django_capture_on_commit_callbacks(execute=True):
        nudge_run(run)
    assert broker.names("default") == []
    assert broker.names("model") == [("grade_run", run.pk)]


def test_nudges_expire_so_that_they_do_not_pile_up(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        nudge_run(started(gold))
    assert all(message.expires for message in broker.waiting("default"))


def test_a_nudge_waits_for_the_commit(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        nudge_run(started(gold))
    assert len(callbacks) == tasks.PROCESSES
    assert broker.names() == []


def test_without_a_broker_a_nudge_is_a_warning_and_the_row_stands(
    gold: ConversationSet,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Capture,
) -> None:
    monkeypatch.setattr(app.conf, "broker_url", "redis+socket:///nonexistent/broker.sock")
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    run = started(gold)
    with (
        caplog.at_level(logging.WARNING),
        django_capture_on_commit_callbacks(execute=True),
    ):
        nudge_run(run)
    assert f"no broker for grading.tasks.grade_run {run.pk}" in caplog.text
    assert list(abandoned_runs()) == [run]


# sweep


def swept(broker: Queue, capture: Capture) -> list[tuple[str, int]]:
    with capture(execute=True):
        sweep()
    return broker.names("default") + broker.names("model")


@pytest.mark.usefixtures("small_batches")
def test_the_sweep_nudges_runs_that_nobody_works_on(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    run = started(gold)
    assert swept(broker, django_capture_on_commit_callbacks) == [("grade_run", run.pk)] * 2
    claim = claim_batch(run=run)
    assert claim is not None
    # A batch is in work: whoever has it takes the others too.
    assert swept(broker, django_capture_on_commit_callbacks) == []
    run.batches.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert swept(broker, django_capture_on_commit_callbacks) == [("grade_run", run.pk)] * 2


@pytest.mark.usefixtures("small_batches")
def test_the_sweep_leaves_alone_what_is_over(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    run = started(gold)
    stop_run(run=run)
    for status in ("completed", "failed"):
        row = GraderRunFactory(conversation_set=gold, status=status, finished_at=timezone.now())
        GradingBatchFactory(run=row)
    assert swept(broker, django_capture_on_commit_callbacks) == []


def test_the_sweep_nudges_a_run_that_is_done_and_does_not_know_it(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    run = started(gold)
    run.batches.update(state="done")
    assert swept(broker, django_capture_on_commit_callbacks) == [("grade_run", run.pk)] * 2
    complete_run(run=run)
    assert swept(broker, django_capture_on_commit_callbacks) == []


def test_the_sweep_nudges_probes_that_nobody_starts(
    broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    now = timezone.now()
    fresh = GraderProbeFactory()
    lost = GraderProbeFactory()
    GraderProbe.objects.filter(pk=lost.pk).update(requested_at=now - timedelta(seconds=10))
    GraderProbeFactory(state="running", leased_until=now + timedelta(seconds=20))
    died = GraderProbeFactory(state="running", leased_until=now - timedelta(seconds=1))
    GraderProbeFactory(state="failed")
    found = swept(broker, django_capture_on_commit_callbacks)
    assert sorted(found) == sorted([("probe_grader", lost.pk), ("probe_grader", died.pk)])
    assert fresh.pk not in {pk for _, pk in found}


@pytest.mark.usefixtures("small_batches")
def test_a_sweep_twice_only_nudges_twice(
    gold: ConversationSet, broker: Queue, django_capture_on_commit_callbacks: Capture
) -> None:
    run = started(gold)
    before = list(run.batches.values())
    for _ in range(2):
        assert swept(broker, django_capture_on_commit_callbacks)
    assert list(run.batches.values()) == before


def test_a_probe_is_nudged_in_its_engines_queue(
    broker: Queue, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Capture
) -> None:
    probe = GraderProbeFactory()
    with django_capture_on_commit_callbacks(execute=True):
        nudge_probe(probe)
    assert broker.names("default") == [("probe_grader", probe.pk)]
    monkeypatch.setattr(fake, "KIND", EngineKind(batch_size=2, holds_model=True))
    with django_capture_on_commit_callbacks(execute=True):
        nudge_probe(probe)
    assert broker.names("model") == [("probe_grader", probe.pk)]
