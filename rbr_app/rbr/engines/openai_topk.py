"""A grader LLM behind any OpenAI-compatible chat server, read from its k likeliest first tokens.

It works wherever ``logprobs`` and ``top_logprobs`` do, and costs exactness: label tokens are
recognised by their text, and those that are not among the k count with bounds (`yes_no_top`), so
an answer may hold `p_low` and `p_high`. With a vLLM server use the engine vllm_server, and never
both on one server at the same time.

`url` is the address under which ``/chat/completions`` lies; without a path, ``/v1`` is added.
`model` may be empty where the server lists exactly one. A hosted model can change under its name:
name a dated snapshot.

Settings: `concurrency` (32 calls at a time in this process), `timeout` (120 s per call), `tries`
(5), `backoff` (0.5 s before the second try, then doubling), `api_key_env` (the name of the
environment variable that holds the key), `top_logprobs` (20), `more_top_logprobs` (100; a reply
without a yes or a no is asked for once more with so many, if the server allows it; 0 for never),
`label_tokens` (8; how many tokens may read yes, and as many no), `extra_body` (an object of further
request fields, such as ``{"chat_template_kwargs": {"enable_thinking": false}}``; null takes a field
out, as in ``{"max_tokens": null, "max_completion_tokens": 1}``), `prefill_style`: how the server is
told to go on with a begun reply: ``continue_final_message`` (vLLM, SGLang), ``prefix`` (a field of
the last message: Mistral, DeepSeek) or ``last_message`` (servers that go on with any last
assistant message). Without it prompts that begin the reply are refused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ..grader import LABEL_TOKENS, RENDERING, Rendered, YesNo, yes_no_top
from ._http import Http, Refused
from ._inspection import Inspection, likeliest
from ._replies import KNOWN, chat, compare, in_prompt_order, rendered, tolerance_of
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

KIND = EngineKind(batch_size=128)

CHAT = "/chat/completions"
PREFILL_STYLES = ("continue_final_message", "prefix", "last_message")
OURS = ("model", "messages", "logprobs", "top_logprobs", "temperature", "n", "stream")
"""Fields that `extra_body` may not touch, because the reading depends on them."""

SPACE_MARKS = "\u2581\u0120"
"""How SentencePiece and byte-level BPE write a leading space; some servers send it so."""


def open_engine(config: EngineConfig, training: TrainingRows | None) -> Engine:
    """An engine that calls the server at its first use."""
    if not config.url:
        raise EngineError("the openai_topk engine needs the server's URL")
    return OpenAiTopKEngine(config)


@dataclass(frozen=True)
class TopReply:
    """The likeliest first tokens, as (text, log-probability), and what they cost."""

    top: tuple[tuple[str, float], ...] = ()
    asked: int = 0
    token: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 1
    refusal: str = ""

    def read(self, label_tokens: int) -> YesNo:
        return yes_no_top(self.top, self.asked, label_tokens)

    def as_answer(self, label_tokens: int) -> Answer:
        if self.refusal:
            return Answer(None, None, null_reason=self.refusal, calls=0)
        found = self.read(label_tokens)
        return Answer(
            found.p,
            found.mass,
            self.token,
            found.null_reason,
            self.prompt_tokens,
            self.cached_tokens,
            self.calls,
            found.p_low,
            found.p_high,
        )


class OpenAiTopKEngine:
    """Grades with what a server shows of its model's first token."""

    def __init__(self, config: EngineConfig) -> None:
        settings = config.settings
        self._config = config
        self._http = Http.configured(_base(config.url), settings)
        self._k = int(settings.get("top_logprobs", 20))
        self._wish = int(settings.get("more_top_logprobs", 100))
        self._label_tokens = int(settings.get("label_tokens", LABEL_TOKENS))
        self._style = str(settings.get("prefill_style") or "")
        self._extra = _extra_body(settings)
        self._model = config.model
        self._more: int | None = None
        if self._style and self._style not in PREFILL_STYLES:
            known = ", ".join(PREFILL_STYLES)
            raise EngineError(f"prefill_style {self._style!r} is none of: {known}")

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        started = time.perf_counter()
        self.close()
        self._check()
        facts = {
            "engine": "openai_topk",
            "model": self._model_name(),
            "revision": self._config.revision,
            "dtype": self._config.dtype,
            "top_logprobs": self._k,
            "more_top_logprobs": self._more_allowed(),
            "label_tokens": self._label_tokens,
            "extra_body": self._extra,
            "prefill_style": self._style,
            "rendering": RENDERING,
            "style": "top_logprobs",
        }
        seconds = time.perf_counter() - started
        return ProbeResult(facts, seconds, measured_speed(self, sample))

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        replies = in_prompt_order(rendered(cells), self._ask)
        return [reply.as_answer(self._label_tokens) for reply in replies]

    def inspect(self, cell: Cell, top: int = 20) -> Inspection:
        """See `Inspects`. The tokens are those that the grade was read from, without ids."""
        (prompt,) = rendered([cell])
        (reply,) = self._ask([prompt])
        found = ((None, text, math.exp(min(value, 0.0))) for text, value in reply.top)
        note = "" if reply.refusal or top <= len(reply.top) else f"The server showed {self._k}."
        answer = reply.as_answer(self._label_tokens)
        return Inspection(prompt, reply.prompt_tokens, likeliest(found, top, {}), answer, note)

    def close(self) -> None:
        self._model, self._more = self._config.model, None

    def _ask(self, prompts: Sequence[Rendered]) -> list[TopReply]:
        """Replies to the prompts; those that show too little are asked for once more."""
        replies = self._asked(prompts, self._k)
        again = [index for index, reply in enumerate(replies) if self._shows_too_little(reply)]
        if not again or not (more := self._more_allowed()):
            return replies
        second = self._asked([prompts[index] for index in again], more)
        for index, reply in zip(again, second, strict=True):
            if not reply.refusal:
                replies[index] = replace(reply, calls=2)
        return replies

    def _shows_too_little(self, reply: TopReply) -> bool:
        return not reply.refusal and reply.read(self._label_tokens).mass is None

    def _asked(self, prompts: Sequence[Rendered], k: int) -> list[TopReply]:
        if not prompts:
            return []
        model = self._model_name()
        rows = self._http.post(CHAT, [self._body(model, prompt, k) for prompt in prompts])
        return [_reply(row, k) for row in rows]

    def _more_allowed(self) -> int:
        """The larger k, 0 where there is none; the server is asked once."""
        if self._more is None:
            self._more = 0
            if self._wish > self._k:
                (reply,) = self._asked([KNOWN[0]], self._wish)
                if not reply.refusal and len(reply.top) >= self._wish:
                    self._more = self._wish
        return self._more

    def _body(self, model: str, prompt: Rendered, k: int) -> dict[str, Any]:
        body = {
            "model": model,
            "messages": chat(prompt),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": k,
            **(self._prefilled(prompt) if prompt.prefill else {}),
            **self._extra,
        }
        return {name: value for name, value in body.items() if value is not None}

    def _prefilled(self, prompt: Rendered) -> dict[str, Any]:
        """The fields that make the server go on with the reply that the prompt begins."""
        if self._style == "continue_final_message":
            return {"add_generation_prompt": False, "continue_final_message": True}
        if self._style == "prefix":
            question, begun = chat(prompt)
            return {"messages": [question, {**begun, "prefix": True}]}
        if self._style == "last_message":
            return {}
        raise EngineError(
            f"the prompt begins the reply with {prompt.prefill!r}, and servers differ in how they "
            f"go on with it: set prefill_style to one of {', '.join(PREFILL_STYLES)}, or use a "
            "prompt without prefill"
        )

    def _model_name(self) -> str:
        if not self._model:
            names = [str(row.get("id")) for row in self._http.get("/models").get("data", [])]
            if len(names) != 1:
                listed = ", ".join(names[:20]) or "none"
                raise EngineError(f"{self._http.url}: name one of the models; it serves: {listed}")
            self._model = names[0]
        return self._model

    def _check(self) -> None:
        """Ask two questions twice; raises `EngineError` unless the replies can be graded."""
        first, again = [[self._share(reply) for reply in self._ask(KNOWN)] for _ in range(2)]
        compare(first, again, tolerance_of(self._config.dtype))

    def _share(self, reply: TopReply) -> float:
        """p of a check prompt, whatever its mass. Raises `EngineError` where it has none."""
        if reply.refusal:
            raise EngineError(f"the model refused the check prompt: {reply.refusal}")
        if len(reply.top) < reply.asked:
            raise EngineError(
                f"{self._http.url} shows {len(reply.top)} of the {reply.asked} likeliest tokens: "
                "does it know top_logprobs, and is that many allowed?"
            )
        found = reply.read(self._label_tokens)
        total = (found.p_yes or 0.0) + (found.p_no or 0.0)
        if not total:
            raise EngineError(f"the model cannot grade: {found.null_reason}")
        return (found.p_yes or 0.0) / total


