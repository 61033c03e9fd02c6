"""Many JSON calls to one server: bounded, retried, usable from code without an event loop."""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, TypeVar

import httpx

from .base import EngineError

T = TypeVar("T")

Request = tuple[int, str, str, Mapping[str, Any] | None]
"""Where its answer goes, method, path, body."""

LOST = (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError)
"""Connect, read and write failures, and a server that hangs up on a kept-alive connection."""

REFUSALS = (400, 413, 422)
LONGEST_WAIT = 30.0  # seconds


@dataclass(frozen=True)
class Refused:
    """The server will not answer this one request; the message is its own."""

    message: str


@dataclass(frozen=True)
class Http:
    """How to call one server. `timeout` and `backoff` are in seconds; `tries` counts the first.

    Only what may go away is tried again: 429, 5xx, no connection, a lost one, a time-out. The n-th
    wait is a random part of `backoff` * 2**n, so that many clients do not come back at once.
    """

    url: str
    api_key: str = ""
    concurrency: int = 32
    timeout: float = 120.0
    tries: int = 5
    backoff: float = 0.5

    @classmethod
    def configured(cls, url: str, settings: Mapping[str, Any]) -> Self:
        """The server at `url`, called as an engine's settings say; each is optional.

        Raises `EngineError` when the variable that holds the API key is not set.
        """
        return cls(
            url,
            _api_key(settings),
            concurrency=int(settings.get("concurrency", cls.concurrency)),
            timeout=float(settings.get("timeout", cls.timeout)),
            tries=int(settings.get("tries", cls.tries)),
            backoff=float(settings.get("backoff", cls.backoff)),
        )

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `EngineError`."""
        found: dict[int, Any] = {}
        run(self._each([(0, "GET", path, None)], found))
        return found[0]

    def post(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """One POST per body, at most `concurrency` at a time, started and returned in order.

        A refused request gives `Refused`. Raises `EngineError` as soon as one request has used up
        its tries: a server that is down is not a property of the prompt.
        """
        found: dict[int, Any] = {}
        run(self.post_into(found, path, dict(enumerate(bodies))))
        return [found[index] for index in range(len(bodies))]

    async def post_into(
        self, found: dict[int, Any], path: str, bodies: Mapping[int, Mapping[str, Any]]
    ) -> None:
        """`post` for a loop that calls several servers: what came before an error is in `found`."""
        await self._each([(index, "POST", path, body) for index, body in bodies.items()], found)

    async def _each(self, requests: Sequence[Request], found: dict[int, Any]) -> None:
        waiting = iter(requests)
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx.Limits(max_connections=self.concurrency)

        async with httpx.AsyncClient(
            headers=headers, timeout=self.timeout, limits=limits, verify=_trust()
        ) as client:

            async def worker() -> None:
                for index, method, path, body in waiting:

                    async def send(
                        method: str = method, path: str = path, body: Any = body
                    ) -> httpx.Response:
                        return await client.request(method, self.url + path, json=body)

                    found[index] = await self._answer(path, send)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(requests))):
                        group.create_task(worker())
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None

    async def _answer(self, path: str, send: Callable[[], Awaitable[httpx.Response]]) -> Any:
        cause, asked_to_wait = "", 0.0
        for attempt in range(self.tries):
            if attempt:
                await asyncio.sleep(max(self._wait(attempt - 1), asked_to_wait))
            try:
                response = await send()
            except LOST as error:
                cause = f"{type(error).__name__} {error}".strip()
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise EngineError(f"{self.url}{path}: {error}") from error
            if response.status_code in REFUSALS:
                return Refused(_message(response))
            if response.status_code == 429 or response.status_code >= 500:
                cause = f"HTTP {response.status_code}: {_message(response)}"
                asked_to_wait = _retry_after(response)
                continue
            return self._json(path, response)
        raise EngineError(f"{self.url}{path} failed {self.tries} times: {cause}")

    def _wait(self, retry: int) -> float:
        longest: float = min(self.backoff * 2**retry, LONGEST_WAIT)
        return random.uniform(0.5, 1.0) * longest  # noqa: S311

    def _json(self, path: str, response: httpx.Response) -> Any:
        if response.status_code != 200:
            hint = "; is the API key right?" if response.status_code in (401, 403) else ""
            raise EngineError(
                f"{self.url}{path}: HTTP {response.status_code}: {_message(response)}{hint}"
            )
        try:
            return response.json()
        except ValueError as error:
            raise EngineError(
                f"{self.url}{path} answered with something that is not JSON"
            ) from error


def _message(response: httpx.Response) -> str:
    """The server's own words, at most 300 characters."""
    try:
        body = response.json()
    except ValueError:
        return response.reason_phrase if "<html" in response.text else response.text[:300].strip()
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            return str(error.get("message") or error.get("detail") or error)[:300]
        return str(error)[:300]
    return str(body)[:300]


def _retry_after(response: httpx.Response) -> float:
    try:
        seconds = float(response.headers.get("Retry-After", "0"))
    except ValueError:  # a date; our own waiting will do
        return 0.0
    return min(seconds, LONGEST_WAIT)


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Made once: reading the certificates takes longer than many a batch of calls."""
    return httpx.create_ssl_context()


def _api_key(settings: Mapping[str, Any]) -> str:
    name = str(settings.get("api_key_env") or "")
    if name and not os.environ.get(name):
        raise EngineError(f"the environment variable {name}, named by api_key_env, is not set")
    return os.environ[name] if name else ""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop and a thread of its own, for the caller may be inside a loop already."""
    with ThreadPoolExecutor(1, thread_name_prefix="rbr-http") as pool:
        return pool.submit(asyncio.run, work).result()
