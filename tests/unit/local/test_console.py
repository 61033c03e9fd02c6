import io
import os
import re

import pytest

from rbr_app.local.console import Steps, now_and_then


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_a_line_at_the_start_now_and_then_and_at_the_end() -> None:
    log = io.StringIO()
    steps = Steps(2, log, every=0)
    with steps.step("making .venv"):
        pass
    with steps.step("installing 56 packages") as report:
        report("31/56 scipy")
    assert re.sub(r"\d+ s\b", "N s", log.getvalue()).splitlines() == [
        "[1/2] making .venv …",
        "[1/2] making .venv … done in N s",
        "[2/2] installing 56 packages …",
        "[2/2] installing 56 packages … 31/56 scipy (N s)",
        "[2/2] installing 56 packages … done in N s",
    ]


def test_a_log_is_not_flooded() -> None:
    log = io.StringIO()
    with Steps(1, log, every=60).step("working") as report:
        for number in range(100):
            report(str(number))
    assert len(log.getvalue().splitlines()) == 2


def test_a_terminal_has_one_line_per_step_that_fits_its_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_, **__: os.terminal_size((20, 24)))
    terminal = Terminal()
    with Steps(1, terminal).step("a very long title that cannot fit"):
        pass
    assert terminal.getvalue().count("\n") == 1
    shown = terminal.getvalue().replace("\r\033[K", "\0").strip("\0\n").split("\0")
    assert [len(line) for line in shown] == [19, 19]


def test_a_step_that_fails_says_so_and_lets_the_error_through() -> None:
    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Steps(1, log).step("working"):
        raise KeyboardInterrupt
    assert log.getvalue().splitlines()[-1] == "[1/1] working … not finished"


def test_a_caller_with_its_own_display_hears_of_a_step_now_and_then() -> None:
    heard: list[str] = []
    report = now_and_then("installing", heard.append, every=60)
    report("1/56 amqp")
    assert heard == ["installing"]
    report = now_and_then("installing", heard.append, every=0)
    report("1/56 amqp")
    assert heard[1:] == ["installing", "installing … 1/56 amqp (0 s)"]
