"""The coverage map: counts of positives and negatives by split and response type."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from annotation.models import ConversationSet
from annotation.models.labels import Answer
from annotation.selectors.coverage import (
    CoverageCell,
    CoverageMap,
    coverage_cell,
    coverage_map,
)
from annotation.selectors.overview import set_numbers, set_sizes
from annotation.selectors.truth_sql import truth_sql
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Comply: four train and three test rows, labelled. Refuse: two test rows, one decided."""
    found = ConversationSetFactory(coverage_floor=2)
    fill(found, "train", 4, labelled=True)
    fill(found, "test", 3, labelled=True)
    for answer in (Answer.TRUE, Answer.CANNOT_DECIDE):
        row = CompletionFactory(
            conversation__conversation_set=found, conversation__response_type="refuse"
        )
        LabelFactory(completion=row, answer=answer)
    fill(ConversationSetFactory(policy=found.policy), "train", 5, labelled=True)
    return found


def map_of(gold: ConversationSet) -> CoverageMap:
    policy = gold.policy.latest.as_policy()
    return coverage_map(gold, truth_sql(policy, gold.policy_id))


def counts(cell: CoverageCell) -> tuple[int, int, int]:
    return cell.positives, cell.negatives, cell.undecided


def test_every_cell_counts_positives_negatives_and_undecided(gold: ConversationSet) -> None:
    found = map_of(gold)
    assert (found.splits, found.response_types) == (["train", "test"], ["comply", "refuse"])
    # Row i helps where 2 divides i: train 0..3, test 0..2. Columns: comply and refuse of train,
    # then of test.
    assert [(row.key, [counts(cell) for cell in row.cells]) for row in found.rows] == [
        ("helps", [(2, 2, 0), (0, 0, 0), (2, 1, 0), (1, 0, 1)]),
        ("rude", [(2, 2, 0), (0, 0, 0), (1, 2, 0), (0, 0, 2)]),
        ("cites", [(0, 4, 0), (0, 0, 0), (0, 3, 0), (0, 0, 2)]),
    ]


def test_a_cell_without_split_or_type_adds_up(gold: ConversationSet) -> None:
    found = map_of(gold)
    assert counts(found.cell("helps")) == (5, 3, 1)
    assert counts(found.cell("helps", split="test")) == (3, 1, 1)
    assert counts(found.cell("helps", response_type="comply")) == (4, 3, 0)


@pytest.mark.parametrize("split", ["", "train", "test"])
@pytest.mark.parametrize("kind", ["", "comply", "refuse"])
def test_one_cell_alone_is_the_cell_of_the_map(
    gold: ConversationSet, split: str, kind: str
) -> None:
    for key in ("helps", "rude", "cites"):
        assert coverage_cell(gold, key, split, kind) == map_of(gold).cell(key, split, kind)


def test_cells_under_the_floor_are_thin(gold: ConversationSet) -> None:
    helps, rude, cites = map_of(gold).rows
    assert [cell.is_thin for cell in helps.cells] == [False, True, True, True]
    assert (helps.cells[2].few_positives, helps.cells[2].few_negatives) == (False, True)
    assert (rude.n_thin, cites.n_thin) == (3, 4)
    gold.coverage_floor = 0
    assert not any(cell.is_thin for row in map_of(gold).rows for cell in row.cells)


@pytest.mark.parametrize(
    ("positives", "negatives", "heat"),
    [(0, 900, 0), (1, 900, 1), (9, 9, 1), (10, 12, 2), (49, 50, 2), (50, 50, 3), (200, 900, 4)],
)
def test_the_colour_follows_the_rarer_truth(positives: int, negatives: int, heat: int) -> None:
    cell = CoverageCell("helps", "train", "comply", positives, negatives, rows=2_000, floor=5)
    assert cell.heat == heat


def test_classes_are_counted_by_split_and_zero_is_shown(gold: ConversationSet) -> None:
    found = map_of(gold)
    comply, refuse = found.classes
    # Train 0..3: rude, poor, ideal, rude; test 0..2: rude, poor, ideal.
    assert [(cell.name, cell.split, cell.n) for cell in comply.cells] == [
        ("ideal", "train", 1), ("ideal", "test", 1), ("poor", "train", 1), ("poor", "test", 1),
        ("rude_completion", "train", 2), ("rude_completion", "test", 1),
    ]  # fmt: skip
    assert {cell.n for cell in refuse.cells} == {0}
    assert all(cell.defined for cell in refuse.cells)
    # Both refusals lack `rude`.
    assert found.n_incomplete == 2


def test_a_response_type_that_the_policy_does_not_know_has_no_class(gold: ConversationSet) -> None:
    row = CompletionFactory(
        conversation__conversation_set=gold, conversation__response_type="unheard_of"
    )
    for key in ("helps", "rude"):
        LabelFactory(completion=row, key=key)
    found = map_of(gold)
    assert found.response_types == ["comply", "refuse", "unheard_of"]
    assert not any(cell.defined for cell in found.classes[-1].cells)
    assert counts(found.cell("helps", "test", "unheard_of")) == (1, 0, 0)


def test_the_map_takes_the_same_few_queries_however_large_the_set(
    gold: ConversationSet, django_assert_num_queries: Any
) -> None:
    policy = gold.policy.latest.as_policy()
    rules = truth_sql(policy, gold.policy_id)
    for _ in range(2):
        with django_assert_num_queries(2):
            assert coverage_map(gold, rules).rows
        fill(gold, "train", 10, labelled=True)


def test_an_empty_set_has_no_columns() -> None:
    empty = ConversationSetFactory()
    ConversationFactory(conversation_set=empty)
    found = map_of(empty)
    assert (found.splits, found.sizes.n) == ([], 0)
    assert [row.cells for row in found.rows] == [(), (), ()]


# Sizes


def test_sizes_count_completions_by_split_and_type(gold: ConversationSet, ana: User) -> None:
    sizes = set_sizes(gold)
    assert (sizes.n, sizes.splits, sizes.categories) == (9, {"train": 4, "test": 5}, ("chat",))
    assert [(row.response_type, row.train, row.test) for row in sizes.strata] == [
        ("comply", 4, 3), ("refuse", 0, 2),
    ]  # fmt: skip


def test_the_class_table_lists_the_policys_types_first(gold: ConversationSet) -> None:
    policy = gold.policy.latest.as_policy()
    rows = set_numbers(gold, truth_sql(policy, gold.policy_id)).class_rows()
    assert [(row.response_type, row.n) for row in rows] == [("comply", 7), ("refuse", 2)]
    assert [(cell.name, cell.n) for cell in rows[0].counts] == [
        ("ideal", 2), ("poor", 2), ("rude_completion", 3), ("", 0),
    ]  # fmt: skip
    assert rows[1].counts[-1].n == 2
