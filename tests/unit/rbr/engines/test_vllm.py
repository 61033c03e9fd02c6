"""The in-process engine with a stand-in for `vllm.LLM`; the real one runs in the e2e tests."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from rbr_app.rbr.engines import (
    Engine,
    EngineConfig,
    EngineError,
    Inspects,
    _loaded,
    count_tokens,
    open_engine,
    shared_prefix_tokens,
)
from rbr_app.rbr.grader import Rendered

from .cells import APOLOGY, REFUSAL, cell

VOCABULARY = ["<pad>", "yes", " Yes", "no", "sorry", "a"]
CONFIG = EngineConfig("vllm", model="toy", dtype="float32")


class Tokenizer:
    """Decodes the small vocabulary; a prompt has one token per character."""

    chat_template = "toy"
    all_special_ids = (0,)

    def __len__(self) -> int:
        return len(VOCABULARY)

    def decode(self, ids: list[int]) -> str:
        return VOCABULARY[ids[0]]

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        begun = messages[1:]
        assert options == {
            "tokenize": False,
            "add_generation_prompt": not begun,
            "continue_final_message": bool(begun),
            "enable_thinking": False,
        }
        assert [message["role"] for message in messages] == ["user", "assistant"][: 1 + len(begun)]
        return "|".join(message["content"] for message in messages)

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert add_special_tokens is False  # the chat template has written them
        return [ord(letter) for letter in text]


class Llm:
    """Says yes to prompts that hold "sorry"."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.params: list[Any] = []
        self.broken = False
        self.during: Callable[[], None] = lambda: None

    def generate(self, prompts: list[Any], params: Any, *, use_tqdm: bool) -> list[Any]:
        assert use_tqdm is False
        assert not ({"logprobs", "logprob_token_ids"} <= set(params))  # vLLM would mix them up
        self.during()
        if self.broken:
            raise RuntimeError("engine core died")
        self.params.append(params)
        return [self._output(prompt["prompt_token_ids"]) for prompt in prompts]

    def _output(self, ids: list[int]) -> Any:
        text = "".join(map(chr, ids))
        self.asked.append(text)
        p = {1: 0.2, 2: 0.2, 3: 0.1} if "sorry" in text else {1: 0.05, 2: 0.05, 3: 0.4}
        if "logprobs" in self.params[-1]:
            p |= {4: 0.3, 5: 0.01}
        top = max(p, key=p.__getitem__)
        found = {token: SimpleNamespace(logprob=math.log(share)) for token, share in p.items()}
        return SimpleNamespace(
            prompt_token_ids=ids,
            num_cached_tokens=None if "sorry" in text else 7,
            outputs=[SimpleNamespace(token_ids=[top], logprobs=[found])],
        )


@pytest.fixture
def llm(monkeypatch: pytest.MonkeyPatch) -> Llm:
    llm = Llm()
    options = {"dtype": "float32", "max_model_len": 200, "logprobs_mode": "raw_logprobs"}
    made = _loaded.Loaded(llm, Tokenizer(), options, "cpu")
    monkeypatch.setattr(_loaded, "_load", lambda config: made)
    monkeypatch.setattr(_loaded, "_current", {})
    fake = SimpleNamespace(SamplingParams=lambda **given: given, TokensPrompt=lambda **given: given)
    monkeypatch.setitem(sys.modules, "vllm", fake)
    return llm


def engine() -> Engine:
    return open_engine(CONFIG)


def test_prompts_that_begin_alike_stand_together_and_answers_keep_their_order(llm: Llm) -> None:
    cells = [cell("fine", REFUSAL), cell("sorry"), cell("sorry", REFUSAL), cell("fine")]
    answers = engine().grade(cells)
    assert llm.asked == sorted(llm.asked)
    # "sorry": (.2 + .2) / .5 = .8, mass .5; else (.05 + .05) / .5 = .2
    assert [answer.p for answer in answers] == pytest.approx([0.2, 0.8, 0.8, 0.2])
    assert [answer.mass for answer in answers] == pytest.approx([0.5] * 4)
    assert [answer.token for answer in answers] == ["no", "yes", "yes", "no"]
    assert [answer.cached_tokens for answer in answers] == [7, 0, 0, 7]
    assert answers[0].prompt_tokens == len(llm.asked[0])


