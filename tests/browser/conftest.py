"""A real Chromium on a real server. Nothing may go wrong in its console unless a test says so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import ConsoleMessage, Page, Response

from annotation.models import ConversationSet
from grading import tasks
from grading.models import GraderVersion
from grading.services import engines
from rbr_app.rbr.engines import fake
from tests.factories import ConversationSetFactory, GraderVersionFactory, fill

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="session", autouse=True)
def _allow_database_beside_the_loop() -> None:
    """Playwright's synchronous interface leaves a running loop in the main thread for good."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if reason := os.environ.get("RBR_NO_CHROMIUM"):
        pytest.skip(f"no Chromium: {reason}")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium")
    return browser_type_launch_args | {"executable_path": str(CHROMIUM), "args": ARGUMENTS}


@dataclass
class Site:
    """The site in a browser tab. `problems` gathers what the console and the network report."""

    url: str
    page: Page
    expected: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        # What the network refused is judged by its status in `_answered`.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.problems.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status} for {response.url}")

    def open(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, user: User) -> None:
        """Take over a session, without the form."""
        client = Client()
        client.force_login(user)
        cookie = {"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.url}
        self.page.context.add_cookies([cookie])


@pytest.fixture
def site(live_server: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The site without workers: a test grades by itself."""
    monkeypatch.setattr(tasks, "_send", lambda *_: None)
    monkeypatch.setenv(fake.ALLOW, "1")
    engines._engine.cache_clear()
    found = Site(live_server.url, page)
    found.watch()
    yield found
    engines._engine.cache_clear()
    assert found.problems == []


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Four labelled train rows and three labelled test rows; three propositions."""
    conversation_set = ConversationSetFactory(name="gold")
    fill(conversation_set, "train", 4, labelled=True)
    fill(conversation_set, "test", 3, labelled=True)
    return conversation_set


@pytest.fixture
def version(db: None) -> GraderVersion:
    return GraderVersionFactory(grader__name="fake")


Audit = Callable[[Page], list[str]]


@pytest.fixture(scope="session")
def audit() -> Audit:
    """Name the serious accessibility problems of the page that is open, each with its elements.

    axe-core is handed over by the debugger, which the page's Content-Security-Policy cannot see.
    """
    axe = Axe()

    def problems(page: Page) -> list[str]:
        page.wait_for_load_state("networkidle")
        return [
            f"{found['id']}: " + "; ".join(" ".join(node["target"]) for node in found["nodes"])
            for found in axe.run(page).response["violations"]
            if found["impact"] in ("serious", "critical")
        ]

    return problems
