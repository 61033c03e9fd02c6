from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import pytest

from rbr_app.rbr.engines import EngineError
from rbr_app.rbr.engines._replies import (
    KNOWN_YES,
    Reply,
    check,
    in_prompt_order,
    rendered,
    tolerance_of,
)
from rbr_app.rbr.grader import Rendered, TokenSets

from .cells import APOLOGY, REFUSAL, cell

SETS = TokenSets((1,), (2,))


def reply(yes: float, no: float = 0.1) -> Reply:
    return Reply({1: math.log(yes), 2: math.log(no)}, "Yes", prompt_tokens=9, cached_tokens=4)


def test_prompts_are_asked_in_order_and_answered_in_the_callers() -> None:
    cells = [cell("b", REFUSAL), cell("a", APOLOGY), cell("a", REFUSAL), cell("b", APOLOGY)]
    asked: list[Rendered] = []

    def ask(prompts: Sequence[Rendered]) -> list[Reply]:
        asked.extend(prompts)
        return [reply(0.1 + 0.1 * n) for n in range(len(prompts))]

    replies = in_prompt_order(rendered(cells), ask)
    answers = [reply.as_answer(SETS) for reply in replies]
    assert asked == sorted(asked)
    # Sorted: refusal a, refusal b, apology a, apology b ("Does" < "Is"); p_yes .1 .2 .3 .4
    # against p_no .1: p = 1/2, 2/3, 3/4, 4/5.
    assert [answer.p for answer in answers] == pytest.approx([2 / 3, 3 / 4, 1 / 2, 4 / 5])


def test_an_answer_keeps_what_the_call_cost() -> None:
    answer = reply(0.3).as_answer(SETS)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.calls) == (9, 4, 1)
    assert answer.token == "Yes"


def test_a_refused_prompt_has_a_reason_and_cost_no_call() -> None:
    answer = Reply(refusal="too long", prompt_tokens=9000).as_answer(SETS)
    assert (answer.p, answer.null_reason, answer.calls) == (None, "too long", 0)


def check_with(*replies: Reply, tolerance: float = 1e-4) -> None:
    """`replies`: to yes, to no, again to yes, to no."""
    left = iter(replies)
    check(lambda prompts: [next(left) for _ in prompts], SETS, tolerance)


def test_a_grader_that_answers_and_repeats_itself_passes() -> None:
    check_with(reply(0.8), reply(0.05), reply(0.8), reply(0.05))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Reply(refusal="no such parameter"), "refused the check prompt: no such parameter"),
        (Reply(), r"no log-probability for the label tokens \[1, 2\]"),
        (Reply({1: -0.5}), r"label tokens \[2\]"),
        (Reply({1: -0.5, 2: -9999.0}), r"label tokens \[2\]"),
        (Reply({1: -0.5, 2: math.nan}), r"label tokens \[2\]"),
        (Reply({1: -2000.0, 2: -2000.0}), "no probability on yes or no"),
        (reply(0.1), "two answers that differ by"),
    ],
)
def test_a_grader_that_cannot_be_trusted_is_refused(bad: Reply, message: str) -> None:
    good = reply(0.8)
    with pytest.raises(EngineError, match=message):
        check_with(good, good, bad, good)


def test_little_mass_passes_the_check_and_shows_in_the_answers() -> None:
    weak = reply(0.01, 0.01)
    check_with(weak, weak, weak, weak)


def test_a_grader_that_cannot_tell_true_from_false_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        check_with(reply(0.1), reply(0.8), reply(0.1), reply(0.8))
    assert "does not tell a true statement from a false one" in caplog.text


def test_narrow_numbers_may_differ_more() -> None:
    assert tolerance_of("float32") < tolerance_of("bfloat16") == tolerance_of("")
    assert KNOWN_YES.count("{") == 0
