"""Calibration: the losses, the curve, and the maps that mend it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss

from rbr_app.rbr.calibration import (
    METHODS,
    CalibrationError,
    Calibrator,
    Method,
    calibration_scores,
    fit_calibrator,
)


def overconfident(n: int = 20_000, temperature: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose logits are `temperature` times too large."""
    generator = np.random.default_rng(7)
    x = generator.normal(0, 1.5, n)
    truth = generator.random(n) < expit(x)
    return truth, expit(temperature * x)


def test_the_losses_are_those_worked_by_hand() -> None:
    truth, p = [True, False, True, False], [0.9, 0.2, 0.6, 0.6]
    found = calibration_scores(truth, p, bins=5)
    # (.1^2 + .2^2 + .4^2 + .6^2) / 4 = (.01 + .04 + .16 + .36) / 4
    assert found.brier == pytest.approx(0.1425)
    assert found.brier == pytest.approx(brier_score_loss(truth, p))
    # Bins [.2,.4): p .2, share 0; [.6,.8): p .6, share .5; [.8,1]: p .9, share 1.
    # ECE = 1/4 * .2 + 2/4 * .1 + 1/4 * .1
    assert found.ece == pytest.approx(0.125)
    # The base rate .5 has Brier .25.
    assert found.skill == pytest.approx(1 - 0.1425 / 0.25)
    assert [(part.low, part.n, part.share_true) for part in found.bins] == [
        (0.2, 1, 0.0),
        (0.6, 2, 0.5),
        (0.8, 1, 1.0),
    ]


def test_one_label_value_has_no_skill() -> None:
    assert calibration_scores([False, False], [0.1, 0.2]).skill is None


def test_a_probability_of_one_falls_into_the_last_bin() -> None:
    [part] = calibration_scores([True], [1.0]).bins
    assert (part.low, part.high, part.n) == (0.9, 1.0, 1)


@pytest.mark.parametrize("method", ["platt", "isotonic", "temperature"])
def test_each_map_mends_overconfidence(method: Method) -> None:
    truth, p = overconfident()
    half = len(truth) // 2
    calibrator = fit_calibrator(method, truth[:half], p[:half])
    before = calibration_scores(truth[half:], p[half:])
    after = calibration_scores(truth[half:], calibrator(p[half:]))
    assert before.ece > 0.08
    assert after.ece < 0.03
    assert after.brier < before.brier


def test_temperature_finds_the_temperature() -> None:
    truth, p = overconfident(temperature=2.5)
    found = fit_calibrator("temperature", truth, p).parameters["temperature"]
    assert found == pytest.approx(2.5, rel=0.05)


def test_platt_finds_slope_and_intercept() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(0, 1.5, 20_000)
    truth = generator.random(20_000) < expit(0.5 * x - 1)
    found = fit_calibrator("platt", truth, expit(x)).parameters
    assert found["slope"] == pytest.approx(0.5, abs=0.04)
    assert found["intercept"] == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_never_turns_the_order_around_and_stays_between_0_and_1(method: Method) -> None:
    truth, p = overconfident(2_000)
    grid = np.linspace(0, 1, 201)
    found = fit_calibrator(method, truth, p)(grid)
    assert (np.diff(found) >= -1e-12).all()
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("method", METHODS)
def test_a_map_survives_being_stored_as_json(method: Method) -> None:
    truth, p = overconfident(500)
    calibrator = fit_calibrator(method, truth, p)
    again = Calibrator(calibrator.method, json.loads(json.dumps(dict(calibrator.parameters))))
    assert np.array_equal(again(p), calibrator(p))


@pytest.mark.parametrize("method", ["platt", "isotonic", "temperature"])
def test_one_label_value_teaches_nothing(method: Method) -> None:
    with pytest.raises(CalibrationError, match="only positives in 2 rows"):
        fit_calibrator(method, [True, True], [0.4, 0.6])


def test_no_map_needs_no_rows() -> None:
    assert fit_calibrator("none", [], [])([0.3]).tolist() == [0.3]


def test_certain_probabilities_do_not_break_the_logit() -> None:
    found = fit_calibrator("platt", [True, False, True, False], [1.0, 0.0, 0.9, 0.4])
    assert np.isfinite(found(np.array([0.0, 1.0]))).all()
    assert logit(found(0.5)) == pytest.approx(found.parameters["intercept"])
