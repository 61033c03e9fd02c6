"""The registry: which engines there are, and what opening one costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rbr_app.rbr.engines import (
    EngineConfig,
    EngineError,
    Inspects,
    Tokenizes,
    engine_kind,
    engine_names,
    open_engine,
)


def test_every_engine_file_is_an_engine() -> None:
    assert engine_names() == ("classifier", "fake", "openai_topk", "vllm", "vllm_server")


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(
        EngineError, match="no grader engine called 'oracle'; there are: classifier"
    ):
        open_engine(EngineConfig("oracle"))


@pytest.mark.parametrize("name", ["base", "_http", "os", "", "..grader"])
def test_a_module_that_is_no_engine_cannot_be_opened(name: str) -> None:
    with pytest.raises(EngineError, match="no grader engine"):
        open_engine(EngineConfig(name))


def test_only_the_engine_that_loads_a_model_holds_it_and_only_the_classifier_learns() -> None:
    assert [name for name in engine_names() if engine_kind(name).holds_model] == ["vllm"]
    assert [name for name in engine_names() if engine_kind(name).learns] == ["classifier"]


def test_every_engine_that_reads_tokens_can_show_them() -> None:
    settings = {"allow_fake": True}
    configs = [
        EngineConfig(name, model="m", url="http://127.0.0.1:1", settings=settings)
        for name in engine_names()
    ]
    engines = {config.engine: open_engine(config) for config in configs}
    inspecting = [name for name, engine in engines.items() if isinstance(engine, Inspects)]
    tokenizing = [name for name, engine in engines.items() if isinstance(engine, Tokenizes)]
    assert inspecting == ["fake", "openai_topk", "vllm", "vllm_server"]
    assert tokenizing == ["fake", "vllm", "vllm_server"]


def test_opening_the_model_engines_imports_neither_vllm_nor_torch() -> None:
    code = """
import sys
from rbr_app.rbr.engines import EngineConfig, open_engine
open_engine(EngineConfig("vllm", model="somewhere"))
open_engine(EngineConfig("vllm_server", url="http://127.0.0.1:1"))
open_engine(EngineConfig("openai_topk", url="http://127.0.0.1:1"))
print(sorted({"vllm", "torch", "transformers", "sklearn", "django"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EngineConfig("vllm"), "needs a model"),
        (EngineConfig("vllm_server"), "needs the server's URL"),
        (EngineConfig("vllm_server", url=" , "), "needs the server's URL"),
        (EngineConfig("openai_topk"), "needs the server's URL"),
    ],
)
def test_an_engine_without_its_address_says_so(config: EngineConfig, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        open_engine(config)
