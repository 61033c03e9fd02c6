"""Old against new: flips, chance, and errors that come together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbr_app.rbr.duel import correlated_errors, duel, holm, paired_difference_interval

counts = st.tuples(*[st.integers(0, 60)] * 4).filter(lambda found: sum(found) > 0)


def test_flips_are_counted_and_tested_exactly() -> None:
    truth = [True] * 12
    old = [True] * 4 + [False] * 6 + [True] * 1 + [False] * 1
    new = [True] * 4 + [True] * 6 + [False] * 1 + [False] * 1
    found = duel(truth, old, new)
    assert found is not None
    assert (found.both_right, found.fixed, found.broken, found.both_wrong) == (4, 6, 1, 1)
    assert (found.old_accuracy, found.new_accuracy) == (5 / 12, 10 / 12)
    assert found.difference == pytest.approx(5 / 12)
    # Binomial(7, 1/2): P(0 or 1 or 6 or 7) = 2 * (1 + 7) / 128
    assert found.p_value == pytest.approx(0.125)


def test_the_interval_is_the_published_one() -> None:
    # Newcombe 1998, table III, method 10, cells 36, 12, 2, 0: 0.0569 to 0.3404.
    low, high = paired_difference_interval(36, 12, 2, 0)
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@given(counts)
def test_the_interval_holds_the_difference_and_turns_with_the_sides(
    cells: tuple[int, int, int, int],
) -> None:
    both, fixed, broken, wrong = cells
    low, high = paired_difference_interval(both, fixed, broken, wrong)
    difference = (fixed - broken) / sum(cells)
    assert -1 <= low <= difference + 1e-12
    assert difference - 1e-12 <= high <= 1
    mirrored = paired_difference_interval(both, broken, fixed, wrong)
    assert mirrored == pytest.approx((-high, -low))


def test_nothing_changed_is_no_evidence() -> None:
    found = duel([True, False], [True, True], [True, True])
    assert found is not None
    assert (found.p_value, found.difference) == (1.0, 0.0)


def test_no_rows_no_duel() -> None:
    assert duel([], [], []) is None


def test_series_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="old"):
        duel([True], [True, False], [True])


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    # .01 * 3, .02 * 2, then .03 * 1 < .04: stays .04.
    assert holm({"a": 0.02, "b": 0.01, "c": 0.03}) == pytest.approx(
        {"a": 0.04, "b": 0.03, "c": 0.04}
    )
    assert holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_errors_that_come_together_stand_first() -> None:
    generator = np.random.default_rng(0)
    shared = generator.random(200) < 0.3
    wrong = {
        "a": shared.tolist(),
        "b": (shared ^ (generator.random(200) < 0.05)).tolist(),
        "c": (generator.random(200) < 0.3).tolist(),
        "never": [False] * 200,
    }
    [first, *rest] = correlated_errors(wrong)
    assert (first.first, first.second) == ("a", "b")
    assert first.phi == pytest.approx(np.corrcoef(wrong["a"], wrong["b"])[0, 1])
    assert first.both == sum(a and b for a, b in zip(wrong["a"], wrong["b"], strict=True))
    assert all(abs(pair.phi) < 0.2 for pair in rest)
    assert "never" not in {pair.second for pair in (first, *rest)}


def test_only_rows_that_both_know_count() -> None:
    wrong = {
        "a": [True, True, False, False, None, True],
        "b": [True, None, False, False, True, True],
    }
    # Known to both: rows 0, 2, 3, 5, with errors (1,1), (0,0), (0,0), (1,1).
    [pair] = correlated_errors(wrong, least=2)
    assert (pair.phi, pair.n, pair.both) == (pytest.approx(1.0), 4, 2)
    assert correlated_errors(wrong) == []
    assert correlated_errors({}) == []
