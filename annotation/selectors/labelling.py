"""What the labelling page shows a person about one completion.

Blind: what other people, the imported file or a grader say of it is not even read before the person
may know it, which is from the moment that a `Reveal` row says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import User

from annotation.models import (
    Assignment,
    Completion,
    CompletionNote,
    Label,
    PolicyVersion,
    Prelabel,
    Proposition,
    Reveal,
)
from annotation.models.labels import TRUTH, WITHDRAWN, Answer
from annotation.selectors.asking import Wording, kernel_policy, reflowed, wording
from annotation.selectors.definition_changes import meaning_changes
from annotation.verdicts import verdicts
from rbr_app.rbr import policy as kernel
from rbr_app.rbr.constraints import Violation, violations
from rbr_app.rbr.rules import Explanation, explain, leaves

SUGGEST_TRUE = 0.5
"""A grader's probability from which on "true" is what it suggests."""


@dataclass(frozen=True)
class Suggestion:
    """What a grader would answer, in a queue that shows so beforehand."""

    p: float

    @property
    def answer(self) -> Answer:
        return Answer.of(self.p >= SUGGEST_TRUE)


@dataclass(frozen=True)
class Said:
    """What somebody else says of a cell. `p` is a grader's; `agrees` is None without my answer."""

    who: str
    answer: Answer
    agrees: bool | None
    p: float | None = None


@dataclass(frozen=True)
class LabelRow:
    """One proposition on the page. `decides`: the completion's class depends on it.

    `label` is the person's own; `changed_in` is the newest version that gave the proposition
    another meaning since. `others` is empty until the reveal.
    """

    proposition: Proposition
    definition: kernel.Proposition
    wording: Wording
    decides: bool
    required: bool
    label: Label | None
    suggestion: Suggestion | None
    changed_in: int | None
    others: tuple[Said, ...]

    @property
    def key(self) -> str:
        return self.proposition.key

    @property
    def mine(self) -> str:
        return self.label.answer if self.label else WITHDRAWN

    @property
    def guideline(self) -> str:
        return reflowed(self.definition.guideline)

    @property
    def has_more(self) -> bool:
        """Whether there is something to unfold."""
        return bool(self.wording.rest or self.definition.guideline or self.definition.examples)

    @property
    def differs(self) -> bool:
        return any(said.agrees is False for said in self.others)


@dataclass(frozen=True)
class Sheet:
    """A completion as one person labels it, by itself or as an item of a queue."""

    completion: Completion
    version: PolicyVersion
    policy: kernel.Policy
    assignment: Assignment | None
    rows: tuple[LabelRow, ...]
    explanation: Explanation
    violations: tuple[Violation, ...]
    revealed: bool

    @property
    def asked(self) -> list[LabelRow]:
        return [row for row in self.rows if row.decides or row.required]

    @property
    def folded(self) -> list[LabelRow]:
        """Rows that nobody has to answer: they are in no rule of the response type."""
        return [row for row in self.rows if not (row.decides or row.required)]

    @property
    def all_decide(self) -> bool:
        return all(row.decides for row in self.asked)

    @property
    def unanswered(self) -> list[LabelRow]:
        """What has to be answered before the item is complete; "cannot decide" is an answer."""
        return [row for row in self.rows if row.required and not row.mine]

    @property
    def n_answered(self) -> int:
        return sum(bool(row.mine) for row in self.asked)

    @property
    def n_differing(self) -> int:
        return sum(row.differs for row in self.rows)

    def row(self, key: str) -> LabelRow | None:
        return next((row for row in self.rows if row.key == key), None)


