"""Keeps one service running: started, watched, started again after a death, stopped on request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from .errors import SetupError
from .process import Child
from .service import Service

log = logging.getLogger(__name__)

POLL_SECONDS = 0.03
STEADY_SECONDS = 10.0
LONGEST_PAUSE = 10.0


class Keeper:
    """The task around one service. `ready` is set while it serves; `failed` ends a first start."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.child: Child | None = None
        self.ready = asyncio.Event()
        self.stopping = False
        self.stopped = asyncio.Event()
        self.restarts = 0
        self._task = asyncio.create_task(self._keep())

    @property
    def state(self) -> str:
        if self.stopping:
            return "stopping"
        return "running" if self.ready.is_set() else "starting"

    async def wait_ready(self) -> None:
        """Raises:
        SetupError: the first start failed, with the reason.
        """
        waiting = asyncio.create_task(self.ready.wait())
        try:
            await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not self.ready.is_set():
            if self._task.done() and not self._task.cancelled() and (e := self._task.exception()):
                raise e
            raise SetupError(f"{self.service.name} was stopped by another command: try again")

    async def stop(self) -> None:
        self.stopping = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, SetupError):
            await self._task
        if self.child is not None:
            await self.child.stop(self.service.stop_signal, self.service.stop_seconds)
        log.info("%s stopped", self.service.name)
        self.stopped.set()

    async def _keep(self) -> None:
        pause = 0.0
        while True:
            began = time.monotonic()
            try:
                child = await self._start()
            except (SetupError, OSError) as error:
                if not self.restarts:
                    raise self._as_setup_error(error) from error
                log.warning("%s", error)
            else:
                self.ready.set()
                code = await child.wait()
                self.ready.clear()
                log.warning("%s ended unexpectedly with %d", self.service.name, code)
                child.kill_group()
            # At once after a long life, then ever slower: a broken service must not spin.
            lived = time.monotonic() - began
            pause = 0.1 if lived > STEADY_SECONDS else min(max(0.1, pause * 2), LONGEST_PAUSE)
            self.restarts += 1
            await asyncio.sleep(pause)

    def _as_setup_error(self, error: SetupError | OSError) -> SetupError:
        if isinstance(error, SetupError):
            return error
        return SetupError(f"{self.service.name} could not be started: {error}")

    async def _start(self) -> Child:
        service = self.service
        await service.prepare()
        self.child = child = service.children.spawn(
            service.command(),
            log=service.log,
            environ=service.process_environ(),
            cwd=service.cwd,
            death_signal=service.death_signal,
            prefix=service.prefix,
        )
        log.info("%s started as %d", service.name, child.pid)
        end = time.monotonic() + service.ready_seconds
        while child.running and not await service.is_ready(child.pid):
            if time.monotonic() > end:
                await child.stop(service.stop_signal, 2)
                raise self._failure(child, f"was not ready within {service.ready_seconds:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        if not child.running:
            child.kill_group()
            raise self._failure(child, f"ended at its start with {await child.wait()}")
        return child

    def _failure(self, child: Child, what: str) -> SetupError:
        tail = child.log_tail()
        last = tail.splitlines()[-1].strip()[:200] if tail else "no output"
        return SetupError(f"{self.service.name} {what} ({last}): see {child.log}", tail)
