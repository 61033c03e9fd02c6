"""Keeps the Gold truths equal to what labels and adjudications say.

The rule: the latest adjudication; else what all people say, if they agree; else what more than
half of them say, if the set allows a majority; else nothing, and the cell is in dispute. Where no
person has answered, the imported label counts. "Cannot decide" is an answer like the others: a
person who cannot decide does not agree with one who says true. Only a majority of them settles
nothing: the cell stays in dispute.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import connection

from annotation.models import Completion, ConversationSet

LOCK = """
SELECT id FROM annotation_completion WHERE id = ANY(%(completions)s)
ORDER BY id FOR NO KEY UPDATE
"""
VOTES = """
WITH cell AS (
    SELECT completion_id, proposition_id,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer <> '') AS people,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'true') AS n_true,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'false') AS n_false,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'cannot_decide')
               AS n_cannot,
           max(answer) FILTER (WHERE annotator_id IS NULL) AS imported
    FROM annotation_label
    WHERE completion_id = ANY(%(completions)s) {propositions}
    GROUP BY completion_id, proposition_id
), decision AS (
    SELECT DISTINCT ON (completion_id, proposition_id) completion_id, proposition_id, answer
    FROM annotation_adjudication
    WHERE completion_id = ANY(%(completions)s) {propositions}
    ORDER BY completion_id, proposition_id, id DESC
), allowed AS (
    SELECT completion.id AS completion_id, held.allow_majority
    FROM annotation_completion AS completion
    JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
    JOIN annotation_conversationset AS held ON held.id = conversation.conversation_set_id
    WHERE completion.id = ANY(%(completions)s)
), verdict AS (
    SELECT completion_id, proposition_id,
           CASE
               WHEN decision.answer IS NOT NULL THEN 'adjudicated'
               WHEN people = 0 AND imported <> '' THEN 'imported'
               WHEN people = 0 THEN ''
               WHEN people IN (n_true, n_false, n_cannot) THEN 'unanimous'
               WHEN allow_majority AND 2 * greatest(n_true, n_false) > people THEN 'majority'
               ELSE 'disputed'
           END AS source,
           CASE
               WHEN decision.answer IS NOT NULL THEN decision.answer
               WHEN people = 0 THEN imported
               WHEN people = n_true OR allow_majority AND 2 * n_true > people THEN 'true'
               WHEN people = n_false OR allow_majority AND 2 * n_false > people THEN 'false'
           END AS answer
    FROM cell
    FULL JOIN decision USING (completion_id, proposition_id)
    JOIN allowed USING (completion_id)
)
"""
STORE = """
INSERT INTO annotation_goldtruth AS held (completion_id, proposition_id, truth, source)
SELECT completion_id, proposition_id,
       CASE answer WHEN 'true' THEN true WHEN 'false' THEN false END, source
FROM verdict WHERE source <> ''
ON CONFLICT (completion_id, proposition_id) DO UPDATE
SET truth = excluded.truth, source = excluded.source
WHERE (held.truth, held.source) IS DISTINCT FROM (excluded.truth, excluded.source)
"""
DROP = """
DELETE FROM annotation_goldtruth AS held
WHERE completion_id = ANY(%(completions)s) {propositions}
  AND NOT EXISTS (
      SELECT FROM annotation_label AS label
      WHERE label.completion_id = held.completion_id
        AND label.proposition_id = held.proposition_id AND label.answer <> ''
  ) AND NOT EXISTS (
      SELECT FROM annotation_adjudication AS decision
      WHERE decision.completion_id = held.completion_id
        AND decision.proposition_id = held.proposition_id
  )
"""
ONLY = "AND proposition_id = ANY(%(propositions)s)"
CHUNK = 5_000


def lock_completions(completions: Collection[int]) -> None:
    """Take turns with every other writer of these completions' labels, until the transaction ends.

    Without it two people who answer one cell at the same time would each count only themselves.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, {"completions": list(completions)})


def refresh_gold_truths(
    completions: Collection[int], propositions: Collection[int] | None = None
) -> None:
    """Decide the cells anew, of all propositions or the named ones; the caller holds the locks."""
    pks = sorted(completions)
    only = "" if propositions is None else ONLY
    with connection.cursor() as cursor:
        for start in range(0, len(pks), CHUNK):
            named = {
                "completions": pks[start : start + CHUNK],
                "propositions": list(propositions or ()),
            }
            cursor.execute(VOTES.format(propositions=only) + STORE, named)
            cursor.execute(DROP.format(propositions=only), named)


def refresh_set(conversation_set: ConversationSet) -> None:
    """Decide every cell of a set anew, as when its rule changed."""
    pks = Completion.objects.filter(conversation__conversation_set=conversation_set)
    found = list(pks.values_list("pk", flat=True))
    lock_completions(found)
    refresh_gold_truths(found)
