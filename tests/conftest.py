"""Fixtures that every tier may use: the cast, and where the given data lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User

PROJECT = Path(__file__).resolve().parents[1]
SAMPLE = PROJECT / "annotation" / "sample"
RELEASED = PROJECT.parent / "shared" / "data" / "openai_rbr"


@pytest.fixture(scope="session")
def released() -> Path:
    """The folder with the released Gold rows and prompts; skips where it is missing."""
    if not (RELEASED / "gold_train.jsonl").exists():
        pytest.skip(f"the released Gold rows are not at {RELEASED.relative_to(PROJECT.parent)}")
    return RELEASED


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> None:
    """The real hash takes most of a second on purpose, once for each person of each test."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ana(db: None) -> User:
    """Labels."""
    return User.objects.create_user("ana", password="ana's password")


@pytest.fixture
def ben(db: None) -> User:
    """Labels too."""
    return User.objects.create_user("ben", password="ben's password")


@pytest.fixture
def rhea(db: None) -> User:
    """Researches: imports, runs, reads reports."""
    return User.objects.create_user("rhea", password="rhea's password")
