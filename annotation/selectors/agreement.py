"""How well people agree with one another on a set: per proposition, per pair, per person.

Labels count that a person gave without knowing what others said. Imported labels are nobody's,
withdrawn ones are none, and those given or changed after a reveal are counted and left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean

import numpy as np
from django.db import connection

from annotation.models import ConversationSet, Label, LabellingQueue, QueueSlot
from annotation.models.labels import TRUTH, WITHDRAWN
from rbr_app.rbr import agreement as kernel
from rbr_app.rbr.agreement import NO_PAIR, Estimate, PairAgreement, PropositionAgreement

COLUMNS = ("n_units", "n_people", "percent", "fleiss", "alpha", "prevalence", "disputed")
LOWEST_FIRST = "alpha"
Pair = tuple[str, str]
"""Two user names, sorted."""


@dataclass(frozen=True)
class PeopleRatings:
    """Proposition key -> completion pk -> user name -> answer, with what was left out, by key."""

    propositions: dict[str, dict[int, dict[str, bool | None]]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    people: dict[str, int] = field(default_factory=dict)

    def of(self, key: str) -> dict[int, dict[str, bool | None]]:
        return self.propositions.get(key, {})


@dataclass(frozen=True)
class AgreementRow:
    """One proposition's agreement; `disputed` counts the completions on which answers differ."""

    key: str
    agreement: PropositionAgreement
    disputed: int
    left_out: int

    def value(self, column: str) -> float | None:
        if column == "disputed":
            return self.disputed
        found: int | Estimate = getattr(self.agreement, column)
        return found.value if isinstance(found, Estimate) else found


def people_ratings(
    conversation_set: ConversationSet,
    split: str = "all",
    response_type: str = "",
    queue: LabellingQueue | None = None,
) -> PeopleRatings:
    """The answers of people to a set, or to what one of its queues asks."""
    labels = Label.objects.filter(
        completion__conversation__conversation_set=conversation_set, annotator__isnull=False
    ).exclude(answer=WITHDRAWN)
    if split != "all":
        labels = labels.filter(completion__conversation__split=split)
    if response_type:
        labels = labels.filter(completion__conversation__response_type=response_type)
    if queue is not None:
        asked = QueueSlot.objects.filter(queue=queue).values("completion")
        labels = labels.filter(completion__in=asked)
        if propositions := list(queue.propositions.values_list("pk", flat=True)):
            labels = labels.filter(proposition__in=propositions)
    ratings = PeopleRatings()
    cells = labels.values_list(
        "proposition__key", "completion", "annotator__username", "annotator", "answer",
        "after_reveal",
    )  # fmt: skip
    for key, completion, name, pk, answer, after_reveal in cells.iterator(chunk_size=20_000):
        if after_reveal:
            ratings.left_out[key] += 1
            continue
        ratings.people[name] = pk
        units = ratings.propositions.setdefault(key, {})
        units.setdefault(completion, {})[name] = TRUTH[answer]
    return ratings


def set_agreement(
    conversation_set: ConversationSet,
    split: str = "all",
    response_type: str = "",
    queue: LabellingQueue | None = None,
) -> list[AgreementRow]:
    """Every proposition of the set's policy, in its order, labelled or not."""
    ratings = people_ratings(conversation_set, split, response_type, queue)
    return agreement_rows(ratings, proposition_keys(conversation_set))


def proposition_keys(conversation_set: ConversationSet) -> list[str]:
    return [row["key"] for row in conversation_set.policy.latest.document["propositions"]]


def agreement_rows(ratings: PeopleRatings, keys: Iterable[str]) -> list[AgreementRow]:
    return [
        AgreementRow(
            key=key,
            agreement=kernel.proposition_agreement(units := ratings.of(key)),
            disputed=sum(len(set(answers.values())) > 1 for answers in units.values()),
            left_out=ratings.left_out[key],
        )
        for key in keys
    ]


def ordered(rows: Sequence[AgreementRow], sort: str) -> list[AgreementRow]:
    """Rows by a column, ``-`` in front for falling; undefined numbers always come last.

    Anything that is no column gives the lowest agreement first.
    """
    column, falling = sort.removeprefix("-"), sort.startswith("-")
    if column == "key":
        return sorted(rows, key=lambda row: row.key, reverse=falling)
    if column not in COLUMNS:
        column, falling = LOWEST_FIRST, False
    known = [(value, row) for row in rows if (value := row.value(column)) is not None]
    known.sort(key=lambda pair: pair[0], reverse=falling)
    return [row for _, row in known] + [row for row in rows if row.value(column) is None]


