"""A grader LLM behind one or more vLLM servers (0.26 or newer), through their chat completions.

Every call asks for the log-probabilities of chosen tokens (`logprob_token_ids`); no other style is
ever sent. On servers with vLLM's older model runner, a request for `top_logprobs` that lands in
the same batch would get wrong values, so do not share a server with such callers.

`url` may hold several addresses, separated by commas or white space. They must serve the same
model with the same tokenizer and vLLM version. Prompts that begin alike go to the same server, and
what a server that fails leaves open goes to the others.

Settings: `urls` (a list of further addresses), `concurrency` (32 calls at a time from this process
to each server), `timeout` (120 s per call), `tries` (5), `backoff` (0.5 s before the second try,
then doubling), `tokenizer` (a local directory, from which the label tokens are read; without it
the server is asked), `api_key_env` (the name of the environment variable that holds the key),
`priority` (an integer, lower runs first; sent only when set, for servers started with
``--scheduling-policy priority``: 0 for the reward in training, 10 for previews, 100 for bulk).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..grader import MAX_LABEL_IDS, Rendered
from ._fleet import Fleet, urls_of
from ._http import Refused
from ._inspection import Inspection, likeliest
from ._replies import Reply, check, compare, in_prompt_order, rendered, tolerance_of
from ._routing import shared_part
from ._server import Server, conversation
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

CHAT = "/v1/chat/completions"
DRAWS = 64
"""First tokens drawn to find the likely ones: one of probability 0.07 is missed once in 100."""

DRAW = {
    "n": DRAWS,
    "seed": 0,
    "return_token_ids": True,
    "temperature": 1,
    "top_p": 1,
    "top_k": -1,
    "min_p": 0,
    "repetition_penalty": 1,
}
"""All of it is said, because a model's own defaults may narrow what is drawn."""

DRAWN = f"Tokens other than yes and no are those that {DRAWS} draws found; probabilities are exact."
ONLY_LABELS = "Only the yes and no tokens are shown: the server would not draw others"


def open_engine(config: EngineConfig, training: TrainingRows | None) -> Engine:
    """An engine that calls the servers at its first use."""
    if not urls_of(config):
        raise EngineError("the vllm_server engine needs the server's URL: set RBR_GRADER_URL")
    return VllmServerEngine(config)


