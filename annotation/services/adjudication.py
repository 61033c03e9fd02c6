"""Decides disputed cells, and keeps what deciding them shows about definitions."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation.models import (
    Adjudication,
    Completion,
    DefinitionFlag,
    PolicyVersion,
    Proposition,
    Reveal,
)
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.services.gold_truths import lock_completions, refresh_gold_truths


class DecidedMeanwhile(Exception):
    """Somebody else decided the cell after the adjudicator had opened it."""

    def __init__(self, standing: Adjudication) -> None:
        super().__init__(f"{standing.adjudicator} has decided this meanwhile")
        self.standing = standing


@transaction.atomic
def adjudicate(
    *,
    completion: Completion,
    proposition: Proposition,
    answer: Answer,
    reason: Reason,
    note: str,
    adjudicator: User,
    policy_version: PolicyVersion,
    flag_text: str = "",
    last_seen: int | None = None,
) -> Adjudication:
    """Decide a cell; the Gold truth follows. Earlier decisions stay, the latest counts.

    With `flag_text` the proposition's definition is flagged too. `last_seen` is the pk of the
    decision that the adjudicator saw, 0 for none: if another one stands by now, it raises
    `DecidedMeanwhile` and nothing is written. A decision that repeats one's own standing one
    (a form sent twice) is that one.
    """
    lock_completions([completion.pk])
    standing = standing_adjudication(completion, proposition)
    if standing is not None and last_seen is not None and standing.pk != last_seen:
        decided = (standing.adjudicator_id, standing.answer, standing.reason, standing.note)
        if decided == (adjudicator.pk, answer, reason, note):
            return standing
        raise DecidedMeanwhile(standing)
    adjudication = Adjudication.objects.create(
        completion=completion,
        proposition=proposition,
        answer=answer,
        reason=reason,
        note=note,
        adjudicator=adjudicator,
        policy_version=policy_version,
    )
    refresh_gold_truths([completion.pk], [proposition.pk])
    # Who decides between people has read what they say.
    Reveal.objects.get_or_create(completion=completion, annotator=adjudicator)
    if flag_text:
        flag_definition(
            proposition=proposition,
            policy_version=policy_version,
            author=adjudicator,
            text=flag_text,
            completion=completion,
        )
    return adjudication


def standing_adjudication(completion: Completion, proposition: Proposition) -> Adjudication | None:
    """The decision that counts."""
    found = Adjudication.objects.filter(completion=completion, proposition=proposition)
    return found.select_related("adjudicator").order_by("-pk").first()


def flag_definition(
    *,
    proposition: Proposition,
    policy_version: PolicyVersion,
    author: User,
    text: str,
    completion: Completion | None = None,
) -> DefinitionFlag:
    """Note that a definition needs work; `completion` is the case that showed it."""
    return DefinitionFlag.objects.create(
        proposition=proposition,
        policy_version=policy_version,
        author=author,
        text=text,
        completion=completion,
    )


@transaction.atomic
def resolve_flag(*, flag: DefinitionFlag, actor: User) -> DefinitionFlag:
    """The definition was seen to. A flag that was resolved before stays as it was."""
    held = DefinitionFlag.objects.select_for_update().get(pk=flag.pk)
    if held.resolved_at is None:
        held.resolved_at = timezone.now()
        held.resolved_by = actor
        held.save(update_fields=["resolved_at", "resolved_by"])
    return held
