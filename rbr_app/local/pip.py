"""Installs pinned packages into `.venv` with its own pip. Standard library only."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import paths
from .console import Report
from .errors import SetupError
from .lock_file import Pin, installed, normal
from .runs import last_line, run_logged

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
# These would send packages elsewhere than into the environment, or change which are taken.
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "__PYVENV_LAUNCHER__")
FOREIGN_TO_PIP = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_CONSTRAINT",
    "PIP_NO_DEPS",
)
UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|Temporary failure in name resolution|ProxyError"
    r"|Read timed out|ConnectTimeout|Connection (?:refused|reset|broken)|IncompleteRead"
    r"|RemoteDisconnected|Network is unreachable|SSLError|CERTIFICATE_VERIFY_FAILED|HTTP error 5"
)
NOT_FOUND = re.compile(r"No matching distribution found for (\S+)")
STEP = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([\w.-]+)", re.MULTILINE)


def python() -> Path:
    """The interpreter that has the packages."""
    return paths.venv() / "bin" / "python" if paths.manages_packages() else Path(sys.executable)


def site_packages() -> Path:
    return paths.venv() / "lib" / "python3.11" / "site-packages"


def environ(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`base` as it must be for programs of the environment, whatever the caller had set."""
    clean = {name: value for name, value in base.items() if name not in FOREIGN}
    clean["VIRTUAL_ENV"] = str(paths.venv())
    scripts = str(paths.venv() / "bin")
    others = [part for part in clean.get("PATH", os.defpath).split(os.pathsep) if part != scripts]
    clean["PATH"] = os.pathsep.join([scripts, *others])
    return clean


class PipError(SetupError):
    """`not_found`: the package index was reached and does not have the pin."""

    def __init__(self, message: str, not_found: bool) -> None:
        super().__init__(message)
        self.not_found = not_found


def install(pins: Sequence[Pin], *, log: Path, lock: int, report: Report) -> None:
    """Install `pins` and nothing else: the lock is complete, so dependencies are not followed.

    Raises:
        SetupError: what went wrong and what to do.
    """
    torch = [pin for pin in pins if normal(pin.name) == "torch"]
    if torch:
        _install_torch(torch[0], log=log, lock=lock, report=report)
    if others := [pin for pin in pins if pin not in torch]:
        _install(others, [], log=log, lock=lock, report=report)


def _install_torch(pin: Pin, *, log: Path, lock: int, report: Report) -> None:
    """The CPU build is on PyTorch's own index alone, unless this machine has a mirror of it."""
    try:
        _install([pin], [], log=log, lock=lock, report=report)
    except PipError as error:
        if not error.not_found:
            raise
        index = os.environ.get("RBR_TORCH_INDEX") or TORCH_INDEX
        try:
            _install([pin], ["--extra-index-url", index], log=log, lock=lock, report=report)
        except PipError as second:
            raise SetupError(
                f"{pin} could not be had from {index} either: set RBR_TORCH_INDEX to a package "
                f"index that has it, and run this again; pip's output is in {log}"
            ) from second


def _install(
    pins: Sequence[Pin], options: list[str], *, log: Path, lock: int, report: Report
) -> None:
    names = {normal(pin.name) for pin in pins}
    before = names & installed(site_packages()).keys()
    command = [str(python()), "-m", "pip", "install", "--no-deps", "--no-input", *options]
    command += ["--progress-bar", "off", "--no-warn-script-location", "--root-user-action=ignore"]
    clean = environ({k: v for k, v in os.environ.items() if k not in FOREIGN_TO_PIP})

    def describe(text: str) -> str:
        if "Installing collected packages" in text:
            done = len(names & installed(site_packages()).keys() - before)
            return f"unpacking {done}/{len(pins) - len(before)}"
        seen = STEP.findall(text)
        return f"{len(seen)}/{len(pins)} {seen[-1]}" if seen else "starting pip"

    code, text = run_logged(
        command + [str(pin) for pin in pins],
        log=log,
        environ=clean,
        report=report,
        describe=describe,
        keep_open=[lock],
    )
    if code:
        raise explain(text, log)


def explain(text: str, log: Path) -> PipError:
    """What pip's output means for the person who waits, in one line."""
    not_found = NOT_FOUND.search(text)
    if "No space left on device" in text or "Disk quota exceeded" in text:
        what = "the disk is full: free some space and run this again"
    elif UNREACHABLE.search(text):
        what = (
            "a download failed: check the network, or set PIP_INDEX_URL or https_proxy, and run "
            "this again (what is done stays)"
        )
    elif not_found:
        what = (
            f"no package index has {not_found[1]}: set PIP_INDEX_URL or PIP_EXTRA_INDEX_URL to "
            "one that does"
        )
    elif "Failed building wheel" in text or "Failed to build" in text:
        what = "a package has no wheel for this machine and could not be compiled: install g++"
    elif "Permission denied" in text:
        what = f"{paths.venv()} may not be written: run this as its owner"
    else:
        what = f"pip failed ({last_line(text, 'ERROR')}): see its output"
    return PipError(f"{what}; pip's output is in {log}", what.startswith("no package index"))
