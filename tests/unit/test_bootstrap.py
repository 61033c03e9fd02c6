import ast
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rbr_app import bootstrap, weights
from rbr_app.local import commands, debian, paths, pip
from rbr_app.local.errors import SetupError

LOCK = "# [app]\namqp==5.4.2\nvine==5.1.0\n# [model]\ntorch==2.13.0+cpu\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the lock above and an environment without packages."""
    (tmp_path / "requirements.txt").write_text(LOCK)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setattr(paths, "PROJECT", tmp_path)
    monkeypatch.setenv("RBR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RBR_BOOTSTRAP", raising=False)
    monkeypatch.setattr(debian, "model_needs", lambda home: [])
    monkeypatch.setattr(debian, "has_numa", lambda home: True)
    return tmp_path


@pytest.fixture
def installs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What pip was asked to install, call by call; it does so by writing the metadata."""
    calls: list[list[str]] = []

    def install(pins: list[Any], **_: object) -> None:
        calls.append([str(pin) for pin in pins])
        for pin in pins:
            directory = pip.site_packages() / f"{pin.name}-{pin.version}.dist-info"
            directory.mkdir(parents=True)
            (directory / "RECORD").touch()

    monkeypatch.setattr(pip, "install", install)
    return calls


def test_a_section_is_installed_once_and_again_when_its_lock_has_changed(
    checkout: Path, installs: list[list[str]]
) -> None:
    assert bootstrap.install("app")
    assert not bootstrap.install("app")
    changed = LOCK.replace("vine==5.1.0", "vine==5.2.0")
    (checkout / "requirements.txt").write_text(changed)
    assert bootstrap.install("app")
    assert installs == [["amqp==5.4.2", "vine==5.1.0"], ["vine==5.2.0"]]


def test_a_change_in_one_section_leaves_the_others_alone(
    checkout: Path, installs: list[list[str]]
) -> None:
    bootstrap.install("app")
    (checkout / "requirements.txt").write_text(LOCK.replace("2.13.0", "2.14.0"))
    assert not bootstrap.install("app")
    assert bootstrap.install("model")
    assert installs[1:] == [["torch==2.14.0+cpu"]]


def test_a_section_that_failed_is_tried_again(
    installs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(pins: object, **_: object) -> NoReturn:
        raise SetupError("a download failed")

    working = pip.install
    monkeypatch.setattr(pip, "install", fail)
    with pytest.raises(SetupError):
        bootstrap.install("app")
    monkeypatch.setattr(pip, "install", working)
    assert bootstrap.install("app")


def test_an_environment_made_by_hand_gets_its_stamp_without_pip(
    checkout: Path, installs: list[list[str]]
) -> None:
    for name in ("amqp-5.4.2", "vine-5.1.0"):
        directory = pip.site_packages() / f"{name}.dist-info"
        directory.mkdir(parents=True)
        (directory / "RECORD").touch()
    assert not bootstrap.install("app")
    assert installs == []


def test_the_gpu_build_of_vllm_on_a_gpu_host_is_left_as_it_is(
    checkout: Path, installs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = pip.site_packages() / "vllm-0.32.0.dist-info"
    directory.mkdir(parents=True)
    (directory / "RECORD").touch()
    (checkout / "nvidia-smi").write_text("#!/bin/sh\n")
    (checkout / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(checkout), prepend=os.pathsep)
    assert not bootstrap.install("model")
    assert installs == []


def test_an_image_built_with_its_packages_is_left_as_it_is(
    installs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RBR_BOOTSTRAP", "0")
    assert not bootstrap.install("app")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SetupError, match="RBR_BOOTSTRAP=0 forbids installing it"):
        bootstrap.install("model")
    assert installs == []
    assert str(pip.python()) == sys.executable


def test_too_little_disk_is_told_before_anything_is_fetched(
    installs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil._ntuple_diskusage(10**12, 10**12, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(SetupError, match=r"0\.1 GiB are free .* takes 1\.0 GiB: free some space"):
        bootstrap.install("app")
    assert installs == []


def test_progress_goes_to_the_caller_that_asks_for_it(
    installs: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[str] = []
    bootstrap.install("app", heard.append)
    assert heard == ["installing 2 packages [app]"]
    assert capsys.readouterr().err == ""


def test_the_model_is_prepared_once_with_its_packages_and_weights(
    installs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(home: Path, report: object) -> Path:
        made.append(home)
        return home

    monkeypatch.setattr(weights, "is_ready", lambda home: bool(made))
    monkeypatch.setattr(weights, "ensure_default_model", make)
    heard: list[str] = []
    for _ in range(2):
        assert bootstrap.prepare_model(heard.append).name == weights.NAME
    assert installs == [["torch==2.13.0+cpu"]]
    assert len(made) == 1
    assert heard == ["installing 1 packages [model]", "preparing the grader model"]


def test_a_python_without_venv_names_the_package_to_install(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(checkout / ".venv")
    find = bootstrap.importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ensurepip" else find(name)
    )
    monkeypatch.setattr(debian, "can_install", lambda: False)
    with pytest.raises(SetupError, match=r"install the Debian package python3\.11-venv"):
        bootstrap.install("app")


def test_an_environment_whose_python_has_gone_is_made_anew(
    checkout: Path, installs: list[list[str]]
) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python3.11")
    left = checkout / ".venv" / "lib" / "python3.9" / "old"
    left.mkdir(parents=True)
    assert bootstrap.install("app")
    assert not left.exists()
    assert subprocess.run([python, "-m", "pip", "--version"], check=False).returncode == 0


@contextmanager
def ends_with(message: str | int) -> Iterator[None]:
    with pytest.raises(SystemExit) as end:
        yield
    assert end.value.code == message


def failing(error: BaseException) -> Callable[[list[str]], int]:
    def run(argv: list[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            SetupError("the port is taken: choose another"),
            "error: the port is taken: choose another",
        ),
        (KeyboardInterrupt(), 130),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "error: the disk is full: free some space, and run this again",
        ),
        (
            PermissionError(errno.EACCES, "no", "/srv/.venv"),
            "error: /srv/.venv may not be written: use a checkout of your own",
        ),
    ],
)
def test_what_fails_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, message: str | int
) -> None:
    monkeypatch.setenv("RBR_BOOTSTRAP", "0")
    monkeypatch.setattr(commands, "run", failing(error))
    with ends_with(message):
        bootstrap.main(["manage.py", "check"])


def test_an_error_of_the_program_itself_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RBR_BOOTSTRAP", "0")
    monkeypatch.setattr(commands, "run", failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        bootstrap.main(["manage.py", "check"])


def test_set_up_needs_the_standard_library_alone() -> None:
    """What bootstrap imports at its own import, followed through this project's modules."""
    seen: set[str] = set()
    waiting = ["rbr_app.bootstrap", "rbr_app.weights"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        root = Path(bootstrap.__file__).parents[1] / name.replace(".", "/")
        file = root / "__init__.py" if root.is_dir() else root.with_suffix(".py")
        package = name if root.is_dir() else name.rpartition(".")[0]
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] in sys.stdlib_module_names for a in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert str(node.module).split(".")[0] in sys.stdlib_module_names
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(filter(None, [package, node.module]))
                found = [f"{base}.{a.name}" for a in node.names] if not node.module else [base]
                waiting += [n for n in [*found, package] if n not in seen and not _is_name(n)]
    assert "rbr_app.local.client" in seen


def _is_name(module: str) -> bool:
    root = Path(bootstrap.__file__).parents[1] / module.replace(".", "/")
    return not root.is_dir() and not root.with_suffix(".py").exists()


def test_manage_py_can_be_read_by_a_python_of_ten_years_ago() -> None:
    source = (Path(bootstrap.__file__).parents[1] / "manage.py").read_text()
    ast.parse(source, feature_version=(3, 4))
