"""The fake engine is allowed here, and no engine outlives its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from annotation.models import ConversationSet
from grading.models import GraderVersion
from grading.services import engines
from rbr_app.rbr.engines import fake
from tests.factories import ConversationSetFactory, GraderVersionFactory, fill

Capture = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture(autouse=True)
def _fake_engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(fake.ALLOW, "1")
    forget_engines()
    yield
    forget_engines()


def forget_engines() -> None:
    """As in a worker that starts afresh."""
    engines._engine.cache_clear()


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Four labelled train rows and three labelled test rows; three propositions."""
    conversation_set = ConversationSetFactory(name="gold")
    fill(conversation_set, "train", 4, labelled=True)
    fill(conversation_set, "test", 3, labelled=True)
    return conversation_set


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """The fake engine takes two cells at once."""
    monkeypatch.setattr(fake, "KIND", replace(fake.KIND, batch_size=2))
    return 2


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake engine is one that learns from the train split."""
    monkeypatch.setattr(fake, "KIND", replace(fake.KIND, batch_size=2, learns=True))


@pytest.fixture
def version(db: None) -> GraderVersion:
    return GraderVersionFactory()
