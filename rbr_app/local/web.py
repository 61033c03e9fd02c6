"""The web server: gunicorn with threads."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

from .errors import SetupError
from .service import Service


def bind_address() -> str:
    """Where the site listens: this machine alone, unless ``RBR_BIND`` says otherwise."""
    return os.environ.get("RBR_BIND", "127.0.0.1")


def check_port_free(port: int) -> None:
    """Raises:
    SetupError: another program listens on `port`, or this user may not.
    """
    with socket.socket() as probe:
        # As gunicorn does: connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind_address(), port))
        except PermissionError as error:
            raise SetupError(
                f"port {port} is not allowed for this user: try --port 8000"
            ) from error
        except OSError as error:
            raise SetupError(
                f"port {port} is taken by another program: stop it, or choose --port {port + 1}"
            ) from error


class Web(Service):
    name = "web"
    death_signal = signal.SIGQUIT

    @property
    def address(self) -> str:
        return f"http://localhost:{self.port}"

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "2", "--threads", "8"),
            *("--bind", f"{bind_address()}:{self.port}", "--graceful-timeout", "5"),
            *("--no-control-socket", "rbr_app.wsgi:application"),
        ]

    async def prepare(self) -> None:
        check_port_free(self.port)

    async def is_ready(self, pid: int) -> bool:
        """Any HTTP status will do: it shows that the application is loaded."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"GET /login/ HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()
