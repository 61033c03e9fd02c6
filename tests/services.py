"""A pytest plugin: gives the session a home of its own and a real PostgreSQL in it.

Loaded with ``-p``, before pytest-django reads the settings, which take the database's address
from ``RBR_HOME``. A database given by ``DATABASE_URL`` is used instead of the embedded one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

HOME = "RBR_TEST_HOME"
services = ExitStack()

if HOME not in os.environ:
    # The first process of the session; the workers of pytest-xdist inherit its choice.
    os.environ[HOME] = tempfile.mkdtemp(prefix="rbr-test-")
    services.callback(shutil.rmtree, os.environ[HOME], ignore_errors=True)
os.environ["RBR_HOME"] = os.environ[HOME]
os.environ["RBR_DURABLE"] = "0"


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        return
    from rbr_app import local

    Path(os.environ[HOME]).mkdir(exist_ok=True)
    services.enter_context(local.hold("postgres", home=Path(os.environ[HOME])))


def pytest_unconfigure() -> None:
    services.close()
