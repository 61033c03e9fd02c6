"""One disputed cell with everything that helps to decide it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User

from annotation.models import (
    Adjudication,
    Assignment,
    CompletionNote,
    GoldTruth,
    Label,
    PolicyVersion,
    Reveal,
)
from annotation.models.labels import WITHDRAWN, Answer
from annotation.selectors.definition_changes import meaning_changes
from annotation.verdicts import verdicts
from rbr_app.rbr.policy import Proposition as KernelProposition
from rbr_app.rbr.policy_diff import word_diff

HASTY_SECONDS = 2.0
"""Nobody reads a conversation and answers in less."""
GRADERS_SHOWN = 3
COLOURS = 8
Pieces = list[tuple[str, str]]
"""``equal``, ``delete`` or ``insert``, and the words."""


@dataclass(frozen=True)
class PersonAnswer:
    """What one person said of the cell, and how.

    `seconds` is the time the completion's page was in use, null where no queue measured it.
    `stale` says why the answer is to an older definition than today's, and `rewording` is what
    became of its question and guideline since: the pieces of a word diff for each.
    """

    user: User
    answer: str
    clicked_at: datetime
    after_reveal: bool
    suggested: str
    seconds: float | None
    note: str
    flagged: bool
    version: PolicyVersion
    stale: str
    rewording: tuple[Pieces, ...]

    @property
    def is_hasty(self) -> bool:
        return self.seconds is not None and self.seconds < HASTY_SECONDS

    @property
    def colour(self) -> int:
        """The same for a person on every card."""
        return self.user.pk % COLOURS

    @property
    def answer_name(self) -> str:
        return Answer(self.answer).label


@dataclass(frozen=True)
class GraderAnswer:
    """A grader's probability; it leans to the answer that p = 0.5 parts."""

    title: str
    p: float

    @property
    def answer(self) -> str:
        return Answer.of(self.p >= 0.5)


@dataclass(frozen=True)
class Option:
    """An answer that can be chosen, with who gave it."""

    value: str
    name: str
    key: str
    people: list[PersonAnswer]
    from_file: bool
    graders: list[GraderAnswer]


@dataclass(frozen=True)
class DisputeCard:
    """A cell under the policy of today."""

    truth: GoldTruth
    proposition: KernelProposition
    people: list[PersonAnswer]
    options: list[Option]
    history: list[Adjudication]

    @property
    def cell(self) -> str:
        return f"{self.truth.completion_id}:{self.truth.proposition.key}"

    @property
    def last_seen(self) -> int:
        return self.history[0].pk if self.history else 0

    @property
    def is_decided(self) -> bool:
        return bool(self.history)


def is_revealed(truth: GoldTruth, user_pk: int) -> bool:
    """Whether the person has seen before what others say of the completion."""
    return Reveal.objects.filter(completion=truth.completion_id, annotator=user_pk).exists()


def dispute_card(truth: GoldTruth, version: PolicyVersion) -> DisputeCard:
    """The card under `version`, which must have the proposition."""
    today = version.as_policy().proposition(truth.proposition.key)
    labels = list(
        Label.objects.filter(completion=truth.completion_id, proposition=truth.proposition_id)
        .exclude(answer=WITHDRAWN)
        .select_related("annotator", "policy_version__policy")
        .order_by("annotator__username")
    )
    people = _people(truth, version, today, labels)
    imported = next((label.answer for label in labels if label.annotator is None), "")
    graders = _graders(truth)
    history = Adjudication.objects.filter(
        completion=truth.completion_id, proposition=truth.proposition_id
    ).select_related("adjudicator", "policy_version__policy")
    return DisputeCard(
        truth=truth,
        proposition=today,
        people=people,
        options=[
            Option(
                value=answer,
                name=answer.label,
                key=letter,
                people=[person for person in people if person.answer == answer],
                from_file=imported == answer,
                graders=[grader for grader in graders if grader.answer == answer],
            )
            for answer, letter in zip(Answer, "YNU", strict=True)
        ],
        history=list(history.order_by("-pk")),
    )


def _people(
    truth: GoldTruth, version: PolicyVersion, today: KernelProposition, labels: list[Label]
) -> list[PersonAnswer]:
    key = truth.proposition.key
    seconds = _seconds(truth)
    notes = {
        note.author_id: note for note in CompletionNote.objects.filter(completion=truth.completion)
    }
    changes = meaning_changes(version.policy_id)
    people = []
    for label in labels:
        if label.annotator is None:
            continue
        note = notes.get(label.annotator.pk)
        stale = changes.since(key, label.policy_version)
        people.append(
            PersonAnswer(
                user=label.annotator,
                answer=label.answer,
                clicked_at=label.clicked_at,
                after_reveal=label.after_reveal,
                suggested=label.prelabel,
                seconds=seconds.get(label.annotator.pk),
                note=note.text if note else "",
                flagged=note is not None and note.flagged,
                version=label.policy_version,
                stale=stale,
                rewording=_rewording(label.policy_version, today) if stale else (),
            )
        )
    return people


def _seconds(truth: GoldTruth) -> dict[int, float]:
    """User pk -> seconds on the completion's page, over all queues.

    Where no heartbeat came, the time from claiming it to completing it: who is quick sends none.
    """
    found: dict[int, float] = defaultdict(float)
    for assignment in Assignment.objects.filter(completion=truth.completion_id):
        if assignment.active_seconds:
            found[assignment.annotator_id] += assignment.active_seconds
        elif assignment.completed_at:
            elapsed = assignment.completed_at - assignment.claimed_at
            found[assignment.annotator_id] += elapsed.total_seconds()
    return dict(found)


def _rewording(version: PolicyVersion, today: KernelProposition) -> tuple[Pieces, ...]:
    policy = version.as_policy()
    if today.key not in policy.proposition_keys:
        return ()
    then = policy.proposition(today.key)
    texts = ((then.question, today.question), (then.guideline, today.guideline))
    return tuple(word_diff(old, new) for old, new in texts if old or new)


def _graders(truth: GoldTruth) -> list[GraderAnswer]:
    """The newest graders that graded the cell."""
    supplier = verdicts()
    cell = (truth.completion_id, truth.proposition.key)
    conversation_set = truth.completion.conversation.conversation_set
    found = []
    for source in supplier.sources(conversation_set)[:GRADERS_SHOWN]:
        p = supplier.probabilities(source.key, [truth.completion_id]).get(cell)
        if p is not None:
            found.append(GraderAnswer(source.title, p))
    return found
