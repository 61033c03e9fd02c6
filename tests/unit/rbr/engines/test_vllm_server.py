"""The engine behind HTTP, against a small server with scripted faults."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rbr_app.rbr.engines import Cell, Engine, EngineConfig, EngineError, open_engine

from .cells import APOLOGY, cell
from .server import FakeServer, completion, fake_server

LABELS = [1, 2, 3, 11, 12, 13, 14]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def engine(server: FakeServer, model: str = "", suffix: str = "", **settings: Any) -> Engine:
    settings = {"backoff": 0.001, "tries": 3, "timeout": 5.0} | settings
    config = EngineConfig("vllm_server", model, url=server.url + suffix, settings=settings)
    return open_engine(config)


def cells(count: int = 4) -> list[Cell]:
    return [cell(f"Sorry {n}" if n % 2 else f"Fine {n}") for n in range(count)]


def test_answers_come_in_the_order_of_the_cells(server: FakeServer) -> None:
    # "sorry": p_yes = .4, p_no = .1, p = .4 / .5 = .8; else p_yes = .1, p_no = .4, p = .2
    answers = engine(server).grade(cells())
    assert [answer.p for answer in answers] == pytest.approx([0.2, 0.8, 0.2, 0.8])
    assert [answer.mass for answer in answers] == pytest.approx([0.5] * 4)
    assert {(a.token, a.prompt_tokens, a.cached_tokens, a.calls) for a in answers} == {
        ("Yes", 30, 16, 1)
    }


def test_only_one_style_of_request_is_ever_sent(server: FakeServer) -> None:
    grader = engine(server)
    grader.probe(cells(2))
    grader.grade(cells(3))
    for body in server.chats:
        assert {**body, "messages": None} == {
            "model": "grader",
            "messages": None,
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "logprob_token_ids": LABELS,
            "return_tokens_as_token_ids": True,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        assert [message["role"] for message in body["messages"]] == ["user"]


def test_a_prefill_is_sent_as_a_reply_to_go_on_with(server: FakeServer) -> None:
    engine(server).grade([cell("a", replace(APOLOGY, prefill="Answer:"))])
    body = server.chats[-1]
    assert body["messages"][-1] == {"role": "assistant", "content": "Answer:"}
    assert (body["add_generation_prompt"], body["continue_final_message"]) == (False, True)


def test_the_probe_finds_the_model_its_version_and_the_label_tokens(server: FakeServer) -> None:
    result = engine(server).probe(cells(2))
    assert result.facts["model"] == "grader"
    assert result.facts["vllm"] == "0.32.0"
    assert result.facts["max_model_len"] == 2048
    assert result.facts["token_sets"] == {"yes": [1, 2, 3], "no": [11, 12, 13, 14]}
    assert result.calls_per_second is not None
    assert engine(server, suffix="/v1/").probe().facts == result.facts


def test_a_model_that_is_not_served_is_refused_with_those_that_are(server: FakeServer) -> None:
    with pytest.raises(EngineError, match="has no model 'other'; it serves: grader"):
        engine(server, "other").probe()


def test_one_of_several_models_has_to_be_named(server: FakeServer) -> None:
    server.models.append({"id": "second", "root": "second", "parent": None})
    with pytest.raises(EngineError, match="does not serve exactly one model; it serves: grader, s"):
        engine(server).probe()
    assert engine(server, "second").probe().facts["model"] == "second"


def test_an_adapter_does_not_hide_the_one_model(server: FakeServer) -> None:
    server.models.append({"id": "adapter", "root": "adapter", "parent": "grader"})
    assert engine(server).probe().facts["model"] == "grader"


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503])
def test_what_may_go_away_is_tried_again(server: FakeServer, status: int) -> None:
    failed: set[str] = set()

    def fault(server: FakeServer, body: dict[str, Any], number: int) -> tuple[int, Any] | None:
        text = body["messages"][0]["content"]
        with server.lock:
            if text in failed:
                return None
            failed.add(text)
        return status, {"error": {"message": "busy"}}

    server.fault = fault
    answers = engine(server).grade(cells())
    assert [answer.p for answer in answers] == pytest.approx([0.2, 0.8, 0.2, 0.8])
    assert len(server.chats) == 8


def test_a_server_that_stays_down_fails_the_batch_and_makes_no_nulls(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (503, {"error": {"message": "loading"}})
    with pytest.raises(
        EngineError, match="completions failed 3 times: HTTP 503: loading"
    ) as failed:
        engine(server, concurrency=1).grade(cells())
    assert server.url in str(failed.value)
    assert len(server.chats) == 3


def test_a_server_that_is_not_there_is_named(server: FakeServer) -> None:
    config = EngineConfig(
        "vllm_server", url="http://127.0.0.1:9", settings={"tries": 2, "backoff": 0.001}
    )
    with pytest.raises(EngineError, match=r"127.0.0.1:9/v1/models failed 2 times: ConnectError"):
        open_engine(config).grade(cells())


def test_a_call_that_takes_too_long_is_tried_again_and_then_given_up(server: FakeServer) -> None:
    server.delay = 0.3
    with pytest.raises(EngineError, match="failed 2 times: ReadTimeout"):
        engine(server, timeout=0.05, tries=2).grade(cells(1))
    assert len(server.chats) == 2


def test_retry_after_is_respected(server: FakeServer) -> None:
    import httpx

    from rbr_app.rbr.engines._http import _retry_after

    assert _retry_after(httpx.Response(429, headers={"Retry-After": "7"})) == 7.0
    assert _retry_after(httpx.Response(429, headers={"Retry-After": "9999"})) == 30.0
    assert _retry_after(httpx.Response(429, headers={"Retry-After": "Wed, 21 Oct"})) == 0.0


def test_a_prompt_that_is_too_long_is_one_null_cell_with_the_servers_words(
    server: FakeServer,
) -> None:
    def fault(server: FakeServer, body: dict[str, Any], number: int) -> tuple[int, Any] | None:
        too_long = "Sorry 1" in body["messages"][0]["content"]
        return (400, {"error": {"message": "maximum context length is 2048"}}) if too_long else None

    server.fault = fault
    answers = engine(server).grade(cells())
    assert [answer.p is None for answer in answers] == [False, True, False, False]
    assert answers[1].null_reason == "maximum context length is 2048"
    assert answers[1].calls == 0
    assert len(server.chats) == 4  # a refusal is not tried again


def test_a_value_that_was_not_computed_is_null_with_a_reason(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (200, completion(body, t3=-9999.0))
    (answer,) = engine(server).grade(cells(1))
    assert answer.p is None
    assert answer.null_reason == "label token 3 has log-probability -9999.0"


def test_a_missing_label_is_null_with_a_reason(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (
        200,
        completion({**body, "logprob_token_ids": LABELS[:-1]}),
    )
    (answer,) = engine(server).grade(cells(1))
    assert answer.null_reason == "no log-probability for label tokens [14]"


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"logprobs": None}]}])
def test_an_answer_without_log_probabilities_is_null_with_a_reason(
    server: FakeServer, body: dict[str, Any]
) -> None:
    server.fault = lambda server, request, number: (200, body)
    (answer,) = engine(server).grade(cells(1))
    assert answer.null_reason == "neither yes nor no is among the log-probabilities"
    with pytest.raises(EngineError, match="no log-probability for the label tokens"):
        engine(server).probe()


def test_an_answer_that_is_not_json_fails_the_batch(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (200, "<html>a proxy</html>")
    with pytest.raises(EngineError, match="not JSON"):
        engine(server).grade(cells(1))


def test_a_server_that_contradicts_itself_does_not_pass_the_probe(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (
        200,
        completion(body, t1=math.log(0.6 if number > 1 else 0.001)),
    )
    with pytest.raises(EngineError, match="two answers that differ"):
        engine(server).probe()


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_never_more_calls_at_once_than_allowed(server: FakeServer, limit: int) -> None:
    server.delay = 0.02
    engine(server, concurrency=limit).grade(cells(24))
    assert server.most_at_once <= limit
    assert limit == 1 or server.most_at_once > 1


def test_the_key_is_read_from_the_variable_that_the_settings_name(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "s3cret"
    with pytest.raises(EngineError, match="HTTP 401: Unauthorized; is the API key right"):
        engine(server).grade(cells(1))
    with pytest.raises(EngineError, match="GRADER_KEY, named by api_key_env, is not set"):
        engine(server, api_key_env="GRADER_KEY")
    monkeypatch.setenv("GRADER_KEY", "s3cret")
    grader = engine(server, api_key_env="GRADER_KEY")
    assert grader.grade(cells(1))[0].p == pytest.approx(0.2)
    assert "s3cret" not in str(grader.probe().facts)


def test_it_can_be_called_from_inside_a_running_event_loop(server: FakeServer) -> None:
    async def inside() -> float | None:
        return engine(server).grade(cells(1))[0].p

    # In a thread, because the browser tests leave a running loop in this one.
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, inside()).result() == pytest.approx(0.2)


def test_a_closed_engine_may_be_used_again(server: FakeServer) -> None:
    grader = engine(server)
    grader.grade(cells(1))
    grader.close()
    assert grader.grade(cells(1))[0].p == pytest.approx(0.2)


def test_no_cells_cost_nothing(server: FakeServer) -> None:
    started = time.perf_counter()
    assert engine(server).grade([]) == []
    assert time.perf_counter() - started < 5
    assert server.chats == []
