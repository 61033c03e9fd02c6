from __future__ import annotations

import pytest

from rbr_app.rbr.engines import Answer, EngineError


def test_an_answer_has_p_or_a_reason_and_never_both() -> None:
    Answer(0.5, 0.9)
    Answer(None, None, null_reason="too long")
    with pytest.raises(ValueError, match="either p or a reason"):
        Answer(None, 0.9)
    with pytest.raises(ValueError, match="either p or a reason"):
        Answer(0.5, 0.9, null_reason="too long")


def test_an_engine_error_is_one_line() -> None:
    assert str(EngineError("no\n  memory\tleft")) == "no memory left"


def test_bounds_come_in_pairs_around_p() -> None:
    Answer(0.5, 0.9, p_low=0.4, p_high=0.5)
    for bounds in ({"p_low": 0.4}, {"p_high": 0.6}, {"p_low": 0.6, "p_high": 0.7}):
        with pytest.raises(ValueError, match="bounds come in pairs"):
            Answer(0.5, 0.9, **bounds)
    with pytest.raises(ValueError, match="bounds come in pairs"):
        Answer(None, None, null_reason="weak", p_low=0.1, p_high=0.2)
