"""How the Celery workers are started: one for everything, one for the grader model."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from . import paths
from .model_environ import model_environ
from .service import Service


class CeleryWorker(Service):
    # At our own sudden death no ceremony: a worker that says goodbye to a broker which is gone as
    # well waits for it for ever. What was running is done again by a later worker.
    death_signal = signal.SIGKILL
    ready_seconds = 120.0
    queue = ""

    @property
    def ready_file(self) -> Path:
        return paths.run_directory(self.home) / f"{self.name}.ready"

    def command(self) -> list[str]:
        # The name is told apart from that of another home's worker on a shared broker.
        place = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:8]
        return [
            *(sys.executable, "-m", "celery", "-A", "rbr_app.local.celery", "worker"),
            *("-n", f"{self.name}-{place}@%h", "-Q", self.queue, "-P", "prefork"),
            *("--without-mingle", "--without-gossip", "--loglevel", "INFO"),
        ]

    def process_environ(self) -> Mapping[str, str]:
        return {**self.environ, "RBR_READY_FILE": str(self.ready_file)}

    async def prepare(self) -> None:
        self.ready_file.unlink(missing_ok=True)

    async def is_ready(self, pid: int) -> bool:
        return self.ready_file.exists() and self.ready_file.read_text() == str(pid)


class Worker(CeleryWorker):
    name = "worker"
    queue = "default"

    def command(self) -> list[str]:
        schedule = paths.run_directory(self.home) / "beat-schedule"
        return [*super().command(), "-c", "2", "-B", "-s", str(schedule)]


class ModelWorker(CeleryWorker):
    name = "model_worker"
    queue = "model"

    def command(self) -> list[str]:
        return [*super().command(), "-c", "1"]

    def process_environ(self) -> Mapping[str, str]:
        return model_environ(self.home, super().process_environ())
