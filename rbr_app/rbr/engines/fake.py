"""A grader for tests: p is a hash of what was asked. It can be slow and it can fail on demand.

Refused unless `settings["allow_fake"]` is true or RBR_ALLOW_FAKE_ENGINE=1, so that no real grade
comes from it.

Settings: `delay` (seconds slept per call), `fail_after` (cells answered before every further call
raises `EngineError`), `null_every` (each n-th cell by its hash has no signal), `seed`.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Sequence

from ..grader import Rendered
from ._inspection import Inspection, likeliest
from ._replies import rendered
from .base import (
    Answer,
    Cell,
    Engine,
    EngineConfig,
    EngineError,
    EngineKind,
    ProbeResult,
    TrainingRows,
    measured_speed,
)

KIND = EngineKind(batch_size=32)
ALLOW = "RBR_ALLOW_FAKE_ENGINE"


def open_engine(config: EngineConfig, training: TrainingRows | None) -> Engine:
    """A fake, where fakes are allowed."""
    if not (config.settings.get("allow_fake") or os.environ.get(ALLOW) == "1"):
        raise EngineError(f"the fake engine is for tests; set {ALLOW}=1 to use it")
    return FakeEngine(config)


class FakeEngine:
    """Deterministic: equal cells get equal answers in every process."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._delay = float(config.settings.get("delay", 0.0))
        self._fail_after = config.settings.get("fail_after")
        self._null_every = int(config.settings.get("null_every", 0))
        self._answered = 0

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        started = time.perf_counter()
        speed = measured_speed(self, sample)
        facts = {
            "engine": "fake",
            "model": self._config.model,
            "seed": self._config.settings.get("seed", 0),
            "null_every": self._null_every,
        }
        return ProbeResult(facts, time.perf_counter() - started, speed)

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        return [self._answer(cell) for cell in cells]

    def inspect(self, cell: Cell, top: int = 20) -> Inspection:
        """See `Inspects`: a yes and a no token that make up the mass, and a third beside them."""
        answer = self._answer(cell)
        mass, p = answer.mass or 0.0, answer.p or 0.0
        found = [(1, "yes", mass * p), (2, "no", mass * (1 - p)), (3, "Maybe", 1 - mass)]
        (prompt,) = rendered([cell])
        (tokens,) = self.tokenize([prompt])
        return Inspection(prompt, len(tokens), likeliest(found, top, {1: "yes", 2: "no"}), answer)

    def tokenize(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        """See `Tokenizes`: one token per word."""
        words = [f"{prompt.text} {prompt.prefill}".split() for prompt in prompts]
        return [[zlib.crc32(word.encode()) for word in some] for some in words]

    def close(self) -> None:
        self._answered = 0

    def _answer(self, cell: Cell) -> Answer:
        if self._fail_after is not None and self._answered >= int(self._fail_after):
            raise EngineError(
                f"the fake engine fails after {self._fail_after} cells, as configured"
            )
        if self._delay:
            time.sleep(self._delay)
        self._answered += 1
        number = self._hash(cell)
        if self._null_every and number % self._null_every == 0:
            return Answer(None, 0.0, null_reason="the fake engine left this one out")
        p = number / 2**64
        words = sum(len(message.content.split()) for message in cell.conversation.prompt)
        return Answer(p, 0.95, token="yes" if p >= 0.5 else "no", prompt_tokens=words)

    def _hash(self, cell: Cell) -> int:
        asked = (
            self._config.settings.get("seed", 0),
            self._config.model,
            cell.prompt.key,
            cell.prompt.question,
            cell.conversation.fingerprint,
        )
        return int.from_bytes(hashlib.sha256(repr(asked).encode()).digest()[:8], "big")
