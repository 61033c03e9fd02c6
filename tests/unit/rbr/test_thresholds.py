"""Thresholds: every operating point, the choice between them, and how sure it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_curve

from rbr_app.rbr.thresholds import (
    MEASURES,
    Confusion,
    Objective,
    ThresholdError,
    Wish,
    bootstrap_intervals,
    choose_threshold,
    confusion_at,
    cross_validated_threshold,
    operating_points,
)

TRUTH = [False, False, True, False, True, True]
P = [0.1, 0.3, 0.4, 0.6, 0.8, 0.9]

rows = st.lists(
    st.tuples(st.booleans(), st.floats(0, 1, allow_subnormal=False)), min_size=2, max_size=40
).filter(lambda found: 0 < sum(truth for truth, _ in found) < len(found))


def test_every_operating_point_counts_what_its_threshold_grades_true() -> None:
    points = operating_points(TRUTH, P)
    # Thresholds midway between neighbours: 0, .2, .35, .5, .7, .85, and one above every p.
    assert points.threshold[:-1] == pytest.approx([0, 0.2, 0.35, 0.5, 0.7, 0.85])
    assert points.threshold[-1] > 1
    assert points.tp.tolist() == [3, 3, 3, 2, 2, 1, 0]
    assert points.fp.tolist() == [3, 2, 1, 1, 0, 0, 0]
    assert points.confusion(3) == Confusion(tp=2, fp=1, fn=1, tn=2)


@given(rows)
def test_operating_points_are_those_of_counting_row_by_row(found: list[tuple[bool, float]]) -> None:
    truth, p = zip(*found, strict=True)
    points = operating_points(truth, p)
    for index, threshold in enumerate(points.threshold):
        assert points.confusion(index) == confusion_at(truth, p, float(threshold))


@given(rows)
def test_the_curve_holds_every_point_of_scikit_learns(found: list[tuple[bool, float]]) -> None:
    truth, p = zip(*found, strict=True)
    points = operating_points(truth, p)
    ours = set(zip(points.fp.tolist(), points.tp.tolist(), strict=True))
    fpr, tpr, _ = roc_curve(truth, p, drop_intermediate=False)
    theirs = zip(
        np.rint(fpr * points.negatives).astype(int).tolist(),
        np.rint(tpr * points.positives).astype(int).tolist(),
        strict=True,
    )
    assert ours == set(theirs)


@pytest.mark.parametrize(
    ("wish", "threshold", "score"),
    [
        # 5 of 6 right both at .35 (one false positive) and at .7 (one false negative); .35 is as
        # far from .5 as .65 would be, .7 is further away.
        (Wish(Objective.ACCURACY), 0.35, 5 / 6),
        # At .35: tpr 1, fpr 1/3.
        (Wish(Objective.BALANCED_ACCURACY), 0.35, (1 + 2 / 3) / 2),
        (Wish(Objective.YOUDEN), 0.35, 2 / 3),
        # At .35: 2*3 / (2*3 + 1 + 0).
        (Wish(Objective.F1), 0.35, 6 / 7),
        # Two of three positives are enough: .7 has no false positive.
        (Wish(Objective.MIN_FPR, tpr_floor=0.6), 0.7, 0.0),
        (Wish(Objective.MIN_FPR, tpr_floor=1.0), 0.35, -1 / 3),
        # A false positive costs three false negatives: one miss (1) beats one false alarm (3).
        (Wish(Objective.COST, cost_ratio=3.0), 0.7, -1 / 6),
        (Wish(Objective.COST, cost_ratio=0.5), 0.35, -0.5 / 6),
    ],
)
def test_each_objective_chooses_its_own_best(wish: Wish, threshold: float, score: float) -> None:
    choice = choose_threshold(TRUTH, P, wish)
    assert choice.threshold == pytest.approx(threshold)
    assert choice.score == pytest.approx(score)


@given(rows)
def test_no_threshold_beats_the_chosen_one(found: list[tuple[bool, float]]) -> None:
    truth, p = zip(*found, strict=True)
    y, scores = np.array(truth), np.array(p)
    best = choose_threshold(y, scores, Wish(Objective.BALANCED_ACCURACY))
    best_f1 = choose_threshold(y, scores, Wish(Objective.F1))
    for threshold in (*p, 0.5, 1.1):
        graded = scores >= threshold
        assert balanced_accuracy_score(y, graded) <= best.score + 1e-9
        assert f1_score(y, graded, zero_division=0) <= best_f1.score + 1e-9


def test_a_single_label_value_has_no_threshold() -> None:
    with pytest.raises(ThresholdError, match="only negatives in 2 rows"):
        choose_threshold([False, False], [0.2, 0.9])


def test_no_rows_have_no_threshold() -> None:
    with pytest.raises(ThresholdError, match="no row"):
        choose_threshold([], [])


@pytest.mark.parametrize("p", [[0.1, 1.2], [0.1, float("nan")], [0.1]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilit"):
        choose_threshold([True, False], p)


@pytest.mark.parametrize("settings", [{"tpr_floor": 0}, {"tpr_floor": 1.5}, {"cost_ratio": 0}])
def test_a_wish_that_makes_no_sense_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ThresholdError):
        Wish(**settings)


def test_rates_without_rows_are_undefined() -> None:
    counts = Confusion(tp=0, fp=0, fn=0, tn=4)
    assert (counts.tpr, counts.precision, counts.f1) == (None, None, None)
    assert (counts.fpr, counts.accuracy, counts.balanced_accuracy) == (0, 1, None)


def test_cross_validation_judges_each_row_by_a_threshold_chosen_without_its_prompt() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(300) < 0.4
    p = np.clip(0.35 + 0.3 * truth + generator.normal(0, 0.1, 300), 0, 1)
    groups = [index // 3 for index in range(300)]
    found = cross_validated_threshold(truth, p, groups, seed=3)
    assert found.out_of_fold.n == 300
    assert len(found.fold_thresholds) == 5
    assert found.choice == choose_threshold(truth, p)
    # Separated by three standard deviations: close to Phi(1.5) = 0.933 on rows not seen.
    assert found.out_of_fold.balanced_accuracy == pytest.approx(0.933, abs=0.04)
    assert found == cross_validated_threshold(truth, p, groups, seed=3)


def test_cross_validation_needs_two_prompts_of_each_label() -> None:
    with pytest.raises(ThresholdError, match="too few prompts"):
        cross_validated_threshold([True, False, False], [0.9, 0.1, 0.2], ["a", "b", "c"])


def test_intervals_hold_the_value_and_narrow_with_rows() -> None:
    generator = np.random.default_rng(2)
    widths = []
    for n in (100, 1_600):
        truth = generator.random(n) < 0.5
        p = np.clip(0.5 * truth + generator.random(n) * 0.6, 0, 1)
        intervals = bootstrap_intervals(truth, p, 0.5, seed=1)
        assert set(intervals) == set(MEASURES)
        found = intervals["accuracy"]
        assert found is not None
        accuracy = confusion_at(truth, p, 0.5).accuracy
        assert accuracy is not None
        assert found[0] <= accuracy <= found[1]
        widths.append(found[1] - found[0])
    # Sixteen times the rows: a quarter of the width.
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.35)


def test_rows_of_one_prompt_are_drawn_together() -> None:
    # Ten prompts with ten equal rows each carry the information of ten rows.
    truth = np.repeat([True, False] * 5, 10)
    p = np.repeat([0.9, 0.1, 0.9, 0.1, 0.4, 0.6, 0.9, 0.1, 0.9, 0.1], 10)
    groups = np.repeat(np.arange(10), 10).tolist()
    grouped = bootstrap_intervals(truth, p, 0.5, groups)["accuracy"]
    single = bootstrap_intervals(truth, p, 0.5)["accuracy"]
    assert grouped is not None
    assert single is not None
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])


def test_a_measure_that_most_resamples_leave_undefined_has_no_interval() -> None:
    intervals = bootstrap_intervals([False] * 5, [0.1] * 5, 0.5)
    assert intervals["tpr"] is None
    assert intervals["accuracy"] == (1.0, 1.0)
