"""Takes batches, grades them, stores the grades. A worker may die anywhere in here."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from annotation.models import Completion, Proposition
from grading.models import Grade, GraderRun, GradingAttempt, GradingBatch
from grading.services.engines import RunOutdated, engine_for
from grading.services.runs import complete_run, fail_run
from rbr_app.db import patiently
from rbr_app.rbr.engines import Answer, Cell, EngineError, cell_fingerprint
from rbr_app.rbr.grader import policy_prompt
from rbr_app.rbr.policy import Policy

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=20)
RENEW_EVERY = 5.0
PATIENCE = 5
"""Attempts in a row that may fail, or die with their worker, before the run has failed."""
LONGEST_PAUSE = timedelta(seconds=60)


@dataclass(frozen=True)
class Claim:
    """A batch that this process holds, and its attempt row."""

    batch: GradingBatch
    attempt: GradingAttempt

    def renew(self) -> None:
        GradingBatch.objects.filter(pk=self.batch.pk).update(leased_until=Now() + LEASE)


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def claim_batch(*, run: GraderRun) -> Claim | None:
    """Take the run's next free batch; None when the run is over or all of them are held."""
    run.refresh_from_db()
    with transaction.atomic():
        free = Q(leased_until=None) | Q(leased_until__lt=Now())
        batch = (
            GradingBatch.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(
                free,
                run=run,
                run__status=GraderRun.Status.RUNNING,
                state=GradingBatch.State.OPEN,
            )
            .order_by("ordinal")
            .first()
        )
        if batch is None:
            return None
        # The batch is free, so whoever left these open is gone.
        died = batch.attempts.filter(finished_at=None)
        if died.update(finished_at=Now(), error=f"the worker died in {batch}: see its log"):
            _give_up_in_time(run)
            if run.status != GraderRun.Status.RUNNING:
                return None
        GradingBatch.objects.filter(pk=batch.pk).update(leased_until=Now() + LEASE)
        return Claim(batch, GradingAttempt.objects.create(batch=batch, worker=worker_name()))


