"""Several vLLM servers that must be one grader: checked alike, called at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ._http import run
from ._routing import assign
from ._server import Server
from .base import EngineConfig, EngineError

logger = logging.getLogger(__name__)


def urls_of(config: EngineConfig) -> list[str]:
    """The servers' addresses without a final ``/v1``, in their order, each once.

    They come from `url`, separated by commas or white space, and from ``settings["urls"]``, a list
    or such a text.
    """
    listed = config.settings.get("urls") or ()
    texts = [config.url, *([listed] if isinstance(listed, str) else map(str, listed))]
    words = " ".join(texts).replace(",", " ").split()
    return list(dict.fromkeys(url.rstrip("/").removesuffix("/v1").rstrip("/") for url in words))


class Fleet:
    """The servers of one engine; one that fails is left out while another answers."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._servers = [Server(url, config) for url in urls_of(config)]
        self._first: Server | None = None
        self._facts: dict[str, Any] = {}

    def forget(self) -> None:
        """Ask every server anew what it is, when it is next wanted."""
        self._first = None
        for server in self._servers:
            server.forget()

    def all(self) -> list[Server]:
        """Every server. Raises `EngineError` unless all answer and all are the same."""
        for server in self._servers:
            self._admit(server)
        return self._servers

    def ready(self, besides: Collection[Server] = ()) -> list[Server]:
        """The servers that answer now, at least one; raises `EngineError` when none does.

        Also raises when two are not the same: their grades must not stand in one run.
        """
        wanted = [server for server in self._servers if server not in besides]
        awake = [server for server in wanted if not server.rests] or wanted
        found, failures = [], []
        for server in awake:
            try:
                server.facts()
            except EngineError as error:
                failures.append(error)
                server.rest()
            else:
                self._admit(server)
                found.append(server)
        if not found:
            raise failures[0]
        return found

    def post(
        self, path: str, bodies: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> list[Any]:
        """One POST per body, to all servers at once; equal keys to one server (see `assign`).

        What a server that fails leaves unanswered goes to the others. Raises `EngineError` when
        none is left.
        """
        found: dict[int, Any] = {}
        lost: dict[Server, EngineError] = {}
        while left := [index for index in range(len(bodies)) if index not in found]:
            if len(lost) == len(self._servers):
                raise next(iter(lost.values()))
            servers = self.ready(besides=lost)
            lost |= run(self._round(found, path, bodies, keys, left, servers))
        return [found[index] for index in range(len(bodies))]

    async def _round(
        self,
        found: dict[int, Any],
        path: str,
        bodies: Sequence[Mapping[str, Any]],
        keys: Sequence[str],
        left: Sequence[int],
        servers: Sequence[Server],
    ) -> dict[Server, EngineError]:
        """Send what is left. Gives the servers that failed, which are put to rest."""
        places = assign([keys[index] for index in left], [server.url for server in servers])
        shares: list[dict[int, Mapping[str, Any]]] = [{} for _ in servers]
        for index, place in zip(left, places, strict=True):
            shares[place][index] = bodies[index]
        failures = await asyncio.gather(
            *(
                server.http.post_into(found, path, share)
                for server, share in zip(servers, shares, strict=True)
            ),
            return_exceptions=True,
        )
        lost: dict[Server, EngineError] = {}
        for server, failure in zip(servers, failures, strict=True):
            if isinstance(failure, EngineError):
                logger.warning("a grader server failed: %s", failure)
                server.rest()
                lost[server] = failure
            elif failure:
                raise failure
        return lost

    def _admit(self, server: Server) -> None:
        facts = server.facts()
        if self._first is None:
            self._first, self._facts = server, facts
        for name, value in facts.items():
            expected = self._facts[name]
            if value == expected:
                continue
            if server is self._first:
                raise EngineError(f"{server.url} was restarted: {name} was {expected}, is {value}")
            raise EngineError(
                f"{self._first.url} and {server.url} are not the same grader: {name} is "
                f"{expected} at the first and {value} at the second"
            )
