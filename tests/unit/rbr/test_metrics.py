"""Metrics against hand-worked numbers and definitions written out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.metrics import (
    FLOOR,
    PropositionScores,
    macro_scores,
    proposition_scores,
)

Z = 1.959963984540054
"""The 97.5 % point of the normal distribution."""


def wilson(k: int, n: int) -> tuple[float, float]:
    """Wilson's interval by its formula: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    p = k / n
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return (middle - half) / (1 + Z * Z / n), (middle + half) / (1 + Z * Z / n)


def pairwise_auroc(truth: list[bool], p: list[float]) -> float:
    """The share of (positive, negative) pairs in the right order, ties counted half."""
    pairs = [
        (a, b)
        for a, positive in zip(p, truth, strict=True)
        if positive
        for b, other in zip(p, truth, strict=True)
        if not other
    ]
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


T, F = True, False


def test_scores_of_ten_rows_worked_by_hand() -> None:
    truth = [T, T, T, T, F, F, F, F, F, F]
    p = [0.9, 0.8, 0.5, 0.3, 0.7, 0.4, 0.4, 0.2, 0.1, 0.0]
    scores = proposition_scores(truth, p, mass=[0.9, 0.8] * 5)
    # Graded true at 0.5 and above: 0.9 0.8 0.5 | 0.7. So TP 3, FN 1, FP 1, TN 5.
    assert (scores.n, scores.positives, scores.negatives) == (10, 4, 6)
    assert scores.accuracy == pytest.approx(8 / 10)
    assert scores.majority_accuracy == pytest.approx(6 / 10)
    # recall of positives 3/4, of negatives 5/6: (0.75 + 0.8333) / 2 = 0.7917
    assert scores.balanced_accuracy == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert scores.precision == pytest.approx(3 / 4)
    assert scores.recall == pytest.approx(3 / 4)
    # 2 TP / (2 TP + FP + FN) = 6 / 8
    assert scores.f1 == pytest.approx(6 / 8)
    # 24 pairs; wrong: (0.5, 0.7), (0.3, 0.7), (0.3, 0.4) twice: 20 / 24
    assert scores.auroc == pytest.approx(20 / 24)
    # z² = 3.8415: middle 0.8 + 3.8415/20 = 0.99207, half 1.95996 √(0.016 + 0.0096036) = 0.31361,
    # divisor 1.38415: (0.49016, 0.94331)
    assert scores.accuracy_ci == pytest.approx((0.49016, 0.94331), abs=2e-5)
    assert scores.mean_mass == pytest.approx(0.85)
    # 0.490 is not above 0.6
    assert scores.verdict == "not distinguishable"
    assert scores.undefined == {}


def test_a_probability_on_the_threshold_is_graded_true() -> None:
    assert proposition_scores([T, F], [0.5, 0.4999]).accuracy == 1.0
    assert proposition_scores([T, F], [0.5, 0.4999], threshold=0.51).accuracy == 0.5


def test_a_tie_between_a_positive_and_a_negative_counts_half() -> None:
    # Pairs (0.6, 0.6) ½, (0.6, 0.1) 1, (0.2, 0.6) 0, (0.2, 0.1) 1: 2.5 / 4
    assert proposition_scores([T, T, F, F], [0.6, 0.2, 0.6, 0.1]).auroc == pytest.approx(2.5 / 4)


def test_a_perfect_grader_of_enough_rows_beats_the_baseline() -> None:
    # Wilson's lower end of 20/20 is 20 / (20 + z²) = 0.839, above 0.5.
    scores = proposition_scores([T, F] * 10, [0.9, 0.1] * 10)
    assert scores.accuracy_ci == pytest.approx((20 / (20 + Z * Z), 1.0))
    assert scores.verdict == "better than baseline"


def test_a_perfect_grader_of_few_rows_is_not_distinguishable() -> None:
    # 3/3: lower end 3 / (3 + z²) = 0.4385, below the majority's 2/3.
    scores = proposition_scores([T, F, F], [0.9, 0.1, 0.1])
    assert scores.accuracy == 1.0
    assert scores.verdict == "not distinguishable"


