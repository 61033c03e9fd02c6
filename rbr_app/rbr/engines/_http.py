"""Many JSON calls to one server: bounded, retried, usable from code without an event loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from .base import EngineError

T = TypeVar("T")

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

    def get(self, path: str) -> Any:
        """The JSON at `path`. Raises `EngineError`."""
        return _run(self._each([("GET", path, None)]))[0]

    def post(self, path: str, bodies: Sequence[Mapping[str, Any]]) -> list[Any]:
        """One POST per body, at most `concurrency` at a time, started and returned in order.

        A refused request gives `Refused`. Raises `EngineError` as soon as one request has used up
        its tries: a server that is down is not a property of the prompt.
        """
        return _run(self._each([("POST", path, body) for body in bodies]))

    async def _each(
        self, requests: Sequence[tuple[str, str, Mapping[str, Any] | None]]
    ) -> list[Any]:
        results: list[Any] = [None] * len(requests)
        waiting = iter(range(len(requests)))
        headers = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = httpx.Limits(max_connections=self.concurrency)

        async with httpx.AsyncClient(
            headers=headers, timeout=self.timeout, limits=limits
        ) as client:

            async def worker() -> None:
                for index in waiting:
                    method, path, body = requests[index]

                    async def send(
                        method: str = method, path: str = path, body: Any = body
                    ) -> httpx.Response:
                        return await client.request(method, self.url + path, json=body)

                    results[index] = await self._answer(path, send)

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(min(self.concurrency, len(requests))):
                        group.create_task(worker())
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
        return results

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


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop and a thread of its own, for the caller may be inside a loop already."""
    with ThreadPoolExecutor(1, thread_name_prefix="rbr-http") as pool:
        return pool.submit(asyncio.run, work).result()
