"""Labels beside probabilities, as arrays: what every score of a grader begins with."""

from __future__ import annotations

from numpy import asarray, bool_, float64
from numpy.typing import ArrayLike, NDArray


def labelled(truth: ArrayLike, p: ArrayLike) -> tuple[NDArray[bool_], NDArray[float64]]:
    """Labels and probabilities, both of shape (n,); `ValueError` where they do not match."""
    y, scores = asarray(truth, dtype=bool), asarray(p, dtype=float)
    if y.ndim != 1 or y.shape != scores.shape:
        raise ValueError(f"{y.shape} labels against {scores.shape} probabilities")
    return y, scores
