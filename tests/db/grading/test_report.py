"""Reports: hand-worked numbers over rows of the database, read afresh at each view."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from annotation.models import Completion, ConversationSet
from annotation.models.labels import Answer
from annotation.services.labels import record_label
from grading.models import GraderRun, GradingAttempt
from grading.selectors.reports import Report, as_json, ordered, report_splits, run_report
from grading.selectors.runs import run_progress
from rbr_app.rbr.metrics import PropositionScores
from tests.factories import (
    ConversationSetFactory,
    GradeFactory,
    GraderRunFactory,
    GradingBatchFactory,
    LabelFactory,
    fill,
    latest_version,
    proposition,
)

pytestmark = pytest.mark.django_db

HELPS = [(True, 0.9), (True, 0.6), (True, 0.2), (False, 0.7), (False, 0.3), (False, 0.1)]
"""Labels and probabilities of six rows: TP 2, FN 1, FP 1, TN 2."""


@pytest.fixture
def empty(db: None) -> ConversationSet:
    return ConversationSetFactory()


def graded(
    run: GraderRun,
    rows: list[tuple[bool | None, float | None]],
    key: str = "helps",
    split: str = "test",
    mass: float | None = 0.9,
) -> list[Completion]:
    """A completion, an imported label and a grade for each (truth, p)."""
    completions = fill(run.conversation_set, split, len(rows))
    for completion, (truth, p) in zip(completions, rows, strict=True):
        LabelFactory(completion=completion, key=key, answer=Answer.of(truth))
        GradeFactory(
            run=run,
            completion=completion,
            proposition=proposition(completion, key),
            p=p,
            mass=mass,
            null_reason="" if p is not None else "no signal",
        )
    return completions


def scores(report: Report, key: str = "helps") -> PropositionScores:
    return {row.key: row.scores for row in report.rows}[key]


def test_a_report_of_six_rows_worked_by_hand(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS)
    found = scores(run_report(run))
    assert (found.n, found.positives) == (6, 3)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.majority_accuracy == 0.5
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    # 9 pairs; wrong: (0.6, 0.7), (0.2, 0.7), (0.2, 0.3): 6 / 9
    assert found.auroc == pytest.approx(6 / 9)
    assert found.mean_mass == pytest.approx(0.9)
    # Wilson of 4/6: (0.66667 + 0.32012 ∓ 1.95996 √(0.037037 + 0.026677)) / 1.64024
    #              = (0.98679 ∓ 0.49472) / 1.64024
    assert found.accuracy_ci == pytest.approx((0.30000, 0.90323), abs=2e-5)
    assert found.verdict == "not distinguishable"


def test_every_asked_proposition_has_a_row_in_policy_order(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS, key="rude")
    assert [row.key for row in run_report(run).rows] == ["helps", "rude", "cites"]
    run.propositions.remove(run.propositions.get(key="helps"))
    assert [row.key for row in run_report(run).rows] == ["rude", "cites"]


def test_a_correction_changes_the_next_report(empty: ConversationSet, ana: User) -> None:
    run = GraderRunFactory(conversation_set=empty)
    completions = graded(run, HELPS)
    assert scores(run_report(run)).accuracy == pytest.approx(4 / 6)
    # The fourth row was labelled false and graded 0.7: ana says that it does help.
    say = {
        "completion": completions[3],
        "actor": ana,
        "policy_version": latest_version(completions[3]),
    }
    helps = proposition(completions[3], "helps")
    record_label(**say, proposition=helps, answer=Answer.TRUE)
    corrected = scores(run_report(run))
    assert (corrected.positives, corrected.accuracy) == (4, pytest.approx(5 / 6))
    record_label(**say, proposition=helps, answer=Answer.CANNOT_DECIDE)
    undecided = scores(run_report(run))
    assert (undecided.n, undecided.accuracy) == (5, pytest.approx(4 / 5))
    record_label(**say, proposition=helps, answer=Answer.FALSE)
    assert scores(run_report(run)).accuracy == pytest.approx(4 / 6)


def test_a_single_class_is_undefined_with_the_reason_and_never_zero(
    empty: ConversationSet,
) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, [(False, 0.1), (False, 0.2)])
    found = scores(run_report(run))
    assert (found.accuracy, found.majority_accuracy) == (1.0, 1.0)
    for name in ("balanced_accuracy", "precision", "recall", "f1", "auroc"):
        assert getattr(found, name) is None
        assert found.undefined[name]
    assert found.verdict == "not measurable"


def test_what_was_not_graded_has_no_numbers(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS)
    found = scores(run_report(run), "cites")
    assert (found.n, found.accuracy, found.verdict) == (0, None, "not measurable")
    assert found.undefined["accuracy"] == "no row has both a label and a grade"


def test_null_grades_and_undecided_labels_are_left_out(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, [*HELPS, (True, None), (False, None), (None, 0.9)])
    assert scores(run_report(run)).n == 6
    assert scores(run_report(run)).accuracy == pytest.approx(4 / 6)


def test_rows_without_a_label_are_left_out(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS)
    [completion] = fill(empty, "test", 1)
    GradeFactory(run=run, completion=completion, proposition=proposition(completion, "helps"))
    assert scores(run_report(run)).n == 6


def test_grades_of_other_runs_are_left_out(empty: ConversationSet) -> None:
    run, other = GraderRunFactory.create_batch(2, conversation_set=empty)
    graded(run, HELPS)
    graded(other, [(True, 0.1)] * 3)
    assert scores(run_report(run)).n == 6


def test_an_engine_without_tokens_has_no_mass(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS, mass=None)
    found = scores(run_report(run))
    assert found.mean_mass is None
    assert found.undefined["mean_mass"] == "this engine reads no tokens"


def test_means_are_over_the_measurable_propositions(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS)
    graded(run, [(True, 0.9), (False, 0.1)], key="rude")
    graded(run, [(False, 0.1)] * 4, key="cites")
    macro = run_report(run).macro
    # helps 4/6 and 6/9, rude 1 and 1; cites has no positive
    assert macro.n_propositions == 2
    assert macro.accuracy == pytest.approx((4 / 6 + 1) / 2)
    assert macro.auroc == pytest.approx((6 / 9 + 1) / 2)


def test_the_floor_wants_ten_positives_and_ten_negatives(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, [(True, 0.9)] * 10 + [(False, 0.1)] * 10)
    graded(run, HELPS, key="rude")
    report = run_report(run)
    assert report.macro.n_propositions == 2
    assert (report.macro_floor.n_propositions, report.macro_floor.floor) == (1, 10)
    assert report.macro_floor.accuracy == 1.0


# People


def test_the_ceiling_of_people_stands_beside_the_grader(
    empty: ConversationSet, ana: User, ben: User, rhea: User
) -> None:
    run = GraderRunFactory(conversation_set=empty)
    completions = graded(run, HELPS)
    for person, answers in ((ana, "TTTF"), (ben, "TTFF")):
        for completion, answer in zip(completions, answers, strict=False):
            LabelFactory(completion=completion, annotator=person, answer=Answer.of(answer == "T"))
    # Who knows what others said is no measure of agreement.
    LabelFactory(completion=completions[2], annotator=rhea, after_reveal=True)
    report = run_report(run)
    people = {row.key: row.people for row in report.rows}
    assert people["helps"].value == pytest.approx(3 / 4)
    assert people["helps"].low is not None
    assert (people["rude"].value, people["rude"].reason) == (
        None, "no unit has answers of two people",
    )  # fmt: skip
    assert as_json(report)["propositions"]["helps"]["people"] == asdict(people["helps"])
    assert as_json(report)["propositions"]["rude"]["people"]["value"] is None
    assert next(row.key for row in ordered(report.rows, "-people")) == "helps"


def test_the_ceiling_is_that_of_the_split_which_is_reported(
    empty: ConversationSet, ana: User, ben: User
) -> None:
    run = GraderRunFactory(conversation_set=empty, split="all")
    for split, answer in (("train", Answer.TRUE), ("test", Answer.FALSE)):
        for completion in fill(empty, split, 2):
            LabelFactory(completion=completion, annotator=ana, answer=Answer.TRUE)
            LabelFactory(completion=completion, annotator=ben, answer=answer)
    found = {split: run_report(run, split).rows[0].people.value for split in ("train", "test")}
    assert found == {"train": 1.0, "test": 0.0}
    assert run_report(run, "all").rows[0].people.value == pytest.approx(1 / 2)


# Splits


def test_a_run_over_one_split_is_reported_for_it(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty, split="train")
    assert report_splits(run) == ["train"]
    assert run_report(run).split == "train"


def test_a_run_over_all_is_reported_for_all_first(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty, split="all")
    graded(run, HELPS, split="test")
    graded(run, [(True, 0.9), (False, 0.8)], split="train")
    assert report_splits(run) == ["all", "test", "train"]
    report = run_report(run)
    assert (report.split, scores(report).n, report.out_of_fold) == ("all", 8, False)
    assert scores(run_report(run, "test")).n == 6
    # 0.9 right, 0.8 wrong
    assert scores(run_report(run, "train")).accuracy == 0.5


@pytest.mark.usefixtures("learning")
def test_a_grader_that_learned_is_judged_on_the_held_out_split_first(
    empty: ConversationSet,
) -> None:
    run = GraderRunFactory(conversation_set=empty, split="all")
    graded(run, HELPS, split="test")
    graded(run, [(True, 0.9), (False, 0.8)], split="train")
    assert report_splits(run) == ["test", "train", "all"]
    report = run_report(run)
    assert (report.split, scores(report).n) == ("test", 6)


@pytest.mark.usefixtures("learning")
@pytest.mark.parametrize(("split", "flag"), [("test", False), ("train", True), ("all", True)])
def test_numbers_on_train_rows_of_a_learning_grader_are_marked_out_of_fold(
    empty: ConversationSet, split: str, flag: bool
) -> None:
    run = GraderRunFactory(conversation_set=empty, split="all")
    assert run_report(run, split).out_of_fold is flag


def test_a_report_takes_as_many_queries_for_many_rows_as_for_few(
    empty: ConversationSet, django_assert_max_num_queries: pytest.FixtureRequest
) -> None:
    run = GraderRunFactory(conversation_set=empty)
    graded(run, HELPS * 5)
    with django_assert_max_num_queries(12):  # type: ignore[operator]
        run_report(run)


# Progress


def test_progress_is_counted_from_the_rows(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    done = GradingBatchFactory(run=run, n_cells=6, state="done")
    GradingBatchFactory(run=run, n_cells=2)
    now = timezone.now()
    for error, calls in (("", 6), ("it broke", 1)):
        GradingAttempt.objects.create(
            batch=done,
            worker="w",
            finished_at=now,
            calls=calls,
            error=error,
            prompt_tokens=100,
            cached_tokens=25,
        )
    graded(run, [(True, 0.9), (False, None)])
    progress = run_progress(run)
    assert (progress.cells, progress.grades, progress.nulls) == (8, 6, 1)
    assert (progress.calls, progress.errors) == (7, 1)
    assert (progress.share, progress.percent) == (0.75, 75)
    # 50 of 200 tokens
    assert progress.cached_share == 0.25


def test_rate_and_time_left_are_those_of_the_last_minute(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    now = timezone.now()
    for ordinal, (started, finished) in enumerate([(500, 400), (20, 10), (10, 0)]):
        batch = GradingBatchFactory(run=run, ordinal=ordinal, n_cells=40, state="done")
        attempt = GradingAttempt.objects.create(batch=batch, worker="w")
        GradingAttempt.objects.filter(pk=attempt.pk).update(
            started_at=now - timedelta(seconds=started),
            finished_at=now - timedelta(seconds=finished),
        )
    GradingBatchFactory(run=run, ordinal=3, n_cells=20)
    progress = run_progress(run)
    # The last minute: 80 cells since 20 s ago, 4 cells/s; 20 cells are left: 5 s.
    assert progress.rate == pytest.approx(4.0, rel=0.1)
    assert progress.seconds_left == pytest.approx(5.0, rel=0.1)
    assert progress.seconds == pytest.approx(500, abs=5)


def test_a_finished_run_has_the_rate_of_all_its_time(empty: ConversationSet) -> None:
    now = timezone.now()
    run = GraderRunFactory(conversation_set=empty, status="completed", finished_at=now)
    batch = GradingBatchFactory(run=run, n_cells=50, state="done")
    attempt = GradingAttempt.objects.create(batch=batch, worker="w", finished_at=now)
    GradingAttempt.objects.filter(pk=attempt.pk).update(started_at=now - timedelta(seconds=100))
    progress = run_progress(run)
    # 50 cells in 100 s
    assert progress.rate == pytest.approx(0.5)
    assert progress.seconds == pytest.approx(100.0)
    assert progress.seconds_left == 0.0


def test_a_run_that_has_not_begun_has_no_rate(empty: ConversationSet) -> None:
    run = GraderRunFactory(conversation_set=empty)
    GradingBatchFactory(run=run, n_cells=5)
    progress = run_progress(run)
    assert (progress.rate, progress.seconds_left, progress.cached_share) == (None, None, None)
    assert (progress.seconds, progress.share) == (0.0, 0.0)
