"""Fifty people save labels at once, each in a session of their own, on the real web server."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, GoldTruth, Label, LabelEvent
from annotation.models.labels import Answer
from tests.conftest import PROJECT
from tests.factories import KEYS, ConversationSetFactory, UserFactory, fill
from tests.gold_rule import decide

PEOPLE = 50
CLICKS = 12
COMPLETIONS = 6
TOKEN = "t" * 32
Cell = tuple[int, str]

YES, NO, CANNOT = Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE
LEANINGS = [[NO], [YES, YES, YES, YES, NO], [YES, NO, CANNOT]]
"""What people choose from: in turn a cell on which all agree, most do, and few do."""


def database_url() -> str:
    """The database of this test, for a process of its own."""
    held = connection.get_connection_params()
    person = f"{held.get('user', '')}:{held.get('password', '')}"
    where = urlencode({key: held[key] for key in ("host", "port") if held.get(key)})
    return f"postgresql://{person}@/{held['dbname']}?{where}"


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The site as `manage.py` serves it: gunicorn, two processes of eight threads."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    log = tmp_path / "gunicorn.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "2", "--threads", "8"),
                *("--bind", address, "--no-control-socket", "rbr_app.wsgi:application"),
            ],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": database_url()},
            stdout=out,
            stderr=out,
        )
    try:
        _wait_for(address, process, log)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(f"http://{address}{reverse('login')}", timeout=10)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the web server did not start:\n{log.read_text()}")


@dataclass
class Person:
    """Somebody who clicks, clicks again, and whose browser now and then sends a click twice."""

    user: User
    url: str
    cells: list[Cell]
    dice: random.Random
    said: dict[Cell, str] = field(default_factory=dict)
    changes: int = 0
    statuses: list[int] = field(default_factory=list)
    sent: list[tuple[Cell, str, str]] = field(default_factory=list)

    def work(self) -> None:
        session = Client()
        session.force_login(self.user)
        cookies = {"sessionid": session.cookies["sessionid"].value, "csrftoken": TOKEN}
        connection.close()
        headers = {"X-CSRFToken": TOKEN, "HX-Request": "true"}
        with httpx.Client(
            base_url=self.url, cookies=cookies, headers=headers, timeout=60
        ) as browser:
            for _ in range(CLICKS):
                self._click(browser)

    def _click(self, browser: httpx.Client) -> None:
        if self.sent and self.dice.random() < 0.2:
            # The answer got lost on its way to the browser, which sends an earlier click again.
            self._send(browser, *self.dice.choice(self.sent))
            return
        again = bool(self.said) and self.dice.random() < 0.4
        cell = self.dice.choice(list(self.said) if again else self.cells)
        answer = self.dice.choice(LEANINGS[self.cells.index(cell) % len(LEANINGS)])
        self._send(browser, cell, answer, str(uuid4()))
        self.changes += self.said.get(cell) != answer
        self.said[cell] = answer

    def _send(self, browser: httpx.Client, cell: Cell, answer: str, client_id: str) -> None:
        url = reverse("record_label", args=cell)
        response = browser.post(url, data={"answer": answer, "client_id": client_id})
        self.statuses.append(response.status_code)
        # A click that changed nothing left no event by which its second coming could be known.
        if self.said.get(cell) != answer or (cell, answer, client_id) in self.sent:
            self.sent.append((cell, answer, client_id))


@pytest.mark.django_db(transaction=True)
def test_every_label_is_its_persons_last_click_when_fifty_people_save_at_once(
    server: str,
) -> None:
    held: ConversationSet = ConversationSetFactory(allow_majority=True)
    completions: list[Completion] = fill(held, "test", COMPLETIONS)
    cells = [(completion.pk, key) for completion in completions for key in KEYS]
    dice = random.Random(7)
    people = [
        Person(UserFactory(), server, cells, random.Random(dice.random())) for _ in range(PEOPLE)
    ]
    with ThreadPoolExecutor(PEOPLE) as pool:
        for done in [pool.submit(person.work) for person in people]:
            done.result()

    assert Counter(status for person in people for status in person.statuses).keys() == {200}
    for person in people:
        rows = Label.objects.filter(annotator=person.user)
        labels = {
            (completion, key): answer
            for completion, key, answer in rows.values_list(
                "completion", "proposition__key", "answer"
            )
        }
        assert labels == person.said
        assert LabelEvent.objects.filter(actor=person.user).count() == person.changes
    expected = {}
    for cell in cells:
        answers = [person.said[cell] for person in people if cell in person.said]
        if verdict := decide(answers, majority=True):
            expected[cell] = verdict
    truths = {
        (row.completion_id, row.proposition.key): (row.truth, row.source)
        for row in GoldTruth.objects.select_related("proposition")
    }
    assert truths == expected
    assert {source for _, source in truths.values()} == {"unanimous", "majority", "disputed"}
