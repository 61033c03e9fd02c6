"""Which completions a queue takes, and in which order they are given to people.

- `sequence`: as they stand in the set, or as they were named.
- `random`: a permutation drawn from the seed.
- `least_labelled`: by the number of people's labels on the propositions asked, fewest first.
- `rare_class`: by how many completions of the set with the same response type are of the same
  class. The class is that which Gold truths imply, with a grader's verdicts (p ≥ 0.5) in their
  place where they are missing and a run is chosen. Within a class, and where the class is unknown
  (these come last), what is true of the fewest completions comes first.
- `disagreement`, `uncertainty`, `likely_true`: by the largest |p - truth|, 1 - |2p - 1| or p over
  the propositions asked. Completions without a probability come last.

Ties keep the order of the set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from math import inf

import numpy as np
from django.db import connection
from django.db.models import Count

from annotation.models import Completion, ConversationSet, GoldTruth, Label, LabellingQueue
from annotation.models.labels import WITHDRAWN
from annotation.selectors.browsing import CompletionFilter, filtered_completions
from annotation.verdicts import verdicts
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.rules import completion_classes, leaves

Order = LabellingQueue.Order
NEEDS_VERDICTS = frozenset({Order.DISAGREEMENT, Order.UNCERTAINTY, Order.LIKELY_TRUE})
BREADTH_FIRST = frozenset({Order.LEAST_LABELLED})
"""Orders in which everybody's first place comes before anybody's second."""
LARGEST_OVERLAP = 20
STATE = "state"
UNDECIDED = "undecided"
FILTERS = frozenset({field.name for field in fields(CompletionFilter)} | {STATE})

Probabilities = Mapping[tuple[int, str], float]


@dataclass(frozen=True)
class Chosen:
    """What a queue asks: these propositions of a set's policy, in this order."""

    conversation_set: ConversationSet
    keys: Sequence[str]
    order: str = Order.SEQUENCE
    seed: int = 0
    verdict_source: str = ""


def selected_completions(
    chosen: Chosen, selection: Mapping[str, str], named: Sequence[int] | None = None
) -> list[int]:
    """The pks that meet the filter, or those of the named ones that the set holds.

    ``state=undecided`` keeps the completions on which a proposition has no Gold truth: that which
    the filter names, else any that is asked.
    """
    held = chosen.conversation_set
    if named is not None:
        members = Completion.objects.filter(conversation__conversation_set=held, pk__in=named)
        known = set(members.values_list("pk", flat=True))
        return [pk for pk in dict.fromkeys(named) if pk in known]
    asked = {name: value for name, value in selection.items() if name in FILTERS - {STATE}}
    found = filtered_completions(held, _policy(chosen), CompletionFilter(**asked))
    if selection.get(STATE) != UNDECIDED:
        return list(found)
    keys = [key] if (key := selection.get("proposition")) else chosen.keys
    decided = GoldTruth.objects.filter(
        completion__conversation__conversation_set=held,
        proposition__key__in=keys,
        truth__isnull=False,
    )
    full = decided.values("completion").annotate(n=Count("pk")).filter(n=len(keys))
    done = set(full.values_list("completion", flat=True))
    return [pk for pk in found if pk not in done]


