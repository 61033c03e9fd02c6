"""People who disagree, and somebody who decides, as short verbs for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from annotation.models import Adjudication, Completion, ConversationSet, GoldTruth
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.services.adjudication import adjudicate
from tests.factories import LabelFactory, fill

T, F, U = Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE


def cell(
    gold: ConversationSet, people: Sequence[User], answers: Sequence[str], key: str = "helps",
    completion: Completion | None = None, **more: Any,
) -> GoldTruth:  # fmt: skip
    """A completion that the people answered, the first of them with the first answer."""
    completion = completion or fill(gold, "test", 1)[0]
    for person, answer in zip(people, answers, strict=False):
        LabelFactory(completion=completion, key=key, annotator=person, answer=answer, **more)
    return GoldTruth.objects.get(completion=completion, proposition__key=key)


def decide(truth: GoldTruth, adjudicator: User, answer: Answer = T, **more: Any) -> Adjudication:
    policy = truth.completion.conversation.conversation_set.policy
    given = {"reason": Reason.AMBIGUOUS, "note": "", "policy_version": policy.latest} | more
    return adjudicate(
        completion=truth.completion,
        proposition=truth.proposition,
        answer=answer,
        adjudicator=adjudicator,
        **given,
    )
