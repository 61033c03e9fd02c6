"""A grader LLM behind a vLLM server (0.26 or newer), through its chat completions.

Every call asks for the log-probabilities of the same chosen tokens (`logprob_token_ids`); no other
style is ever sent. On servers with vLLM's older model runner, a request for `top_logprobs` that
lands in the same batch would get wrong values, so do not share the server with such callers.

Settings: `concurrency` (32 calls at a time in this process), `timeout` (120 s per call), `tries`
(5), `backoff` (0.5 s before the second try, then doubling), `tokenizer` (a local directory, from
which the label tokens are read; without it the server is asked), `api_key_env` (the name of the
environment variable that holds the key).
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..grader import RENDERING, TokenSetError, TokenSets, label_of, token_sets
from ..policy import Policy
from . import _fingerprints
from ._http import Http, Refused
from ._replies import KNOWN_YES, Reply, ask_about, check, tolerance_of
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

BEFORE = ("", " ", "  ", "\n", "\t")
AFTER = ("", " ", "\n")


def open_engine(config: EngineConfig, policy: Policy, training: TrainingRows | None) -> Engine:
    """An engine that calls the server at its first use."""
    if not config.url:
        raise EngineError("the vllm_server engine needs the server's URL: set RBR_GRADER_URL")
    return VllmServerEngine(config, policy)


class VllmServerEngine:
    """Grades with the model that a server holds."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        self._config, self._template = config, policy.template
        settings = config.settings
        self._http = Http(
            config.url.rstrip("/").removesuffix("/v1").rstrip("/"),
            _api_key(settings),
            concurrency=int(settings.get("concurrency", Http.concurrency)),
            timeout=float(settings.get("timeout", Http.timeout)),
            tries=int(settings.get("tries", Http.tries)),
            backoff=float(settings.get("backoff", Http.backoff)),
        )
        self._model: Mapping[str, Any] | None = None
        self._sets: TokenSets | None = None

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        started = time.perf_counter()
        self._model = self._sets = None  # the server may have been restarted with another model
        served = self._served()
        sets = self._token_sets()
        check(self._ask, sets, tolerance_of(self._config.dtype))
        facts = {
            "engine": "vllm_server",
            "vllm": str(self._http.get("/version").get("version", "")),
            "model": served["id"],
            "model_root": Path(str(served.get("root") or served["id"])).name,
            "revision": self._config.revision,
            "dtype": self._config.dtype,
            "max_model_len": served.get("max_model_len"),
            "tokenizer_fingerprint": self._tokenizer_fingerprint(),
            "token_sets": {"yes": list(sets.yes), "no": list(sets.no)},
            "rendering": RENDERING,
            "style": "logprob_token_ids",
        }
        seconds = time.perf_counter() - started
        return ProbeResult(facts, seconds, measured_speed(self, sample))

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        return ask_about(cells, self._template, self._ask, self._token_sets())

    def close(self) -> None:
        self._model = self._sets = None

    def _served(self) -> Mapping[str, Any]:
        """The server's entry for the model: the one that is asked for, or the only one."""
        if self._model is None:
            listed = self._http.get("/v1/models")
            models = [row for row in listed.get("data", []) if not row.get("parent")]
            names = ", ".join(str(row.get("id")) for row in listed.get("data", [])) or "none"
            wanted = self._config.model
            if wanted:
                models = [row for row in listed.get("data", []) if row.get("id") == wanted]
            if len(models) != 1:
                problem = (
                    f"has no model {wanted!r}" if wanted else "does not serve exactly one model"
                )
                raise EngineError(f"{self._http.url} {problem}; it serves: {names}")
            self._model = models[0]
        return self._model

    def _token_sets(self) -> TokenSets:
        if self._sets is None:
            try:
                directory = self._config.settings.get("tokenizer")
                self._sets = _sets_from(str(directory)) if directory else self._sets_from_server()
            except TokenSetError as error:
                raise EngineError(f"{self._http.url} cannot grade: {error}") from error
        return self._sets

    def _sets_from_server(self) -> TokenSets:
        """Tokenize every spelling, keep the single tokens that read back as the word."""
        spellings = [
            before + "".join(letters) + after
            for word in ("yes", "no")
            for letters in itertools.product(*((c, c.upper()) for c in word))
            for before in BEFORE
            for after in AFTER
        ]
        tokenized = self._post(
            "/tokenize", [{"prompt": text, "add_special_tokens": False} for text in spellings]
        )
        single = sorted({row["tokens"][0] for row in tokenized if len(row.get("tokens", [])) == 1})
        texts = self._post("/detokenize", [{"tokens": [token]} for token in single])
        reads = {token: label_of(row["prompt"]) for token, row in zip(single, texts, strict=True)}
        return TokenSets(
            tuple(token for token in single if reads[token] == "yes"),
            tuple(token for token in single if reads[token] == "no"),
        )

    def _tokenizer_fingerprint(self) -> str:
        """sha256 over the token ids of one chat: another tokenizer or chat template shows."""
        directory = self._config.settings.get("tokenizer")
        local = _fingerprints.tokenizer_fingerprint(Path(str(directory))) if directory else ""
        (chat,) = self._post(
            "/tokenize",
            [
                {
                    "messages": [{"role": "user", "content": KNOWN_YES}],
                    "add_generation_prompt": True,
                    "chat_template_kwargs": {"enable_thinking": False},
                }
            ],
        )
        return hashlib.sha256(f"{local} {chat['tokens']}".encode()).hexdigest()

    def _post(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """POSTs about the model itself; here a refusal means that it cannot be used."""
        model = self._served()["id"]
        rows = self._http.post(path, [{"model": model, **body} for body in bodies])
        for row in rows:
            if isinstance(row, Refused):
                raise EngineError(f"{self._http.url}{path}: {row.message}")
        return rows

    def _ask(self, prompts: Sequence[str]) -> list[Reply]:
        shared = {
            "model": self._served()["id"],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "logprob_token_ids": list(self._token_sets().ids),
            "return_tokens_as_token_ids": True,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        rows = self._http.post(
            "/v1/chat/completions",
            [{**shared, "messages": [{"role": "user", "content": text}]} for text in prompts],
        )
        return [_reply(row) for row in rows]


def _api_key(settings: Mapping[str, Any]) -> str:
    name = str(settings.get("api_key_env") or "")
    if name and not os.environ.get(name):
        raise EngineError(f"the environment variable {name}, named by api_key_env, is not set")
    return os.environ[name] if name else ""


def _sets_from(directory: str) -> TokenSets:
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise EngineError(f"there is no tokenizer in {directory}: {error}") from error
    return token_sets(
        lambda token: str(tokenizer.decode([token])), len(tokenizer), tokenizer.all_special_ids
    )


def _reply(row: Any) -> Reply:
    if isinstance(row, Refused):
        return Reply(refusal=row.message or "the server refused the prompt without a reason")
    usage = row.get("usage") or {}
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
