"""Set-up with the standard library alone: `.venv`, pinned packages, what the system lacks.

`main` is manage.py. Outside `.venv` it completes the environment and starts itself again inside;
inside it runs the command with the services that it needs. A set-up that is cut off at any point
is completed by the next command, and one that is complete costs a few milliseconds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from . import weights
from .local import debian, lock_file, paths, pip
from .local.console import Report, Steps, now_and_then
from .local.errors import SetupError
from .local.model_environ import has_compiler, model_environ
from .local.runs import last_line, run_logged

GIB = 2**30
LOCK = ".rbr-lock"
WEIGHTS = "preparing the grader model"
# Free space for a section with pip's downloads beside it, in GiB.
NEEDS_GIB = {"app": 1.0, "model": 4.5, "test": 1.0}


@dataclass(frozen=True)
class Step:
    """A piece of set-up; if it fails and has an `excuse`, that variable gets the reason instead."""

    title: str
    work: Callable[[Report], None]
    excuse: str = ""


def main(argv: list[str]) -> NoReturn:
    """Run one manage.py command; ends the process.

    The command runs in `.venv`, or in the running interpreter when ``RBR_BOOTSTRAP=0`` (an image
    whose packages were installed when it was built).
    """
    os.environ["RBR_HOME"] = str(paths.home())
    try:
        if argv[1:2] == ["test"]:
            run_tests(argv[2:])
        if paths.manages_packages() and (install("app") or not inside()):
            run_inside(str(paths.PROJECT / "manage.py"), *argv[1:])
        from .local.commands import run

        sys.exit(run(argv))
    except SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.exit("error: the disk is full: free some space, and run this again")
        if error.errno in (errno.EACCES, errno.EROFS):
            sys.exit(f"error: {error.filename} may not be written: use a checkout of your own")
        raise


def inside() -> bool:
    """Whether this interpreter is the environment's."""
    return paths.venv().is_dir() and os.path.samefile(sys.prefix, paths.venv())


def run_inside(*arguments: str) -> NoReturn:
    """Become the environment's Python."""
    os.execve(pip.python(), [str(pip.python()), *arguments], pip.environ())


def install(section: str, report: Report | None = None) -> bool:
    """Install a section of the lock (``app``, ``model``, ``test``) if it is not; True if it did.

    May be called while processes run from the environment: packages of other sections are left
    alone. `report` gets the progress in words; by default it is shown on standard error.

    Raises:
        SetupError: what went wrong and what to do.
    """
    if not paths.manages_packages():
        _check_given(section)
        return False
    if _is_complete(section):
        return False
    with _installing() as lock:
        steps = [*_venv_steps(), *_section_steps(section, lock)]
        _perform(steps, report)
    return bool(steps)


def _check_given(section: str) -> None:
    """Whether an environment that is not ours to change has the grader's engine."""
    if section == "model" and importlib.util.find_spec("vllm") is None:
        raise SetupError(
            "vllm is missing, and RBR_BOOTSTRAP=0 forbids installing it: build the image with it, "
            "set RBR_GRADER_URL, or use --no-llm"
        )


def prepare_model(report: Report | None = None) -> Path:
    """Everything that the default grader model needs; its directory. At once when all is there.

    Raises:
        SetupError: what went wrong and what to do.
    """
    if not paths.manages_packages():
        _check_given("model")
    elif not _is_complete("model") or not weights.is_ready(paths.home()):
        with _installing() as lock:
            _perform([*_venv_steps(), *_model_steps(lock)], report)
    # Without managed packages only the weights can be missing.
    if not weights.is_ready(paths.home()):
        _perform([Step(WEIGHTS, _make_weights)], report)
    return weights.model_directory(paths.home())


def _model_steps(lock: int) -> list[Step]:
    steps = _section_steps("model", lock)
    if not weights.is_ready(paths.home()):
        steps.append(Step(WEIGHTS, _make_weights))
    return steps


def _make_weights(report: Report) -> None:
    weights.ensure_default_model(paths.home(), report)


def run_tests(arguments: list[str]) -> NoReturn:
    """Everything that the tests need, then pytest in place of this process."""
    if paths.manages_packages():
        with _installing() as lock:
            steps = [*_venv_steps(), *_section_steps("app", lock)]
            steps += [Step(s.title, s.work, "RBR_NO_MODEL") for s in _model_steps(lock)]
            steps += _section_steps("test", lock)
            if not debian.chromium():
                steps.append(Step("installing Chromium", _install_chromium, "RBR_NO_CHROMIUM"))
            _perform(steps, None)
    os.environ.update(model_environ(paths.home(), os.environ))
    # A path given from another directory still names the file it named there.
    given = [str(Path(a).resolve()) if a[:1] != "-" and Path(a).exists() else a for a in arguments]
    os.chdir(paths.PROJECT)
    run_inside("-m", "pytest", *(given or ("-n", "auto", "--dist", "loadgroup")))


def _install_chromium(report: Report) -> None:
    debian.install_chromium(setup_log(), report)


def setup_log() -> Path:
    return paths.logs(paths.home()) / "setup.log"


