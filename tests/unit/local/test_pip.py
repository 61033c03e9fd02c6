import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rbr_app.local import pip
from rbr_app.local.errors import SetupError
from rbr_app.local.lock_file import Pin

LOG = Path("/home/x/setup.log")
NOT_THERE = "ERROR: No matching distribution found for torch==2.13.0+cpu\n"


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (NOT_THERE, "no package index has torch==2.13.0+cpu: set PIP_INDEX_URL"),
        (f"WARNING: Retrying after NewConnectionError\n{NOT_THERE}", "a download failed"),
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        ("  ERROR: Failed building wheel for x", "install g++"),
        ("ERROR: [Errno 13] Permission denied: '/x'", "run this as its owner"),
        ("ERROR: what nobody foresaw\nbye", "pip failed (ERROR: what nobody foresaw)"),
        ("", "pip failed (no output)"),
    ],
)
def test_an_end_of_pip_is_one_line_that_names_the_remedy_and_the_log(
    output: str, line: str
) -> None:
    message = str(pip.explain(output, LOG))
    assert line in message
    assert message.endswith("pip's output is in /home/x/setup.log")
    assert "\n" not in message


def test_programs_of_the_environment_see_nothing_of_the_callers_python() -> None:
    given = {"PYTHONPATH": "/a", "PYTHONHOME": "/b", "VIRTUAL_ENV": "/c", "PATH": "/d", "LANG": "C"}
    bin_directory = str(pip.python().parent)
    assert pip.environ(given) == {
        "VIRTUAL_ENV": str(pip.python().parents[1]),
        "PATH": f"{bin_directory}:/d",
        "LANG": "C",
    }
    assert pip.environ(pip.environ(given)) == pip.environ(given)


def fake_pip(answers: list[tuple[int, str]], calls: list[list[str]]) -> Callable[..., object]:
    def run(command: Sequence[str], **_: object) -> tuple[int, str]:
        calls.append([part for part in command if "==" in part or part.startswith("http")])
        return answers.pop(0)

    return run


def install(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, str]) -> list[list[str]]:
    calls: list[list[str]] = []
    monkeypatch.setattr(pip, "run_logged", fake_pip(list(answers), calls))
    pins = [Pin("numpy", "2.3.5"), Pin("torch", "2.13.0+cpu")]
    try:
        pip.install(pins, log=LOG, lock=0, report=lambda text: None)
    except SetupError as error:
        calls.append([str(error)])
    return calls


def test_torch_comes_from_the_usual_index_if_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(monkeypatch, (0, ""), (0, "")) == [["torch==2.13.0+cpu"], ["numpy==2.3.5"]]


def test_torch_comes_from_pytorchs_index_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RBR_TORCH_INDEX", raising=False)
    assert install(monkeypatch, (1, NOT_THERE), (0, ""), (0, "")) == [
        ["torch==2.13.0+cpu"],
        ["https://download.pytorch.org/whl/cpu", "torch==2.13.0+cpu"],
        ["numpy==2.3.5"],
    ]


def test_a_torch_that_is_nowhere_names_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBR_TORCH_INDEX", "https://mirror.example/cpu")
    *_, [message] = install(monkeypatch, (1, NOT_THERE), (1, NOT_THERE))
    assert message.startswith("torch==2.13.0+cpu could not be had from https://mirror.example/cpu")
    assert "set RBR_TORCH_INDEX" in message


def test_a_network_that_is_down_is_not_taken_for_a_missing_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *calls, [message] = install(monkeypatch, (1, f"NewConnectionError\n{NOT_THERE}"))
    assert message.startswith("a download failed")
    assert len(calls) == 1


def test_the_running_interpreter_is_the_one_that_pip_installs_for() -> None:
    if sys.prefix == str(pip.python().parents[1]):
        assert pip.site_packages().is_dir()
