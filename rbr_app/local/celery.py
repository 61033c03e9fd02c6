"""The two Celery workers, and the application as they load it.

Run as ``celery -A rbr_app.local.celery``: the site's own application, whose pool processes end
with their worker and whose worker says when it takes tasks.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from celery.signals import beat_embedded_init, worker_process_init, worker_ready

from rbr_app.celery import app

from .process import PR_SET_PDEATHSIG, prctl

__all__ = ["app"]


@worker_process_init.connect
@beat_embedded_init.connect
def die_with_the_worker(**_: Any) -> None:
    """A pool process must not finish a task whose worker was killed: it would be done twice."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@worker_ready.connect
def say_ready(**_: Any) -> None:
    if path := os.environ.get("RBR_READY_FILE"):
        Path(path).write_text(str(os.getpid()))
