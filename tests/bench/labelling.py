"""How labelling answers as the set grows: ``python -m tests.bench.labelling``.

A site of its own (embedded PostgreSQL, gunicorn) in a temporary home, with sets of several sizes
under the sample policy. People with sessions of their own take items from a queue over HTTP, save
every answer, complete the item and open the next, without pausing. Reported per size and number of
people: saves per second, the median and 95th percentile of a save, and the 95th percentile of
*save + next*: the last save of an item, its completion and the next page.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np

from rbr_app import local
from rbr_app.local.commands import bring_up_to_date

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from annotation.models import LabellingQueue, PolicyVersion

PROJECT = Path(__file__).resolve().parents[2]
SIZES = (518, 10_000, 100_000)
LIMIT = 1.5
"""The 95th percentile at the largest size may be this many times that at the smallest."""
ROW = re.compile(r'data-row="(\w+)"')
ITEM = re.compile(r"/queues/\d+/items/\d+/$")
COMPLETION = re.compile(r"/completions/(\d+)/labels/")


@dataclass
class Times:
    """Seconds that requests took."""

    saves: list[float] = field(default_factory=list)
    nexts: list[float] = field(default_factory=list)

    def add(self, other: Times) -> None:
        self.saves += other.saves
        self.nexts += other.nexts


@dataclass(frozen=True)
class Result:
    size: int
    people: int
    seconds: float
    times: Times

    @property
    def rate(self) -> float:
        return len(self.times.saves) / self.seconds

    def save(self, percent: float) -> float:
        return 1000 * float(np.percentile(self.times.saves, percent))

    @property
    def next95(self) -> float:
        return 1000 * float(np.percentile(self.times.nexts, 95))


class Person:
    """Somebody who labels one item after the other, as the page's script would."""

    def __init__(self, address: str, user: User, queue: LabellingQueue) -> None:
        from django.test import Client

        client = Client()
        client.force_login(user)
        cookies = {"sessionid": client.cookies["sessionid"].value}
        self.http = httpx.Client(
            base_url=address, cookies=cookies, follow_redirects=True, timeout=60
        )
        self.queue = queue.pk
        self.rng = np.random.default_rng(user.pk)
        self.page = self.http.get(f"/queues/{self.queue}/")
        self.page = self._post(f"/queues/{self.queue}/next/")

    def work(self, items: int) -> Times:
        times = Times()
        for _ in range(items):
            self._label(times)
        return times

    def _label(self, times: Times) -> None:
        path, text = self.page.url.path, self.page.text
        assert ITEM.search(path), f"no item is left: {path}"
        found = COMPLETION.search(text)
        assert found, "the page has no form to save an answer"
        for key in dict.fromkeys(ROW.findall(text)):
            start = time.perf_counter()
            self._save(int(found[1]), key, path)
            times.saves.append(time.perf_counter() - start)
        # `start` is when the last save began.
        self.page = self._post(f"{path}complete/", {"active_seconds": "1"})
        times.nexts.append(time.perf_counter() - start)

    def _save(self, completion: int, key: str, path: str) -> None:
        answer = "true" if self.rng.random() < 0.3 else "false"
        fields = {
            "answer": answer,
            "client_id": str(uuid.UUID(bytes=self.rng.bytes(16))),
            "assignment": path.rstrip("/").rsplit("/", 1)[1],
        }
        self._post(f"/completions/{completion}/labels/{key}/", fields, {"HX-Request": "true"})

    def _post(
        self, path: str, fields: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        token = self.http.cookies.get("csrftoken", "")
        sent = self.http.post(path, data=fields, headers={"X-CSRFToken": token, **(headers or {})})
        assert sent.status_code == 200, f"{sent.status_code} for {path}:\n{sent.text[:2000]}"
        return sent


def measure(address: str, queue: LabellingQueue, people: int, items: int, size: int) -> Result:
    """Let so many people work at once; the first items of each warm up and do not count."""
    from django.contrib.auth.models import User

    users = [
        User.objects.create_user(f"bench-{size}-{people}-{number}") for number in range(people)
    ]
    workers = [Person(address, user, queue) for user in users]
    with ThreadPoolExecutor(people) as pool:
        list(pool.map(lambda worker: worker.work(2), workers))
        start = time.perf_counter()
        found = list(pool.map(lambda worker: worker.work(items), workers))
        seconds = time.perf_counter() - start
    times = Times()
    for each in found:
        times.add(each)
    for worker in workers:
        worker.http.close()
    return Result(size, people, seconds, times)


@contextmanager
def site() -> Iterator[str]:
    """A fresh site; its address."""
    with tempfile.TemporaryDirectory(prefix="rbr-bench-") as folder:
        home = Path(folder)
        os.environ["RBR_HOME"] = folder
        os.environ["DJANGO_SETTINGS_MODULE"] = "rbr_app.settings"
        with local.hold("postgres", home=home):
            bring_up_to_date()
            port = free_port()
            with local.hold("web", port=port, home=home):
                yield f"http://127.0.0.1:{port}"
            from django.db import connections

            connections.close_all()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sample_policy() -> PolicyVersion:
    from annotation.services.policies import import_policy

    return import_policy(text=(PROJECT / "annotation/sample/policy.yaml").read_text()).version


def run(
    sizes: Sequence[int], people: Sequence[int], items: int, say: Callable[[str], None]
) -> list[Result]:
    results = []
    with site() as address:
        from annotation.services.queues import open_queue
        from tests.bench.sets import build_set

        version = sample_policy()
        # All sets exist before the first measurement: what differs is the set that is labelled,
        # not the size of the database around it.
        queues = {}
        for size in sizes:
            start = time.perf_counter()
            built = build_set(f"bench-{size}", size, version)
            made = time.perf_counter()
            queues[size] = open_queue(
                conversation_set=built, order="random", overlap=2, seed=1, actor=None
            )
            opened = time.perf_counter() - made
            say(f"{size:,} completions built in {made - start:.1f} s, queue in {opened:.1f} s")
        for n in people:
            for size in sizes:
                results.append(measure(address, queues[size], n, items, size))
                say(line(results[-1], results))
    return results


HEAD = (
    f"{'set':>9} {'people':>6} {'saves':>7} {'saves/s':>8} {'save p50':>9} {'save p95':>9} "
    f"{'ratio':>6} {'save+next p95':>14} {'ratio':>6}"
)


def line(result: Result, results: Sequence[Result]) -> str:
    first = next(row for row in results if row.people == result.people)
    return (
        f"{result.size:>9,} {result.people:>6} {len(result.times.saves):>7} {result.rate:>8.1f} "
        f"{result.save(50):>6.1f} ms {result.save(95):>6.1f} ms "
        f"{result.save(95) / first.save(95):>6.2f} "
        f"{result.next95:>11.1f} ms {result.next95 / first.next95:>6.2f}"
    )


def verdicts(results: Sequence[Result]) -> Iterator[tuple[str, bool]]:
    """For each number of people, whether *save + next* stays within `LIMIT`."""
    for n in dict.fromkeys(row.people for row in results):
        rows = [row for row in results if row.people == n]
        ratio = rows[-1].next95 / rows[0].next95
        holds = ratio <= LIMIT
        yield (
            f"{n} at once: p95 of save + next grows {ratio:.2f}× from {rows[0].size:,} to "
            f"{rows[-1].size:,} completions: {'within' if holds else 'MORE THAN'} {LIMIT}×",
            holds,
        )


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=numbers, default=list(SIZES), metavar="N,N,…")
    parser.add_argument("--people", type=numbers, default=[1, 8], metavar="N,N,…")
    parser.add_argument("--items", type=int, default=40, help="items that each person completes")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")

    def say(text: str) -> None:
        print(text, flush=True)

    say(HEAD)
    results = run(options.sizes, options.people, options.items, say)
    print(f"\n{HEAD}")
    for result in results:
        print(line(result, results))
    found = list(verdicts(results))
    for text, _ in found:
        print(text)
    return 0 if all(holds for _, holds in found) else 1


if __name__ == "__main__":
    sys.exit(main())