def grade_batch(*, claim: Claim, run: GraderRun, policy: Policy) -> bool:
    """Grade a claimed batch and store the result. False when that failed.

    A failure is recorded, the batch becomes free again after a pause, and after `PATIENCE`
    failures in a row the run has failed with the last cause.
    """
    try:
        cells = _cells(claim.batch, policy)
        keys = [_cache_key(run, cell) for cell in cells]
        with renewed(claim.renew):
            answers = graded_before(keys)
            asked = [index for index, answer in enumerate(answers) if answer is None]
            found = engine_for(run).grade([cells[index] for index in asked]) if asked else []
        if len(found) != len(asked):
            raise EngineError(f"the engine gave {len(found)} answers for {len(asked)} cells")
        for index, answer in zip(asked, found, strict=True):
            answers[index] = answer
        complete = [answer for answer in answers if answer is not None]
        # Calls that were paid for are not lost to a restart of the database.
        patiently(
            lambda: store_answers(
                claim=claim, answers=complete, keys=keys, reused=len(cells) - len(asked)
            )
        )
    except RunOutdated as error:
        _record_failure(claim, run, str(error))
        fail_run(run=run, error=str(error))
        return False
    except EngineError as error:
        _record_failure(claim, run, str(error))
        return False
    except Exception as error:
        logger.exception("%s failed", claim.batch)
        _record_failure(claim, run, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return False
    complete_run(run=run)
    return True


def _cache_key(run: GraderRun, cell: Cell) -> UUID:
    return cell_fingerprint(run.grader_version.fingerprint, cell, run.training_fingerprint)


def graded_before(keys: Sequence[UUID]) -> list[Answer | None]:
    """What earlier runs were told when they asked just this, None where nobody has asked.

    Cells without a p are asked again: what kept a server from answering may have passed.
    """
    grades = Grade.objects.filter(cache_key__in=keys, p__isnull=False)
    known = {
        key: Answer(p, mass, token, calls=0, p_low=low, p_high=high)
        for key, p, mass, token, low, high in grades.values_list(
            "cache_key", "p", "mass", "token", "p_low", "p_high"
        )
    }
    return [known.get(key) for key in keys]


def _cells(batch: GradingBatch, policy: Policy) -> list[Cell]:
    completions = {
        row.pk: row.as_conversation()
        for row in Completion.objects.filter(
            pk__in={completion for completion, _ in batch.cells}
        ).select_related("conversation")
    }
    keys = dict(
        Proposition.objects.filter(
            pk__in={proposition for _, proposition in batch.cells}
        ).values_list("pk", "key")
    )
    prompts = {pk: policy_prompt(policy, key) for pk, key in keys.items()}
    return [
        Cell(completions[completion], prompts[proposition])
        for completion, proposition in batch.cells
    ]


@transaction.atomic
def store_answers(
    *,
    claim: Claim,
    answers: Sequence[Answer],
    keys: Sequence[UUID | None] = (),
    reused: int = 0,
) -> None:
    """Write a batch's grades and mark it done, all or nothing.

    `keys` are what later runs find the grades by; without them they will ask again. When another
    worker was quicker (a lease can run out under a worker that lives), its grades stand and these
    are dropped.
    """
    batch = GradingBatch.objects.select_for_update().get(pk=claim.batch.pk)
    if batch.state == GradingBatch.State.OPEN:
        Grade.objects.bulk_create(
            Grade(
                run_id=batch.run_id,
                completion_id=completion,
                proposition_id=proposition,
                p=answer.p,
                p_low=answer.p_low,
                p_high=answer.p_high,
                mass=answer.mass,
                cache_key=key,
                token=answer.token[:100].replace("\x00", ""),
                null_reason=answer.null_reason[:500],
            )
            for (completion, proposition), answer, key in zip(
                batch.cells, answers, keys or [None] * len(answers), strict=True
            )
        )
        batch.state = GradingBatch.State.DONE
        batch.save(update_fields=["state"])
    GradingAttempt.objects.filter(pk=claim.attempt.pk).update(
        finished_at=Now(),
        calls=sum(answer.calls for answer in answers),
        reused=reused,
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
        cached_tokens=sum(answer.cached_tokens for answer in answers),
    )


@transaction.atomic
def _record_failure(claim: Claim, run: GraderRun, error: str) -> None:
    GradingAttempt.objects.filter(pk=claim.attempt.pk).update(finished_at=Now(), error=error)
    attempts = claim.batch.attempts
    # If the lease ran out under this worker, it is another's by now and not ours to shorten.
    if not attempts.filter(pk__gt=claim.attempt.pk).exists():
        tries = attempts.exclude(error="").count()
        pause = min(timedelta(seconds=2 ** min(tries, 10)), LONGEST_PAUSE)
        GradingBatch.objects.filter(pk=claim.batch.pk).update(leased_until=Now() + pause)
    _give_up_in_time(run)


def _give_up_in_time(run: GraderRun) -> None:
    """Fail the run when its last `PATIENCE` attempts since it was started all went wrong."""
    ended = GradingAttempt.objects.filter(
        batch__run=run, finished_at__isnull=False, started_at__gte=run.started_at
    )
    last = list(ended.order_by("-finished_at", "-pk").values_list("error", flat=True)[:PATIENCE])
    if len(last) == PATIENCE and all(last):
        fail_run(run=run, error=last[0])


@contextmanager
def renewed(renew: Callable[[], None], every: float = RENEW_EVERY) -> Iterator[None]:
    """Call `renew` every few seconds, in a thread, while the body works."""
    over = threading.Event()

    def beat() -> None:
        try:
            while not over.wait(every):
                try:
                    renew()
                except Exception:
                    # The database may be away for a moment; the next beat tries again.
                    logger.warning("a lease could not be renewed", exc_info=True)
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
