"""Several servers as one grader: the same model, shared prefixes, and one of them going away."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier
from typing import Any

import pytest

from rbr_app.rbr.engines import Cell, Engine, EngineConfig, EngineError, open_engine
from rbr_app.rbr.engines import _server as server_module
from rbr_app.rbr.engines._fleet import urls_of

from .cells import APOLOGY, REFUSAL, cell
from .server import FakeServer, completion, fake_servers


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    with fake_servers(3) as running:
        yield running


def engine(servers: list[FakeServer], **settings: Any) -> Engine:
    settings = {"backoff": 0.001, "tries": 2, "timeout": 5.0} | settings
    url = ", ".join(server.url for server in servers)
    config = EngineConfig("vllm_server", url=url, dtype="float32", settings=settings)
    return open_engine(config)


def cells(count: int) -> list[Cell]:
    return [cell(f"Sorry {n}" if n % 2 else f"Fine {n}") for n in range(count)]


def down(server: FakeServer, body: dict[str, Any], number: int) -> tuple[int, Any] | None:
    return 503, {"error": {"message": "going away"}}


def test_addresses_come_from_the_url_and_the_settings() -> None:
    config = EngineConfig(
        "vllm_server", url="http://a:1/v1, http://b:1\nhttp://a:1/", settings={"urls": "http://c:1"}
    )
    assert urls_of(config) == ["http://a:1", "http://b:1", "http://c:1"]
    listed = EngineConfig("vllm_server", settings={"urls": ["http://c:1", "http://d:1/v1/"]})
    assert urls_of(listed) == ["http://c:1", "http://d:1"]


def test_one_big_prefix_is_spread_and_answers_keep_their_order(servers: list[FakeServer]) -> None:
    answers = engine(servers).grade(cells(30))
    assert [answer.p for answer in answers] == pytest.approx([0.2, 0.8] * 15)
    assert [len(server.chats) for server in servers] == [10, 10, 10]


def test_prompts_that_begin_alike_go_to_one_server(servers: list[FakeServer]) -> None:
    # Two questions, 10 each; even share ceil(20 / 2) = 10.
    asked = [cell(str(n), prompt) for prompt in (APOLOGY, REFUSAL) for n in range(10)]
    engine(servers[:2]).grade(asked)
    for server in servers[:2]:
        said = [body["messages"][0]["content"] for body in server.chats]
        assert len({text.splitlines()[0] for text in said}) == 1
        assert said == sorted(said) or len(said) == 10


def test_the_servers_work_at_the_same_time(servers: list[FakeServer]) -> None:
    grader = engine(servers, concurrency=1)
    grader.grade(cells(1))
    # Each waits for the two others before it answers: one after the other nobody would.
    together = Barrier(len(servers), timeout=30)
    for server in servers:
        server.fault = lambda server, body, number: together.wait() and None
    answers = grader.grade(cells(9))
    assert [answer.null_reason for answer in answers] == [""] * 9


def test_what_a_server_leaves_open_goes_to_the_others(servers: list[FakeServer]) -> None:
    first = servers[0]
    first.fault = lambda server, body, number: down(server, body, number) if number >= 3 else None
    grader = engine(servers, concurrency=1)
    answers = grader.grade(cells(30))
    assert [answer.p for answer in answers] == pytest.approx([0.2, 0.8] * 15)
    # 3 answered before it went, 2 tries of the next; 27 went elsewhere.
    assert len(first.chats) == 5
    assert sum(len(server.chats) for server in servers[1:]) == 27
    grader.grade(cells(6))
    assert len(first.chats) == 5  # it is left alone for a while


def test_a_batch_fails_only_when_no_server_is_left(servers: list[FakeServer]) -> None:
    for server in servers:
        server.fault = down
    grader = engine(servers)
    with pytest.raises(EngineError, match="failed 2 times: HTTP 503: going away"):
        grader.grade(cells(6))
    for server in servers:
        server.fault = lambda server, body, number: None
    assert grader.grade(cells(1))[0].p == pytest.approx(0.2)  # all rest, so all are tried


def test_a_server_that_comes_back_is_used_again(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REST", 0.0)
    servers[0].fault = lambda server, body, number: down(server, body, 0) if number < 2 else None
    grader = engine(servers[:2], concurrency=1)
    grader.grade(cells(8))
    before = len(servers[0].chats)
    grader.grade(cells(8))
    assert len(servers[0].chats) > before


def test_a_server_that_comes_back_as_another_is_refused(
    servers: list[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REST", 0.0)
    grader = engine(servers[:1])
    grader.grade(cells(1))
    servers[0].fault = down
    with pytest.raises(EngineError, match="going away"):
        grader.grade(cells(1))
    servers[0].fault = lambda server, body, number: None
    servers[0].version = "0.33.0"
    with pytest.raises(EngineError, match=r"was restarted: vllm was 0.32.0, is 0.33.0"):
        grader.grade(cells(1))
    assert grader.probe().facts["vllm"] == "0.33.0"


def test_servers_that_are_the_same_make_the_facts_of_one(servers: list[FakeServer]) -> None:
    assert engine(servers).probe(cells(2)).facts == engine(servers[:1]).probe().facts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "0.31.0"}, "vllm is 0.32.0 at the first and 0.31.0 at the second"),
        ({"template": "SYSTEM: be brief"}, "tokenizer_fingerprint is"),
        ({"models": [{"id": "grader", "root": "/m/other"}]}, "model_root is grader at the first"),
        ({"models": [{"id": "other"}]}, "model is grader at the first and other at the second"),
    ],
)
def test_servers_that_differ_are_refused_by_name(
    servers: list[FakeServer], change: dict[str, Any], message: str
) -> None:
    for name, value in change.items():
        setattr(servers[2], name, value)
    with pytest.raises(EngineError, match=message) as refused:
        engine(servers).probe()
    assert servers[0].url in str(refused.value)
    assert servers[2].url in str(refused.value)
    with pytest.raises(EngineError, match="not the same grader"):
        engine(servers).grade(cells(3))


def test_servers_that_say_different_things_are_refused(servers: list[FakeServer]) -> None:
    servers[1].fault = lambda server, body, number: (200, completion(body, t1=-0.7))
    with pytest.raises(EngineError, match="two answers that differ") as refused:
        engine(servers).probe()
    assert servers[1].url in str(refused.value)


def test_the_probe_wants_every_server(servers: list[FakeServer]) -> None:
    config = EngineConfig(
        "vllm_server",
        url=f"{servers[0].url} http://127.0.0.1:9",
        settings={"tries": 1, "backoff": 0.001},
    )
    with pytest.raises(EngineError, match=r"127.0.0.1:9/v1/models failed"):
        open_engine(config).probe()
    # A run goes on with those that are there.
    assert open_engine(config).grade(cells(1))[0].p == pytest.approx(0.2)


@pytest.mark.parametrize("priority", [0, 100])
def test_the_priority_is_sent_when_it_is_set(servers: list[FakeServer], priority: int) -> None:
    engine(servers[:1]).grade(cells(1))
    engine(servers[:1], priority=priority).grade(cells(1))
    assert [body.get("priority") for body in servers[0].chats] == [None, priority]
