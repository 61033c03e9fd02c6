"""What workers do. A message is a nudge: it names a row, and the row says what is left to do."""

from __future__ import annotations

import logging
import time

from celery import Task, shared_task
from django.db import transaction
from kombu.exceptions import OperationalError

from grading.models import GraderProbe, GraderRun
from grading.selectors import graders as select_graders
from grading.selectors import runs as select_runs
from grading.services.batches import claim_batch, grade_batch, renewed
from grading.services.graders import claim_probe, fail_probe, finish_probe, renew_probe
from grading.services.runs import complete_run
from rbr_app.rbr.engines import EngineError, engine_kind, open_engine

logger = logging.getLogger(__name__)

TURN_SECONDS = 20.0
"""A task gives way to the queue after this long, so that two runs share a worker."""
NUDGE_EXPIRES = 30
PROCESSES = 2
"""Nudges sent for a run whose engine may work in several processes."""


@shared_task
def grade_run(run_pk: int) -> None:
    """Grade batches of a run until none is free or the turn is over."""
    run = select_runs.run_for_grading(run_pk)
    policy = run.policy_version.as_policy()
    over = time.monotonic() + TURN_SECONDS
    while claim := claim_batch(run=run):
        if not grade_batch(claim=claim, run=run, policy=policy):
            return
        if time.monotonic() > over:
            nudge_run(run, processes=1)
            return
    # Whoever stored the last grades may have died before it could say so.
    complete_run(run=run)


@shared_task
def probe_grader(probe_pk: int) -> None:
    """Start a grader, check that it works and register what it is."""
    probe = claim_probe(probe_pk=probe_pk)
    if probe is None:
        return
    try:
        with renewed(lambda: renew_probe(probe_pk=probe_pk)):
            result = open_engine(probe.as_config()).probe(select_graders.probe_sample())
    except Exception as error:
        if not isinstance(error, EngineError):
            logger.exception("%s failed", probe)
        fail_probe(probe=probe, error=str(error) or type(error).__name__)
        return
    finish_probe(probe=probe, result=result)


@shared_task
def sweep() -> None:
    """Nudge again what should be worked on and is not: its message or its worker was lost."""
    for probe in select_graders.abandoned_probes():
        nudge_probe(probe)
    for run in select_runs.abandoned_runs():
        nudge_run(run)


def nudge_run(run: GraderRun, processes: int = PROCESSES) -> None:
    kind = engine_kind(run.grader_version.engine)
    for _ in range(1 if kind.holds_model else processes):
        _send(grade_run, run.pk, kind.holds_model)


def nudge_probe(probe: GraderProbe) -> None:
    _send(probe_grader, probe.pk, engine_kind(probe.config["engine"]).holds_model)


def _send(task: Task[[int], None], pk: int, holds_model: bool) -> None:
    def send() -> None:
        try:
            queue = "model" if holds_model else "default"
            task.apply_async((pk,), queue=queue, expires=NUDGE_EXPIRES)
        except OperationalError as error:
            # The row is there; the sweep sends its nudge when the broker is back.
            logger.warning("no broker for %s %s: %s", task.name, pk, error)

    transaction.on_commit(send)
