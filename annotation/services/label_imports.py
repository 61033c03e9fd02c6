"""Imports labels that people gave in another tool.

What is decided here: a person of the file is the user of that e-mail address or name, else a new
one who cannot sign in. A label that is missing is added; one that says the same is left; one that
says something else is replaced if the file's answer is the newer, else kept and reported. Of two
answers of one person to one question the newer counts. Rows that belong to no completion of the
set are reported and left out; a question that the policy does not have refuses the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import TextChoices
from django.utils import timezone

from annotation.models import (
    Completion,
    ConversationSet,
    Label,
    LabelEvent,
    PolicyVersion,
    Proposition,
    Reveal,
)
from annotation.models.labels import WITHDRAWN, Answer
from annotation.services.conversations import ImportRefused
from annotation.services.gold_truths import lock_completions, refresh_gold_truths
from annotation.services.people import find_or_make_annotators
from rbr_app.rbr.conversations import RowError
from rbr_app.rbr.foreign_labels import ANSWERS, ForeignLabel, Reading, plain_choice
from rbr_app.rbr.label_formats import READERS

CHUNK = 2_000
Cell = tuple[int, str, int]
"""A completion, a proposition's key, a user."""


class Tool(TextChoices):
    LABEL_STUDIO = "label_studio", "Label Studio"
    ARGILLA = "argilla", "Argilla"


@dataclass(frozen=True)
class LabelConflict:
    """An answer of the file that differs from the same person's newer one here, which is kept."""

    row: int
    proposition: str
    person: str
    here: str
    in_file: str


@dataclass(frozen=True)
class Unmatched:
    """A record of the file that belongs to no completion of the set."""

    row: int
    reason: str


@dataclass
class LabelImport:
    """What an import found and did. `people` maps a name in the file to that of the user."""

    conversation_set: ConversationSet
    policy_version: PolicyVersion
    in_file: int = 0
    matched: int = 0
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    repeated: int = 0
    without_status: int = 0
    conflicts: list[LabelConflict] = field(default_factory=list)
    unmatched: list[Unmatched] = field(default_factory=list)
    left_out: Mapping[str, int] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    new_people: list[str] = field(default_factory=list)


@transaction.atomic
def import_labels(
    *,
    conversation_set: ConversationSet,
    content: bytes,
    tool: str,
    actor: User,
    reading: Reading | None = None,
    policy_version: PolicyVersion | None = None,
    dry_run: bool = False,
) -> LabelImport:
    """Add the file's answers as labels of the people who gave them, or nothing at all.

    They count as answers to `policy_version`, the latest unless another is named. With `dry_run`
    the report says what would happen, and nothing does. Raises `ImportRefused` for a file that
    cannot be read, holds no answer, or asks what the policy does not.
    """
    try:
        found = READERS[tool](content, reading)
    except RowError as error:
        raise ImportRefused(str(error)) from error
    version = policy_version or conversation_set.policy.latest
    report = LabelImport(
        conversation_set,
        version,
        in_file=len(found.labels),
        left_out=found.left_out,
        without_status=found.without_status,
    )
    if not found.labels:
        raise ImportRefused("the file holds no answer that was submitted")
    propositions = _propositions(version, found.labels)
    matched = _matched(conversation_set, found.labels, report)
    people = find_or_make_annotators(
        names={label.person for _, label in matched}, prefix=f"{tool}-"
    )
    report.people = {name: person.user.username for name, person in people.items()}
    report.new_people = sorted(person.user.username for person in people.values() if person.is_new)
    users = {name: person.user for name, person in people.items()}
    answers = _newest(matched, users, report)
    _Writing(report, propositions, users, actor).write(answers)
    if dry_run:
        transaction.set_rollback(True)
    return report


def read_mapping(lines: Iterable[str]) -> dict[str, str | None]:
    """``question = key`` on each line; without a key the question is left out.

    Raises `ImportRefused` for a line without an equals sign.
    """
    mapping: dict[str, str | None] = {}
    for line in lines:
        name, equals, key = (part.strip() for part in line.rpartition("="))
        if line.strip() and not (equals and name):
            raise ImportRefused(f"{line.strip()!r} is no mapping: write `name in the file = key`")
        if name:
            mapping[name] = key or None
    return mapping


def read_answers(lines: Iterable[str]) -> dict[str, bool | None]:
    """``choice = true`` on each line, `false`, or `cannot decide`. Raises `ImportRefused`."""
    answers: dict[str, bool | None] = {}
    for choice, meaning in read_mapping(lines).items():
        plain = plain_choice(meaning or "")
        if plain not in ANSWERS:
            raise ImportRefused(f"{choice!r} has to mean true, false or cannot decide")
        answers[choice] = ANSWERS[plain]
    return answers


def _propositions(version: PolicyVersion, labels: Iterable[ForeignLabel]) -> dict[str, int]:
    asked = set(version.as_policy().proposition_keys)
    unknown = sorted({label.key for label in labels} - asked)
    if unknown:
        raise ImportRefused(
            f"the policy has no proposition {', '.join(map(repr, unknown))}: "
            "say which one each question is, or leave it out"
        )
    rows = Proposition.objects.filter(policy=version.policy, key__in=asked)
    return dict(rows.values_list("key", "pk"))


# Which completion a record is about


