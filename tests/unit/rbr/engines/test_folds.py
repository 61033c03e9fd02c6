from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from rbr_app.rbr.engines._folds import BaseRate, Linear, fit_fold_models, separation_weights


def test_a_feature_weighs_as_much_as_it_separates() -> None:
    # Column 0 is the class itself (r = 1), column 1 is constant (0), column 2 has r = 0,
    # column 3 is the class in 3 of 4 rows: r = 1 / sqrt(3), and 1 ** .75 = 1, r ** .75 = .6623.
    # Mean square: (1 + .6623 ** 2) / 4 = .3597, root .5997: weights 1 / .5997 = 1.6674, 1.1044.
    features = sparse.csr_matrix(
        np.array([[1, 1, 1, 1], [1, 1, 0, 1], [0, 1, 1, 1], [0, 1, 0, 0]], dtype=float)
    )
    weights = separation_weights(features, np.array([True, True, False, False]))
    assert weights == pytest.approx([1.6674, 0.0, 0.0, 1.1044], abs=1e-3)


def test_groups_are_answered_by_a_model_that_did_not_see_them() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2 == 0
    groups = [f"g{n // 2}" for n in range(40)]
    features = rng.normal(size=(40, 5)) + truth[:, None]
    models = fit_fold_models(sparse.csr_matrix(features), truth, groups, seed=0)
    assert set(models.without) == set(groups)
    assert models.for_group("g0") is not models.whole
    assert models.for_group(None) is models.whole
    assert models.for_group("unlabelled") is models.whole
    # Turning the labels of g0 round leaves the model that answers for g0 as it was.
    turned = truth.copy()
    turned[:2] = ~turned[:2]
    again = fit_fold_models(sparse.csr_matrix(features), turned, groups, seed=0)
    one, other = models.for_group("g0"), again.for_group("g0")
    assert isinstance(one, Linear)
    assert isinstance(other, Linear)
    assert one.coefficients == pytest.approx(other.coefficients)
    assert not np.allclose(
        models.whole.predict(sparse.csr_matrix(features)),
        again.whole.predict(sparse.csr_matrix(features)),
    )


def test_probabilities_match_frequencies_where_features_say_nothing() -> None:
    # 30 of 120 are true and the features are noise: every p stays near .25.
    rng = np.random.default_rng(1)
    truth = np.arange(120) % 4 == 0
    features = sparse.csr_matrix(rng.normal(size=(120, 3)))
    models = fit_fold_models(features, truth, [str(n) for n in range(120)], seed=0)
    assert float(models.whole.predict(features).mean()) == pytest.approx(0.25, abs=0.06)


def test_the_base_rate_is_smoothed() -> None:
    # (3 + .5) / (9 + 1) = .35
    assert BaseRate.of(np.array([True] * 3 + [False] * 6)).p == pytest.approx(0.35)
