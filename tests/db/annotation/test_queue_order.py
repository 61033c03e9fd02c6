"""Labelling queues: which completions they take, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User

from annotation import verdicts
from annotation.models import (
    Completion,
    ConversationSet,
    LabellingQueue,
    Prelabel,
)
from annotation.models.labels import Answer
from annotation.services.queues import (
    QueueRefused,
    close_queue,
    open_queue,
)
from tests.db.annotation.queue_work import opened, order_of
from tests.factories import CompletionFactory, ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db
Probabilities = Mapping[tuple[int, str], float]


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def rows(gold: ConversationSet) -> list[Completion]:
    """Five completions without labels."""
    return fill(gold, "train", 5)


class Graded:
    """A grader run, "run 1", that said these probabilities."""

    def __init__(self, said: Probabilities) -> None:
        self.said = said

    def sources(self, conversation_set: ConversationSet) -> list[verdicts.VerdictSource]:
        return [verdicts.VerdictSource("run 1", "Run 1")]

    def probabilities(self, source: str, completions: Any = None) -> Probabilities:
        return self.said if source == "run 1" else {}


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> Any:
    def supply(said: Probabilities) -> None:
        monkeypatch.setattr(verdicts, "_supplier", Graded(said))

    return supply


# What a queue takes


def test_a_completion_has_as_many_places_as_people_are_wanted(
    gold: ConversationSet, rows: list[Completion]
) -> None:
    queue = opened(gold, overlap=3)
    assert queue.slots.count() == 15
    # One completion after the other: rank = position x 3 + ordinal.
    places = queue.slots.order_by("rank").values_list("rank", "completion", "ordinal")
    assert list(places) == [(3 * i + o, rows[i].pk, o) for i in range(5) for o in range(3)]


def test_least_labelled_fills_everybodys_first_place_before_a_second(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    LabelFactory(completion=rows[0], annotator=ana)
    queue = opened(gold, order="least_labelled", overlap=2)
    # Breadth first: rank = ordinal x 5 + position; the labelled one comes last in each round.
    places = queue.slots.order_by("rank").values_list("completion", "ordinal")
    one_round = [row.pk for row in [*rows[1:], rows[0]]]
    assert list(places) == [(pk, o) for o in range(2) for pk in one_round]


def test_a_withdrawn_label_is_no_label(
    gold: ConversationSet, rows: list[Completion], ana: User
) -> None:
    LabelFactory(completion=rows[0], annotator=ana, answer="")
    assert order_of(opened(gold, order="least_labelled")) == [row.pk for row in rows]


def test_the_same_queue_again_is_the_open_one(
    gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = open_queue(conversation_set=gold, selection={"split": "train", "text": ""}, actor=ana)
    again = open_queue(conversation_set=gold, selection={"split": "train"}, name="x", actor=ben)
    assert again == queue
    assert opened(gold, selection={"split": "train"}, overlap=2) != queue
    close_queue(queue=queue, actor=ana)
    assert opened(gold, selection={"split": "train"}) != queue


def test_the_seed_matters_to_a_random_order_alone(
    gold: ConversationSet, rows: list[Completion], rhea: User
) -> None:
    assert opened(gold, seed=1) == opened(gold, seed=2)
    first = opened(gold, order="random", seed=1)
    other = opened(gold, order="random", seed=2)
    assert first != other
    assert order_of(first) != order_of(other)
    assert sorted(order_of(first)) == sorted(order_of(other)) == [row.pk for row in rows]
    close_queue(queue=first, actor=rhea)
    assert order_of(opened(gold, order="random", seed=1)) == order_of(first)


def test_the_filter_chooses(gold: ConversationSet, rows: list[Completion]) -> None:
    [other] = fill(gold, "test", 1)
    assert order_of(opened(gold, selection={"split": "test"})) == [other.pk]


def test_undecided_means_without_gold_truth_on_the_named_proposition(
    gold: ConversationSet, rows: list[Completion]
) -> None:
    LabelFactory(completion=rows[0], key="rude")
    LabelFactory(completion=rows[1], key="rude", answer=Answer.CANNOT_DECIDE)
    LabelFactory(completion=rows[2], key="helps")
    queue = opened(gold, selection={"proposition": "rude", "state": "undecided"})
    assert order_of(queue) == [row.pk for row in rows[1:]]


def test_undecided_without_a_proposition_asks_for_any_of_those_asked(
    gold: ConversationSet, rows: list[Completion]
) -> None:
    for key in ("rude", "helps"):
        LabelFactory(completion=rows[0], key=key)
    wanted = {"state": "undecided"}
    assert len(order_of(opened(gold, selection=wanted))) == 5
    queue = opened(gold, selection=wanted, propositions=["rude", "helps"])
    assert order_of(queue) == [row.pk for row in rows[1:]]
    assert sorted(queue.propositions.values_list("key", flat=True)) == ["helps", "rude"]


def test_named_completions_keep_their_order_and_those_of_other_sets_are_left_out(
    gold: ConversationSet, rows: list[Completion]
) -> None:
    stranger = CompletionFactory()
    named = [rows[3].pk, stranger.pk, rows[1].pk, rows[3].pk]
    assert order_of(opened(gold, completions=named)) == [rows[3].pk, rows[1].pk]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"propositions": ["nonsense"]}, "unknown proposition 'nonsense'"),
        ({"order": "nonsense"}, "unknown order"),
        ({"overlap": 0}, "between 1 and 20 people"),
        ({"overlap": 21}, "between 1 and 20 people"),
        ({"order": "uncertainty"}, "needs a grader run"),
        ({"verdict_source": "run 9"}, "'run 9' is no grader run of gold"),
        ({"prelabel_source": "run 9"}, "'run 9' is no grader run of gold"),
        ({"selection": {"split": "test"}}, "no completion of gold meets this filter"),
        ({"completions": []}, "no completion of gold"),
    ],
)
def test_a_queue_that_makes_no_sense_is_refused(
    gold: ConversationSet, rows: list[Completion], request_: dict[str, Any], reason: str
) -> None:
    with pytest.raises(QueueRefused, match=reason):
        opened(gold, **request_)
    assert not LabellingQueue.objects.exists()


# Orders that graders and Gold truths give


def test_a_grader_orders_by_uncertainty_likelihood_and_disagreement(
    gold: ConversationSet, rows: list[Completion], graded: Any
) -> None:
    a, b, c, d, e = (row.pk for row in rows)
    graded({(a, "helps"): 0.9, (b, "helps"): 0.5, (c, "helps"): 0.2, (d, "rude"): 0.99})
    LabelFactory(completion=rows[0], answer=Answer.TRUE)
    LabelFactory(completion=rows[2], answer=Answer.TRUE)

    def by(order: str) -> list[int]:
        return order_of(opened(gold, order=order, verdict_source="run 1", propositions=["helps"]))

    # 1 - |2p - 1|: b 1.0, c 0.4, a 0.2; d was graded on another proposition, e on none.
    assert by("uncertainty") == [b, c, a, d, e]
    assert by("likely_true") == [a, b, c, d, e]
    # |p - truth|: c |0.2 - 1| = 0.8, a |0.9 - 1| = 0.1.
    assert by("disagreement") == [c, a, b, d, e]


def test_rare_classes_come_first_and_unknown_ones_last(
    gold: ConversationSet, rows: list[Completion], graded: Any
) -> None:
    def label(row: Completion, helps: bool, rude: bool) -> None:
        LabelFactory(completion=row, key="helps", answer=Answer.of(helps))
        LabelFactory(completion=row, key="rude", answer=Answer.of(rude))

    a, b, c, d, e = rows
    label(a, True, False)  # ideal
    label(b, True, False)  # ideal
    label(c, False, True)  # rude, the only one
    LabelFactory(completion=d, key="helps")  # class unknown, but helps
    assert order_of(opened(gold, order="rare_class")) == [c.pk, a.pk, b.pk, d.pk, e.pk]
    # With verdicts d is ideal too (helps, not rude) and e poor (neither): classes of 3, 1 and 1.
    graded({(d.pk, "rude"): 0.1, (e.pk, "helps"): 0.3, (e.pk, "rude"): 0.2})
    queue = opened(gold, order="rare_class", verdict_source="run 1")
    assert order_of(queue) == [c.pk, e.pk, a.pk, b.pk, d.pk]


def test_suggested_answers_are_copied_and_stay(
    gold: ConversationSet, rows: list[Completion], graded: Any
) -> None:
    graded({(rows[0].pk, "helps"): 0.9, (rows[0].pk, "rude"): 0.1, (rows[1].pk, "helps"): 0.4})
    queue = opened(gold, prelabel_source="run 1", propositions=["helps"], completions=[rows[0].pk])
    graded({})
    [held] = Prelabel.objects.filter(queue=queue).values_list("completion", "proposition__key", "p")
    assert held == (rows[0].pk, "helps", 0.9)
