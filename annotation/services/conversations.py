"""Imports conversations, with the labels that come with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from django.db import models, transaction

from annotation.models import (
    Completion,
    Conversation,
    ConversationSet,
    Label,
    Policy,
    PolicyVersion,
    Proposition,
)
from annotation.models.conversations import Split
from annotation.models.labels import TRUTH, Answer
from annotation.services.gold_truths import lock_completions, refresh_gold_truths
from rbr_app.rbr import conversations as kernel
from rbr_app.rbr.policy import Policy as KernelPolicy
from rbr_app.rbr.policy import as_key
from rbr_app.rbr.rules import completion_class, leaves

UNLABELLED = "unlabelled"
CHUNK = 2_000


class ImportRefused(ValueError):
    """A file that cannot be imported; nothing of it was."""


@dataclass(frozen=True)
class Conflict:
    """Rows with the same prompt and completion whose labels differ.

    `lines` counts from 1 in the file; a single line is in conflict with what the set holds.
    """

    lines: tuple[int, ...]
    propositions: tuple[str, ...]


@dataclass
class ConversationImport:
    """What an import found and did. `classes` maps response type -> class -> rows."""

    conversation_set: ConversationSet
    policy_version: PolicyVersion
    added: int = 0
    unchanged: int = 0
    labels: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    empty_completions: list[int] = field(default_factory=list)
    split_overlap: int = 0
    classes: dict[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the file. `occurrence` counts earlier lines with the same conversation."""

    line: int
    conversation: kernel.Conversation
    split: str
    occurrence: int

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What lines of one conversation have in common."""
        row = self.conversation
        return (row.prompt_fingerprint, self.split, row.category, row.response_type)


def import_conversations(
    *,
    lines: Iterable[str | bytes],
    set_name: str,
    split: str = "",
    purpose: str = ConversationSet.Purpose.GOLD,
    policy_name: str = "",
) -> ConversationImport:
    """Add each line's conversation to the set and its labels, or nothing at all.

    Without `split` each line names its own. A row that the set's split already holds is left as
    it is. Raises `ImportRefused` for a line that is no conversation, is of another split or does
    not fit the policy, for a name that is no key, and for a set that exists with another purpose
    or policy.
    """
    try:
        rows = _numbered(kernel.read_conversations(lines), split)
    except kernel.RowError as error:
        raise ImportRefused(str(error)) from error
    if not rows:
        raise ImportRefused("the file holds no conversation")
    name = set_name.strip()
    longest = _longest(ConversationSet, "name")
    if not 0 < len(name) <= longest or as_key(name) != name.replace("-", "_"):
        raise ImportRefused(
            f"{set_name!r} is not a set name: use lower case, digits, - and _, "
            f"at most {longest} characters"
        )
    _check_lengths(rows)
    with transaction.atomic():
        target = _target(name, purpose, policy_name, rows)
        version = target.policy.latest
        policy = version.as_policy()
        _check_rows(rows, policy)
        report = ConversationImport(target, version)
        report.classes = _classes(rows, policy)
        report.empty_completions = [r.line for r in rows if not r.conversation.completion.strip()]
        completions = _store(target, rows, report)
        _store_labels(version, rows, completions, report)
        report.split_overlap = _split_overlap(target, rows)
    return report


def _check_lengths(rows: list[Row]) -> None:
    longest = {
        "id": _longest(Completion, "external_id"),
        "completion_type": _longest(Completion, "completion_type"),
        "category": _longest(Conversation, "category"),
    }
    for row in rows:
        for key, length in longest.items():
            if len(getattr(row.conversation, key)) > length:
                raise ImportRefused(f"line {row.line}: `{key}` is longer than {length} characters")


def _longest(model: type[models.Model], field_name: str) -> int:
    """The characters that a column holds."""
    column = cast("models.CharField[str, str]", model._meta.get_field(field_name))
    return column.max_length or 0


def _numbered(rows: Iterable[tuple[int, kernel.Conversation]], split: str) -> list[Row]:
    seen: Counter[tuple[str, str, str, str]] = Counter()
    numbered = []
    for line, row in rows:
        own = row.split or split
        if own not in Split.values:
            given = f"the unknown split {own!r}" if own else "no split"
            raise ImportRefused(f"line {line} has {given}: it is {' or '.join(Split.values)}")
        if split and own != split:
            raise ImportRefused(f"line {line} is of the split {own!r}, not {split!r}")
        identity = (row.fingerprint, own, row.category, row.response_type)
        numbered.append(Row(line, row, own, seen[identity]))
        seen[identity] += 1
    return numbered


def _target(name: str, purpose: str, policy_name: str, rows: list[Row]) -> ConversationSet:
    existing = ConversationSet.objects.select_for_update().filter(name=name).first()
    if existing is None:
        policy = _named_policy(policy_name) if policy_name else _fitting_policy(rows)
        # Somebody may make the set in this moment; the one who comes second waits and gets theirs.
        ConversationSet.objects.get_or_create(
            name=name, defaults={"purpose": purpose, "policy": policy}
        )
        existing = ConversationSet.objects.select_for_update().get(name=name)
    if existing.purpose != purpose:
        raise ImportRefused(f"set {name!r} exists with the purpose {existing.purpose}")
    if policy_name and existing.policy.name != policy_name:
        raise ImportRefused(f"set {name!r} exists under the policy {existing.policy.name!r}")
    return existing


def _named_policy(name: str) -> Policy:
    try:
        return Policy.objects.get(name=name)
    except Policy.DoesNotExist:
        raise ImportRefused(f"there is no policy {name!r}: import it first") from None


def _fitting_policy(rows: list[Row]) -> Policy:
    """The newest policy that knows every proposition and response type of the file."""
    versions = sorted(
        (policy.latest for policy in Policy.objects.all()),
        key=lambda version: version.created_at,
        reverse=True,
    )
    if not versions:
        raise ImportRefused("there is no policy yet: import one first")
    for version in versions:
        try:
            _check_rows(rows, version.as_policy())
        except ImportRefused:
            continue
        return version.policy
    try:
        _check_rows(rows, versions[0].as_policy())
    except ImportRefused as error:
        raise ImportRefused(f"no policy fits; for the newest, {versions[0]}: {error}") from None
    raise AssertionError("a policy that fits was returned above")


def _check_rows(rows: list[Row], policy: KernelPolicy) -> None:
    keys, types = set(policy.proposition_keys), set(policy.response_type_keys)
    response_type_of = {category.key: category.response_type for category in policy.categories}
    for row in rows:
        conversation = row.conversation
        if unknown := set(conversation.labels) - keys:
            raise ImportRefused(f"line {row.line}: unknown proposition {min(unknown)!r}")
        if conversation.response_type not in types:
            given = conversation.response_type or "none given"
            raise ImportRefused(
                f"line {row.line}: unknown response type ({given}); "
                f"the policy has {', '.join(policy.response_type_keys)}"
            )
        wanted = response_type_of.get(conversation.category, conversation.response_type)
        if wanted != conversation.response_type:
            raise ImportRefused(
                f"line {row.line}: category {conversation.category!r} has the response type "
                f"{wanted!r} in the policy, not {conversation.response_type!r}"
            )


def _classes(rows: list[Row], policy: KernelPolicy) -> dict[str, Counter[str]]:
    needed = {key: leaves(policy, key) for key in policy.response_type_keys}
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        kind = row.conversation.response_type
        truth = {key: value for key, value in row.conversation.labels.items() if value is not None}
        if set(needed[kind]) <= set(truth):
            # Every derived proposition must be defined, also those of other response types.
            full = dict.fromkeys(policy.proposition_keys, False) | truth
            classes[kind][completion_class(policy, kind, full)] += 1
        else:
            classes[kind][UNLABELLED] += 1
    return dict(classes)


def _store(
    target: ConversationSet, rows: list[Row], report: ConversationImport
) -> list[Completion]:
    """The completion row of each file row, in file order; missing ones are made."""
    conversations = _conversations(target, rows)
    existing = {
        (completion.conversation_id, completion.fingerprint, completion.occurrence): completion
        for completion in Completion.objects.filter(
            conversation__in=[c.pk for c in conversations.values()]
        )
    }
    found: dict[tuple[int, str, int], Completion] = {}
    for row in rows:
        parent = conversations[row.identity]
        key = (parent.pk, row.conversation.fingerprint, row.occurrence)
        found[key] = existing.get(key) or Completion(
            conversation=parent,
            text=row.conversation.completion,
            fingerprint=row.conversation.fingerprint,
            occurrence=row.occurrence,
            external_id=row.conversation.id,
            completion_type=row.conversation.completion_type,
            rm_score=row.conversation.rm_score,
        )
    fresh = [completion for key, completion in found.items() if key not in existing]
    Completion.objects.bulk_create(fresh, batch_size=CHUNK)
    report.added, report.unchanged = len(fresh), len(rows) - len(fresh)
    return list(found.values())


def _conversations(
    target: ConversationSet, rows: list[Row]
) -> dict[tuple[str, str, str, str], Conversation]:
    wanted = {row.identity: row for row in rows}
    Conversation.objects.bulk_create(
        [
            Conversation(
                conversation_set=target,
                split=row.split,
                category=value.category,
                response_type=value.response_type,
                prompt=[{"role": m.role, "content": m.content} for m in value.prompt],
                prompt_fingerprint=value.prompt_fingerprint,
            )
            for row in wanted.values()
            for value in [row.conversation]
        ],
        ignore_conflicts=True,
        batch_size=CHUNK,
    )
    splits = {row.split for row in rows}
    stored = Conversation.objects.filter(conversation_set=target, split__in=splits)
    return {
        (row.prompt_fingerprint, row.split, row.category, row.response_type): row
        for row in stored.defer("prompt")
    }


def _store_labels(
    version: PolicyVersion,
    rows: list[Row],
    completions: list[Completion],
    report: ConversationImport,
) -> None:
    """Add the labels that are missing; a stored label is never changed by an import."""
    propositions = dict(Proposition.objects.filter(policy=version.policy).values_list("key", "pk"))
    lock_completions({completion.pk for completion in completions})
    stored = _stored_labels(completions)
    fresh = []
    conflicts: list[Conflict] = []
    for row, completion in zip(rows, completions, strict=True):
        held = stored.get(completion.pk, {})
        differing = []
        for key, truth in row.conversation.labels.items():
            if key not in held:
                fresh.append(
                    Label(
                        completion=completion,
                        proposition_id=propositions[key],
                        answer=Answer.of(truth),
                        policy_version=version,
                    )
                )
            elif held[key] is not truth:
                differing.append(key)
        if differing:
            conflicts.append(Conflict((row.line,), tuple(sorted(differing))))
    Label.objects.bulk_create(fresh, batch_size=CHUNK)
    refresh_gold_truths({label.completion_id for label in fresh})
    report.labels = len(fresh)
    report.conflicts = _conflicts_in_file(rows) + conflicts


def _stored_labels(completions: list[Completion]) -> dict[int, dict[str, bool | None]]:
    """The imported labels by completion and proposition key."""
    stored: dict[int, dict[str, bool | None]] = defaultdict(dict)
    labels = Label.objects.filter(
        completion__in=[completion.pk for completion in completions], annotator=None
    )
    for pk, key, answer in labels.values_list("completion", "proposition__key", "answer"):
        stored[pk][key] = TRUTH[answer]
    return stored


def _conflicts_in_file(rows: list[Row]) -> list[Conflict]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.conversation.fingerprint].append(row)
    conflicts = []
    for group in groups.values():
        keys = _differing(row.conversation.labels for row in group)
        if keys:
            conflicts.append(Conflict(tuple(row.line for row in group), keys))
    return conflicts


def _differing(labels: Iterable[Mapping[str, bool | None]]) -> tuple[str, ...]:
    values: dict[str, set[bool | None]] = defaultdict(set)
    for row in labels:
        for key, truth in row.items():
            values[key].add(truth)
    return tuple(sorted(key for key, found in values.items() if len(found) > 1))


def _split_overlap(target: ConversationSet, rows: list[Row]) -> int:
    """How many prompts of the file stand in both splits of the set."""
    prompts = {row.conversation.prompt_fingerprint for row in rows}
    found = Conversation.objects.filter(conversation_set=target, prompt_fingerprint__in=prompts)
    splits = found.values("prompt_fingerprint").annotate(n=models.Count("split", distinct=True))
    return splits.filter(n__gt=1).count()
