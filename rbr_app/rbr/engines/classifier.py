"""A grader that learns from the Gold train split: one calibrated text classifier per proposition.

Features are weighted by how well each separates the classes of that proposition, a class-balanced
logistic regression is fitted, and a sigmoid on its cross-validated scores makes probabilities.

A prompt that is in the training rows is answered by a model that never saw a label of that prompt
(5 folds, stratified, grouped by prompt); every other prompt by the model fitted on all rows. What
folds share is text statistics without labels. A proposition with fewer than 5 training rows, or
prompts, of either class gets the base rate (k + 0.5) / (n + 1), k true among n labels: a constant.

Settings: `seed` (0), which shuffles the folds. The order of the training rows does not matter.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from . import _features
from ._folds import FoldModels, Model, fit_fold_models
from .base import (
    Answer,
    Cell,
    Engine,
    EngineConfig,
    EngineError,
    EngineKind,
    ProbeResult,
    TrainingRow,
    TrainingRows,
    measured_speed,
)

KIND = EngineKind(batch_size=2_000, learns=True)


def open_engine(config: EngineConfig, training: TrainingRows | None) -> Engine:
    """The classifier for these rows. Without rows it can be probed, and grades nothing."""
    return ClassifierEngine(training or (), int(config.settings.get("seed", 0)))


class ClassifierEngine:
    """Fits a proposition when it is first asked about; fits nothing twice."""

    def __init__(self, training: Sequence[TrainingRow], seed: int) -> None:
        self._rows = sorted(training, key=_row_key)
        self._seed = seed
        self._group_of = {row.conversation.prompt_fingerprint: row.group for row in self._rows}
        self._features: _features.TextFeatures | None = None
        self._models: dict[str, FoldModels | None] = {}

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        """What determines the answers besides the training rows, which are the run's to record."""
        started = time.perf_counter()
        facts = {
            "engine": "classifier",
            "scikit_learn": version("scikit-learn"),
            "numpy": version("numpy"),
            "features_version": _features.VERSION,
            "seed": self._seed,
        }
        speed = measured_speed(self, sample) if self._rows else None
        return ProbeResult(facts, time.perf_counter() - started, speed)

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        if not self._rows:
            raise EngineError("the classifier needs labelled conversations to learn from")
        if not cells:
            return []
        conversations = list({id(cell.conversation): cell.conversation for cell in cells}.values())
        row_of = {id(conversation): row for row, conversation in enumerate(conversations)}
        matrix = self._text_features().transform(conversations)
        answers: list[Answer | None] = [None] * len(cells)
        by_model: dict[Model, list[int]] = {}
        for index, cell in enumerate(cells):
            models = self._model(cell.prompt.key)
            if models is None:
                reason = f"no training label for {cell.prompt.key}"
                answers[index] = Answer(None, None, null_reason=reason, calls=0)
                continue
            group = self._group_of.get(cell.conversation.prompt_fingerprint)
            by_model.setdefault(models.for_group(group), []).append(index)
        for model, indices in by_model.items():
            rows = [row_of[id(cells[index].conversation)] for index in indices]
            for index, p in zip(indices, model.predict(matrix[rows]), strict=True):
                answers[index] = Answer(float(p), None, calls=0)
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        self._features = None
        self._models.clear()

    def _text_features(self) -> _features.TextFeatures:
        if self._features is None:
            conversations = [row.conversation for row in self._rows]
            self._features = _features.TextFeatures().fit(conversations)
            self._matrix = self._features.transform(conversations)
        return self._features

    def _model(self, key: str) -> FoldModels | None:
        if key not in self._models:
            self._models[key] = self._fit(key)
        return self._models[key]

    def _fit(self, key: str) -> FoldModels | None:
        self._text_features()
        labelled = [n for n, row in enumerate(self._rows) if row.labels.get(key) is not None]
        if not labelled:
            return None
        truth = np.array([bool(self._rows[n].labels[key]) for n in labelled])
        groups = [self._rows[n].group for n in labelled]
        return fit_fold_models(self._matrix[labelled], truth, groups, self._seed)


def _row_key(row: TrainingRow) -> tuple[str, str, str, str]:
    labels = json.dumps(dict(row.labels), sort_keys=True)
    return row.group, row.conversation.fingerprint, row.conversation.response_type, labels
