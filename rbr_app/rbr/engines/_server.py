"""One vLLM server: the model that it serves, and the label tokens of that model."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..grader import RENDERING, Rendered, TokenSetError, TokenSets, label_of, token_sets
from . import _fingerprints
from ._http import Http, Refused
from ._replies import KNOWN_YES, chat
from .base import EngineConfig, EngineError

BEFORE = ("", " ", "  ", "\n", "\t")
AFTER = ("", " ", "\n")
REST = 30.0
"""Seconds for which a server that failed is left alone, while another one answers."""

NO_THINKING = {"enable_thinking": False}
"""For the chat template: the first token has to be the answer. Templates without it ignore it."""


def conversation(prompt: Rendered) -> dict[str, Any]:
    """The fields of a request that say what the model reads."""
    fields: dict[str, Any] = {"messages": chat(prompt), "chat_template_kwargs": NO_THINKING}
    if prompt.prefill:  # the model goes on with the last message instead of answering it
        fields |= {"add_generation_prompt": False, "continue_final_message": True}
    return fields


class Server:
    """Asks once what the server is, and again after it has failed: it may have been restarted."""

    def __init__(self, url: str, config: EngineConfig) -> None:
        self.http = Http.configured(url, config.settings)
        self._config = config
        self.forget()

    @property
    def url(self) -> str:
        return self.http.url

    def forget(self) -> None:
        """Trust nothing that the server has said of itself, and call it whenever it is wanted."""
        self._model: Mapping[str, Any] | None = None
        self._sets: TokenSets | None = None
        self._facts: dict[str, Any] | None = None
        self._rests_until = 0.0

    def rest(self) -> None:
        """Leave the server alone for a while."""
        self.forget()
        self._rests_until = time.monotonic() + REST

    @property
    def rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def facts(self) -> dict[str, Any]:
        """What determines the answers of this server. Raises `EngineError`."""
        if self._facts is None:
            served, sets = self.served(), self.token_sets()
            self._facts = {
                "vllm": str(self.http.get("/version").get("version", "")),
                "model": served["id"],
                "model_root": Path(str(served.get("root") or served["id"])).name,
                "max_model_len": served.get("max_model_len"),
                "tokenizer_fingerprint": self._tokenizer_fingerprint(),
                "token_sets": {"yes": list(sets.yes), "no": list(sets.no)},
                "rendering": RENDERING,
            }
        return self._facts

    def served(self) -> Mapping[str, Any]:
        """The server's entry for the model: the one that is asked for, or the only one."""
        if self._model is None:
            listed = self.http.get("/v1/models")
            models = [row for row in listed.get("data", []) if not row.get("parent")]
            names = ", ".join(str(row.get("id")) for row in listed.get("data", [])) or "none"
            wanted = self._config.model
            if wanted:
                models = [row for row in listed.get("data", []) if row.get("id") == wanted]
            if len(models) != 1:
                problem = (
                    f"has no model {wanted!r}" if wanted else "does not serve exactly one model"
                )
                raise EngineError(f"{self.url} {problem}; it serves: {names}")
            self._model = models[0]
        return self._model

    def token_sets(self) -> TokenSets:
        if self._sets is None:
            try:
                directory = self._config.settings.get("tokenizer")
                self._sets = _sets_from(str(directory)) if directory else self._sets_from_server()
            except TokenSetError as error:
                raise EngineError(f"{self.url} cannot grade: {error}") from error
        return self._sets

    def tokenize(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        rows = self.post("/tokenize", [conversation(prompt) for prompt in prompts])
        return [list(map(int, row["tokens"])) for row in rows]

    def texts(self, tokens: Sequence[int]) -> list[str]:
        """How each token reads on its own."""
        rows = self.post("/detokenize", [{"tokens": [token]} for token in tokens])
        return [str(row["prompt"]) for row in rows]

    def post(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """POSTs about the model itself; here a refusal means that it cannot be used."""
        model = self.served()["id"]
        rows = self.http.post(path, [{"model": model, **body} for body in bodies])
        for row in rows:
            if isinstance(row, Refused):
                raise EngineError(f"{self.url}{path}: {row.message}")
        return rows

    def _sets_from_server(self) -> TokenSets:
        """Tokenize every spelling, keep the single tokens that read back as the word."""
        spellings = [
            before + "".join(letters) + after
            for word in ("yes", "no")
            for letters in itertools.product(*((c, c.upper()) for c in word))
            for before in BEFORE
            for after in AFTER
        ]
        tokenized = self.post(
            "/tokenize", [{"prompt": text, "add_special_tokens": False} for text in spellings]
        )
        single = sorted({row["tokens"][0] for row in tokenized if len(row.get("tokens", [])) == 1})
        texts = self.texts(single)
        reads = {token: label_of(text) for token, text in zip(single, texts, strict=True)}
        return TokenSets(
            tuple(token for token in single if reads[token] == "yes"),
            tuple(token for token in single if reads[token] == "no"),
        )

    def _tokenizer_fingerprint(self) -> str:
        """sha256 over the token ids of one chat: another tokenizer or chat template shows."""
        directory = self._config.settings.get("tokenizer")
        local = _fingerprints.tokenizer_fingerprint(Path(str(directory))) if directory else ""
        (tokens,) = self.tokenize([Rendered(KNOWN_YES)])
        return hashlib.sha256(f"{local} {tokens}".encode()).hexdigest()


def _sets_from(directory: str) -> TokenSets:
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError) as error:
        raise EngineError(f"there is no tokenizer in {directory}: {error}") from error
    return token_sets(
        lambda token: str(tokenizer.decode([token])), len(tokenizer), tokenizer.all_special_ids
    )