def ordered_completions(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    """The same completions in the order in which the queue gives them away."""
    return ORDERS[chosen.order](chosen, pks)


def _in_sequence(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    return list(pks)


def _at_random(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    return [pks[i] for i in np.random.default_rng(chosen.seed).permutation(len(pks))]


def _least_labelled(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    labels = (
        Label.objects.filter(
            completion__conversation__conversation_set=chosen.conversation_set,
            proposition__key__in=chosen.keys,
            annotator__isnull=False,
        )
        .exclude(answer=WITHDRAWN)
        .values("completion")
        .annotate(n=Count("pk"))
    )
    n = dict(labels.values_list("completion", "n"))
    return sorted(pks, key=lambda pk: n.get(pk, 0))


def _rare_class(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    known = _known_truths(chosen)
    policy = _policy(chosen)
    classify = _classifier(policy)
    classes = {
        pk: classify(row.response_type, frozenset(row.true), frozenset(row.false))
        for pk, row in known.items()
    }
    of_class = Counter((row.response_type, classes[pk]) for pk, row in known.items())
    positives = Counter((row.response_type, key) for row in known.values() for key in row.true)

    def rarity(pk: int) -> tuple[float, float]:
        row, name = known[pk], classes[pk]
        size = of_class[row.response_type, name] if name else inf
        return size, min((positives[row.response_type, key] for key in row.true), default=inf)

    return sorted(pks, key=rarity)


@dataclass
class KnownTruths:
    """What is held to be true and false of one completion."""

    response_type: str
    true: set[str]
    false: set[str]


KNOWN = """
SELECT completion.id, conversation.response_type,
       coalesce(array_agg(proposition.key::text) FILTER (WHERE held.truth), '{}'),
       coalesce(array_agg(proposition.key::text) FILTER (WHERE NOT held.truth), '{}')
FROM annotation_completion AS completion
JOIN annotation_conversation AS conversation ON conversation.id = completion.conversation_id
LEFT JOIN annotation_goldtruth AS held ON held.completion_id = completion.id
LEFT JOIN annotation_proposition AS proposition ON proposition.id = held.proposition_id
WHERE conversation.conversation_set_id = %s
GROUP BY completion.id, conversation.response_type
"""


def _known_truths(chosen: Chosen) -> dict[int, KnownTruths]:
    """Gold truths of the whole set, completed by the grader's verdicts where a run is chosen."""
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [chosen.conversation_set.pk])
        known = {
            pk: KnownTruths(kind, set(true), set(false))
            for pk, kind, true, false in cursor.fetchall()
        }
    for (pk, key), p in _probabilities(chosen).items():
        row = known.get(pk)
        if row and key not in row.true and key not in row.false:
            (row.true if p >= 0.5 else row.false).add(key)
    return known


def _classifier(policy: Policy) -> Callable[[str, frozenset[str], frozenset[str]], str]:
    """Truths to their class, empty where one of the deciding propositions is unknown."""
    needed = {kind: frozenset(leaves(policy, kind)) for kind in policy.response_type_keys}

    @cache
    def classify(kind: str, true: frozenset[str], false: frozenset[str]) -> str:
        deciding = needed.get(kind)
        if not deciding or not deciding <= true | false:
            return ""
        truth = {key: key in true for key in policy.proposition_keys}
        return next(iter(completion_classes(policy, kind, truth)), "")

    return classify


def _disagreement(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    truths = GoldTruth.objects.filter(
        completion__conversation__conversation_set=chosen.conversation_set, truth__isnull=False
    ).values_list("completion", "proposition__key", "truth")
    truth = {(pk, key): value for pk, key, value in truths.iterator(chunk_size=10_000)}
    found = _probabilities(chosen).items()
    return _highest_first(
        chosen,
        pks,
        ((cell, abs(p - bool(truth[cell]))) for cell, p in found if cell in truth),
    )


def _uncertainty(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    found = _probabilities(chosen).items()
    return _highest_first(chosen, pks, ((cell, 1 - abs(2 * p - 1)) for cell, p in found))


def _likely_true(chosen: Chosen, pks: Sequence[int]) -> list[int]:
    return _highest_first(chosen, pks, _probabilities(chosen).items())


def _probabilities(chosen: Chosen) -> Probabilities:
    if not chosen.verdict_source:
        return {}
    return verdicts().probabilities(chosen.verdict_source)


def _highest_first(
    chosen: Chosen, pks: Sequence[int], scores: Iterable[tuple[tuple[int, str], float]]
) -> list[int]:
    """By the highest score over the propositions asked; without one comes last."""
    asked = set(chosen.keys)
    best: dict[int, float] = defaultdict(lambda: -inf)
    for (pk, key), score in scores:
        if key in asked:
            best[pk] = max(best[pk], score)
    return sorted(pks, key=lambda pk: -best[pk])


def _policy(chosen: Chosen) -> Policy:
    return chosen.conversation_set.policy.latest.as_policy()


ORDERS: dict[str, Callable[[Chosen, Sequence[int]], list[int]]] = {
    Order.SEQUENCE: _in_sequence,
    Order.RANDOM: _at_random,
    Order.LEAST_LABELLED: _least_labelled,
    Order.RARE_CLASS: _rare_class,
    Order.DISAGREEMENT: _disagreement,
    Order.UNCERTAINTY: _uncertainty,
    Order.LIKELY_TRUE: _likely_true,
}
