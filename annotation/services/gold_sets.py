"""Makes sets out of conversations that are there already, and changes a set's settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import connection, transaction

from annotation.models import Completion, ConversationSet, LabelEvent, Policy, PolicyVersion
from annotation.selectors.browsing import CompletionFilter
from annotation.selectors.sampling import Draw, draw_completions
from annotation.services.gold_truths import refresh_gold_truths, refresh_set


class GoldSetRefused(ValueError):
    """A set that cannot be made or changed so; nothing was. `field` is what has to change."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True)
class GoldSetCreation:
    """The new set and what was drawn for it."""

    conversation_set: ConversationSet
    draw: Draw
    labels: int


@transaction.atomic
def create_gold_set(
    *,
    name: str,
    sources: Sequence[ConversationSet],
    policy: Policy,
    wanted: CompletionFilter = CompletionFilter(),  # noqa: B008 (a frozen value)
    size: int | None = None,
    seed: int = 0,
    note: str = "",
    with_labels: bool = True,
    actor: User | None = None,
) -> GoldSetCreation:
    """Copy the sources' completions that meet the filter, or a sample of `size`, into a new set.

    Each copy names its original. With labels, what the file said is copied as the file's, what
    people said as theirs with an event of its own, and decisions with their reason; the copies
    live on their own. Raises `GoldSetRefused`.
    """
    version = policy.latest
    _check(sources, policy, with_labels)
    draw = draw_completions(sources, wanted, size, seed)
    if not draw.pks:
        raise GoldSetRefused("", "No completion meets the filter.")
    _check_rows(draw, version)
    made, created = ConversationSet.objects.get_or_create(
        name=name,
        defaults={
            "purpose": ConversationSet.Purpose.GOLD,
            "policy": policy,
            "note": note,
            "created_by": actor,
        },
    )
    if not created:
        raise GoldSetRefused("name", f"There is a set {name} already.")
    with connection.cursor() as cursor:
        named: dict[str, int | list[int]] = {"target": made.pk, "originals": draw.pks}
        cursor.execute(COPY_CONVERSATIONS, named)
        cursor.execute(COPY_COMPLETIONS, named)
        labels = _copy_labels(made, actor) if with_labels else 0
    return GoldSetCreation(made, draw, labels)


def _check(sources: Sequence[ConversationSet], policy: Policy, with_labels: bool) -> None:
    if not sources:
        raise GoldSetRefused("sources", "Choose at least one set to take conversations from.")
    others = [source.name for source in sources if source.policy_id != policy.pk]
    if with_labels and others:
        raise GoldSetRefused(
            "with_labels",
            f"{', '.join(others)} is read under another policy, whose labels answer other "
            "questions: leave the labels out, or choose that policy.",
        )


def _check_rows(draw: Draw, version: PolicyVersion) -> None:
    unknown = {row.response_type for row in draw.strata if row.drawn}
    unknown -= set(version.as_policy().response_type_keys)
    if unknown:
        names = ", ".join(sorted(name or "none given" for name in unknown))
        raise GoldSetRefused("policy", f"{version} has no response type {names}.")


def _copy_labels(made: ConversationSet, actor: User | None) -> int:
    """Labels, decisions and who had seen what; the truths of the copies follow from them."""
    with connection.cursor() as cursor:
        named = {
            "target": made.pk,
            "actor": actor.pk if actor else None,
            "kind": LabelEvent.Kind.COPIED,
        }
        cursor.execute(COPY_LABELS, named)
        (labels,) = cursor.fetchone()
        cursor.execute(COPY_DECISIONS, named)
        cursor.execute(COPY_REVEALS, named)
    copies = Completion.objects.filter(conversation__conversation_set=made)
    refresh_gold_truths(copies.values_list("pk", flat=True))
    return int(labels)


@transaction.atomic
def configure_gold_set(
    *, conversation_set: ConversationSet, coverage_floor: int, allow_majority: bool, note: str
) -> ConversationSet:
    """Change the settings; where the rule of the Gold truth changes, every cell is decided anew."""
    held = ConversationSet.objects.select_for_update().get(pk=conversation_set.pk)
    rule_changed = held.allow_majority != allow_majority
    held.coverage_floor, held.allow_majority, held.note = coverage_floor, allow_majority, note
    held.save(update_fields=["coverage_floor", "allow_majority", "note"])
    if rule_changed:
        refresh_set(held)
    return held