def test_always_no_on_a_rare_proposition_is_accurate_and_not_distinguishable() -> None:
    scores = proposition_scores([T] + [F] * 99, [0.1] * 100)
    assert scores.accuracy == scores.majority_accuracy == pytest.approx(0.99)
    assert scores.balanced_accuracy == 0.5
    assert scores.auroc == 0.5
    assert scores.recall == 0.0
    assert scores.f1 == 0.0
    assert scores.precision is None
    assert scores.undefined["precision"] == "none of 100 rows graded true"
    assert scores.verdict == "not distinguishable"


def test_a_worse_grader_than_the_baseline_is_said_to_be_below_it() -> None:
    # Wilson's upper end of 0/100 is z² / (100 + z²) = 0.037, under the majority's 0.5.
    scores = proposition_scores([T, F] * 50, [0.1, 0.9] * 50)
    assert scores.accuracy == 0.0
    assert scores.auroc == 0.0
    assert scores.verdict == "not distinguishable"
    assert scores.below_baseline
    assert scores.finding == "below baseline"


def test_a_grader_whose_interval_holds_the_baseline_is_not_below_it() -> None:
    # 1/3 against 2/3: the upper end, 0.792, is above.
    scores = proposition_scores([T, F, F], [0.1, 0.9, 0.1])
    assert scores.accuracy_ci == pytest.approx((0.0615, 0.7923), abs=1e-4)
    assert not scores.below_baseline
    assert scores.finding == scores.verdict == "not distinguishable"


def test_without_positives_what_needs_them_is_undefined_and_never_zero() -> None:
    scores = proposition_scores([F, F, F], [0.1, 0.2, 0.6], mass=[1.0, 1.0, 1.0])
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.majority_accuracy == 1.0
    assert scores.precision == 0.0  # one row was graded true, wrongly
    assert scores.balanced_accuracy is None
    assert scores.recall is None
    assert scores.auroc is None
    assert scores.f1 == 0.0
    assert scores.verdict == "not measurable"
    assert scores.undefined == {
        "balanced_accuracy": "only negatives in 3 rows",
        "auroc": "only negatives in 3 rows",
        "recall": "no positive in 3 rows",
    }


def test_f1_is_undefined_only_if_nothing_is_or_was_graded_true() -> None:
    scores = proposition_scores([F, F], [0.1, 0.2])
    assert scores.f1 is None
    assert scores.precision is None
    assert scores.undefined["f1"] == "no positive and none graded true in 2 rows"


def test_without_negatives_recall_is_defined_and_auroc_is_not() -> None:
    scores = proposition_scores([T, T, T], [0.9, 0.8, 0.1])
    assert scores.recall == pytest.approx(2 / 3)
    assert scores.precision == 1.0
    # 2 TP / (2 TP + FN) = 4 / 5
    assert scores.f1 == pytest.approx(4 / 5)
    assert scores.balanced_accuracy is None
    assert scores.auroc is None
    assert scores.undefined["auroc"] == "only positives in 3 rows"
    assert scores.verdict == "not measurable"


def test_without_rows_everything_is_undefined_with_the_reason() -> None:
    scores = proposition_scores([], [])
    assert scores == PropositionScores(0, 0, undefined=scores.undefined)
    assert set(scores.undefined.values()) == {
        "no row has both a label and a grade",
        "this engine reads no tokens",
    }
    assert scores.verdict == "not measurable"


def test_mean_mass_is_over_the_rows_that_have_one() -> None:
    assert proposition_scores([T, F], [0.9, 0.1], mass=[0.5, None]).mean_mass == 0.5
    scores = proposition_scores([T, F], [0.9, 0.1], mass=[None, None])
    assert scores.mean_mass is None
    assert "mean_mass" in scores.undefined


