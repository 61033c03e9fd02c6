"""What runs tell annotation: which of them graded a set, and the probabilities they gave."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from annotation.models import Completion, ConversationSet
from annotation.verdicts import VerdictSource, verdicts
from grading.models import GraderRun
from grading.verdicts import RunVerdicts
from tests.factories import (
    ConversationSetFactory,
    GradeFactory,
    GraderRunFactory,
    GraderVersionFactory,
    fill,
    proposition,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def held(db: None) -> ConversationSet:
    return ConversationSetFactory()


def run(held: ConversationSet, status: str = "completed", **more: Any) -> GraderRun:
    ended = None if status == "running" else timezone.now()
    return GraderRunFactory(conversation_set=held, status=status, finished_at=ended, **more)


def grade(
    graded: GraderRun, completion: Completion, p: float | None = 0.5, key: str = "helps"
) -> None:
    GradeFactory(
        run=graded, completion=completion, proposition=proposition(completion, key), p=p,
        null_reason="" if p is not None else "no signal",
    )  # fmt: skip


def test_grading_is_the_supplier_of_verdicts() -> None:
    assert isinstance(verdicts(), RunVerdicts)


def test_runs_with_grades_that_have_ended_are_sources_newest_first(held: ConversationSet) -> None:
    (completion,) = fill(held, "test", 1)
    version = GraderVersionFactory(grader__name="classifier", number=2)
    first, stopped, going, _empty = (
        run(held, status, grader_version=version)
        for status in ("completed", "stopped", "running", "completed")
    )
    other = run(ConversationSetFactory(), grader_version=version)
    for graded in (first, stopped, going, other):
        grade(graded, completion)
    assert verdicts().sources(held) == [
        VerdictSource(
            f"run:{stopped.pk}", f"classifier v2, run {stopped.pk}, test, stopped before its end"
        ),
        VerdictSource(f"run:{first.pk}", f"classifier v2, run {first.pk}, test"),
    ]


def test_probabilities_are_by_completion_and_proposition_and_nulls_are_absent(
    held: ConversationSet, django_assert_num_queries: Any
) -> None:
    one, two, three = fill(held, "test", 3)
    graded, other = run(held), run(held)
    grade(graded, one, 0.25)
    grade(graded, one, 0.75, key="rude")
    grade(graded, two, None)
    grade(graded, three, 0.0)
    grade(other, two, 0.9)
    source = f"run:{graded.pk}"
    with django_assert_num_queries(1):
        found = verdicts().probabilities(source)
    assert found == {(one.pk, "helps"): 0.25, (one.pk, "rude"): 0.75, (three.pk, "helps"): 0.0}
    assert verdicts().probabilities(source, [three.pk]) == {(three.pk, "helps"): 0.0}
    assert verdicts().probabilities(source, []) == {}


@pytest.mark.parametrize("source", ["", "run:", "run:x", "7", "fit:7", "run:999999999"])
def test_an_unknown_source_has_graded_nothing(held: ConversationSet, source: str) -> None:
    (completion,) = fill(held, "test", 1)
    grade(run(held), completion)
    assert verdicts().probabilities(source) == {}
