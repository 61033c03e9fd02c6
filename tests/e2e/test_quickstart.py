"""The first command of the README, as a newcomer meets it."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rbr_app import local

from .site import Site, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("model")]

REPORT = re.compile(r"^apology +68 +31 ", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("quickstart"))


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def test_the_first_run_ends_with_a_report(site: Site, port: int) -> None:
    out = site.manage("quickstart", "--exit", "--no-llm", "--port", str(port))
    assert f"the site is at http://localhost:{port}" in out
    assert "204 labelled conversations (204 added)" in out
    # 68 held-out rows, 31 with an apology.
    assert REPORT.search(out), out
    assert local.status(site.home) is None


def test_the_second_run_repeats_nothing_and_shows_the_same_report(site: Site, port: int) -> None:
    before = work(site, port)
    out = site.manage("quickstart", "--exit", "--no-llm", "--port", str(port))
    assert "204 labelled conversations (0 added)" in out
    assert REPORT.search(out), out
    assert work(site, port) == before


def work(site: Site, port: int) -> list[tuple[int, ...]]:
    """Counts of what quickstart makes."""
    with local.hold("postgres", home=site.home):
        tables = (
            "annotation_policyversion",
            "annotation_completion",
            "annotation_label",
            "grading_graderversion",
            "grading_graderrun",
            "grading_gradingattempt",
            "grading_grade",
            "auth_user",
        )
        return [site.rows(f"select count(*) from {table}")[0] for table in tables]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_site_can_be_entered_until_the_command_is_interrupted(
    site: Site, port: int, number: signal.Signals
) -> None:
    process = site.start("quickstart", "--no-llm", "--port", str(port))
    try:
        login = site.home / "login"
        wait_until(lambda: answers(port))
        with httpx.Client(base_url=f"http://localhost:{port}") as browser:
            browser.get("/login/")
            response = browser.post(
                "/login/",
                data={
                    "username": "researcher",
                    "password": login.read_text(),
                    "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                },
            )
            assert response.headers["Location"] == "/"
            assert "sample" in browser.get("/").text
    finally:
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode in (0, 130), out
    assert "Traceback" not in out
    assert local.status(site.home) is None
    assert not answers(port)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://localhost:{port}/login/").status_code == 200
    except httpx.TransportError:
        return False


def test_a_taken_port_is_one_clear_line(site: Site, taken_port: int) -> None:
    out = site.manage("quickstart", "--exit", "--no-llm", "--port", str(taken_port), ok=False)
    assert f"port {taken_port} is taken by another program" in out
    assert "Traceback" not in out


def test_with_the_model_the_held_out_rows_are_graded_as_far_as_two_minutes_allow(
    site: Site, port: int, small_model: Path
) -> None:
    with_model = Site(site.home, small_model)
    out = with_model.manage("quickstart", "--exit", "--port", str(port))
    rows = re.search(r"grading (\d+) of the 68 held-out rows", out)
    assert rows, out
    with local.hold("postgres", home=site.home):
        [(status, limit, cells)] = site.rows(
            "select r.status, r.limit, (select count(*) from grading_grade g where g.run_id = r.id)"
            " from grading_graderrun r join grading_graderversion v on v.id = r.grader_version_id"
            " where v.config->>'engine' = 'vllm'"
        )
    assert (status, limit, cells) == ("completed", int(rows[1]), 23 * int(rows[1]))