def test_labels_and_probabilities_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="labels against"):
        proposition_scores([T, F], [0.5])


ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.5, 0.7, 0.9, 1.0])),
    min_size=1,
    max_size=60,
)


@given(ROWS)
def test_every_number_agrees_with_its_definition(rows: list[tuple[bool, float]]) -> None:
    truth, p = [t for t, _ in rows], [value for _, value in rows]
    scores = proposition_scores(truth, p)
    graded = [value >= 0.5 for value in p]
    n = len(rows)
    tp = sum(t and g for t, g in zip(truth, graded, strict=True))
    fp = sum(g and not t for t, g in zip(truth, graded, strict=True))
    fn = sum(t and not g for t, g in zip(truth, graded, strict=True))
    tn = n - tp - fp - fn
    assert scores.accuracy == pytest.approx((tp + tn) / n)
    low, high = wilson(tp + tn, n)
    assert scores.accuracy_ci == pytest.approx((low, high), abs=1e-9)
    assert scores.majority_accuracy == pytest.approx(max(tp + fn, fp + tn) / n)
    assert scores.precision == (pytest.approx(tp / (tp + fp)) if tp + fp else None)
    assert scores.recall == (pytest.approx(tp / (tp + fn)) if tp + fn else None)
    assert scores.f1 == (pytest.approx(2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else None)
    both = 0 < tp + fn < n
    if both:
        balanced = (tp / (tp + fn) + tn / (tn + fp)) / 2
        assert scores.balanced_accuracy == pytest.approx(balanced)
        assert scores.auroc == pytest.approx(pairwise_auroc(truth, p))
        better = low > max(tp + fn, fp + tn) / n
        assert scores.verdict == ("better than baseline" if better else "not distinguishable")
    else:
        assert scores.balanced_accuracy is None
        assert scores.auroc is None
        assert scores.verdict == "not measurable"


@given(ROWS)
def test_a_number_is_missing_exactly_when_a_reason_is_given(
    rows: list[tuple[bool, float]],
) -> None:
    scores = proposition_scores([t for t, _ in rows], [p for _, p in rows])
    names = "accuracy accuracy_ci majority_accuracy balanced_accuracy precision recall f1 auroc"
    missing = {name for name in [*names.split(), "mean_mass"] if getattr(scores, name) is None}
    assert missing == set(scores.undefined)


def scored(positives: int, negatives: int, right: int) -> PropositionScores:
    """`right` of the rows graded as labelled, the positives first."""
    truth = [T] * positives + [F] * negatives
    graded = [t if n < right else not t for n, t in enumerate(truth)]
    return proposition_scores(truth, [0.9 if g else 0.1 for g in graded])


def test_the_macro_mean_leaves_out_what_cannot_be_measured() -> None:
    rows = [scored(10, 10, 20), scored(10, 10, 10), scored(0, 20, 20), proposition_scores([], [])]
    macro = macro_scores(rows)
    # accuracies 1 and 0.5; the third has no positive, the fourth no row. AUROC: perfect 1; ten
    # positives graded 0.9 and ten negatives graded 0.9 are all ties: 0.5.
    assert macro.n_propositions == 2
    assert macro.accuracy == pytest.approx((1.0 + 0.5) / 2)
    assert macro.auroc == pytest.approx((1.0 + 0.5) / 2)
    assert macro.floor == 1


def test_the_floor_wants_that_many_positives_and_negatives() -> None:
    assert FLOOR == 10
    rows = [scored(10, 10, 20), scored(9, 50, 40), scored(50, 9, 40)]
    assert macro_scores(rows, FLOOR).n_propositions == 1
    assert macro_scores(rows, FLOOR).accuracy == 1.0
    assert macro_scores(rows).n_propositions == 3


def test_a_macro_mean_of_nothing_is_undefined() -> None:
    macro = macro_scores([scored(0, 5, 5)])
    assert (macro.accuracy, macro.auroc, macro.n_propositions) == (None, None, 0)
