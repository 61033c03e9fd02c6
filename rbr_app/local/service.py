"""What the supervisor must know about a process to run it."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import paths
from .process import Children


@dataclass
class Service(ABC):
    """One process; a subclass says how it is started and when it can be used.

    `environ` is the environment of the command that first asked for it.
    """

    home: Path
    environ: Mapping[str, str]
    port: int
    children: Children

    name = ""
    stop_signal = signal.SIGTERM
    stop_seconds = 10.0
    death_signal = signal.SIGTERM
    ready_seconds = 60.0
    prefix: Sequence[str] = field(default=(), init=False)

    @property
    def address(self) -> str:
        """How clients reach it, "" for a process that is not addressed."""
        return ""

    @property
    def log(self) -> Path:
        return paths.logs(self.home) / f"{self.name}.log"

    @property
    def cwd(self) -> Path:
        return paths.PROJECT

    def process_environ(self) -> Mapping[str, str]:
        return self.environ

    @abstractmethod
    def command(self) -> list[str]:
        """The process's arguments, the program first."""

    async def prepare(self) -> None:  # noqa: B027 (most have nothing to do)
        """Make ready for a start, the first or a later one; the service does not run now.

        Raises:
            SetupError: it cannot start on this machine as things are.
        """

    @abstractmethod
    async def is_ready(self, pid: int) -> bool:
        """Whether it serves now; called every few hundredths of a second after the start."""