def pair_agreement(
    conversation_set: ConversationSet, split: str = "all", key: str = ""
) -> dict[Pair, PairAgreement]:
    """Each two people with a cell in common, on one proposition or on all of them."""
    ratings = people_ratings(conversation_set, split)
    return pairs_of(ratings, agreement_rows(ratings, ratings.propositions), key)


def pairs_of(
    ratings: PeopleRatings, rows: Iterable[AgreementRow], key: str = ""
) -> dict[Pair, PairAgreement]:
    """As `pair_agreement`, from what is read already.

    Over all propositions the percentage is that of all shared cells, its interval over
    completions; kappa is the mean over the propositions that define it, for pooled cells would
    call it agreement that one proposition is more often true than another.
    """
    rows = list(rows)
    if key:
        return next((row.agreement.pairs for row in rows if row.key == key), {})
    return {
        pair: PairAgreement(
            n=sum(map(sum, counts.values())),
            percent=_share_agreeing(counts),
            kappa=_mean_kappa([row.agreement.pairs.get(pair) for row in rows]),
        )
        for pair, counts in sorted(_shared_cells(ratings).items())
    }


def person_agreement(conversation_set: ConversationSet) -> dict[int, Estimate]:
    """User pk -> how often others gave the same answer to the same cell, over completions."""
    ratings = people_ratings(conversation_set)
    counts: dict[str, Counts] = {name: defaultdict(lambda: [0, 0]) for name in ratings.people}
    for pair, shared in _shared_cells(ratings).items():
        for name in pair:
            for completion, (agreeing, differing) in shared.items():
                counts[name][completion][0] += agreeing
                counts[name][completion][1] += differing
    return {ratings.people[name]: _share_agreeing(found) for name, found in counts.items()}


Counts = Mapping[int, list[int]]
"""Completion pk -> shared cells with the same answer, and with another one."""


def _shared_cells(ratings: PeopleRatings) -> dict[Pair, Counts]:
    shared: dict[Pair, dict[int, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for units in ratings.propositions.values():
        for completion, answers in units.items():
            rated = sorted((name, a) for name, a in answers.items() if a is not None)
            for (one, mine), (other, theirs) in combinations(rated, 2):
                shared[one, other][completion][mine is not theirs] += 1
    return dict(shared)


def _share_agreeing(counts: Counts) -> Estimate:
    """Share of agreeing cells. Those of one completion belong together, so it is the unit."""
    if not counts:
        return Estimate(reason=NO_PAIR)
    return kernel.prevalence(np.array(list(counts.values()), dtype=np.int64))


def _mean_kappa(pairs: Sequence[PairAgreement | None]) -> Estimate:
    shared = [pair.kappa.value for pair in pairs if pair is not None]
    defined = [value for value in shared if value is not None]
    if not defined:
        return Estimate(reason=f"undefined on each of {len(shared)} propositions")
    return Estimate(
        fmean(defined), reason=f"mean over the {len(defined)} propositions that define it"
    )


PATTERNS = """
SELECT proposition.key, cell.n_true, cell.n_false, count(*)
FROM (
    SELECT label.proposition_id,
           count(*) FILTER (WHERE label.answer = 'true') AS n_true,
           count(*) FILTER (WHERE label.answer = 'false') AS n_false
    FROM annotation_label AS label
    JOIN annotation_completion AS completion ON completion.id = label.completion_id
    JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
    WHERE conversation.conversation_set_id = %(set)s AND %(split)s IN ('all', conversation.split)
      AND label.annotator_id IS NOT NULL AND NOT label.after_reveal
    GROUP BY label.proposition_id, label.completion_id
) AS cell
JOIN annotation_proposition AS proposition ON proposition.id = cell.proposition_id
WHERE cell.n_true + cell.n_false >= 2
GROUP BY proposition.key, cell.n_true, cell.n_false
"""


def human_ceiling(conversation_set: ConversationSet, split: str = "all") -> dict[str, Estimate]:
    """Proposition key -> how often one person agrees with another, the most a grader can reach.

    Counted by the database, for the report of a run reads it at each view. A proposition on which
    no two people answered the same completion has no entry.
    """
    tables: dict[str, list[list[int]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(PATTERNS, {"set": conversation_set.pk, "split": split})
        for key, n_true, n_false, n_cells in cursor.fetchall():
            tables[key] += [[n_true, n_false]] * n_cells
    return {key: kernel.human_ceiling(table) for key, table in tables.items()}
