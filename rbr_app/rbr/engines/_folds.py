"""Grouped out-of-fold probabilities for one binary target.

Rows are split into folds by group. Three kinds of linear models are fitted: on all rows, on all
but one fold, and on all but two. A model's scores become probabilities through a sigmoid that was
fitted on scores of rows the scoring model had not seen: for the model without fold k, the rows of
each other fold j are scored by the model without k and j. So nothing that answers for fold k has
seen a label of fold k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

MIN_ROWS = 5
"""With fewer rows (or groups) of either class there is nothing to learn from."""

FOLDS = 5
INVERSE_PENALTY = 2.0
SEPARATION_POWER = 0.75

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Model(Protocol):
    """Anything that gives P(true) for rows of features."""

    def predict(self, features: sparse.csr_matrix) -> Floats: ...


@dataclass(frozen=True)
class BaseRate:
    """The same probability for every row: (k + 0.5) / (n + 1) for k true among n."""

    p: float

    @classmethod
    def of(cls, truth: Bools) -> Self:
        return cls((float(truth.sum()) + 0.5) / (len(truth) + 1))

    def predict(self, features: sparse.csr_matrix) -> Floats:
        return np.full(features.shape[0], self.p)


@dataclass(frozen=True, eq=False)
class Linear:
    """P(true) = sigmoid(x . coefficients + intercept)."""

    coefficients: Floats
    intercept: float

    def score(self, features: sparse.csr_matrix) -> Floats:
        scores: Floats = features @ self.coefficients + self.intercept
        return scores

    def predict(self, features: sparse.csr_matrix) -> Floats:
        p: Floats = expit(self.score(features))
        return p


@dataclass(frozen=True)
class FoldModels:
    """`whole` learned from every row; `without[group]` from the rows outside that group's fold."""

    whole: Model
    without: Mapping[str, Model]

    def for_group(self, group: str | None) -> Model:
        """The model that saw nothing of `group`; None is a group that is in no row."""
        return self.whole if group is None else self.without.get(group, self.whole)


def fit_fold_models(
    features: sparse.csr_matrix, truth: Bools, groups: Sequence[str], seed: int
) -> FoldModels:
    """Fit on rows that are in a canonical order; equal input gives equal models."""
    names = np.array(groups)
    if not _enough(truth, names):
        return FoldModels(BaseRate.of(truth), {})
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    fold_of = np.empty(len(truth), dtype=int)
    for fold, (_, held_out) in enumerate(splitter.split(features, truth, names)):
        fold_of[held_out] = fold

    raw: dict[frozenset[int], Linear | None] = {}
    for size in range(3):
        for left_out in combinations(range(FOLDS), size):
            kept = ~np.isin(fold_of, left_out)
            raw[frozenset(left_out)] = _fit(features[kept], truth[kept], seed)

    def calibrated(left_out: frozenset[int]) -> Model:
        kept = ~np.isin(fold_of, list(left_out))
        scores = np.zeros(len(truth))
        for fold in set(range(FOLDS)) - left_out:
            scorer = raw[left_out | {fold}]
            if scorer is None:
                return BaseRate.of(truth[kept])  # one fold holds a whole class
            rows = np.flatnonzero(fold_of == fold)
            scores[rows] = scorer.score(features[rows])
        model = raw[left_out]
        return _scaled(model, scores[kept], truth[kept]) if model else BaseRate.of(truth[kept])

    models = [calibrated(frozenset({fold})) for fold in range(FOLDS)]
    without = {name: models[fold] for name, fold in zip(names.tolist(), fold_of, strict=True)}
    return FoldModels(calibrated(frozenset()), without)


def _enough(truth: Bools, groups: NDArray[Any]) -> bool:
    sides = (truth, ~truth)
    return all(side.sum() >= MIN_ROWS and len(set(groups[side])) >= MIN_ROWS for side in sides)


def _fit(features: sparse.csr_matrix, truth: Bools, seed: int) -> Linear | None:
    """A class-balanced logistic regression on weighted features; None with one class only."""
    if truth.all() or not truth.any():
        return None
    weights = separation_weights(features, truth)
    regression = LogisticRegression(
        C=INVERSE_PENALTY,
        class_weight="balanced",
        solver="liblinear",
        dual=True,  # far fewer rows than features
        max_iter=2000,
        random_state=seed,
    ).fit(features @ sparse.diags(weights), truth)
    return Linear(regression.coef_[0] * weights, float(regression.intercept_[0]))


def separation_weights(features: sparse.csr_matrix, truth: Bools) -> Floats:
    """One weight per feature: |r| ** 0.75, r its correlation with the class, to mean square 1.

    With few rows and many terms the plain penalty spreads weight over thousands of terms that
    happen to differ; this spends it where the classes differ most.
    """
    rows = len(truth)
    mean = np.asarray(features.mean(axis=0)).ravel()
    square = np.asarray(features.multiply(features).mean(axis=0)).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    share = truth.mean()
    covariance = features.T @ truth.astype(np.float64) / rows - mean * share
    scale = deviation * np.sqrt(share * (1 - share))
    # A term that occurs in no row, or always alike, deviates by rounding at most.
    constant = deviation <= 1e-9
    correlation = np.where(constant, 0.0, covariance / np.where(constant, 1.0, scale))
    weights = np.minimum(np.abs(correlation), 1.0) ** SEPARATION_POWER
    found: Floats = weights / max(float(np.sqrt(np.mean(weights**2))), 1e-12)
    return found


def _scaled(model: Linear, scores: Floats, truth: Bools) -> Linear:
    """`model` with a sigmoid a * score + b fitted to `truth` (Platt 1999).

    The targets are (k + 1) / (k + 2) and 1 / (n - k + 2) instead of 1 and 0, so that classes which
    the scores separate perfectly still get probabilities short of certainty.
    """
    count, true = len(truth), int(truth.sum())
    target = np.where(truth, (true + 1) / (true + 2), 1 / (count - true + 2))
    spread = max(float(scores.std()), 1e-12)
    regression = LogisticRegression(C=1e4).fit(
        np.concatenate([scores, scores])[:, None] / spread,
        np.repeat([True, False], count),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slope = max(float(regression.coef_[0, 0]) / spread, 0.0)  # never turn a ranking round
    return Linear(model.coefficients * slope, model.intercept * slope + regression.intercept_[0])
