"""The supervisor: one process per ``RBR_HOME`` that owns the embedded services.

A command connects to its socket, names the services it needs in one JSON line, and keeps the
connection open: the connection is the lease. What no connection wants is stopped; with no
connection left the supervisor stops everything and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import catalogue, paths
from .broker import Broker
from .errors import SetupError
from .keeper import Keeper
from .postgres import Postgres
from .process import Children, rotate
from .service import Service
from .web import Web
from .workers import ModelWorker, Worker

log = logging.getLogger(__name__)

SERVICES: dict[str, type[Service]] = {
    service.name: service for service in (Postgres, Broker, Worker, ModelWorker, Web)
}
# What changes how a service behaves; a command that differs in these is told so.
TELLING = ("RBR_", "VLLM_", "HF_", "DATABASE_URL")


@dataclass(eq=False)
class Lease:
    names: list[str]
    environ: Mapping[str, str]
    port: int
    pid: int
    command: str
    writer: asyncio.StreamWriter

    async def say(self, **message: Any) -> None:
        """Send one line; a client that has gone is no error."""
        with contextlib.suppress(OSError):
            self.writer.write(json.dumps(message).encode() + b"\n")
            await self.writer.drain()


class Supervisor:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.children = Children()
        self.keepers: dict[str, Keeper] = {}
        self.leases: set[Lease] = set()
        self.closing = False
        # Let go, and waiting for the end of what they held: closed by our own end, the last of it.
        self._lingering: list[asyncio.StreamWriter] = []
        self._changed = asyncio.Event()
        self._stopping = asyncio.Lock()

    async def serve(self, listener: socket.socket) -> None:
        """Run until the last lease has gone, or until a signal asks for the end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._close)
        server = await asyncio.start_unix_server(self._client, sock=listener, limit=2**20)
        with contextlib.suppress(TimeoutError):
            # The command that started this process connects at once, if it still lives.
            await asyncio.wait_for(self._changed.wait(), 10)
        while (self.leases or self.keepers) and not self.closing:
            self._changed.clear()
            await self._changed.wait()
        # From here on a newcomer is turned away; it will start a supervisor of its own.
        self._close()
        server.close()
        self.leases.clear()
        await self._stop_unwanted()

    def _close(self) -> None:
        self.closing = True
        self._changed.set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline() or b"{}")
            if self.closing:
                return
            if request.get("do") == "hold":
                await self._hold(request, reader, writer)
            elif request.get("do") == "status":
                writer.write(json.dumps(self._status()).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            log.info("a client went away: %s", error)
        finally:
            if self.leases or self.keepers or self.closing:
                writer.close()
            else:
                self._lingering.append(writer)

    async def _hold(
        self,
        request: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        lease = Lease(
            request["services"],
            request["environ"],
            request["port"],
            _peer(writer),
            request["command"],
            writer,
        )
        self.leases.add(lease)
        while self._lingering:
            self._lingering.pop().close()
        log.info("%d wants %s: %s", lease.pid, ", ".join(lease.names), lease.command)
        gone = asyncio.create_task(reader.readline())
        bringing = asyncio.create_task(self._bring_up(lease))
        try:
            await asyncio.wait({gone, bringing}, return_when=asyncio.FIRST_COMPLETED)
            if bringing.done():
                try:
                    bringing.result()
                except SetupError as error:
                    await lease.say(error=str(error), details=error.details)
                else:
                    addresses = {n: self.keepers[n].service.address for n in lease.names}
                    await lease.say(ready=addresses)
                    await gone
        finally:
            bringing.cancel()
            gone.cancel()
            self.leases.discard(lease)
            log.info("%d lets go", lease.pid)
            await self._stop_unwanted()

    async def _bring_up(self, lease: Lease) -> None:
        """Start what is missing: what others build on first, the rest side by side."""
        for group in (True, False):
            names = [n for n in lease.names if (not catalogue.NEEDS[n]) is group]
            tasks = [asyncio.create_task(self._ensure(n, lease)) for n in names]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def _ensure(self, name: str, lease: Lease) -> None:
        while (keeper := self.keepers.get(name)) and keeper.stopping:
            await keeper.stopped.wait()
        if keeper is None:
            await lease.say(progress=f"starting {name}")
            keeper = Keeper(SERVICES[name](self.home, lease.environ, lease.port, self.children))
            self.keepers[name] = keeper
        elif name == "web" and keeper.service.port != lease.port:
            raise SetupError(
                f"the site of {self.home} already runs at {keeper.service.address} for another "
                "command: use that one, stop it, or set another RBR_HOME"
            )
        elif changed := _differences(keeper.service.environ, lease.environ):
            await lease.say(
                progress=f"{name} already runs for another command, with other {changed}"
            )
        try:
            await keeper.wait_ready()
        except SetupError:
            if self.keepers.get(name) is keeper:
                del self.keepers[name]
            raise

    async def _stop_unwanted(self) -> None:
        """Stop what no lease names, in the reverse order of starting."""
        async with self._stopping:
            for group in (False, True):
                names = [n for n in self.keepers if (not catalogue.NEEDS[n]) is group]
                await asyncio.gather(*(self._stop(n) for n in names if not self._is_wanted(n)))
        self._changed.set()

    async def _stop(self, name: str) -> None:
        keeper = self.keepers[name]
        await keeper.stop()
        if self.keepers.get(name) is keeper:
            del self.keepers[name]

    def _is_wanted(self, name: str) -> bool:
        return any(name in lease.names for lease in self.leases)

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "home": str(self.home),
            "services": [
                {
                    "service": name,
                    "pid": keeper.child.pid if keeper.child else None,
                    "state": keeper.state,
                    "restarts": keeper.restarts,
                    "address": keeper.service.address,
                    "log": str(keeper.service.log),
                    "holders": [
                        {"pid": lease.pid, "command": lease.command}
                        for lease in self.leases
                        if name in lease.names
                    ],
                }
                for name, keeper in self.keepers.items()
            ],
        }


def _peer(writer: asyncio.StreamWriter) -> int:
    """Process id of the client at the other end."""
    end: socket.socket = writer.get_extra_info("socket")
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _differences(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    names = {name for name in {*one, *other} if name.startswith(TELLING)}
    return ", ".join(sorted(name for name in names if one.get(name) != other.get(name)))


def start(home: Path) -> None:
    """Become the supervisor of `home` in the background; return in the caller once it listens.

    Returns without doing anything when one runs already.
    """
    directory = paths.make_run_directory(home)
    guard = (directory / "supervisor.lock").open("a")
    try:
        # Held for life, so that a second one can never be.
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    address = paths.supervisor_socket(home)
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    address.chmod(0o600)
    listener.listen(64)
    # The starter waits for its child, so the supervisor is a grandchild: PID 1 collects it.
    if os.fork():
        os._exit(0)
    os.setsid()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_run(home, listener))
    except Exception:
        log.exception("the supervisor failed")
    # Before the lock is let go: a newcomer must not lose its own socket.
    address.unlink(missing_ok=True)
    # Not by way of the interpreter's end: the last client reads our death from its connection.
    os._exit(0)


async def _run(home: Path, listener: socket.socket) -> None:
    supervisor = Supervisor(home)
    log.info("supervisor of %s started as %d", home, os.getpid())
    await supervisor.serve(listener)
    log.info("supervisor ends")


def main() -> None:
    home = Path(sys.argv[1])
    log_file = paths.logs(home) / "supervisor.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    rotate(log_file)
    with log_file.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    start(home)


if __name__ == "__main__":
    main()
