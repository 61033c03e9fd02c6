"""From a proposition and a completion to a prompt, and from log-probabilities to p(yes).

Source: Mu et al. 2024, section 4.1. One token is asked for and p comes from the probability of
every token that reads as yes or no, so it does not depend on which spelling the model prefers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .conversations import Conversation, Message
from .policy import Example, Policy, PromptTemplate

RENDERING = 2
"""Rises when the same grader prompt and conversation would make another text."""

NO_SIGNAL_MASS = 0.05
"""Below this share of probability on yes and no, their ratio says nothing."""

MAX_LABEL_IDS = 128
"""vLLM returns the log-probabilities of at most this many chosen tokens."""

NOT_COMPUTED = -9999.0
"""vLLM writes this (or less) in place of a log-probability that it does not have."""

LABEL_TOKENS = 8
"""How many single tokens of an unknown tokenizer may read yes, and as many no: yes, Yes and YES,
each with and without a space, and two to spare. SmolLM2 has 4 and 6."""

_FENCE = re.compile(r"`{3,}|~{3,}|={3,}")
_SLOT = re.compile(r"\{(question|examples|conversation|response)\}|" + _FENCE.pattern)


@dataclass(frozen=True)
class GraderPrompt:
    """What a grader is asked about one proposition, whatever the conversation.

    `prefill` is how the model's reply is begun for it, such as ``Answer:``; empty for a free reply.
    """

    key: str
    question: str
    template: PromptTemplate
    examples: tuple[Example, ...] = ()
    prefill: str = ""


def policy_prompt(policy: Policy, key: str) -> GraderPrompt:
    """The prompt that the policy itself holds for a proposition; `KeyError` when it has none."""
    proposition = policy.proposition(key)
    return GraderPrompt(key, proposition.question, policy.template, proposition.examples)


@dataclass(frozen=True, order=True)
class Rendered:
    """A user message to a grader model, and the beginning of the reply."""

    text: str
    prefill: str = ""


def render_prompt(prompt: GraderPrompt, conversation: Conversation) -> Rendered:
    """The one user message that asks `prompt` about `conversation`.

    An example that is this very conversation's last turn and completion is left out: it would
    tell the answer.

    ``{question}``, ``{examples}``, ``{conversation}`` (the prompt's turns) and ``{response}`` (the
    completion) are replaced in a single pass: inserted text is never scanned again, and all other
    braces stay. A template without ``{conversation}`` gets the whole transcript, completion
    included, in front; one without ``{examples}`` gets them after the question.

    Fences are runs of three or more backticks, tildes or equals signs in the template. If the
    conversation holds a run as long as one of them, the template's fences are made longer than it,
    so that no completion can close the fence that it stands in.
    """
    text = prompt.template.text
    shown = [example for example in prompt.examples if not _is(example, conversation)]
    examples = "\n\n".join(map(_example, shown))
    question = prompt.question
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

    filled = _SLOT.sub(fill, text)
    if "{conversation}" not in text:
        turns = (*conversation.prompt, Message("assistant", conversation.completion))
        filled = f"{_transcript(turns)}\n\n{filled}"
    return Rendered(filled, prompt.prefill)


def _is(example: Example, conversation: Conversation) -> bool:
    """Whether an example was made from this conversation; white space at the ends aside."""
    return (
        example.assistant.strip() == conversation.completion.strip()
        and example.user.strip() == conversation.prompt[-1].content.strip()
    )


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
    """p = p_yes / (p_yes + p_no), mass = p_yes + p_no; p is None exactly when there is a reason.

    Where only part of the label tokens was seen, p is certain to lie in [p_low, p_high]; both are
    None where p is exact, and where there is no p.
    """

    p: float | None
    mass: float | None
    p_yes: float | None = None
    p_no: float | None = None
    null_reason: str = ""
    p_low: float | None = None
    p_high: float | None = None


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
        if problem := _problem(value, f"label token {token}"):
            return YesNo(None, None, null_reason=problem)
    yes = _log_sum([values[token] for token in sets.yes])
    no = _log_sum([values[token] for token in sets.no])
    p_yes, p_no = math.exp(min(yes, 0.0)), math.exp(min(no, 0.0))
    mass = min(p_yes + p_no, 1.0)
    if mass < NO_SIGNAL_MASS:
        reason = f"no signal: yes and no together have mass {mass:.3g}"
        return YesNo(None, mass, p_yes, p_no, reason)
    return YesNo(_sigmoid(yes - no), mass, p_yes, p_no)


def yes_no_top(top: Sequence[tuple[str, float]], k: int, label_tokens: int = LABEL_TOKENS) -> YesNo:
    """p(yes) from the `k` likeliest tokens, as (text, log-probability), of an unknown tokenizer.

    p_yes and p_no are sums over the tokens that read so (`label_of`). Tokens out of sight have at
    most the probability f of the least likely one in sight, and all of them r = max(0, 1 - sum).
    If at most `label_tokens` tokens read as a side and n of them were seen, that side has more by
    u = min((label_tokens - n) * f, r), and p lies in
    [p_yes / (p_yes + p_no + u_no), (p_yes + u_yes) / (p_yes + u_yes + p_no)].

    With both sides in sight, p = p_yes / (p_yes + p_no). A side that is out of sight counts as
    u / 2, the middle of what it can be, which halves the worst error and keeps p off 0 and 1. With
    neither in sight there is no p, and the reason holds the bound of the mass.

    Fewer than `k` entries, or one that is no log-probability, are a broken reply: no p. Wherever
    a longer list could help, mass is None.
    """
    if len(top) < k:
        return YesNo(None, None, null_reason=f"{len(top)} log-probabilities came instead of {k}")
    for text, value in top:
        if problem := _problem(value, f"token {text!r}"):
            return YesNo(None, None, null_reason=problem)
    seen = {"yes": [0.0], "no": [0.0], "": [0.0]}
    for text, value in top:
        seen[label_of(text)].append(math.exp(min(value, 0.0)))
    total = math.fsum(share for shares in seen.values() for share in shares)
    if total > 1.01:
        return YesNo(None, None, null_reason=f"the probabilities of {k} tokens sum to {total:.3f}")
    floor, rest = math.exp(min(value for _, value in top)), max(0.0, 1.0 - total)

    def unseen(side: str) -> float:
        return min(max(label_tokens - (len(seen[side]) - 1), 0) * floor, rest)

    if len(seen["yes"]) == len(seen["no"]) == 1:
        most = min(unseen("yes") + unseen("no"), rest)
        reason = f"neither yes nor no is among the {len(top)} likeliest tokens: mass <= {most:.3g}"
        return YesNo(None, None, null_reason=reason)
    return _bounded(math.fsum(seen["yes"]), math.fsum(seen["no"]), unseen("yes"), unseen("no"))


def _bounded(yes: float, no: float, more_yes: float, more_no: float) -> YesNo:
    """The grade between its bounds; see `yes_no_top`."""
    p_yes, p_no = yes or more_yes / 2, no or more_no / 2
    mass = min(p_yes + p_no, 1.0)
    if mass < NO_SIGNAL_MASS:
        reason = f"no signal: yes and no together have mass {mass:.3g}"
        return YesNo(None, mass, p_yes, p_no, reason)
    p = p_yes / (p_yes + p_no)
    low, high = yes / (yes + no + more_no), (yes + more_yes) / (yes + more_yes + no)
    if low == high:
        return YesNo(p, mass, p_yes, p_no)
    return YesNo(p, mass, p_yes, p_no, p_low=min(low, p), p_high=max(high, p))


def _problem(value: float, where: str) -> str:
    """Why a number is no log-probability; "" when it is one."""
    if math.isnan(value) or value <= NOT_COMPUTED:
        return f"{where} has log-probability {value}"
    if value > 0.01:  # rounding can lift a certain token a little above 0
        return f"{value:.3f} for {where} is not a log-probability"
    return ""


def _log_sum(values: Collection[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def _sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow for either sign."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    z = math.exp(x)
    return z / (1.0 + z)
