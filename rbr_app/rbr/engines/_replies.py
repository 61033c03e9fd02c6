"""What the engines with a language model make of its replies: answers, and the start-up check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ..grader import NOT_COMPUTED, Rendered, TokenSets, render_prompt, yes_no
from .base import Answer, Cell, EngineError

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """The first token that a model would say, and the log-probability of each label token.

    `refusal` says why this prompt was not answered at all (it is too long); "" when it was.
    """

    logprobs: Mapping[int, float] = field(default_factory=dict)
    token: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    refusal: str = ""

    def as_answer(self, sets: TokenSets) -> Answer:
        if self.refusal:
            return Answer(
                None, None, null_reason=self.refusal, prompt_tokens=self.prompt_tokens, calls=0
            )
        found = yes_no(self.logprobs, sets)
        return Answer(
            found.p,
            found.mass,
            self.token,
            found.null_reason,
            self.prompt_tokens,
            self.cached_tokens,
        )


Ask = Callable[[Sequence[Rendered]], list[Reply]]
"""Sends user messages to a model; as many replies, in the same order."""


def chat(prompt: Rendered) -> list[dict[str, str]]:
    """The messages that are sent; with a prefill, the model goes on with its own last one."""
    messages = [{"role": "user", "content": prompt.text}]
    if prompt.prefill:
        messages.append({"role": "assistant", "content": prompt.prefill})
    return messages


def rendered(cells: Sequence[Cell]) -> list[Rendered]:
    """The prompts of the cells, in their order."""
    return [render_prompt(cell.prompt, cell.conversation) for cell in cells]


def in_prompt_order(
    prompts: Sequence[Rendered], ask: Callable[[Sequence[Rendered]], list[T]]
) -> list[T]:
    """What `ask` says to each prompt, in their order; the model sees them sorted.

    Prompts that begin alike then stand together, so that the part they share is computed once and
    is still in the prefix cache when the next one comes.
    """
    order = sorted(range(len(prompts)), key=prompts.__getitem__)
    replies = ask([prompts[index] for index in order])
    by_index = dict(zip(order, replies, strict=True))
    return [by_index[index] for index in range(len(prompts))]


KNOWN_YES = "Is this statement true? Water is wet.\nAnswer with one word only: yes or no."
KNOWN_NO = "Is this statement true? Two plus two is five.\nAnswer with one word only: yes or no."


KNOWN = (Rendered(KNOWN_YES), Rendered(KNOWN_NO))


def check(ask: Ask, sets: TokenSets, tolerance: float) -> list[float]:
    """Ask two questions twice; raises `EngineError` unless the replies can be graded.

    Each reply must hold a real log-probability for every label token, some mass must be on them,
    and asking again must move no p by more than `tolerance` (rounding of the number type).
    Gives p of the true statement and of the false one.
    """
    first, again = ask(KNOWN), ask(KNOWN)
    for reply in (*first, *again):
        if reply.refusal:
            raise EngineError(f"the model refused the check prompt: {reply.refusal}")
        bad = [token for token in sets.ids if not reply.logprobs.get(token, -1e9) > NOT_COMPUTED]
        if bad:
            raise EngineError(f"the model gave no log-probability for the label tokens {bad}")
        if not yes_no(reply.logprobs, sets).mass:
            raise EngineError("the model puts no probability on yes or no: is it a chat model?")
    shares = [share(reply, sets) for reply in first]
    compare(shares, [share(reply, sets) for reply in again], tolerance)
    return shares


def compare(first: Sequence[float], again: Sequence[float], tolerance: float) -> None:
    """Raises `EngineError` unless two rounds of p on `KNOWN` are equal but for rounding."""
    for one, other in zip(first, again, strict=True):
        shift = abs(one - other)
        if shift > tolerance:
            raise EngineError(
                f"the same prompt gave two answers that differ by {shift:.2g}, and at most "
                f"{tolerance:g} is rounding: does something else ask this model for top_logprobs?"
            )
    if first[0] <= first[1]:
        logger.warning("the grader model does not tell a true statement from a false one")


def share(reply: Reply, sets: TokenSets) -> float:
    """p(yes) whatever the mass; 0.5 where there is none. Only for comparing two replies."""
    found = yes_no(reply.logprobs, sets)
    total = (found.p_yes or 0.0) + (found.p_no or 0.0)
    return (found.p_yes or 0.0) / total if total else 0.5


def tolerance_of(dtype: str) -> float:
    """How far p may move between equal calls. A cached prefix rounds unlike a computed one."""
    return 1e-4 if dtype in ("float32", "float", "torch.float32") else 0.1
