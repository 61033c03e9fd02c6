"""Sets of any size for measurements: like a Gold set, drawn from a seed, written in bulk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from django.db import connection

from annotation.models import ConversationSet, PolicyVersion, Proposition
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.policy import Policy

SEED = 7
CHUNK = 5_000
TEXTS = 400
"""Distinct texts; a running number makes each completion one of its own."""
LABELLED = 0.5
"""Share of the completions that come with labels, as from an imported file."""

CONVERSATIONS = """
INSERT INTO annotation_conversation
    (conversation_set_id, split, category, response_type, prompt, prompt_fingerprint)
SELECT %(set)s, row.split, row.category, row.kind,
       jsonb_build_array(jsonb_build_object('role', 'user', 'content', row.prompt)), row.print
FROM unnest(%(split)s::text[], %(category)s::text[], %(kind)s::text[], %(prompt)s::text[],
            %(print)s::text[]) AS row (split, category, kind, prompt, print)
"""
COMPLETIONS = """
INSERT INTO annotation_completion
    (conversation_id, text, fingerprint, occurrence, external_id, completion_type)
SELECT id, prompt_fingerprint || ' ' || (%(texts)s::text[])[1 + id %% %(n_texts)s],
       prompt_fingerprint, 0, '', ''
FROM annotation_conversation WHERE conversation_set_id = %(set)s ORDER BY id
"""
LABELS = """
INSERT INTO annotation_label (completion_id, proposition_id, annotator_id, answer,
    policy_version_id, clicked_at, after_reveal, prelabel, updated_at)
SELECT completion.id, proposition, NULL,
       CASE WHEN random() < 0.2 THEN 'true' ELSE 'false' END, %(version)s, now(), false, '', now()
FROM (
    SELECT completion.id FROM annotation_completion AS completion
    JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
    WHERE conversation_set_id = %(set)s ORDER BY completion.id LIMIT %(n)s
) AS completion
CROSS JOIN unnest(%(propositions)s::bigint[]) AS proposition
"""
TRUTHS = """
INSERT INTO annotation_goldtruth (completion_id, proposition_id, truth, source)
SELECT label.completion_id, label.proposition_id, label.answer = 'true', 'imported'
FROM annotation_label AS label
JOIN annotation_completion AS completion ON completion.id = label.completion_id
JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
WHERE conversation_set_id = %(set)s
"""


def build_set(name: str, size: int, version: PolicyVersion) -> ConversationSet:
    """`size` completions of as many prompts under the version's policy; half of them labelled."""
    found = ConversationSet.objects.create(name=name, policy=version.policy)
    rng = np.random.default_rng(SEED)
    texts = [_text(rng) for _ in range(TEXTS)]
    propositions = Proposition.objects.filter(policy=version.policy).values_list("pk", flat=True)
    names = {
        "set": found.pk,
        "texts": texts,
        "n_texts": TEXTS,
        "version": version.pk,
        "propositions": list(propositions),
        "n": int(size * LABELLED),
    }
    with connection.cursor() as cursor:
        # Rows are sound by construction; checking each of millions of keys would take minutes.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT setseed(0.7)")
        for columns in _conversations(rng, texts, size, version.as_policy()):
            cursor.execute(CONVERSATIONS, {"set": found.pk, **columns})
        for statement in (COMPLETIONS, LABELS, TRUTHS):
            cursor.execute(statement, names)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
    return found


def _conversations(
    rng: np.random.Generator, texts: list[str], size: int, policy: Policy
) -> Iterator[dict[str, list[str]]]:
    categories = [(category.key, category.response_type) for category in policy.categories]
    for start in range(0, size, CHUNK):
        numbers = range(start, min(start + CHUNK, size))
        drawn = [categories[i] for i in rng.integers(len(categories), size=len(numbers))]
        prompts = [f"{number}: {texts[number % TEXTS]}" for number in numbers]
        yield {
            "split": ["test" if number % 3 == 0 else "train" for number in numbers],
            "category": [category for category, _ in drawn],
            "kind": [kind for _, kind in drawn],
            "prompt": prompts,
            "print": [fingerprint([["user", prompt]]) for prompt in prompts],
        }


def _text(rng: np.random.Generator) -> str:
    """Between 20 and 200 words of one to twelve letters."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    lengths = rng.integers(1, 12, size=int(rng.integers(20, 200)))
    return " ".join("".join(rng.choice(letters, size=n)) for n in lengths)