def _perform(steps: list[Step], report: Report | None) -> None:
    shown = Steps(len(steps))
    for step in steps:
        if step.excuse and os.environ.get(step.excuse):
            continue
        try:
            if report is not None:
                step.work(now_and_then(step.title, report))
            else:
                with shown.step(step.title) as progress:
                    step.work(progress)
        except SetupError as error:
            if not step.excuse:
                raise
            os.environ[step.excuse] = str(error)
            shown.say(f"without it ({step.excuse}): {error}")


@contextlib.contextmanager
def _installing() -> Iterator[int]:
    """One installation at a time; the descriptor of the lock, which pip inherits.

    So a pip that outlives a killed manage.py still keeps the next one waiting.
    """
    try:
        paths.venv().mkdir(exist_ok=True)
        file = (paths.venv() / LOCK).open("a")
    except OSError as error:
        raise SetupError(f"{paths.venv()} cannot be written ({error.strerror})") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another command that installs packages …", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _stamp(name: str) -> Path:
    return paths.venv() / ".rbr-stamps" / name


def _expected(name: str) -> str:
    """What the stamp of a finished section (or of the environment itself) holds."""
    if name == "venv":
        return os.path.realpath(pip.python())
    return lock_file.digest(_pins(name))


def _is_stamped(name: str) -> bool:
    with contextlib.suppress(OSError):
        return _stamp(name).read_text() == _expected(name) and pip.python().exists()
    return False


def _is_complete(section: str) -> bool:
    # The library may be kept under RBR_HOME, of which there can be several.
    return _is_stamped(section) and (section != "model" or debian.has_numa(paths.home()))


def _put_stamp(name: str) -> None:
    _stamp(name).parent.mkdir(exist_ok=True)
    _stamp(name).write_text(_expected(name))


def _pins(section: str) -> tuple[lock_file.Pin, ...]:
    try:
        return lock_file.sections((paths.PROJECT / "requirements.txt").read_text())[section]
    except (OSError, ValueError, KeyError) as error:
        raise SetupError(f"requirements.txt cannot be used: {error}") from error


def _venv_steps() -> list[Step]:
    if _is_stamped("venv"):
        return []
    if _venv_works():
        _put_stamp("venv")
        return []
    return [Step(f"making {paths.venv().name} with Python 3.11", _make_venv)]


def _venv_works(check: str = "import pip") -> bool:
    code = f"import sys; {check}; sys.exit(sys.version_info[:2] != (3, 11))"
    with contextlib.suppress(OSError):
        command = [str(pip.python()), "-c", code]
        run = subprocess.run(command, env=pip.environ(), capture_output=True, check=False)
        return run.returncode == 0
    return False


def _make_venv(report: Report) -> None:
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        if not debian.can_install():
            raise SetupError(
                "this Python lacks venv and ensurepip: "
                "install the Debian package python3.11-venv, and run this again"
            )
        debian.apt_install(["python3.11-venv"], setup_log(), report)
    _check_space("app", 1.0)
    if pip.python().is_symlink() and not _venv_works("pass"):
        # Its Python has gone, or is another one: what was installed for that is of no use.
        for path in paths.venv().iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    lock_file.forget_half_installed(pip.site_packages())
    code, text = run_logged(
        [sys.executable, "-m", "venv", str(paths.venv())],
        log=setup_log(),
        environ={k: v for k, v in os.environ.items() if k not in pip.FOREIGN},
        report=report,
    )
    if code:
        raise SetupError(f"{paths.venv()} could not be made ({last_line(text)}): see {setup_log()}")
    _put_stamp("venv")


def _section_steps(section: str, lock: int) -> list[Step]:
    """What is left to do for a section; the last step puts its stamp."""
    if _is_complete(section):
        return []
    home, log, site = paths.home(), setup_log(), pip.site_packages()
    pins = _pins(section)
    missing = lock_file.missing(pins, site)
    steps = []
    if section == "model" and _has_gpu_vllm():
        missing = []
    elif section == "model" and (needs := debian.model_needs(home)):
        title = f"installing {', '.join(needs)}"
        steps.append(Step(title, lambda report: debian.install_for_model(home, log, report)))

    def install_missing(report: Report) -> None:
        _check_space(section, len(missing) / len(pins))
        lock_file.forget_half_installed(site)
        pip.install(missing, log=log, lock=lock, report=report)

    if missing:
        title = f"installing {len(missing)} packages [{section}]"
        if section == "model" and not (has_compiler() or debian.can_install()):
            title += " (no g++ here: the model will run uncompiled, a third slower)"
        steps.append(Step(title, install_missing))
    if not steps:
        _put_stamp(section)
        return []
    last = steps.pop()

    def finish(report: Report) -> None:
        last.work(report)
        _put_stamp(section)

    return [*steps, Step(last.title, finish)]


def _has_gpu_vllm() -> bool:
    """A GPU host whose owner has installed the GPU build: it is left as it is."""
    if "vllm" not in lock_file.installed(pip.site_packages()):
        return False
    with contextlib.suppress(OSError):
        return subprocess.run(["nvidia-smi"], capture_output=True, check=False).returncode == 0
    return False


def _check_space(section: str, part: float) -> None:
    free, need = shutil.disk_usage(paths.PROJECT).free / GIB, NEEDS_GIB[section] * part
    if free < need:
        raise SetupError(
            f"{free:.1f} GiB are free at {paths.PROJECT} and installing [{section}] takes "
            f"{need:.1f} GiB: free some space, and run this again"
        )
