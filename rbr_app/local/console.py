"""Progress of set-up steps in a terminal or a log. Standard library only."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

Report = Callable[[str], None]
"""Takes what is happening now in a few words; called often."""


def now_and_then(title: str, report: Report, every: float = 5.0) -> Report:
    """A report for one step that passes a full line on to `report`, at once and every 5 s."""
    began = last = time.monotonic()
    report(title)

    def pass_on(detail: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every:
            last = now
            report(f"{title} … {detail} ({now - began:.0f} s)")

    return pass_on


class Steps:
    """Step lines such as ``[2/4] installing 56 packages … 31/56 scipy (12 s)``.

    On a terminal the line of the running step is rewritten in place; elsewhere a line is written
    at its start, every `every` seconds and at its end.
    """

    def __init__(self, total: int, stream: TextIO | None = None, every: float = 5.0) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._every = every
        self._number = 0
        self._in_place = self._stream.isatty()

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Report]:
        self._number += 1
        head = f"[{self._number}/{self._total}] {title} …"
        began = last = time.monotonic()
        self._show(head)

        def report(detail: str) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= (0.1 if self._in_place else self._every):
                last = now
                self._show(f"{head} {detail} ({now - began:.0f} s)")

        try:
            yield report
        except BaseException:
            # What went wrong is written below the line that says where.
            self._end(f"{head} not finished")
            raise
        self._end(f"{head} done in {time.monotonic() - began:.0f} s")

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _show(self, line: str) -> None:
        if self._in_place:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\033[K{line[:width]}")
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _end(self, line: str) -> None:
        self._show(line)
        if self._in_place:
            self._stream.write("\n")
            self._stream.flush()
