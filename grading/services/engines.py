"""Opens engines, once per process for what is the same."""

from __future__ import annotations

from functools import lru_cache

from annotation.models import ConversationSet
from grading.models import GraderRun, GraderVersion
from grading.services.training import training_rows
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.engines import Engine, TrainingRow, open_engine


class RunOutdated(Exception):
    """The grader or the training labels are no longer those that a run was started with.

    Its grades would not belong together, so it cannot go on.
    """


def engine_for(run: GraderRun) -> Engine:
    """The engine that grades `run`. Raises `RunOutdated`, or `EngineError` when it cannot load."""
    training = run.conversation_set_id if run.training_fingerprint else None
    return _engine(run.grader_version_id, training, run.training_fingerprint)


@lru_cache(maxsize=2)
def _engine(version_pk: int, training_set_pk: int | None, training_fingerprint: str) -> Engine:
    version = GraderVersion.objects.select_related("grader").get(pk=version_pk)
    engine = open_engine(version.as_config(), _training(training_set_pk, training_fingerprint))
    facts = engine.probe().facts
    if fingerprint([version.config, facts]) != version.fingerprint:
        names = sorted({*facts, *version.facts})
        changed = [name for name in names if facts.get(name) != version.facts.get(name)]
        raise RunOutdated(f"the grader is no longer {version}: {', '.join(changed)} changed")
    return engine


def _training(set_pk: int | None, wanted: str) -> tuple[TrainingRow, ...] | None:
    if set_pk is None:
        return None
    training = training_rows(ConversationSet.objects.get(pk=set_pk))
    if training.fingerprint != wanted:
        raise RunOutdated("labels of the train split changed while the run was going")
    return training.rows
