"""The commands' side: hold services for as long as they are needed. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import catalogue, paths
from .errors import SetupError

CONNECT_SECONDS = 30.0
RELEASE_SECONDS = 45.0


class Addresses(dict[str, str]):
    """Service name -> address, while held; "" for a worker, which is not addressed."""

    def __init__(self, addresses: dict[str, str], connection: socket.socket | None) -> None:
        super().__init__(addresses)
        self._connection = connection

    def wait_lost(self, seconds: float | None = None) -> bool:
        """Wait until the supervisor has gone (then True), or `seconds` have passed (False)."""
        watched = [] if self._connection is None else [self._connection]
        return bool(select.select(watched, [], [], seconds)[0])


@contextlib.contextmanager
def hold(
    *services: str,
    port: int = 8000,
    home: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[Addresses]:
    """Keep `services` and what they need running until the block ends, however it ends.

    Services that the environment places elsewhere (``DATABASE_URL``, ``RBR_BROKER_URL``,
    ``RBR_WORKERS=elsewhere``) are left out. Other commands may hold the same ones; each is stopped
    when its last holder has gone. `port` is the web server's. On leaving the block, what nobody
    else holds has ended.

    Raises:
        SetupError: a service did not start; the reason and the log, in one line.
    """
    home = (home or paths.home()).absolute()
    names = catalogue.wanted(services, os.environ)
    away = {n: a for n, a in catalogue.elsewhere(os.environ).items() if n in services}
    if not names:
        yield Addresses(away, None)
        return
    request = {
        "do": "hold",
        "services": names,
        "port": port,
        "command": " ".join(sys.argv)[:200],
        "environ": {**os.environ, "RBR_HOME": str(home)},
    }
    connection, ready = _ask(home, request, report or (lambda text: None))
    try:
        yield Addresses({**away, **ready}, connection)
    finally:
        with connection:
            _release(connection)


def status(home: Path | None = None) -> dict[str, Any] | None:
    """What runs for `home` (pids, states, addresses, holders), None without a supervisor."""
    connection = _connect((home or paths.home()).absolute())
    if connection is None:
        return None
    with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
        stream.write(b'{"do": "status"}\n')
        stream.flush()
        if line := stream.readline():
            return dict(json.loads(line))
    return None  # it is just ending


def _ask(
    home: Path, request: dict[str, Any], report: Callable[[str], None]
) -> tuple[socket.socket, dict[str, str]]:
    """Send the request until a supervisor answers it: one that is just ending may not."""
    end = time.monotonic() + CONNECT_SECONDS
    while time.monotonic() < end:
        connection = _connect(home)
        if connection is None:
            _start_supervisor(home)
            continue
        try:
            ready = _converse(connection, request, report)
        except BaseException:
            with connection:
                _release(connection)
            raise
        if ready is not None:
            return connection, ready
        connection.close()
        time.sleep(0.05)
    raise SetupError(
        f"the supervisor of {home} does not answer: see {paths.logs(home) / 'supervisor.log'}"
    )


def _connect(home: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(paths.supervisor_socket(home)))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _converse(
    connection: socket.socket, request: dict[str, Any], report: Callable[[str], None]
) -> dict[str, str] | None:
    """The addresses once all is ready, or None when the supervisor has gone."""
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        # Not closed with the stream: the connection is the lease.
        for line in connection.makefile("rb"):
            message = json.loads(line)
            if "progress" in message:
                report(message["progress"])
            elif "error" in message:
                raise SetupError(message["error"], message["details"])
            elif "ready" in message:
                return dict(message["ready"])
    except (BrokenPipeError, ConnectionResetError):
        pass
    return None


def _release(connection: socket.socket) -> None:
    """Let go, and wait until what nobody else wants has ended."""
    with contextlib.suppress(OSError):
        connection.settimeout(RELEASE_SECONDS)
        connection.sendall(b"release\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass


def _start_supervisor(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        paths.make_run_directory(home)
    except OSError as error:
        raise SetupError(f"{home} cannot be used ({error}): set RBR_HOME") from error
    done = subprocess.run(
        [sys.executable, "-m", "rbr_app.local.supervisor", str(home)],
        check=False,
        cwd=paths.PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SetupError(
            f"the supervisor did not start: see {paths.logs(home) / 'supervisor.log'}",
            done.stderr,
        )
