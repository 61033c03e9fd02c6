"""Loading: what is said when a model cannot be loaded."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rbr_app.rbr.engines import EngineConfig, EngineError, _loaded
from rbr_app.rbr.engines._loaded import _explained, _require_memory


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading sets defaults in the process's environment; no other test shall see them."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_loaded, "_current", {})
    with pytest.raises(EngineError, match=r"vllm is not installed: run quickstart.*pip install"):
        _loaded.loaded(EngineConfig("vllm", model="m"))
    assert _loaded._current.get("model") is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ImportError("libnuma.so.1: cannot open shared object file"), "apt-get install libnuma1"),
        (RuntimeError("InvalidCxxCompiler: No working C++ compiler"), "apt-get install g++"),
        (RuntimeError("CUDA out of memory. Tried"), "lower gpu_memory_utilization"),
        (ValueError("3 GiB KV cache is needed"), "raise kv_cache_gib or lower max_model_len"),
        (ValueError("Available memory on node 0"), "free memory"),
        (ModuleNotFoundError("No module named 'numba'"), "run quickstart again"),
    ],
)
def test_a_failed_load_names_the_model_the_cause_and_the_way_out(
    error: Exception, expected: str
) -> None:
    text = _explained(EngineConfig("vllm", model="org/model"), error)
    assert text.startswith("vLLM could not load org/model: ")
    assert str(error) in text
    assert expected in text


def test_a_directory_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    text = _explained(EngineConfig("vllm", model=str(tmp_path / "no")), OSError("not a repo"))
    assert text == (
        f"there is no model directory {tmp_path / 'no'}: run quickstart, or set RBR_GRADER_MODEL"
    )


def test_too_little_memory_is_refused_before_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 2 GiB of bfloat16 weights become 4 in float32; with 1 for the cache and 1.5 beside: 6.5.
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(2 * 2**30)  # sparse: it takes no room
    described = type("Config", (), {"dtype": "torch.bfloat16"})()
    monkeypatch.setattr(_loaded, "_available_gib", lambda: 6.0)
    with pytest.raises(EngineError, match=r"needs about 6.5 GiB of memory and 6.0 GiB are free"):
        _require_memory(tmp_path, "float32", described, 1.0)
    _require_memory(tmp_path, "bfloat16", described, 1.0)  # 2 + 1 + 1.5 = 4.5
    monkeypatch.setattr(_loaded, "_available_gib", lambda: None)
    _require_memory(tmp_path, "float32", described, 1.0)  # nobody knows: try it


def test_what_native_code_prints_while_loading_does_not_reach_stdout() -> None:
    code = """
import os
from rbr_app.rbr.engines._loaded import _stdout_to_stderr
with _stdout_to_stderr():
    os.write(1, b"native\\n"); print("python")
print("ours")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ours\n"
    assert sorted(done.stderr.split()) == ["native", "python"]


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="there is no tokenizer for"):
        _loaded.tokenizer(EngineConfig("vllm", model=str(tmp_path)))
