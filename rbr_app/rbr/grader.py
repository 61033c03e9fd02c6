"""From a proposition and a completion to a prompt, and from log-probabilities to p(yes).

Source: Mu et al. 2024, section 4.1. One token is asked for and p comes from the probability of
every token that reads as yes or no, so it does not depend on which spelling the model prefers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from .conversations import Conversation, Message
from .policy import Example, PromptTemplate, Proposition

RENDERING = 1
"""Rises when the same template, proposition and conversation would make another prompt."""

NO_SIGNAL_MASS = 0.05
"""Below this share of probability on yes and no, their ratio says nothing."""

MAX_LABEL_IDS = 128
"""vLLM returns the log-probabilities of at most this many chosen tokens."""

NOT_COMPUTED = -9999.0
"""vLLM writes this (or less) in place of a log-probability that it does not have."""

_FENCE = re.compile(r"`{3,}|~{3,}|={3,}")
_SLOT = re.compile(r"\{(question|examples|conversation|response)\}|" + _FENCE.pattern)


def render_prompt(
    template: PromptTemplate, proposition: Proposition, conversation: Conversation
) -> str:
    """The one user message that asks `proposition` about `conversation`.

    ``{question}``, ``{examples}``, ``{conversation}`` (the prompt's turns) and ``{response}`` (the
    completion) are replaced in a single pass: inserted text is never scanned again, and all other
    braces stay. A template without ``{conversation}`` gets the whole transcript, completion
    included, in front; one without ``{examples}`` gets them after the question.

    Fences are runs of three or more backticks, tildes or equals signs in the template. If the
    conversation holds a run as long as one of them, the template's fences are made longer than it,
    so that no completion can close the fence that it stands in.
    """
    text = template.text
    examples = "\n\n".join(map(_example, proposition.examples))
    question = proposition.question
    if examples and "{examples}" not in text:
        question = f"{question}\n\nExamples:\n\n{examples}"
    values = {
        "question": question,
        "examples": examples or "(none)",
        "conversation": _transcript(conversation.prompt),
        "response": conversation.completion,
    }
    growth = _fence_growth(text, conversation)

    def fill(match: re.Match[str]) -> str:
        name: str | None = match[1]
        if name is not None:
            return values[name]
        fence = match[0]
        return fence + fence[0] * growth[fence[0]]

    prompt = _SLOT.sub(fill, text)
    if "{conversation}" in text:
        return prompt
    turns = (*conversation.prompt, Message("assistant", conversation.completion))
    return f"{_transcript(turns)}\n\n{prompt}"


def _transcript(messages: Iterable[Message]) -> str:
    return "\n\n".join(f"{message.role.upper()}: {message.content}" for message in messages)


def _example(example: Example) -> str:
    answer = "yes" if example.answer else "no"
    return f"USER: {example.user}\nASSISTANT: {example.assistant}\nAnswer: {answer}"


def _fence_growth(text: str, conversation: Conversation) -> dict[str, int]:
    """Per fence character, by how much every fence of the template must grow."""
    shortest: dict[str, int] = {}
    for fence in _FENCE.findall(text):
        shortest[fence[0]] = min(len(fence), shortest.get(fence[0], len(fence)))
    longest = dict.fromkeys(shortest, 0)
    # One by one, because a run never spans two texts.
    for inserted in (
        *(message.content for message in conversation.prompt),
        conversation.completion,
    ):
        for fence in _FENCE.findall(inserted):
            if fence[0] in longest:
                longest[fence[0]] = max(longest[fence[0]], len(fence))
    return {mark: max(0, longest[mark] + 1 - shortest[mark]) for mark in shortest}


class TokenSetError(ValueError):
    """A tokenizer from which p(yes) cannot be read."""


@dataclass(frozen=True)
class TokenSets:
    """The ids of all tokens that read as yes, and of those that read as no; both sorted."""

    yes: tuple[int, ...]
    no: tuple[int, ...]

    def __post_init__(self) -> None:
        for word, ids in (("yes", self.yes), ("no", self.no)):
            if not ids:
                raise TokenSetError(f"the tokenizer has no single token that reads {word!r}")
        if len(self.yes) + len(self.no) > MAX_LABEL_IDS:
            raise TokenSetError(
                f"{len(self.yes)} tokens read 'yes' and {len(self.no)} 'no', together more than "
                f"the {MAX_LABEL_IDS} whose log-probabilities can be asked for"
            )

    @property
    def ids(self) -> tuple[int, ...]:
        """All label ids, yes first."""
        return self.yes + self.no


def token_sets(
    decode: Callable[[int], str], vocab_size: int, special_ids: Collection[int]
) -> TokenSets:
    """Sort a whole vocabulary: which single tokens read as yes, which as no.

    A token counts when its decoded text, stripped and casefolded, is the word and nothing more.
    Words that the tokenizer splits (often "YES") have no id; their mass is left over, for the
    first piece alone could begin another word. Special tokens never count.
    Raises `TokenSetError` when a side is empty or there are more than `MAX_LABEL_IDS`.
    """
    found: dict[str, list[int]] = {"yes": [], "no": []}
    special = frozenset(special_ids)
    for token in range(vocab_size):
        if token not in special and (word := label_of(decode(token))):
            found[word].append(token)
    return TokenSets(tuple(found["yes"]), tuple(found["no"]))


def label_of(text: str) -> str:
    """``"yes"``, ``"no"`` or ``""``: how the decoded text of a token reads."""
    word = text.strip().casefold()
    return word if word in ("yes", "no") else ""


@dataclass(frozen=True)
class YesNo:
    """p = p_yes / (p_yes + p_no), mass = p_yes + p_no; p is None exactly when there is a reason."""

    p: float | None
    mass: float | None
    p_yes: float | None = None
    p_no: float | None = None
    null_reason: str = ""


def yes_no(logprobs: Mapping[int, float], sets: TokenSets) -> YesNo:
    """p(yes) from the log-probabilities of the label tokens.

    With L_Y and L_N the log of the summed probability of either set, p = sigmoid(L_Y - L_N) and
    mass = exp(L_Y) + exp(L_N), clamped to [0, 1]. No p is given when a label's value is missing,
    not a number or not a log-probability, nor when mass < `NO_SIGNAL_MASS`.
    """
    missing = [token for token in sets.ids if token not in logprobs]
    if len(missing) == len(sets.ids):
        return YesNo(None, None, null_reason="neither yes nor no is among the log-probabilities")
    if missing:
        return YesNo(None, None, null_reason=f"no log-probability for label tokens {missing}")
    values = {token: logprobs[token] for token in sets.ids}
    for token, value in values.items():
        if math.isnan(value) or value <= NOT_COMPUTED:
            return YesNo(None, None, null_reason=f"label token {token} has log-probability {value}")
        if value > 0.01:  # rounding can lift a certain token a little above 0
            reason = f"{value:.3f} for label token {token} is not a log-probability"
            return YesNo(None, None, null_reason=reason)
    yes = _log_sum([values[token] for token in sets.yes])
    no = _log_sum([values[token] for token in sets.no])
    p_yes, p_no = math.exp(min(yes, 0.0)), math.exp(min(no, 0.0))
    mass = min(p_yes + p_no, 1.0)
    if mass < NO_SIGNAL_MASS:
        reason = f"no signal: yes and no together have mass {mass:.3g}"
        return YesNo(None, mass, p_yes, p_no, reason)
    return YesNo(_sigmoid(yes - no), mass, p_yes, p_no)


def _log_sum(values: Collection[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def _sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow for either sign."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    z = math.exp(x)
    return z / (1.0 + z)
