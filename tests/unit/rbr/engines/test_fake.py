from __future__ import annotations

import time
from typing import Any

import pytest

from rbr_app.rbr.engines import Engine, EngineConfig, EngineError, open_engine

from .cells import APOLOGY, REFUSAL, cell


def fake(**settings: Any) -> Engine:
    return open_engine(EngineConfig("fake", settings={"allow_fake": True, **settings}))


def test_a_fake_grader_is_refused_where_nobody_allowed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RBR_ALLOW_FAKE_ENGINE", raising=False)
    with pytest.raises(EngineError, match="RBR_ALLOW_FAKE_ENGINE=1"):
        open_engine(EngineConfig("fake"))
    monkeypatch.setenv("RBR_ALLOW_FAKE_ENGINE", "1")
    open_engine(EngineConfig("fake"))


def test_equal_cells_get_equal_answers_and_others_do_not() -> None:
    cells = [cell("a"), cell("b"), cell("a"), cell("a", REFUSAL), cell("a", user="other")]
    p = [answer.p for answer in fake().grade(cells)]
    assert p == [answer.p for answer in fake().grade(cells)]
    assert p[0] == p[2]
    assert len(set(p)) == 4
    assert p != [answer.p for answer in fake(seed=1).grade(cells)]


def test_it_can_be_slow() -> None:
    started = time.perf_counter()
    fake(delay=0.02).grade([cell("a"), cell("b")])
    assert time.perf_counter() - started >= 0.04


def test_it_can_fail_after_a_number_of_cells() -> None:
    engine = fake(fail_after=2)
    engine.grade([cell("a"), cell("b")])
    with pytest.raises(EngineError, match="fails after 2 cells"):
        engine.grade([cell("c")])


def test_it_can_leave_cells_without_a_signal() -> None:
    answers = fake(null_every=3).grade([cell(str(n)) for n in range(60)])
    nulls = [answer for answer in answers if answer.p is None]
    assert 5 < len(nulls) < 40
    assert all(answer.null_reason for answer in nulls)


def test_its_probe_tells_apart_what_grades_differently() -> None:
    assert fake().probe().facts == fake().probe([cell("a", APOLOGY)]).facts
    assert fake().probe().facts != fake(seed=1).probe().facts
    assert (fake(delay=0.01).probe([cell("a")]).calls_per_second or 0) <= 100
