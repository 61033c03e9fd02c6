"""Starts, stops and resumes runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from annotation.models import Completion, ConversationSet, PolicyVersion, Proposition
from annotation.selectors.conversations import completions_of
from grading.models import GraderRun, GraderVersion, GradingAttempt, GradingBatch
from grading.services.training import training_rows
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.engines import engine_kind
from rbr_app.rbr.grader import policy_prompt
from rbr_app.rbr.policy import Policy

CHUNK = 1_000


class RunRefused(ValueError):
    """A run that makes no sense as asked for; nothing was written."""


@dataclass(frozen=True)
class StartedRun:
    """The run that answers the request. `added` is false when it stood before."""

    run: GraderRun
    added: bool


def start_run(
    *,
    grader_version: GraderVersion,
    conversation_set: ConversationSet,
    split: str,
    limit: int | None = None,
    propositions: Sequence[str] = (),
    actor: User | None = None,
) -> StartedRun:
    """Plan the grading of a set's split; all propositions of its policy unless some are named.

    `limit` takes that many completions, the same ones each time, spread over the split. A run
    that stopped or failed goes on; a finished one is returned as it is.
    """
    policy_version = conversation_set.policy.latest
    policy = policy_version.as_policy()
    keys = _checked_keys(policy, propositions)
    completions = _chosen_completions(conversation_set, split, limit)
    kind = engine_kind(grader_version.engine)
    training = training_rows(conversation_set) if kind.learns else None
    if training is not None and not training.rows:
        raise RunRefused(
            f"{conversation_set} has no labelled row in its train split, "
            f"so {grader_version.grader} has nothing to learn from"
        )
    digest = fingerprint(
        [
            grader_version.fingerprint,
            [asdict(policy_prompt(policy, key)) for key in keys],
            [[completion.pk, completion.fingerprint] for completion in completions],
            training.fingerprint if training else "",
        ]
    )
    if existing := GraderRun.objects.filter(fingerprint=digest).first():
        return StartedRun(resume_run(run=existing), added=False)
    try:
        with transaction.atomic():
            run = GraderRun.objects.create(
                grader_version=grader_version,
                policy_version=policy_version,
                conversation_set=conversation_set,
                split=split,
                limit=limit,
                fingerprint=digest,
                training_fingerprint=training.fingerprint if training else "",
                started_by=actor,
            )
            _plan(run, policy_version, policy, keys, completions, kind.learns, kind.batch_size)
    except IntegrityError:
        # Somebody asked for the same run in the same moment.
        return StartedRun(GraderRun.objects.get(fingerprint=digest), added=False)
    return StartedRun(run, added=True)


def _checked_keys(policy: Policy, propositions: Sequence[str]) -> list[str]:
    if unknown := set(propositions) - set(policy.proposition_keys):
        raise RunRefused(f"unknown proposition {min(unknown)!r}")
    wanted = set(propositions or policy.proposition_keys)
    return [key for key in policy.proposition_keys if key in wanted]


def _chosen_completions(
    conversation_set: ConversationSet, split: str, limit: int | None
) -> list[Completion]:
    found = completions_of(conversation_set, split).defer("text", "conversation__prompt")
    # By fingerprint, so that a limited run is spread over the file and not its first rows.
    completions = list(found.order_by("fingerprint", "occurrence", "pk")[:limit])
    if not completions:
        raise RunRefused(f"{conversation_set} has no completion in split {split!r}")
    return completions


def _plan(
    run: GraderRun,
    version: PolicyVersion,
    policy: Policy,
    keys: list[str],
    completions: list[Completion],
    learns: bool,
    batch_size: int,
) -> None:
    """Cut the run's cells into batches, in an order in which neighbours share a prompt prefix."""
    rows = Proposition.objects.filter(policy=version.policy, key__in=keys)
    by_key = {row.key: row.pk for row in rows}
    propositions = [by_key[key] for key in keys]
    run.propositions.set(propositions)
    ordered = sorted(completions, key=lambda row: (row.conversation.prompt_fingerprint, row.pk))
    by_proposition = [[[row.pk, proposition] for row in ordered] for proposition in propositions]
    if learns:
        # A batch is about one proposition, so that two workers rarely fit the same one.
        groups = by_proposition
    elif policy.template.order == "question_first":
        groups = [[cell for cells in by_proposition for cell in cells]]
    else:
        groups = [[[row.pk, proposition] for row in ordered for proposition in propositions]]
    GradingBatch.objects.bulk_create(
        (
            GradingBatch(run=run, ordinal=ordinal, cells=part, n_cells=len(part))
            for ordinal, part in enumerate(_parts(groups, batch_size))
        ),
        batch_size=CHUNK,
    )


def _parts(groups: list[list[list[int]]], size: int) -> Iterator[list[list[int]]]:
    for cells in groups:
        for start in range(0, len(cells), size):
            yield cells[start : start + size]


def resume_run(*, run: GraderRun) -> GraderRun:
    """Go on with a stopped or failed run; only what is missing is graded."""
    over = [GraderRun.Status.STOPPED, GraderRun.Status.FAILED]
    with transaction.atomic():
        resumed = GraderRun.objects.filter(pk=run.pk, status__in=over).update(
            status=GraderRun.Status.RUNNING, error="", started_at=Now(), finished_at=None
        )
        if resumed:
            # What is paused need not wait; what is being graded stays with its worker.
            in_work = GradingAttempt.objects.filter(batch=OuterRef("pk"), finished_at=None)
            run.batches.filter(~Exists(in_work), state=GradingBatch.State.OPEN).update(
                leased_until=None
            )
    run.refresh_from_db()
    return run


def stop_run(*, run: GraderRun) -> GraderRun:
    """Take no further batch; batches that are being graded are still stored."""
    _end(run, GraderRun.Status.STOPPED)
    return run


def fail_run(*, run: GraderRun, error: str) -> None:
    """Give up on a run. `error` is one line that names the cause."""
    _end(run, GraderRun.Status.FAILED, error)


def complete_run(*, run: GraderRun) -> None:
    """Mark the run completed if every batch is done. Stopped and failed runs too can complete:
    the last batch may have been in flight."""
    open_batches = GradingBatch.objects.filter(run=OuterRef("pk"), state=GradingBatch.State.OPEN)
    GraderRun.objects.filter(~Exists(open_batches), pk=run.pk).exclude(
        status=GraderRun.Status.COMPLETED
    ).update(status=GraderRun.Status.COMPLETED, error="", finished_at=Now())


def _end(run: GraderRun, status: GraderRun.Status, error: str = "") -> None:
    GraderRun.objects.filter(pk=run.pk, status=GraderRun.Status.RUNNING).update(
        status=status, error=error, finished_at=Now()
    )
    run.refresh_from_db()
