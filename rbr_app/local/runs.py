"""Run an installer with its output in a log and its progress shown. Standard library only."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .console import Report

POLL_SECONDS = 0.25


def run_logged(
    command: Sequence[str],
    *,
    log: Path,
    environ: Mapping[str, str],
    report: Report,
    describe: Callable[[str], str] = lambda text: "",
    cwd: Path | None = None,
    keep_open: Sequence[int] = (),
) -> tuple[int, str]:
    """Run `command` to its end: its exit status and what it wrote.

    `describe` turns the output so far into a few words for `report`. `keep_open` are descriptors
    the child inherits: a lock among them outlives this process as long as the child runs.

    Raises:
        OSError: the program is missing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        start = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            cwd=cwd,
            pass_fds=keep_open,
        )
    try:
        while True:
            try:
                code = process.wait(POLL_SECONDS)
                return code, _read(log, start)
            except subprocess.TimeoutExpired:
                report(describe(_read(log, start)))
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _read(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def last_line(text: str, mark: str = "") -> str:
    """The last line that begins with `mark`, else the last of all, cut to what fits in an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(mark)]
    return (marked or lines or ["no output"])[-1][:200]
