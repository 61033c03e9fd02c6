"""Processes are killed in the middle of a run; the run ends by itself with every grade once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rbr_app import local
from tests.conftest import SAMPLE

from .site import Site, kill, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("model")]

# Small enough to run in a minute on two cores, large enough to be killed between two batches.
PROPOSITIONS = "apology,judgement,disclaimer,third_person,definitive_verbiage,provides_resources"
ROWS = 18

Grades = dict[tuple[int, int], tuple[Any, ...]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, small_model: Path) -> Iterator[Site]:
    """The sample on a site whose services stay up between the tests."""
    site = Site(tmp_path_factory.mktemp("faults"), small_model)
    with local.hold("postgres", "broker", "worker", "model_worker", home=site.home):
        site.manage("import_policy", str(SAMPLE / "policy.yaml"))
        for split in ("train", "test"):
            file = str(SAMPLE / f"gold_{split}.jsonl")
            site.manage("import_conversations", file, "--set", "sample", "--split", split)
        yield site


def model_process(site: Site) -> psutil.Process:
    """The pool child of the model worker, in which vLLM is loaded."""
    return max(
        site.process("model_worker").children(recursive=True),
        key=lambda process: process.memory_info().rss,
    )


VICTIMS: dict[str, Callable[[Site], psutil.Process]] = {
    "the model process": model_process,
    "the model worker": lambda site: site.process("model_worker"),
    "the broker": lambda site: site.process("broker"),
    "the database": lambda site: site.process("postgres"),
}


@pytest.mark.parametrize(("victim", "split"), [*zip(VICTIMS, ("test", "train") * 2, strict=True)])
def test_a_run_survives_the_death_of(site: Site, victim: str, split: str) -> None:
    run, process = start_run(site, split, ROWS + list(VICTIMS).index(victim))
    before = wait_until(lambda: grades(site, run))
    kill(VICTIMS[victim](site))
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert_complete(site, run, before)


def test_a_run_whose_command_was_killed_goes_on_in_the_workers(site: Site) -> None:
    run, process = start_run(site, "all", ROWS)
    before = wait_until(lambda: grades(site, run))
    process.kill()
    process.communicate()
    wait_until(lambda: status(site, run) == "completed")
    assert_complete(site, run, before)


def test_asking_for_a_finished_run_again_calls_no_model(site: Site) -> None:
    arguments = ("run_grader", "--set", "sample", "--grader", "classifier", "--split", "test")
    first = site.result(*arguments)
    again = site.result(*arguments)
    assert (again["run"], again["calls"], again["grades"]) == (
        first["run"],
        first["calls"],
        first["grades"],
    )
    batches, attempts = site.rows(
        "select count(distinct b.id), count(a.id) from grading_gradingbatch b "
        "left join grading_gradingattempt a on b.id = a.batch_id where b.run_id = %s",
        first["run"],
    )[0]
    assert batches == attempts


def start_run(site: Site, split: str, rows: int) -> tuple[int, subprocess.Popen[str]]:
    # Nothing of the runs before is to be found again: this run has to pay for each of its cells.
    site.rows("update grading_grade set cache_key = null returning id")
    last = site.rows("select coalesce(max(id), 0) from grading_graderrun")[0][0]
    process = site.start(
        *("run_grader", "--set", "sample", "--grader", "vllm", "--split", split),
        *("--limit", str(rows), "--propositions", PROPOSITIONS),
    )
    newer = "select id from grading_graderrun where id > %s"
    return wait_until(lambda: site.rows(newer, last), 180.0)[0][0], process


def grades(site: Site, run: int) -> Grades:
    found = site.rows(
        "select completion_id, proposition_id, id, p, mass from grading_grade where run_id = %s",
        run,
    )
    return {(row[0], row[1]): row[2:] for row in found}


def status(site: Site, run: int) -> str:
    return str(site.rows("select status from grading_graderrun where id = %s", run)[0][0])


def assert_complete(site: Site, run: int, before: Grades) -> None:
    """Every cell has one grade, those of before the fault are untouched, no call was repeated."""
    cells = site.rows(
        "select sum(n_cells), count(*) filter (where state <> 'done') "
        "from grading_gradingbatch where run_id = %s",
        run,
    )[0]
    after = grades(site, run)
    count = site.rows("select count(*) from grading_grade where run_id = %s", run)[0][0]
    calls = site.rows(
        "select sum(calls) from grading_gradingattempt a "
        "join grading_gradingbatch b on b.id = a.batch_id where b.run_id = %s",
        run,
    )[0][0]
    assert cells == (len(after), 0)
    assert 0 < len(before) < len(after) == count
    assert before.items() <= after.items()
    assert calls == count
