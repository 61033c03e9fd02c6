"""Freezes the state of a Gold set."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connection, transaction

from annotation.models import ConversationSet, GoldVersion
from annotation.selectors.gold_versions import current_rows
from annotation.services.gold_truths import lock_completions
from rbr_app.rbr.conversations import fingerprint


class FreezeRefused(ValueError):
    """A set that cannot be frozen; no version was added."""


@transaction.atomic
def freeze_gold_set(
    *, conversation_set: ConversationSet, author: User | None = None, note: str = ""
) -> tuple[GoldVersion, bool]:
    """The version that holds the set as it is now, and whether it was added by this call.

    What counts is each completion with its split, category, response type and truths, and the
    policy version; the order of rows does not. A state that was frozen before is that version.
    Raises `FreezeRefused` for a set without completions.
    """
    held = ConversationSet.objects.select_for_update().get(pk=conversation_set.pk)
    policy_version = held.policy.latest
    rows = held.conversations.values_list("completions", flat=True)
    pks = [pk for pk in rows if pk is not None]
    if not pks:
        raise FreezeRefused("The set has no completion to freeze.")
    # Labels stand still between the reading and the storing.
    lock_completions(pks)
    digest = content_hash(held, policy_version.fingerprint)
    same = GoldVersion.objects.filter(conversation_set=held, content_hash=digest).first()
    if same is not None:
        return same, False
    latest = held.gold_versions.order_by("number").last()
    version = GoldVersion.objects.create(
        conversation_set=held,
        number=latest.number + 1 if latest else 1,
        parent=latest,
        policy_version=policy_version,
        author=author,
        note=note,
        content_hash=digest,
        split_seed=held.split_seed,
        test_share=held.test_share,
    )
    with connection.cursor() as cursor:
        cursor.execute(STORE_ROWS, {"version": version.pk, "set": held.pk})
    return version, True


def content_hash(conversation_set: ConversationSet, policy_fingerprint: str) -> str:
    """sha256 over the set's rows, in an order that does not depend on when they were added."""
    rows = sorted(
        fingerprint(
            [
                row.fingerprint,
                row.occurrence,
                row.split,
                row.category,
                row.response_type,
                row.truths,
            ]
        )
        for row in current_rows(conversation_set)
    )
    return fingerprint([policy_fingerprint, rows])


STORE_ROWS = """
INSERT INTO annotation_goldversionrow
    (version_id, completion_id, split, category, response_type, truths)
SELECT %(version)s, completion.id, conversation.split, conversation.category,
       conversation.response_type, coalesce(said.truths, '{}'::jsonb)
FROM annotation_completion AS completion
JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
LEFT JOIN (
    SELECT held.completion_id,
           jsonb_object_agg(proposition.key, jsonb_build_array(held.truth, held.source)) AS truths
    FROM annotation_goldtruth AS held
    JOIN annotation_proposition AS proposition ON proposition.id = held.proposition_id
    WHERE held.completion_id IN (
        SELECT inner_completion.id FROM annotation_completion AS inner_completion
        JOIN annotation_conversation AS inner_conversation
          ON inner_conversation.id = inner_completion.conversation_id
        WHERE inner_conversation.conversation_set_id = %(set)s
    )
    GROUP BY held.completion_id
) AS said ON said.completion_id = completion.id
WHERE conversation.conversation_set_id = %(set)s
ORDER BY completion.id
"""