def _base(url: str) -> str:
    stripped = url.rstrip("/").removesuffix(CHAT)
    return stripped if urlsplit(stripped).path else f"{stripped}/v1"


def _extra_body(settings: Mapping[str, Any]) -> dict[str, Any]:
    extra = settings.get("extra_body") or {}
    if not isinstance(extra, Mapping):
        raise EngineError("extra_body is not an object of request fields")
    if taken := sorted(set(extra) & set(OURS)):
        raise EngineError(f"extra_body may not hold {', '.join(taken)}: the engine sets it")
    return dict(extra)


def _reply(row: Any, k: int) -> TopReply:
    if isinstance(row, Refused):
        return TopReply(refusal=row.message or "the server refused the prompt without a reason")
    usage: Mapping[str, Any] = row.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    choice = (row.get("choices") or [{}])[0]
    steps = (choice.get("logprobs") or {}).get("content") or [{}]
    return TopReply(
        top=tuple(
            (_text(str(entry["token"])), float(entry["logprob"]))
            for entry in steps[0].get("top_logprobs") or ()
        ),
        asked=k,
        token=str((choice.get("message") or {}).get("content") or ""),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )


def _text(token: str) -> str:
    return f" {token[1:]}" if token[:1] and token[0] in SPACE_MARKS else token
