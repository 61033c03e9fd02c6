"""What notebooks read from ``/api/v1/``."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from annotation.models import ConversationSet
from grading.services.runs import start_run
from grading.tasks import grade_run
from tests.factories import GraderVersionFactory


@pytest.fixture
def signed_in(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


@pytest.fixture
def run_pk(gold: ConversationSet) -> int:
    run = start_run(grader_version=GraderVersionFactory(), conversation_set=gold, split="all").run
    grade_run(run.pk)
    return run.pk


def test_a_stranger_reads_nothing(client: Client, gold: ConversationSet) -> None:
    for path in ("policies", "gold-sets", "graders", "runs"):
        assert client.get(f"/api/v1/{path}/").status_code == 403, path


def test_a_set_says_how_many_rows_each_split_has(signed_in: Client, gold: ConversationSet) -> None:
    (row,) = signed_in.get("/api/v1/gold-sets/").json()["results"]
    assert (row["name"], row["n_train"], row["n_test"]) == ("gold", 4, 3)


def test_a_policy_comes_with_its_whole_document(signed_in: Client, gold: ConversationSet) -> None:
    (row,) = signed_in.get("/api/v1/policies/").json()["results"]
    keys = [proposition["key"] for proposition in row["document"]["propositions"]]
    assert keys == ["helps", "rude", "cites"]


def test_a_run_comes_with_its_progress_and_its_report(signed_in: Client, run_pk: int) -> None:
    run = signed_in.get(f"/api/v1/runs/{run_pk}/").json()
    assert (run["status"], run["conversation_set"], run["split"]) == ("completed", "gold", "all")
    # 7 completions x 3 propositions.
    progress = signed_in.get(f"/api/v1/runs/{run_pk}/progress/").json()
    assert (progress["cells"], progress["grades"]) == (21, 21)
    report = signed_in.get(f"/api/v1/runs/{run_pk}/report/").json()
    assert report["split"] == "all"
    assert report["propositions"]["helps"]["n"] == 7
    # `cites` is true of no row, so its AUROC is undefined and says why.
    assert report["propositions"]["cites"]["auroc"] is None
    assert report["propositions"]["cites"]["undefined"]["auroc"] == "only negatives in 7 rows"


def test_a_report_is_given_for_one_split(signed_in: Client, run_pk: int) -> None:
    report = signed_in.get(f"/api/v1/runs/{run_pk}/report/?split=test").json()
    assert (report["split"], report["propositions"]["helps"]["n"]) == ("test", 3)


def test_an_unknown_split_is_refused_by_name(signed_in: Client, run_pk: int) -> None:
    response = signed_in.get(f"/api/v1/runs/{run_pk}/report/?split=dev")
    assert response.status_code == 400
    assert response.json() == {"split": "must be one of all, test, train"}


def test_an_unknown_run_is_not_found(signed_in: Client) -> None:
    assert signed_in.get("/api/v1/runs/999/report/").status_code == 404


def test_nothing_can_be_written(signed_in: Client, run_pk: int) -> None:
    assert signed_in.post("/api/v1/runs/", {}).status_code == 405
    assert signed_in.delete(f"/api/v1/runs/{run_pk}/").status_code == 405
