"""Whether a grader's probabilities mean what they say, and maps that make them.

Brier score (Brier 1950), expected calibration error (Naeini et al. 2015), reliability curves; Platt
scaling (Platt 1999), isotonic regression (Zadrozny & Elkan 2002) and temperature scaling (Guo et
al. 2017) of logit(p).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ._labelled import labelled

Floats = NDArray[np.float64]
Method = Literal["none", "platt", "isotonic", "temperature"]
METHODS: tuple[Method, ...] = ("none", "platt", "isotonic", "temperature")
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""
BINS = 10


class CalibrationError(ValueError):
    """Rows from which no map can be learned. The message says why."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows with p in [low, high): how many, their mean p, and the share that is true."""

    low: float
    high: float
    n: int
    mean_p: float
    share_true: float


@dataclass(frozen=True)
class CalibrationScores:
    """How far probabilities are from what happens; both losses are 0 at best.

    `skill` is 1 - Brier / (Brier of always giving the share of positives); None for one label
    value.
    """

    brier: float
    ece: float
    skill: float | None
    bins: tuple[ReliabilityBin, ...]


def calibration_scores(truth: ArrayLike, p: ArrayLike, bins: int = BINS) -> CalibrationScores:
    """Brier score, expected calibration error over equal-width bins, and the reliability curve.

    Labels (n,), probabilities (n,). Empty bins are left out; the last one holds p = 1 too.
    """
    y, scores = _rows(truth, p)
    index = np.minimum((scores * bins).astype(int), bins - 1)
    n = np.bincount(index, minlength=bins)
    mean_p = np.bincount(index, weights=scores, minlength=bins)
    true = np.bincount(index, weights=y, minlength=bins)
    curve = tuple(
        ReliabilityBin(
            i / bins, (i + 1) / bins, int(n[i]), float(mean_p[i] / n[i]), float(true[i] / n[i])
        )
        for i in range(bins)
        if n[i]
    )
    brier = float(np.mean((scores - y) ** 2))
    base = float(y.mean() * (1 - y.mean()))
    ece = sum(abs(part.mean_p - part.share_true) * part.n for part in curve) / len(y)
    return CalibrationScores(brier, float(ece), 1 - brier / base if base else None, curve)


@dataclass(frozen=True)
class Calibrator:
    """A map from p to a calibrated p, as plain numbers that can be stored and shipped.

    ``platt`` has slope and intercept of logit(p), ``temperature`` a divisor of it, ``isotonic`` the
    knots of a rising step-less line, ``none`` nothing.
    """

    method: Method = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, p: ArrayLike) -> Floats:
        """Calibrated probabilities, shape as `p`."""
        scores = np.asarray(p, dtype=float)
        match self.method:
            case "none":
                return scores
            case "platt":
                return np.asarray(
                    expit(self.parameters["slope"] * _logit(scores) + self.parameters["intercept"])
                )
            case "temperature":
                return np.asarray(expit(_logit(scores) / self.parameters["temperature"]))
            case "isotonic":
                knots = self.parameters
                return np.asarray(np.interp(scores, knots["p"], knots["calibrated"]))


def fit_calibrator(method: Method, truth: ArrayLike, p: ArrayLike) -> Calibrator:
    """Learn a map on labels (n,) and probabilities (n,); `CalibrationError` for one label value.

    Platt's targets are smoothed as in his paper, so that few rows do not give a cliff.
    """
    if method == "none":
        return Calibrator()
    y, scores = _rows(truth, p)
    positives, negatives = int(y.sum()), int((~y).sum())
    if not positives or not negatives:
        only = "positives" if positives else "negatives"
        raise CalibrationError(f"only {only} in {len(y)} rows")
    if method == "isotonic":
        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, y)
        return Calibrator(
            method,
            {"p": fitted.X_thresholds_.tolist(), "calibrated": fitted.y_thresholds_.tolist()},
        )
    x = _logit(scores)
    if method == "temperature":
        found = minimize_scalar(
            lambda t: _log_loss(y, x / np.exp(t)), bounds=(-5.0, 5.0), method="bounded"
        )
        return Calibrator(method, {"temperature": float(np.exp(found.x))})
    return _platt(x, y, positives, negatives)


def _platt(x: Floats, y: NDArray[np.bool_], positives: int, negatives: int) -> Calibrator:
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    target = np.where(y, high, low)
    # A soft target is a row of each label with that weight.
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000).fit(
        np.concatenate([x, x])[:, None],
        np.concatenate([np.ones(len(x)), np.zeros(len(x))]),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return Calibrator(
        "platt", {"slope": float(model.coef_[0, 0]), "intercept": float(model.intercept_[0])}
    )


def _log_loss(y: NDArray[np.bool_], x: Floats) -> float:
    return float(np.mean(np.logaddexp(0, np.where(y, -x, x))))


def _logit(p: Floats) -> Floats:
    return np.asarray(logit(np.clip(p, EDGE, 1 - EDGE)))


def _rows(truth: Sequence[bool] | ArrayLike, p: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    y, scores = labelled(truth, p)
    if not len(y):
        raise CalibrationError("no row has both a label and a grade")
    return y, scores
