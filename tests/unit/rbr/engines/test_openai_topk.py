"""The engine for any OpenAI-compatible server, against a small one with scripted faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rbr_app.rbr.engines import Engine, EngineConfig, EngineError, Inspects, open_engine
from rbr_app.rbr.engines.openai_topk import _base, _text

from .cells import APOLOGY, cell
from .server import FakeServer, fake_server, likeliest

PREFILLED = replace(APOLOGY, prefill="Answer:")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as running:
        yield running


def engine(server: FakeServer, model: str = "", **settings: Any) -> Engine:
    settings = {"backoff": 0.001, "tries": 2, "timeout": 5.0} | settings
    config = EngineConfig("openai_topk", model, url=server.url, dtype="float32", settings=settings)
    return open_engine(config)


def shows(server: FakeServer, tokens: dict[str, float]) -> None:
    server.fault = lambda server, body, number: (200, likeliest(body, tokens))


def test_p_comes_from_what_is_seen_and_lies_between_its_bounds(server: FakeServer) -> None:
    sorry, fine = engine(server).grade([cell("Sorry"), cell("Fine")])
    # Seen: Yes .6, " yes" .1, No .2, 17 words at .001; rest 1 - .917 = .083. p = .7 / .9.
    # Unseen: 6 yes at most .001 each = .006, 7 no = .007.
    assert sorry.p == pytest.approx(0.7 / 0.9)
    assert sorry.mass == pytest.approx(0.9)
    assert sorry.p_low == pytest.approx(0.7 / 0.907)
    assert sorry.p_high == pytest.approx(0.706 / 0.906)
    # Without sorry: No .6, " yes" .1, Yes .2.
    assert fine.p == pytest.approx(0.3 / 0.9)
    assert (sorry.token, sorry.prompt_tokens, sorry.calls) == ("Yes", 30, 1)


def test_only_one_style_of_request_is_ever_sent(server: FakeServer) -> None:
    engine(server, more_top_logprobs=0).grade([cell("a")])
    (body,) = server.chats
    assert {**body, "messages": None} == {
        "model": "grader",
        "messages": None,
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 20,
    }


def test_a_side_out_of_sight_counts_half_of_what_it_can_be(server: FakeServer) -> None:
    shows(server, {"yes": 0.9, "a": 0.02, "b": 0.01})
    (answer,) = engine(server, top_logprobs=3).grade([cell("a")])
    # No: at most min(8 * .01, 1 - .93) = .07, so .035 and p = .9 / .935; yes: 7 more, also .07.
    assert answer.p == pytest.approx(0.9 / 0.935)
    assert answer.p_low == pytest.approx(0.9 / 0.97)
    assert answer.p_high == pytest.approx(1.0)
    assert answer.mass == pytest.approx(0.935)


def test_neither_side_in_sight_is_null_with_the_bound_and_is_asked_for_once_more(
    server: FakeServer,
) -> None:
    words = {f"w{n}": 0.05 - n * 0.001 for n in range(20)}
    server.fault = lambda server, body, number: (
        (200, likeliest(body, words)) if body["top_logprobs"] == 20 else None
    )
    (answer,) = engine(server).grade([cell("Sorry")])
    # Sum of .05, .049, ... .031 = .81, so the rest is .19; 16 * .031 = .496 is more than that.
    assert answer.null_reason == (
        "neither yes nor no is among the 20 likeliest tokens: mass <= 0.19"
    )
    assert (answer.p, answer.mass, answer.calls) == (None, None, 1)
    server.most_top_logprobs = 100
    grader = engine(server)
    (answer,) = grader.grade([cell("Sorry")])
    assert answer.p == pytest.approx(0.7 / 0.9)
    assert answer.calls == 2
    # Whether a longer list is allowed is asked once.
    before = len(server.chats)
    grader.grade([cell("Sorry")])
    assert len(server.chats) == before + 2


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ({"yes": 0.9, "no": 0.05}, "2 log-probabilities came instead of 3"),
        ({"yes": 0.9, "no": 0.05, "a": 0.0}, "token 'a' has log-probability -9999.0"),
        ({"yes": 0.9, "no": 1.2, "a": 0.1}, "0.182 for token 'no' is not a log-probability"),
        ({"yes": 0.9, "no": 0.9, "a": 0.1}, "the probabilities of 3 tokens sum to 1.900"),
        ({"a": 0.9, "b": 0.05, "yes": 0.01}, "no signal: yes and no together have mass 0.03"),
    ],
)
def test_a_reply_that_cannot_be_trusted_is_null_with_a_reason(
    server: FakeServer, tokens: dict[str, float], reason: str
) -> None:
    shows(server, tokens)
    (answer,) = engine(server, top_logprobs=3, more_top_logprobs=0).grade([cell("a")])
    assert answer.p is None
    assert answer.null_reason.startswith(reason)


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"logprobs": None}]}])
def test_a_reply_without_log_probabilities_is_null_and_no_grader(
    server: FakeServer, body: dict[str, Any]
) -> None:
    server.fault = lambda server, request, number: (200, body)
    (answer,) = engine(server).grade([cell("a")])
    assert answer.null_reason == "0 log-probabilities came instead of 20"
    with pytest.raises(EngineError, match="shows 0 of the 20 likeliest tokens: does it know"):
        engine(server).probe()


def test_a_refused_prompt_is_one_null_cell_with_the_servers_words(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (
        (400, {"error": {"message": "too long"}}) if "Sorry" in str(body["messages"]) else None
    )
    answers = engine(server).grade([cell("Sorry"), cell("Fine")])
    assert [answer.null_reason for answer in answers] == ["too long", ""]
    assert answers[0].calls == 0


def test_the_probe_records_what_determines_the_answers(server: FakeServer) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    result = engine(server, extra_body=extra).probe([cell("a")])
    assert result.facts["model"] == "grader"
    assert result.facts["top_logprobs"] == 20
    assert result.facts["more_top_logprobs"] == 0  # the server refuses 100
    assert result.facts["extra_body"] == extra
    assert result.calls_per_second is not None
    assert engine(server, extra_body=extra).probe().facts == result.facts
    server.most_top_logprobs = 100
    assert engine(server).probe().facts["more_top_logprobs"] == 100


def test_a_server_that_contradicts_itself_does_not_pass_the_probe(server: FakeServer) -> None:
    server.fault = lambda server, body, number: (
        200,
        likeliest(body, {"yes": 0.5 if number > 1 else 0.1, "no": 0.2, "a": 0.1}),
    )
    with pytest.raises(EngineError, match="two answers that differ"):
        engine(server, top_logprobs=3, more_top_logprobs=0).probe()


def test_a_model_that_answers_in_other_words_does_not_pass_the_probe(server: FakeServer) -> None:
    shows(server, {"<think>": 0.9, "a": 0.05, "b": 0.01})
    with pytest.raises(EngineError, match="cannot grade: neither yes nor no"):
        engine(server, top_logprobs=3, more_top_logprobs=0).probe()


def test_one_of_several_models_has_to_be_named(server: FakeServer) -> None:
    server.models.append({"id": "second"})
    with pytest.raises(EngineError, match="name one of the models; it serves: grader, second"):
        engine(server).probe()
    assert engine(server, "second").probe().facts["model"] == "second"


@pytest.mark.parametrize(
    ("style", "last", "fields"),
    [
        ("prefix", {"prefix": True}, {}),
        ("last_message", {}, {}),
        (
            "continue_final_message",
            {},
            {"add_generation_prompt": False, "continue_final_message": True},
        ),
    ],
)
def test_a_prefill_is_sent_as_the_server_wants_it(
    server: FakeServer, style: str, last: dict[str, Any], fields: dict[str, Any]
) -> None:
    engine(server, prefill_style=style).grade([cell("a", PREFILLED)])
    body = server.chats[-1]
    assert body["messages"][-1] == {"role": "assistant", "content": "Answer:", **last}
    assert {name: body[name] for name in body if "final" in name or "generation" in name} == fields


def test_a_prefill_is_refused_where_nobody_said_how_it_is_sent(server: FakeServer) -> None:
    with pytest.raises(EngineError, match=r"begins the reply with 'Answer:'.*set prefill_style"):
        engine(server).grade([cell("a", PREFILLED)])
    with pytest.raises(EngineError, match="prefill_style 'magic' is none of: continue_final"):
        engine(server, prefill_style="magic")
    assert server.chats == []


def test_extra_fields_are_added_or_taken_out_and_never_change_the_reading(
    server: FakeServer,
) -> None:
    engine(server, extra_body={"max_tokens": None, "max_completion_tokens": 1}).grade([cell("a")])
    assert "max_tokens" not in server.chats[0]
    assert server.chats[0]["max_completion_tokens"] == 1
    with pytest.raises(EngineError, match="extra_body may not hold messages, temperature"):
        engine(server, extra_body={"temperature": 1, "messages": []})
    with pytest.raises(EngineError, match="not an object"):
        engine(server, extra_body="no")


def test_a_look_at_one_cell_shows_the_tokens_that_its_grade_was_read_from(
    server: FakeServer,
) -> None:
    grader = engine(server)
    assert isinstance(grader, Inspects)
    seen = grader.inspect(cell("Sorry"), top=3)
    assert [(share.text, share.label) for share in seen.top] == [
        ("Yes", "yes"),
        ("No", "no"),
        (" yes", "yes"),
    ]
    assert [share.probability for share in seen.top] == pytest.approx([0.6, 0.2, 0.1])
    assert {share.id for share in seen.top} == {None}
    assert seen.answer == grader.grade([cell("Sorry")])[0]
    assert (seen.prompt_tokens, seen.note) == (30, "")
    assert grader.inspect(cell("Sorry"), top=30).note == "The server showed 20."


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("https://host/openai/v1/", "https://host/openai/v1"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai"),
        ("https://host/v1/chat/completions", "https://host/v1"),
    ],
)
def test_the_address_is_that_under_which_chat_completions_lie(url: str, base: str) -> None:
    assert _base(url) == base


def test_a_leading_space_is_read_however_the_server_writes_it() -> None:
    assert [_text(token) for token in ("\u2581Yes", "\u0120Yes", " Yes", "Yes", "")] == [
        " Yes",
        " Yes",
        " Yes",
        "Yes",
        "",
    ]