@dataclass(frozen=True)
class _Known:
    """The set's completions that the file may mean, by id and by prompt and completion."""

    by_id: Mapping[str, list[Completion]]
    by_fingerprint: Mapping[str, list[Completion]]

    def meant_by(self, label: ForeignLabel) -> Completion | str:
        """The completion of a record, or why there is none."""
        if found := self.by_id.get(label.external_id, []) if label.external_id else []:
            if len(found) > 1:
                return f"{len(found)} completions have the id {label.external_id!r}"
            told = label.conversation
            if told is not None and told.completion != found[0].text:
                return f"the completion {label.external_id!r} has another text here"
            return found[0]
        named = f"no completion has the id {label.external_id!r}" if label.external_id else ""
        if label.conversation is None:
            return named
        found = self.by_fingerprint.get(label.conversation.fingerprint, [])
        if len(found) > 1:
            return f"{len(found)} completions have its prompt and text"
        return (
            found[0]
            if found
            else " and ".join(filter(None, (named, "no completion has its prompt and text")))
        )


def _known(conversation_set: ConversationSet, labels: Iterable[ForeignLabel]) -> _Known:
    ids = {label.external_id for label in labels} - {""}
    fingerprints = {label.conversation.fingerprint for label in labels if label.conversation}
    held = Completion.objects.filter(conversation__conversation_set=conversation_set)
    by_id: dict[str, list[Completion]] = defaultdict(list)
    for row in held.filter(external_id__in=ids).order_by("pk"):
        by_id[row.external_id].append(row)
    by_fingerprint: dict[str, list[Completion]] = defaultdict(list)
    for row in held.filter(fingerprint__in=fingerprints).order_by("pk"):
        by_fingerprint[row.fingerprint].append(row)
    return _Known(by_id, by_fingerprint)


def _matched(
    conversation_set: ConversationSet, labels: tuple[ForeignLabel, ...], report: LabelImport
) -> list[tuple[int, ForeignLabel]]:
    """Each label with its completion; what belongs to none is reported once per record."""
    known = _known(conversation_set, labels)
    reasons: dict[int, str] = {}
    matched = []
    for label in labels:
        meant = known.meant_by(label)
        if isinstance(meant, str):
            reasons[label.row] = meant
        else:
            matched.append((meant.pk, label))
    report.matched = len(matched)
    report.unmatched = [Unmatched(row, reason) for row, reason in sorted(reasons.items())]
    return matched


def _newest(
    matched: Iterable[tuple[int, ForeignLabel]], users: Mapping[str, User], report: LabelImport
) -> dict[Cell, ForeignLabel]:
    """One answer for each cell and person: the newest, and of equally new ones the last."""
    answers: dict[Cell, ForeignLabel] = {}
    for completion, label in matched:
        cell = (completion, label.key, users[label.person].pk)
        if (other := answers.get(cell)) is not None:
            report.repeated += 1
            if other.at and (label.at is None or label.at < other.at):
                continue
        answers[cell] = label
    return answers


# Writing


@dataclass
class _Writing:
    """Turns the file's answers into rows: labels, and an event for each that changed."""

    report: LabelImport
    propositions: Mapping[str, int]
    users: Mapping[str, User]
    actor: User
    now: datetime = field(default_factory=timezone.now)

    def write(self, answers: Mapping[Cell, ForeignLabel]) -> None:
        completions = {completion for completion, _, _ in answers}
        lock_completions(completions)
        held = self._held(completions)
        reveals = self._reveals(completions)
        fresh: list[Label] = []
        changed: list[Label] = []
        events: list[LabelEvent] = []
        for (completion, key, _), told in answers.items():
            user, proposition = self.users[told.person], self.propositions[key]
            label = held.get((completion, proposition, user.pk))
            answer = Answer.of(told.answer)
            # A clock that is ahead must not keep the person's next answer here from counting.
            at = min(told.at or self.now, self.now)
            if label is None:
                label = Label(completion_id=completion, proposition_id=proposition, annotator=user)
                fresh.append(label)
            elif label.answer == answer:
                self.report.unchanged += 1
                continue
            elif told.at is None or at <= label.clicked_at:
                here = label.answer or "taken back"
                self.report.conflicts.append(
                    LabelConflict(told.row, key, user.username, here, answer)
                )
                continue
            else:
                changed.append(label)
            known_since = reveals.get((completion, user.pk))
            event = LabelEvent(
                label=label,
                actor=self.actor,
                kind=LabelEvent.Kind.IMPORTED,
                old=label.answer,
                new=answer,
                policy_version=self.report.policy_version,
                after_reveal=known_since is not None and at > known_since,
                clicked_at=at,
            )
            events.append(event)
            label.answer, label.clicked_at, label.prelabel = answer, at, WITHDRAWN
            label.policy_version, label.after_reveal = event.policy_version, event.after_reveal
            label.updated_at = self.now
        self._store(fresh, changed, events)

    def _store(self, fresh: list[Label], changed: list[Label], events: list[LabelEvent]) -> None:
        Label.objects.bulk_create(fresh, batch_size=CHUNK)
        columns = ["answer", "clicked_at", "prelabel", "policy_version", "after_reveal"]
        Label.objects.bulk_update(changed, [*columns, "updated_at"], batch_size=CHUNK)
        LabelEvent.objects.bulk_create(events, batch_size=CHUNK)
        refresh_gold_truths({label.completion_id for label in (*fresh, *changed)})
        self.report.added, self.report.replaced = len(fresh), len(changed)

    def _held(self, completions: set[int]) -> dict[tuple[int, int, int | None], Label]:
        people = [user.pk for user in self.users.values()]
        rows = Label.objects.filter(completion__in=completions, annotator__in=people)
        return {(row.completion_id, row.proposition_id, row.annotator_id): row for row in rows}

    def _reveals(self, completions: set[int]) -> dict[tuple[int, int], datetime]:
        people = [user.pk for user in self.users.values()]
        rows = Reveal.objects.filter(completion__in=completions, annotator__in=people)
        return {(row.completion_id, row.annotator_id): row.at for row in rows}
