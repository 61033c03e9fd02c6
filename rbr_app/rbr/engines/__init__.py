"""The grader engines. Adding one is adding one file.

A module in this package is an engine when it has a constant ``KIND`` (an `EngineKind`) and a
function ``open_engine(config, training) -> Engine``. Its module name is the engine's
name. Importing it is cheap; a heavy library is imported when the engine loads. An engine that
reads tokens may also be an `Inspects`, and one with a tokenizer at hand a `Tokenizes`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from ._cache import cell_fingerprint
from ._inspection import (
    Inspection,
    Inspects,
    Tokenizes,
    TokenShare,
    count_tokens,
    shared_prefix_tokens,
)
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
)

__all__ = [
    "Answer",
    "Cell",
    "Engine",
    "EngineConfig",
    "EngineError",
    "EngineKind",
    "Inspection",
    "Inspects",
    "ProbeResult",
    "TokenShare",
    "Tokenizes",
    "TrainingRow",
    "TrainingRows",
    "cell_fingerprint",
    "count_tokens",
    "engine_kind",
    "engine_names",
    "open_engine",
    "shared_prefix_tokens",
]


def engine_names() -> tuple[str, ...]:
    """The engines of this installation, sorted; nothing is imported."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if name != "base" and not name.startswith("_")))


def engine_kind(name: str) -> EngineKind:
    """What the engine `name` is like. Raises `EngineError` for one that does not exist."""
    kind: EngineKind = _module(name).KIND
    return kind


def open_engine(config: EngineConfig, training: TrainingRows | None = None) -> Engine:
    """The engine that `config` describes. Raises `EngineError` for one that does not exist.

    Opening is cheap: models are loaded and servers are called by `probe` or `grade`.
    """
    engine: Engine = _module(config.engine).open_engine(config, training)
    return engine


def _module(name: str) -> ModuleType:
    if name not in engine_names():
        known = ", ".join(engine_names())
        raise EngineError(f"there is no grader engine called {name!r}; there are: {known}")
    return importlib.import_module(f".{name}", __package__)
