"""The lock (requirements.txt) by sections, and what of it is installed. Standard library only."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

SECTION = re.compile(r"#\s*\[(\w+)\]")


@dataclass(frozen=True)
class Pin:
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def normal(name: str) -> str:
    """A package name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sections(text: str) -> dict[str, tuple[Pin, ...]]:
    """Section name -> its pins; a section begins with a line like ``# [app] for what``.

    Raises:
        ValueError: a line is not an exact pin, or stands before the first section.
    """
    found: dict[str, list[Pin]] = {}
    current: list[Pin] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := SECTION.match(line):
            current = found.setdefault(match[1], [])
        if not (content := line.split("#")[0].strip()):
            continue
        name, equals, version = content.partition("==")
        if not equals or current is None:
            raise ValueError(f"requirements.txt line {number}: `name==version` in a section wanted")
        current.append(Pin(name.strip(), version.strip()))
    return {name: tuple(pins) for name, pins in found.items()}


def digest(pins: tuple[Pin, ...]) -> str:
    """The section's fingerprint: comments and blank lines do not change it."""
    return hashlib.sha256("\n".join(map(str, pins)).encode()).hexdigest()


def installed(site_packages: Path) -> dict[str, str]:
    """Normalised name -> version of every completely installed package."""
    found = {}
    for directory in site_packages.glob("*.dist-info"):
        if (directory / "RECORD").exists():
            name, _, version = directory.name.removesuffix(".dist-info").partition("-")
            found[normal(name)] = version
    return found


def missing(pins: tuple[Pin, ...], site_packages: Path) -> list[Pin]:
    have = installed(site_packages)
    return [pin for pin in pins if have.get(normal(pin.name)) != pin.version]


def forget_half_installed(site_packages: Path) -> None:
    """Drop the metadata of packages whose installation was cut off, so that pip does them again.

    pip writes RECORD last, but takes a package without one for installed.
    """
    for directory in site_packages.glob("*.dist-info"):
        if not (directory / "RECORD").exists():
            shutil.rmtree(directory)
    for leftover in site_packages.glob("~*"):  # what pip had moved aside for an upgrade
        shutil.rmtree(leftover, ignore_errors=True)
