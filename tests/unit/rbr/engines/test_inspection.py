"""A closer look at one cell, and the tokenizer behind an engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rbr_app.rbr.engines import (
    Engine,
    EngineConfig,
    Inspects,
    count_tokens,
    open_engine,
    shared_prefix_tokens,
)
from rbr_app.rbr.engines._inspection import likeliest
from rbr_app.rbr.grader import Rendered

from .cells import APOLOGY, cell
from .server import FakeServer, fake_server


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def over_http(server: FakeServer) -> Engine:
    return open_engine(EngineConfig("vllm_server", url=server.url, settings={"tries": 1}))


def fake() -> Engine:
    return open_engine(EngineConfig("fake", settings={"allow_fake": True}))


def test_the_likeliest_come_first_and_ids_say_how_they_read() -> None:
    found = [(1, "a", 0.1), (2, "yes", 0.3), (3, "no", 0.2)]
    shown = likeliest(found, 2, {2: "yes"})
    assert [(share.id, share.label) for share in shown] == [(2, "yes"), (3, "")]
    assert likeliest([(None, " NO", 0.1)], 5, {})[0].label == "no"


def test_the_server_engine_draws_tokens_and_asks_for_their_exact_share(server: FakeServer) -> None:
    grader = over_http(server)
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("Sorry"), top=3)
    # Drawn are 60 (p .3), 2 (a yes) and 61; the label tokens have .2, .1, .1 and .04 and less.
    assert [(s.id, s.label) for s in seen.top] == [(60, ""), (1, "yes"), (2, "yes")]
    assert [s.probability for s in seen.top] == pytest.approx([0.3, 0.2, 0.1])
    assert seen.top[1].text == "yes"
    assert seen.answer == grader.grade([cell("Sorry")])[0]
    assert "64 draws" in seen.note
    assert seen.prompt.text.endswith("LAST: Sorry")


def test_the_server_engine_never_asks_for_what_could_spoil_a_grade(server: FakeServer) -> None:
    grader = over_http(server)
    assert isinstance(grader, Inspects)
    grader.inspect(cell("a", replace(APOLOGY, prefill="Answer:")))
    for body in server.chats:
        assert "top_logprobs" not in body
        assert "prompt_logprobs" not in body
        assert body.get("logprobs", False) == ("logprob_token_ids" in body)
        assert body["messages"][-1]["content"] == "Answer:"


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        ((400, {"error": {"message": "n is too large"}}), "would not draw others (n is too large)"),
        ((200, {"choices": [{"message": {}}]}), "it gives no token ids"),
    ],
)
def test_a_server_that_draws_nothing_shows_the_label_tokens(
    server: FakeServer, reply: tuple[int, Any], note: str
) -> None:
    server.fault = lambda server, body, number: reply if body.get("n") else None
    grader = over_http(server)
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("Sorry"))
    assert {share.label for share in seen.top} == {"yes", "no"}
    assert len(seen.top) == 7
    assert note in seen.note


def test_a_prompt_that_is_refused_is_shown_with_its_length(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (400, {"error": {"message": "too long"}})
    grader = over_http(server)
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("Sorry"))
    assert (seen.top, seen.answer.null_reason) == ((), "too long")
    assert seen.prompt_tokens == len(seen.prompt.text.split())


def test_the_fake_shows_a_yes_a_no_and_a_rest_that_make_its_grade() -> None:
    grader = fake()
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("a"))
    by_text = {share.text: share.probability for share in seen.top}
    assert seen.answer == grader.grade([cell("a")])[0]
    assert by_text["yes"] == pytest.approx((seen.answer.p or 0) * 0.95)
    assert sum(by_text.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("which", ["fake", "vllm_server"])
def test_tokens_are_counted_where_there_is_a_tokenizer(which: str, server: FakeServer) -> None:
    # Both fakes have one token per word.
    engine = fake() if which == "fake" else over_http(server)
    one, other = Rendered("is it so a b", "Answer:"), Rendered("is it so c")
    assert count_tokens(engine, [one, other, one]) == [6, 4, 6]
    assert shared_prefix_tokens(engine, one, other) == 3
    assert shared_prefix_tokens(engine, other, other) == 4
    assert shared_prefix_tokens(engine, one, Rendered("never")) == 0


def test_without_a_tokenizer_nobody_counts(server: FakeServer) -> None:
    engine = open_engine(EngineConfig("openai_topk", url=server.url))
    assert count_tokens(engine, [Rendered("a")]) is None
    assert shared_prefix_tokens(engine, Rendered("a"), Rendered("a")) is None
