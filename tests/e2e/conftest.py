"""The real grader model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rbr_app import weights
from rbr_app.local.errors import SetupError
from tests.conftest import PROJECT


@pytest.fixture(scope="session")
def small_model() -> Path:
    """Directory of the default grader model, made once and kept in the project's own home.

    Skips where RBR_NO_MODEL is set or the parts that make the model are not installed.
    """
    if os.environ.get("RBR_NO_MODEL"):
        pytest.skip("RBR_NO_MODEL is set: no grader model on this machine")
    for package in ("torch", "transformers"):
        pytest.importorskip(package, reason=f"{package} is not installed: no grader model")
    # Not the session's temporary home: the conversion takes half a minute.
    try:
        return weights.ensure_default_model(PROJECT / ".rbr", lambda text: None)
    except SetupError as error:
        pytest.fail(f"the grader model could not be made: {error}")
