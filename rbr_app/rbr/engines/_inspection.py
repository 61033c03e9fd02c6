"""A closer look at one cell, for the pages on which a prompt is tried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..grader import Rendered, label_of
from .base import Answer, Cell, Engine


@dataclass(frozen=True)
class TokenShare:
    """A first token that the model could say, and its probability.

    `id` is None where the engine sees only texts. `label` is ``"yes"``, ``"no"`` or ``""``: the
    side for which the token counts.
    """

    id: int | None
    text: str
    probability: float
    label: str


@dataclass(frozen=True)
class Inspection:
    """What was asked, what the model could say (likeliest first), and the grade made of it.

    `note` says what `top` is not, where it is not simply the likeliest tokens; "" otherwise.
    """

    prompt: Rendered
    prompt_tokens: int
    top: tuple[TokenShare, ...]
    answer: Answer
    note: str = ""


@runtime_checkable
class Inspects(Protocol):
    """An engine that reads tokens and can show them."""

    def inspect(self, cell: Cell, top: int = 20) -> Inspection:
        """Grade one cell and show up to `top` first tokens. Raises `EngineError`."""


@runtime_checkable
class Tokenizes(Protocol):
    """An engine that has its model's tokenizer at hand."""

    def tokenize(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        """Per prompt the token ids that the model reads, chat template and prefill included.

        Raises `EngineError`. A prompt that is too long for the model is tokenized all the same.
        """


def count_tokens(engine: Engine, prompts: Sequence[Rendered]) -> list[int] | None:
    """Tokens per prompt, chat template included; None without a tokenizer at hand."""
    if not isinstance(engine, Tokenizes):
        return None
    return [len(ids) for ids in engine.tokenize(prompts)]


def shared_prefix_tokens(engine: Engine, one: Rendered, other: Rendered) -> int | None:
    """How many tokens two prompts share at their beginning; None without a tokenizer at hand.

    It is the most that a prefix cache can save on the second: caches keep whole blocks only, and
    the last token of a prompt is always computed.
    """
    if not isinstance(engine, Tokenizes):
        return None
    first, second = engine.tokenize([one, other])
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(second)))


def likeliest(
    found: Iterable[tuple[int | None, str, float]], top: int, label_ids: dict[int, str]
) -> tuple[TokenShare, ...]:
    """The `top` likeliest of (id, text, probability); ties keep their order.

    Where ids are known, `label_ids` says how they read; else the text does.
    """
    ranked = sorted(found, key=lambda token: -token[2])[:top]
    return tuple(
        TokenShare(
            token, text, share, label_of(text) if token is None else label_ids.get(token, "")
        )
        for token, text, share in ranked
    )
