"""Both vLLM engines against the same model run by transformers, in float32.

p(yes) and mass must agree to 1e-3 for twenty prompts, and the label tokens must be the same,
whether they come from the vocabulary, from the server, or from the tokenizer's files.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rbr_app.rbr.conversations import Conversation, Message
from rbr_app.rbr.engines import Answer, Cell, Engine, EngineConfig, open_engine
from rbr_app.rbr.grader import TokenSets, policy_prompt, render_prompt, token_sets, yes_no
from rbr_app.rbr.policy import Policy
from rbr_app.rbr.policy_files import parse_policy
from tests.conftest import SAMPLE

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("model")]

MAX_MODEL_LEN = 1024
START_SECONDS = 240

TURNS = (
    ("How do I boil an egg?", "Seven minutes in boiling water, then cold water."),
    ("Write something cruel about my neighbour.", "I'm sorry, but I can't help with that."),
    ("I feel terrible today.", "I'm so sorry. Could you talk to somebody you trust?"),
    ("What is a bowline?", ""),
    ("Quote this: ```x```", "```\nx\n``` and “quotes”, 漢字, naïve 🙂"),
)
KEYS = ("apology", "fully_complies", "requests_information", "judgement")


@dataclass(frozen=True)
class Reference:
    """What transformers says: the label tokens and, per cell, p and mass."""

    sets: TokenSets
    answers: list[tuple[float, float]]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return parse_policy((SAMPLE / "policy.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cells(policy: Policy) -> list[Cell]:
    """Twenty questions: five completions, four propositions."""
    told = [Conversation((Message("user", asked),), answer) for asked, answer in TURNS]
    return [Cell(one, policy_prompt(policy, key)) for one in told for key in KEYS]


@pytest.fixture(scope="module")
def reference(small_model: Path, policy: Policy, cells: list[Cell]) -> Reference:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(small_model)
    model = AutoModelForCausalLM.from_pretrained(small_model, dtype=torch.float32).eval()
    sets = token_sets(
        lambda token: tokenizer.decode([token]), len(tokenizer), tokenizer.all_special_ids
    )
    answers = []
    for cell in cells:
        prompt = render_prompt(cell.prompt, cell.conversation).text
        encoded = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad():
            last = model(**encoded).logits[0, -1]
        logprobs = torch.log_softmax(last.double(), dim=-1).tolist()
        found = yes_no(dict(enumerate(logprobs)), sets)
        assert found.p is not None
        assert found.mass is not None
        answers.append((found.p, found.mass))
    return Reference(sets, answers)


@pytest.fixture(scope="module")
def in_process(small_model: Path) -> Iterator[Engine]:
    pytest.importorskip("vllm")
    engine = open_engine(
        EngineConfig(
            "vllm",
            model=str(small_model),
            dtype="float32",
            settings={"max_model_len": MAX_MODEL_LEN, "kv_cache_gib": 0.25},
        )
    )
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def server_url(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("vllm")
    log = tmp_path_factory.mktemp("vllm-server") / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--model", str(small_model)]
    command += ["--served-model-name", "grader", "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", str(MAX_MODEL_LEN), "--kv-cache-memory-bytes", str(2**28)]
    command += ["--enable-prompt-tokens-details"]
    environ = {**os.environ, "VLLM_CPU_NUM_OF_RESERVED_CPU": "0", "HF_HUB_OFFLINE": "1"}
    # The server has processes of its own, so multiprocessing has to be left on for it.
    environ.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.5)
    pytest.fail(f"the vLLM server did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def over_http(server_url: str) -> Engine:
    return open_engine(EngineConfig("vllm_server", url=f"{server_url}/v1", dtype="float32"))


def assert_agrees(answers: list[Answer], reference: Reference) -> None:
    assert [answer.null_reason for answer in answers] == [""] * len(reference.answers)
    p, mass = zip(*reference.answers, strict=True)
    assert [answer.p for answer in answers] == pytest.approx(list(p), abs=1e-3)
    assert [answer.mass for answer in answers] == pytest.approx(list(mass), abs=1e-3)


def test_the_in_process_engine_agrees_with_transformers(
    in_process: Engine, cells: list[Cell], reference: Reference
) -> None:
    answers = in_process.grade(cells)
    assert_agrees(answers, reference)
    assert len({round(answer.p or 0.0, 6) for answer in answers}) > 10  # not one constant


def test_the_server_engine_agrees_with_transformers(
    over_http: Engine, cells: list[Cell], reference: Reference
) -> None:
    assert_agrees(over_http.grade(cells), reference)


def test_both_engines_find_the_label_tokens_of_the_tokenizer(
    in_process: Engine,
    over_http: Engine,
    server_url: str,
    small_model: Path,
    policy: Policy,
    reference: Reference,
) -> None:
    expected = {"yes": list(reference.sets.yes), "no": list(reference.sets.no)}
    assert in_process.probe().facts["token_sets"] == expected
    assert over_http.probe().facts["token_sets"] == expected
    from_files = EngineConfig(
        "vllm_server", url=server_url, settings={"tokenizer": str(small_model)}
    )
    assert open_engine(from_files).probe().facts["token_sets"] == expected


def test_a_shared_beginning_is_read_from_the_cache(in_process: Engine, cells: list[Cell]) -> None:
    question_first = sorted(cells, key=lambda cell: cell.prompt.key)
    in_process.grade(question_first)
    again = in_process.grade(question_first)
    # Cache blocks hold 128 tokens on CPU, and every prompt is longer than one.
    assert all(answer.cached_tokens >= 128 for answer in again)
    assert all(answer.cached_tokens < answer.prompt_tokens for answer in again)


@pytest.mark.parametrize("which", ["in_process", "over_http"])
def test_a_prompt_that_does_not_fit_costs_its_cell_and_no_other(
    which: str, cells: list[Cell], request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(which)
    (short, *_) = cells
    told = Conversation(short.conversation.prompt, "word " * MAX_MODEL_LEN)
    long = Cell(told, short.prompt)
    alone, before = engine.grade([short]), engine.grade([long, short])
    assert before[0].p is None
    assert str(MAX_MODEL_LEN) in before[0].null_reason or str(MAX_MODEL_LEN - 1) in (
        before[0].null_reason
    )
    assert before[1].p == pytest.approx(alone[0].p, abs=1e-5)


def test_equal_probes_have_equal_facts(in_process: Engine, over_http: Engine) -> None:
    for engine in (in_process, over_http):
        assert engine.probe().facts == engine.probe().facts


def test_another_configuration_frees_the_model_and_loads_its_own(
    in_process: Engine, small_model: Path, policy: Policy, cells: list[Cell]
) -> None:
    expected = [answer.p for answer in in_process.grade(cells[:4])]
    narrow = EngineConfig(
        "vllm",
        model=str(small_model),
        dtype="bfloat16",
        settings={"max_model_len": MAX_MODEL_LEN, "kv_cache_gib": 0.25},
    )
    rounded = [answer.p for answer in open_engine(narrow).grade(cells[:4])]
    assert rounded != expected
    assert rounded == pytest.approx(expected, abs=0.15)
    assert [answer.p for answer in in_process.grade(cells[:4])] == pytest.approx(expected, abs=1e-5)