def test_one_token_and_exactly_the_label_tokens_are_asked_for(llm: Llm) -> None:
    engine().grade([cell("a")])
    (params,) = llm.params
    assert params["max_tokens"] == 1
    assert params["temperature"] == 0.0
    assert params["logprob_token_ids"] == [1, 2, 3]
    assert "logprobs" not in params


def test_a_prefill_begins_the_models_reply(llm: Llm) -> None:
    engine().grade([cell("sorry", replace(APOLOGY, prefill="Answer:"))])
    assert llm.asked[-1].endswith("sorry|Answer:")


def test_a_prompt_that_does_not_fit_is_null_and_never_cut(llm: Llm) -> None:
    fits, long = cell("x" * 100), cell("x" * 200)
    answers = engine().grade([long, fits])
    assert answers[0].p is None
    assert "tokens and 199 fit (max_model_len)" in answers[0].null_reason
    assert answers[0].calls == 0
    assert answers[0].prompt_tokens > 200
    assert answers[1].p is not None
    assert len(llm.asked) == 1
    assert engine().grade([long])[0].p is None  # vLLM is not called for nothing


def test_the_probe_records_what_determines_the_answers(llm: Llm) -> None:
    result = engine().probe([cell("a", APOLOGY)])
    assert result.facts["token_sets"] == {"yes": [1, 2], "no": [3]}
    assert result.facts["dtype"] == "float32"
    assert result.facts["logprobs_mode"] == "raw_logprobs"
    assert result.facts["device"] == "cpu"
    assert result.calls_per_second is not None
    assert engine().probe().facts == result.facts


def test_a_dead_engine_fails_the_batch_and_is_loaded_anew(llm: Llm) -> None:
    grader = engine()
    llm.broken = True
    with pytest.raises(EngineError, match="vLLM stopped: RuntimeError: engine core died"):
        grader.grade([cell("a")])
    assert _loaded._current == {}
    llm.broken = False
    assert grader.grade([cell("a")])[0].p is not None


def test_a_process_holds_one_model(llm: Llm, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[EngineConfig] = []
    made = _loaded._load(CONFIG)

    def load(config: EngineConfig) -> _loaded.Loaded:
        assert _loaded._current == {}  # the old one is gone before the new one comes
        loads.append(config)
        return made

    monkeypatch.setattr(_loaded, "_load", load)
    other = EngineConfig("vllm", model="toy", dtype="bfloat16")
    for config in (CONFIG, CONFIG, other, other, CONFIG):
        open_engine(config).grade([cell("a")])
    assert loads == [CONFIG, other, CONFIG]
    open_engine(CONFIG).close()
    assert _loaded._current == {}


def test_a_look_at_one_cell_shows_the_likeliest_tokens_from_a_call_of_their_own(llm: Llm) -> None:
    grader = engine()
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("sorry"), top=4)
    # "sorry": yes .2, " Yes" .2, no .1; the token "sorry" .3 and "a" .01.
    assert [(s.id, s.text, s.label) for s in seen.top] == [
        (4, "sorry", ""),
        (1, "yes", "yes"),
        (2, " Yes", "yes"),
        (3, "no", "no"),
    ]
    assert seen.top[0].probability == pytest.approx(0.3)
    assert seen.answer.p == pytest.approx(0.8)
    assert seen.prompt_tokens == len(seen.prompt.text)
    assert [params.get("logprobs") for params in llm.params] == [None, 4]


def test_a_prompt_that_does_not_fit_is_shown_without_tokens(llm: Llm) -> None:
    grader = engine()
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("x" * 300))
    assert (seen.top, seen.answer.p) == ((), None)
    assert seen.prompt_tokens > 300


def test_tokens_are_counted_with_the_loaded_models_tokenizer(llm: Llm) -> None:
    grader = engine()
    grader.grade([cell("a")])
    assert count_tokens(grader, [Rendered("abc"), Rendered("abc", "Answer:")]) == [3, 11]
    assert shared_prefix_tokens(grader, Rendered("abc"), Rendered("abd")) == 2


def test_a_second_batch_is_prepared_while_the_model_works(llm: Llm) -> None:
    grader = engine()
    grader.grade([cell("a")])
    prepared = threading.Event()

    def during() -> None:
        llm.during = lambda: None
        second = threading.Thread(
            target=lambda: (count_tokens(grader, [Rendered("b")]), prepared.set())
        )
        second.start()
        second.join(5)
        assert prepared.is_set()

    llm.during = during
    assert grader.grade([cell("sorry")])[0].p == pytest.approx(0.8)
    assert prepared.is_set()
