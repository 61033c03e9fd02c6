"""What every grader engine is: the values that go in and come out, and the `Engine` protocol.

An engine answers cells. It never raises for one bad cell (that cell's answer has no p and a
reason), and raises `EngineError` when it cannot work at all, so that the whole batch is retried.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from ..conversations import Conversation
from ..grader import GraderPrompt


@dataclass(frozen=True)
class Cell:
    """One question about one completion."""

    conversation: Conversation
    prompt: GraderPrompt


@dataclass(frozen=True)
class Answer:
    """A grade with what is needed to judge it.

    `p` is P(proposition is true), None where there is no signal; then, and only then,
    `null_reason` says why. `mass` is the probability that the first token is a yes or a no, None
    for engines without tokens. `token` is the text that the model would have said.

    An engine that sees only the likeliest tokens cannot give p exactly: it then is certain to lie
    in [`p_low`, `p_high`]. Both are None where p is exact, and where there is no p.
    """

    p: float | None
    mass: float | None
    token: str = ""
    null_reason: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 1
    p_low: float | None = None
    p_high: float | None = None

    def __post_init__(self) -> None:
        if (self.p is None) != bool(self.null_reason):
            raise ValueError("an answer has either p or a reason why it has none")
        if (self.p_low, self.p_high) == (None, None):
            return
        if None in (self.p, self.p_low, self.p_high) or not self._in_order():
            raise ValueError("bounds come in pairs, with p between them")

    def _in_order(self) -> bool:
        return (self.p_low or 0.0) <= (self.p or 0.0) <= (self.p_high or 0.0)


@dataclass(frozen=True)
class EngineKind:
    """What must be known of an engine before it is opened.

    `batch_size` is the number of cells that it grades best at once. An engine that `holds_model`
    keeps a language model in its process, so one process does all its work. One that `learns`
    needs training rows, and says nothing about a split that it was trained on.
    """

    batch_size: int
    holds_model: bool = False
    learns: bool = False


@dataclass(frozen=True)
class EngineConfig:
    """Everything that can be configured about a grader; JSON values only."""

    engine: str
    model: str = ""
    revision: str = ""
    url: str = ""
    dtype: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ProbeResult:
    """What the start-up probe found.

    `facts` holds everything that determines the answers, as JSON values: two probes with equal
    facts grade alike. `seconds` is the time to load and probe. `calls_per_second` was measured on
    the sample cells, and is None when there were none.
    """

    facts: dict[str, Any]
    seconds: float
    calls_per_second: float | None = None


class TrainingRow(NamedTuple):
    """A labelled conversation for engines that learn. `group` identifies its prompt."""

    conversation: Conversation
    labels: Mapping[str, bool | None]
    group: str


TrainingRows = Sequence[TrainingRow]


class EngineError(Exception):
    """The whole engine is unusable now. The message is one line: what, where, what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Engine(Protocol):
    """Answers questions about completions."""

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        """Load, check that the grader works, and say what it is. Raises `EngineError`."""

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        """One answer per cell, in the order of the cells. Raises `EngineError`."""

    def close(self) -> None:
        """Give back memory and connections. The engine may be used again; it then reloads."""


def measured_speed(engine: Engine, sample: Sequence[Cell]) -> float | None:
    """Cells per second over one `grade` call, None without a sample."""
    if not sample:
        return None
    started = time.perf_counter()
    engine.grade(sample)
    return len(sample) / max(time.perf_counter() - started, 1e-9)