class VllmServerEngine:
    """Grades with the model that the servers hold."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._fleet = Fleet(config)

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        started = time.perf_counter()
        self._fleet.forget()  # a server may have been restarted with another model
        servers = self._fleet.all()
        self._check(servers)
        facts = {
            "engine": "vllm_server",
            **servers[0].facts(),
            "revision": self._config.revision,
            "dtype": self._config.dtype,
            "style": "logprob_token_ids",
        }
        seconds = time.perf_counter() - started
        return ProbeResult(facts, seconds, measured_speed(self, sample))

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        if not cells:
            return []
        prompts = rendered(cells)
        keys = dict(zip(prompts, map(shared_part, cells), strict=True))
        sets = self._fleet.ready()[0].token_sets()

        def ask(some: Sequence[Rendered]) -> list[Reply]:
            model = self._fleet.ready()[0].served()["id"]
            bodies = [self._body(model, prompt, sets.ids) for prompt in some]
            rows = self._fleet.post(CHAT, bodies, [keys[prompt] for prompt in some])
            return [_reply(row) for row in rows]

        return [reply.as_answer(sets) for reply in in_prompt_order(prompts, ask)]

    def inspect(self, cell: Cell, top: int = 20) -> Inspection:
        """See `Inspects`.

        Neither `top_logprobs` (it can spoil the grades that the server computes in the same batch,
        or be spoiled by them) nor `prompt_logprobs` (its memory is not reserved: a long prompt can
        end the server) is asked for. Likely tokens are drawn without log-probabilities instead,
        and then asked for by id as label tokens are.
        """
        server = self._fleet.ready()[0]
        sets = server.token_sets()
        (prompt,) = rendered([cell])
        (reply,) = self._ask(server, [prompt], sets.ids)
        if reply.refusal:
            (ids,) = server.tokenize([prompt])
            return Inspection(prompt, len(ids), (), reply.as_answer(sets))
        drawn, note = self._drawn(server, prompt)
        others = [token for token in drawn if token not in sets.ids]
        asked = (*sets.ids, *others[: MAX_LABEL_IDS - len(sets.ids)])
        (seen,) = self._ask(server, [prompt], asked)
        labels = dict.fromkeys(sets.yes, "yes") | dict.fromkeys(sets.no, "no")
        shares = [math.exp(min(seen.logprobs.get(token, -math.inf), 0.0)) for token in asked]
        found = zip(asked, server.texts(asked), shares, strict=True)
        shown = likeliest(found, top, labels)
        return Inspection(prompt, reply.prompt_tokens, shown, reply.as_answer(sets), note)

    def tokenize(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        return self._fleet.ready()[0].tokenize(prompts)

    def close(self) -> None:
        self._fleet.forget()

    def _check(self, servers: Sequence[Server]) -> None:
        """The start-up check on each server, and that all of them say the same."""
        tolerance = tolerance_of(self._config.dtype)
        sets = servers[0].token_sets()

        def said_by(server: Server) -> list[float]:
            return check(lambda prompts: self._ask(server, prompts, sets.ids), sets, tolerance)

        said = [said_by(server) for server in servers]
        for server, shares in zip(servers[1:], said[1:], strict=True):
            try:
                compare(said[0], shares, tolerance)
            except EngineError as error:
                raise EngineError(f"{servers[0].url} and {server.url}: {error}") from error

    def _drawn(self, server: Server, prompt: Rendered) -> tuple[list[int], str]:
        """First tokens at temperature 1, the most frequent first, and a note; the seed is fixed."""
        body = self._body(str(server.served()["id"]), prompt, ()) | DRAW
        (row,) = server.http.post(CHAT, [body])
        if isinstance(row, Refused):
            return [], f"{ONLY_LABELS} ({row.message})."
        said = [choice.get("token_ids") or [] for choice in row.get("choices") or []]
        first = [int(tokens[0]) for tokens in said if tokens]
        if not first:
            return [], f"{ONLY_LABELS} (it gives no token ids)."
        return sorted(set(first), key=lambda token: (-first.count(token), token)), DRAWN

    def _ask(
        self, server: Server, prompts: Sequence[Rendered], tokens: Sequence[int]
    ) -> list[Reply]:
        model = str(server.served()["id"])
        rows = server.http.post(CHAT, [self._body(model, prompt, tokens) for prompt in prompts])
        return [_reply(row) for row in rows]

    def _body(self, model: str, prompt: Rendered, tokens: Sequence[int]) -> dict[str, Any]:
        """A request for one token, with the log-probabilities of `tokens` where there are any."""
        body = {"model": model, "max_tokens": 1, "temperature": 0, **conversation(prompt)}
        if tokens:
            body |= {"logprobs": True, "logprob_token_ids": list(tokens)}
            body["return_tokens_as_token_ids"] = True
        if (priority := self._config.settings.get("priority")) is not None:
            body["priority"] = int(priority)
        return body


def _reply(row: Any) -> Reply:
    if isinstance(row, Refused):
        return Reply(refusal=row.message or "the server refused the prompt without a reason")
    usage: Mapping[str, Any] = row.get("usage") or {}
    details = usage.get("prompt_tokens_details") or {}
    choice = (row.get("choices") or [{}])[0]
    steps = (choice.get("logprobs") or {}).get("content") or [{}]
    return Reply(
        logprobs={
            int(entry["token"].removeprefix("token_id:")): float(entry["logprob"])
            for entry in steps[0].get("top_logprobs") or ()
            if entry["token"].removeprefix("token_id:").isdecimal()
        },
        token=str((choice.get("message") or {}).get("content") or ""),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
