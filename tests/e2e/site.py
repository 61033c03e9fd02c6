"""A whole site in a home of its own, driven the way people drive it: through manage.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from rbr_app import local
from tests.conftest import PROJECT

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """`home` is the RBR_HOME; `model` the directory of the grader model."""

    home: Path
    model: Path | None = None

    @property
    def environ(self) -> dict[str, str]:
        # bfloat16: what these tests are about does not depend on the numbers, and it is faster.
        ours = {"RBR_HOME": str(self.home), "RBR_GRADER_DTYPE": "bfloat16"}
        if self.model:
            ours["RBR_GRADER_MODEL"] = str(self.model)
        return {**os.environ, **ours}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def manage(self, *arguments: str, ok: bool = True) -> str:
        """Run a command to its end and return what it printed."""
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=400)
        assert (process.returncode == 0) is ok, f"manage.py {' '.join(arguments)}:\n{out}"
        return out

    def result(self, *arguments: str) -> dict[str, Any]:
        """What a command writes with ``--json``."""
        path = self.home / "result.json"
        self.manage(*arguments, "--json", str(path))
        return dict(json.loads(path.read_text()))

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the site's database, past the application."""
        with psycopg.connect(local.database_url(self.home)) as connection:
            return connection.execute(query, values).fetchall()

    def process(self, service: str) -> psutil.Process:
        """The main process of a service."""
        services = (local.status(self.home) or {"services": []})["services"]
        return next(psutil.Process(row["pid"]) for row in services if row["service"] == service)


def kill(process: psutil.Process) -> None:
    process.send_signal(signal.SIGKILL)


def wait_until(condition: Callable[[], T], seconds: float = 120.0) -> T:
    """What `condition` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"still not so after {seconds:.0f} s"
        time.sleep(0.2)
    return value
