"""Lists of a set's completions: what meets a filter, a sample, and the place in the list."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from annotation.models import Completion, ConversationSet
from annotation.models.labels import Answer
from annotation.selectors.browsing import (
    CompletionFilter,
    filtered_completions,
    place_in,
    place_of,
)
from annotation.services.labels import record_label
from rbr_app.rbr.policy import Policy
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    proposition,
    tiny_policy,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Train 0..5 and test 0..2. Row i helps where 2 divides i, is rude where 3 does."""
    found = ConversationSetFactory()
    fill(found, "train", 6, labelled=True)
    fill(found, "test", 3, labelled=True)
    fill(ConversationSetFactory(policy=found.policy), "train", 2, labelled=True)
    return found


@pytest.fixture
def policy() -> Policy:
    return tiny_policy()


def found(gold: ConversationSet, **wanted: str) -> list[int]:
    """The places in the set of what meets the filter, from 0."""
    pks = list(
        Completion.objects.filter(conversation__conversation_set=gold)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    listed = filtered_completions(gold, tiny_policy(), CompletionFilter(**wanted))
    return [pks.index(pk) for pk in listed]


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ({"split": "test"}, [6, 7, 8]),
        # ideal for comply: it helps and is not rude.
        ({"completion_class": "ideal"}, [2, 4, 8]),
        ({"completion_class": "rude_completion", "split": "train"}, [0, 3]),
        ({"completion_class": "incomplete"}, []),
        ({"proposition": "helps", "value": "false"}, [1, 3, 5, 7]),
        ({"proposition": "helps", "value": "none"}, []),
        ({"proposition": "cites", "value": "true"}, []),
        ({"proposition": "helps"}, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ({"completion_class": "ideal", "proposition": "rude", "value": "false"}, [2, 4, 8]),
    ],
)
def test_a_filter_finds_what_meets_all_of_it_in_file_order(
    gold: ConversationSet, wanted: dict[str, str], places: list[int]
) -> None:
    assert found(gold, **wanted) == places


def test_undecided_unlabelled_and_disputed_are_told_apart(ana: User, ben: User) -> None:
    gold = ConversationSetFactory()
    rows = fill(gold, "train", 4)
    LabelFactory(completion=rows[0], answer=Answer.TRUE)
    LabelFactory(completion=rows[1], answer=Answer.CANNOT_DECIDE)
    for actor, answer in ((ana, Answer.TRUE), (ben, Answer.FALSE)):
        record_label(
            completion=rows[2],
            proposition=proposition(rows[2], "helps"),
            answer=answer,
            actor=actor,
            policy_version=gold.policy.latest,
        )
    assert found(gold, proposition="helps", value="none") == [1, 2, 3]
    assert found(gold, proposition="helps", value="unlabelled") == [3]
    assert found(gold, proposition="helps", value="disputed") == [2]


def test_a_search_reads_prompt_and_completion_and_takes_signs_as_they_are() -> None:
    gold = ConversationSetFactory()
    CompletionFactory(conversation__conversation_set=gold, text="It is 100 % safe_ly done.")
    CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=[{"role": "user", "content": "Why SAFE?"}],
        text="Because.",
    )
    assert found(gold, text="safe") == [0, 1]
    assert found(gold, text="0 %") == [0]
    assert found(gold, text="e_l") == [0]


def test_a_sample_is_drawn_from_what_meets_the_filter_and_stays_the_same(
    gold: ConversationSet,
) -> None:
    drawn = found(gold, split="train", sample="3", sample_seed="5")
    assert len(drawn) == 3
    assert drawn == sorted(drawn)
    assert set(drawn) < set(range(6))
    assert found(gold, split="train", sample="3", sample_seed="5") == drawn
    draws = {tuple(found(gold, sample="3", sample_seed=str(seed))) for seed in range(12)}
    assert len(draws) > 1
    assert len(found(gold, sample="100")) == 9


def test_a_row_that_comes_later_leaves_the_others_lots_alone(gold: ConversationSet) -> None:
    before = set(found(gold, sample="4", sample_seed="1"))
    fill(gold, "train", 1)
    after = set(found(gold, sample="4", sample_seed="1"))
    assert len(before - after) <= 1


# The walk


@pytest.mark.parametrize(
    "wanted", [{}, {"split": "train"}, {"completion_class": "ideal"}, {"sample": "4"}]
)
def test_the_place_counted_by_the_database_is_the_place_in_the_list(
    gold: ConversationSet, policy: Policy, wanted: dict[str, str]
) -> None:
    pks = filtered_completions(gold, policy, CompletionFilter(**wanted))
    for pk in list(pks):
        assert place_of(pks, pk) == place_in(list(pks), pk)


def test_a_completion_outside_the_list_has_the_place_it_would_have(
    gold: ConversationSet, policy: Policy
) -> None:
    pks = filtered_completions(gold, policy, CompletionFilter(completion_class="ideal"))
    every = list(filtered_completions(gold, policy, CompletionFilter()))
    # The ideal ones stand at 2, 4 and 8; the one at 5 would be the third of four.
    place = place_of(pks, every[5])
    assert (place.number, place.total, place.previous, place.following) == (
        3, 4, every[4], every[8],
    )  # fmt: skip


def test_the_place_takes_one_query_however_long_the_list_is(
    gold: ConversationSet, policy: Policy, django_assert_num_queries: Any
) -> None:
    pks = filtered_completions(gold, policy, CompletionFilter(completion_class="ideal"))
    with django_assert_num_queries(1):
        assert place_of(pks, 10**9).number == 4


def test_a_list_of_ids_has_its_own_order_and_does_not_know_others() -> None:
    place = place_in([7, 3, 5], 3)
    assert place is not None
    assert (place.number, place.previous, place.following) == (2, 7, 5)
    assert place_in([7, 3, 5], 4) is None
