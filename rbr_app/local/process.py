"""Child processes of the supervisor: started to die with it, reaped here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import proc
from .errors import SetupError

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOG_LIMIT = 10 * 2**20


def prctl(option: int, value: int) -> None:
    """Linux process control for the calling process; failures are of no consequence here."""
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def rotate(log: Path) -> None:
    """Move a log that has grown large aside, keeping one older file."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))


class Child:
    """A running process, leader of its own session."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.process = process
        self.pid = process.pid
        self.log = log
        self.log_start = log_start
        self.exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self.exit.done()

    async def wait(self) -> int:
        """Exit status, negative for a signal; may be cancelled without harm to the process."""
        return await asyncio.shield(self.exit)

    def kill_group(self) -> None:
        """Kill what is left of its process group, the leader alive or not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stop(self, number: signal.Signals, seconds: float) -> None:
        """Ask it to end, and kill the whole group when it has not within `seconds`."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), seconds)
        self.kill_group()
        await self.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that this process, not an earlier one, wrote to its log."""
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, self.log.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
        return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


class Children:
    """Starts children and collects them. One per process: it owns SIGCHLD."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        # Grandchildren whose parent dies become ours: PID 1 of a container may never reap them,
        # and a pool process that outlives its killed worker is found and ended.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def spawn(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        cwd: Path,
        death_signal: signal.Signals = signal.SIGKILL,
        prefix: Sequence[str] = (),
    ) -> Child:
        """Start `command` with its output in `log`; it gets `death_signal` if this process dies.

        `prefix` runs before the death signal is set, because a change of user would clear it.

        Raises:
            SetupError: a program is missing.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        rotate(log)
        on_death = [
            "setpriv",
            "--pdeathsig",
            death_signal.name.removeprefix("SIG"),
            "--",
        ]
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    [*prefix, *on_death, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environ),
                    cwd=cwd,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise SetupError(
                    f"`{error.filename}` is missing: install the package util-linux"
                ) from error
            child = Child(process, log, output.tell())
        self._children[child.pid] = child
        return child

    async def run(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environ: Mapping[str, str],
        cwd: Path,
    ) -> tuple[int, str]:
        """Run a short command to its end: exit status and the last lines of its output."""
        child = self.spawn(command, log=log, environ=environ, cwd=cwd)
        try:
            return await child.wait(), child.log_tail()
        finally:
            child.kill_group()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                pid, status = found
                if child := self._children.pop(pid, None):
                    # Popen must not wait for a process that has been reaped here.
                    child.process.returncode = code = os.waitstatus_to_exitcode(status)
                    child.exit.set_result(code)
        self._kill_adopted()

    def _kill_adopted(self) -> None:
        for process in proc.children(os.getpid()):
            if process.pid not in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
