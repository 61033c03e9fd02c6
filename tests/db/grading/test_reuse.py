"""What was asked before is not asked again: grades are found by all that determines them."""

from __future__ import annotations

from typing import Any

import pytest

from annotation.models import ConversationSet
from annotation.services.policies import import_policy
from grading.models import Grade, GraderRun, GraderVersion
from grading.selectors.runs import run_progress
from grading.services import engines
from grading.services.batches import claim_batch, grade_batch, graded_before
from rbr_app.rbr.engines import Answer, EngineError
from rbr_app.rbr.engines.fake import FakeEngine
from tests.db.grading.work import POLICY, claimed, free, grade_all, start, started
from tests.factories import GraderVersionFactory, tiny

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("small_batches")]


def grades_of(run: GraderRun) -> dict[tuple[int, str], Any]:
    rows = Grade.objects.filter(run=run).values_list(
        "completion", "proposition__key", "p", "mass", "token", "null_reason"
    )
    return {(completion, key): rest for completion, key, *rest in rows}


def test_a_run_over_more_rows_asks_only_about_the_new_ones(
    gold: ConversationSet, version: GraderVersion
) -> None:
    first = start(version, gold, split="test").run
    grade_all(first)
    second = start(version, gold, split="all").run
    grade_all(second)
    progress = run_progress(second)
    # Seven rows, three propositions: 21 cells, of which the three test rows' nine are known.
    assert (progress.grades, progress.calls, progress.reused) == (21, 12, 9)


def test_reused_grades_are_those_that_asking_again_would_give(
    gold: ConversationSet, version: GraderVersion
) -> None:
    grade_all(start(version, gold, split="test").run)
    second = start(version, gold, split="all").run
    grade_all(second)
    Grade.objects.update(cache_key=None)
    fresh = start(version, gold, split="all", propositions=["rude", "helps", "cites"]).run
    assert fresh == second
    asked_again = start(version, gold, split="train").run
    grade_all(asked_again)
    assert run_progress(asked_again).reused == 0
    known = grades_of(second)
    again = grades_of(asked_again)
    assert again
    assert all(known[cell] == grade for cell, grade in again.items())


def test_after_an_edit_of_one_question_only_that_one_is_asked(
    gold: ConversationSet, version: GraderVersion
) -> None:
    grade_all(start(version, gold).run)
    edited = tiny("Is it rude?", "Is it impolite?")
    import_policy(text=edited, name=gold.policy.name)
    gold.refresh_from_db()
    run = start(version, ConversationSet.objects.get(pk=gold.pk)).run
    policy = run.policy_version.as_policy()
    while claim := claim_batch(run=run):
        assert grade_batch(claim=claim, run=run, policy=policy)
    progress = run_progress(run)
    assert (progress.grades, progress.calls, progress.reused) == (9, 3, 6)


def test_another_grader_reuses_nothing(gold: ConversationSet, version: GraderVersion) -> None:
    grade_all(start(version, gold).run)
    other = start(GraderVersionFactory(settings={"seed": 1}), gold).run
    grade_all(other)
    assert run_progress(other).reused == 0


def test_a_null_is_asked_again(gold: ConversationSet) -> None:
    first = started(gold, null_every=2)
    grade_all(first)
    nulls = Grade.objects.filter(run=first, p=None).count()
    assert 0 < nulls < 9
    second = start(first.grader_version, gold, split="all").run
    grade_all(second)
    assert run_progress(second).reused == 9 - nulls


def test_where_all_is_known_no_model_is_loaded(
    gold: ConversationSet, version: GraderVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade_all(start(version, gold, split="all").run)
    engines._engine.cache_clear()

    def unavailable(*_: Any) -> None:
        raise EngineError("no model here")

    monkeypatch.setattr(FakeEngine, "probe", unavailable)
    run = start(version, gold, split="train").run
    grade_all(run)
    run.refresh_from_db()
    assert run.status == GraderRun.Status.COMPLETED


def test_a_batch_that_fails_after_a_lookup_stores_nothing(
    gold: ConversationSet, version: GraderVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    grade_all(start(version, gold, split="test", limit=1).run)
    run = start(version, gold, split="test").run

    def broken(*_: Any) -> list[Answer]:
        raise EngineError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(FakeEngine, "grade", broken)
        assert not grade_batch(claim=claimed(run), run=run, policy=POLICY)
    assert not Grade.objects.filter(run=run).exists()
    free(run)
    grade_all(run)
    assert run_progress(run).grades == 9


def test_bounds_of_p_are_stored_and_reused(gold: ConversationSet) -> None:
    run = started(gold)
    grade_all(run)
    grade = Grade.objects.filter(run=run).first()
    assert grade is not None
    Grade.objects.filter(pk=grade.pk).update(p=0.5, p_low=0.4, p_high=0.7)
    assert grade.cache_key is not None
    [found] = graded_before([grade.cache_key])
    assert found == Answer(0.5, grade.mass, grade.token, calls=0, p_low=0.4, p_high=0.7)