def labelling_sheet(
    *,
    completion: Completion,
    version: PolicyVersion,
    annotator: User,
    assignment: Assignment | None = None,
) -> Sheet:
    """Everything about the completion that `annotator` may see; the deciding rows come first.

    A queue that asks some propositions only has only these rows, and wants each of them answered.
    Otherwise those are wanted that decide the class, or all where the response type has no rules.
    """
    policy = kernel_policy(version)
    response_type = completion.conversation.response_type
    asked = _asked(assignment)
    rows = {row.key: row for row in Proposition.objects.filter(policy=version.policy_id)}
    deciding = set(leaves(policy, response_type))
    required = asked or deciding or set(policy.proposition_keys)
    labels = _labels(completion, annotator)
    revealed = Reveal.objects.filter(completion=completion, annotator=annotator).exists()
    others = _others(completion, labels) if revealed else {}
    suggestions = _suggestions(assignment)
    changes = _changes(version, labels.values())
    found = [
        LabelRow(
            proposition=rows[item.key],
            definition=item,
            wording=wording(item.question),
            decides=item.key in deciding,
            required=item.key in required,
            label=labels.get(item.key),
            suggestion=suggestions.get(item.key),
            changed_in=changes.get(item.key),
            others=tuple(others.get(item.key, ())),
        )
        for item in policy.propositions
        if not asked or item.key in asked
    ]
    truth = {key: TRUTH[label.answer] for key, label in labels.items()}
    return Sheet(
        completion=completion,
        version=version,
        policy=policy,
        assignment=assignment,
        rows=tuple(sorted(found, key=lambda row: not row.decides)),
        explanation=explain(policy, response_type, truth),
        violations=tuple(violations(policy, truth)),
        revealed=revealed,
    )


def _asked(assignment: Assignment | None) -> set[str]:
    """The propositions that a queue is about; empty for all of them."""
    if assignment is None:
        return set()
    return set(assignment.queue.propositions.values_list("key", flat=True))


def _labels(completion: Completion, annotator: User) -> dict[str, Label]:
    found = (
        Label.objects.filter(completion=completion, annotator=annotator)
        .exclude(answer=WITHDRAWN)
        .select_related("proposition", "policy_version")
        .defer("policy_version__document", "policy_version__source")
    )
    return {label.proposition.key: label for label in found}


def _suggestions(assignment: Assignment | None) -> dict[str, Suggestion]:
    if assignment is None or not assignment.queue.prelabel_source:
        return {}
    found = Prelabel.objects.filter(
        queue=assignment.queue_id, completion=assignment.completion_id
    ).values_list("proposition__key", "p")
    return {key: Suggestion(p) for key, p in found}


def suggestion_of(assignment: Assignment | None, key: str) -> Suggestion | None:
    """What is suggested for one row."""
    return _suggestions(assignment).get(key)


def _changes(version: PolicyVersion, labels: Collection[Label]) -> dict[str, int]:
    """Which of the labels were given under an earlier meaning, and the version that changed it."""
    answered = {
        label.proposition.key: label.policy_version.number
        for label in labels
        if label.policy_version_id != version.pk
    }
    if not answered:
        return {}
    numbers = meaning_changes(version.policy_id).numbers
    later = {
        key: [number for number in numbers.get(key, ()) if before < number <= version.number]
        for key, before in answered.items()
    }
    return {key: found[-1] for key, found in later.items() if found}


def _others(completion: Completion, mine: dict[str, Label]) -> dict[str, list[Said]]:
    """People in the order of their names, then the file, then the newest grader run."""
    said: dict[str, list[Said]] = defaultdict(list)

    def agrees(key: str, answer: str) -> bool | None:
        return mine[key].answer == answer if key in mine else None

    own = [label.pk for label in mine.values()]
    labels = (
        Label.objects.filter(completion=completion)
        .exclude(answer=WITHDRAWN)
        .exclude(pk__in=own)
        .select_related("proposition", "annotator")
        .order_by("annotator__username")
    )
    for label in labels:
        who = label.annotator.get_username() if label.annotator else "file"
        key = label.proposition.key
        said[key].append(Said(who, Answer(label.answer), agrees(key, label.answer)))
    conversation_set = completion.conversation.conversation_set
    for source in verdicts().sources(conversation_set)[:1]:
        graded = verdicts().probabilities(source.key, [completion.pk])
        for (_, key), p in graded.items():
            answer = Answer.of(p >= SUGGEST_TRUE)
            said[key].append(Said(source.title, answer, agrees(key, answer), p))
    return said


def note_of(completion: Completion, author: User) -> CompletionNote | None:
    return CompletionNote.objects.filter(completion=completion, author=author).first()