# In SQL, because a set may have 100,000 completions and millions of labels.
COPY_CONVERSATIONS = """
INSERT INTO annotation_conversation
    (conversation_set_id, split, category, response_type, prompt, prompt_fingerprint)
SELECT %(target)s, split, category, response_type, prompt, prompt_fingerprint
FROM (
    SELECT DISTINCT ON (prompt_fingerprint, split, category, response_type)
           conversation.*, asked.place
    FROM unnest(%(originals)s::bigint[]) WITH ORDINALITY AS asked (id, place)
    JOIN annotation_completion AS original ON original.id = asked.id
    JOIN annotation_conversation AS conversation ON conversation.id = original.conversation_id
    ORDER BY prompt_fingerprint, split, category, response_type, asked.place
) AS wanted
ORDER BY place
"""
COPY_COMPLETIONS = """
INSERT INTO annotation_completion
    (conversation_id, text, fingerprint, occurrence, external_id, completion_type, rm_score,
     copied_from_id)
SELECT twin.id, original.text, original.fingerprint,
       row_number() OVER (PARTITION BY twin.id, original.fingerprint ORDER BY asked.place) - 1,
       original.external_id, original.completion_type, original.rm_score, original.id
FROM unnest(%(originals)s::bigint[]) WITH ORDINALITY AS asked (id, place)
JOIN annotation_completion AS original ON original.id = asked.id
JOIN annotation_conversation AS conversation ON conversation.id = original.conversation_id
JOIN annotation_conversation AS twin
  ON twin.conversation_set_id = %(target)s
 AND twin.prompt_fingerprint = conversation.prompt_fingerprint
 AND twin.split = conversation.split AND twin.category = conversation.category
 AND twin.response_type = conversation.response_type
ORDER BY asked.place
"""
COPIES = """
WITH copy AS (
    SELECT completion.id, completion.copied_from_id AS original
    FROM annotation_completion AS completion
    JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
    WHERE conversation.conversation_set_id = %(target)s
)
"""
COPY_LABELS = (
    COPIES  # noqa: S608
    + """
, label AS (
    INSERT INTO annotation_label
        (completion_id, proposition_id, annotator_id, answer, policy_version_id, clicked_at,
         after_reveal, prelabel, updated_at)
    SELECT copy.id, held.proposition_id, held.annotator_id, held.answer, held.policy_version_id,
           held.clicked_at, held.after_reveal, held.prelabel, now()
    FROM copy JOIN annotation_label AS held ON held.completion_id = copy.original
    WHERE held.answer <> ''
    RETURNING *
), event AS (
    INSERT INTO annotation_labelevent
        (label_id, actor_id, kind, old, new, policy_version_id, after_reveal, prelabel,
         clicked_at, at)
    SELECT id, coalesce(%(actor)s, annotator_id), %(kind)s, '', answer, policy_version_id,
           after_reveal, prelabel, clicked_at, now()
    FROM label WHERE annotator_id IS NOT NULL
)
SELECT count(*) FROM label
"""
)
COPY_DECISIONS = (
    COPIES
    + """
INSERT INTO annotation_adjudication
    (completion_id, proposition_id, answer, reason, note, adjudicator_id, policy_version_id, at)
SELECT DISTINCT ON (copy.id, held.proposition_id)
       copy.id, held.proposition_id, held.answer, held.reason, held.note, held.adjudicator_id,
       held.policy_version_id, held.at
FROM copy JOIN annotation_adjudication AS held ON held.completion_id = copy.original
ORDER BY copy.id, held.proposition_id, held.id DESC
"""
)
COPY_REVEALS = (
    COPIES
    + """
INSERT INTO annotation_reveal (completion_id, annotator_id, at)
SELECT copy.id, held.annotator_id, held.at
FROM copy JOIN annotation_reveal AS held ON held.completion_id = copy.original
"""
)
