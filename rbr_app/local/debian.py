"""System packages: installed as root on Debian, else fetched or done without. Standard library."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from .console import Report
from .errors import SetupError
from .model_environ import has_compiler
from .runs import last_line, run_logged

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(packages: list[str], log: Path, report: Report) -> None:
    """As root. Raises: SetupError."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=120"]
    # A source that is down does not matter if the packages come from another.
    run_logged([*apt, "update"], log=log, environ=environ, report=report)
    code, text = run_logged(
        [*apt, "install", "-y", "--no-install-recommends", *packages],
        log=log,
        environ=environ,
        report=report,
        describe=last_line,
    )
    if code:
        raise SetupError(
            f"apt-get could not install {' '.join(packages)} ({last_line(text, 'E:')}): "
            f"install by hand, and run this again; its output is in {log}"
        )


def has_numa(home: Path) -> bool:
    """Whether the library that vLLM's CPU build is linked with can be loaded."""
    if (home / "lib" / "libnuma.so.1").exists():
        return True
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        return False
    return True


def model_needs(home: Path) -> list[str]:
    """The Debian packages that the grader model needs and this machine lacks."""
    needs = [] if has_numa(home) else ["libnuma1"]
    # Without a compiler the model runs uncompiled; only root can change that.
    return needs + (["g++"] if not has_compiler() and can_install() else [])


def install_for_model(home: Path, log: Path, report: Report) -> None:
    """Raises:
    SetupError: libnuma cannot be had. (A missing compiler is no error.)
    """
    needs = model_needs(home)
    if can_install():
        try:
            apt_install(needs, log, report)
        except SetupError:
            if not has_numa(home):
                raise
    elif "libnuma1" in needs:
        _fetch_numa(home, log, report)


def _fetch_numa(home: Path, log: Path, report: Report) -> None:
    """Without root: Debian's package, unpacked under the home."""
    place = home / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "unpacked"):
        (place / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::Lists": place / "lists",
        "Dir::Cache": place / "cache",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", *(part for k, v in options.items() for part in ("-o", f"{k}={v}"))]
    failed = SetupError(
        "the library libnuma.so.1 is missing and could not be fetched: ask an administrator to "
        f"install it (Debian's package libnuma1), or use --no-llm; see {log}"
    )
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise failed
    for command in ([*apt, "update"], [*apt, "download", "libnuma1"]):
        run_logged(command, log=log, environ=os.environ, report=report, cwd=place)
    for package in place.glob("libnuma1_*.deb"):
        unpack = ["dpkg", "-x", str(package), str(place / "unpacked")]
        run_logged(unpack, log=log, environ=os.environ, report=report)
    found = [path for path in (place / "unpacked").rglob("libnuma.so.1*") if not path.is_symlink()]
    if not found:
        raise failed
    (home / "lib").mkdir(exist_ok=True)
    shutil.copy(found[0], home / "lib" / "libnuma.so.1")
    shutil.rmtree(place)


def chromium() -> str | None:
    """Path of a Chromium, for browser tests."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def install_chromium(log: Path, report: Report) -> None:
    """Raises:
    SetupError: it cannot be installed here; the reason.
    """
    # Ubuntu's package of that name only fetches a snap.
    release = Path("/etc/os-release")
    if not release.exists() or "\nID=debian" not in "\n" + release.read_text():
        raise SetupError("no Chromium, and it is installed only on Debian: install one by hand")
    if not can_install():
        raise SetupError("no Chromium, and only root can install one: apt-get install chromium")
    apt_install(["chromium"], log, report)
