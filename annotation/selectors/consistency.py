"""Gold truths that cannot all be right: what the policy declares, duplicates, classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from annotation.models import ConversationSet
from annotation.selectors.truth_sql import TruthSQL
from rbr_app.rbr.constraints import formula

LISTED = 20
"""Completions that are named for each finding; the rest is counted."""


@dataclass
class Finding:
    """Something the set's truths break, with how many completions do and the first of them."""

    title: str
    n: int = 0
    completions: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class DuplicateConflict:
    """Rows with the same prompt and completion of which the truths differ."""

    fingerprint: str
    completions: tuple[int, ...]
    propositions: tuple[str, ...]


@dataclass(frozen=True)
class Consistency:
    """What was looked for and found; `n_conflicts` duplicates in all, the first are listed."""

    constraints: list[Finding]
    several_classes: Finding
    no_class: Finding
    conflicts: list[DuplicateConflict]
    n_conflicts: int

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.constraints if finding.n]

    @property
    def n(self) -> int:
        """Findings of every kind, counted in completions and groups of duplicates."""
        found = [*self.constraints, self.several_classes, self.no_class]
        return sum(finding.n for finding in found) + self.n_conflicts


def consistency(conversation_set: ConversationSet, rules: TruthSQL) -> Consistency:
    """Look for contradictions among the truths that are known. Two queries."""
    policy = rules.policy
    titles = [
        *(formula(rule) for rule in policy.implications),
        *(f"not ({formula(exclusion)})" for exclusion in policy.exclusions),
    ]
    constraints = [Finding(title) for title in titles]
    several, none = Finding("more than one class"), Finding("no class")
    for pk, n_classes, *violated in _contradictions(conversation_set, rules):
        for finding, is_broken in zip(constraints, violated, strict=True):
            if is_broken:
                _note(finding, pk)
        if n_classes is not None and n_classes != 1:
            _note(none if n_classes == 0 else several, pk)
    conflicts, n_conflicts = _conflicts(conversation_set, rules.proposition_pks)
    return Consistency(constraints, several, none, conflicts, n_conflicts)


def _note(finding: Finding, pk: int) -> None:
    finding.n += 1
    if len(finding.completions) < LISTED:
        finding.completions.append(pk)


def _contradictions(conversation_set: ConversationSet, rules: TruthSQL) -> list[Any]:
    """``(completion, classes that hold, each constraint broken?)`` of those with a finding."""
    rows, parameters = rules.rows(conversation_set.pk)
    n_classes, more = rules.n_classes("response_type")
    columns = [f"{condition} AS v{index}" for index, condition in enumerate(rules.violated())]
    broken = " OR ".join(["n_classes <> 1", *(f"v{index}" for index in range(len(columns)))])
    checked = ", ".join(["completion_id", f"{n_classes} AS n_classes", *columns])
    sql = (
        f"SELECT * FROM (SELECT {checked} FROM ({rows}) AS member) AS checked "  # noqa: S608
        f"WHERE {broken} ORDER BY completion_id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*more, *parameters])
        return list(cursor.fetchall())


def _conflicts(
    conversation_set: ConversationSet, propositions: Mapping[str, int]
) -> tuple[list[DuplicateConflict], int]:
    with connection.cursor() as cursor:
        cursor.execute(
            CONFLICTS, {"set": conversation_set.pk, "propositions": [*propositions.values()]}
        )
        found = cursor.fetchall()
    listed = [
        DuplicateConflict(fingerprint, tuple(completions), tuple(keys))
        for fingerprint, completions, keys in found[:LISTED]
    ]
    return listed, len(found)


CONFLICTS = """
WITH member AS (
    SELECT completion.id, completion.fingerprint,
           count(*) OVER (PARTITION BY completion.fingerprint) AS n
    FROM annotation_completion AS completion
    JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
    WHERE conversation.conversation_set_id = %(set)s
), differing AS (
    SELECT member.fingerprint, proposition.key
    FROM member
    JOIN annotation_goldtruth AS held ON held.completion_id = member.id
    JOIN annotation_proposition AS proposition ON proposition.id = held.proposition_id
    WHERE member.n > 1 AND held.proposition_id = ANY(%(propositions)s)
    GROUP BY member.fingerprint, proposition.key
    HAVING bool_or(held.truth) AND NOT bool_and(held.truth)
), keyed AS (
    SELECT fingerprint, array_agg(key ORDER BY key) AS keys FROM differing GROUP BY fingerprint
)
SELECT member.fingerprint, array_agg(member.id ORDER BY member.id), keyed.keys
FROM member JOIN keyed USING (fingerprint)
GROUP BY member.fingerprint, keyed.keys
ORDER BY min(member.id)
"""
