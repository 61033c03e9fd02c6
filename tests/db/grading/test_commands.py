"""`run_grader` and `report`: their JSON, and one line for every error."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError

from annotation.models import Completion, ConversationSet, DefinitionChange
from annotation.models.labels import Answer
from grading import terminal
from grading.models import Grade, Grader, GraderRun
from grading.services import batches
from grading.services.runs import start_run
from grading.tasks import grade_run
from rbr_app import local
from rbr_app.celery import app
from tests.factories import (
    ConversationSetFactory,
    GraderVersionFactory,
    LabelFactory,
    PolicyVersionFactory,
    fill,
)

SCORES = {
    "n",
    "positives",
    "accuracy",
    "accuracy_ci",
    "majority_accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "f1",
    "auroc",
    "mean_mass",
    "verdict",
}
"""The keys of the contract; more may be there."""


def run_json(tmp_path: Path, *arguments: Any, **options: Any) -> dict[str, Any]:
    out = tmp_path / "out.json"
    call_command(*arguments, json=str(out), **options)
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def error(*arguments: Any, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# run_grader


@pytest.fixture
def workers(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that work in this process, in the moment a message is sent."""
    monkeypatch.setattr(app.conf, "task_always_eager", True)
    monkeypatch.setattr(local, "hold", lambda *names, **_: nullcontext())
    monkeypatch.setattr(terminal, "POLL_SECONDS", 0.01)


@pytest.fixture
def registered(gold: ConversationSet) -> str:
    return str(GraderVersionFactory(grader__name="mine", settings={"null_every": 4}).grader)


@pytest.mark.usefixtures("workers")
def test_run_grader_grades_waits_and_reports(
    tmp_path: Path, registered: str, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_json(tmp_path, "run_grader", set="gold", grader=registered, split="test")
    run = GraderRun.objects.get()
    nulls = Grade.objects.filter(p=None).count()
    contract = {
        "run": run.pk,
        "status": "completed",
        "cells": 9,
        "grades": 9,
        "nulls": nulls,
        "calls": 9,
    }
    assert result | contract == result
    assert result["seconds"] >= 0
    assert run.split == "test"
    said = capsys.readouterr().out
    assert "grader mine v1 works" in said
    assert f"manage.py report {run.pk}" in said


@pytest.mark.usefixtures("workers")
def test_run_grader_again_repeats_no_call(tmp_path: Path, registered: str) -> None:
    first = run_json(tmp_path, "run_grader", set="gold", grader=registered)
    again = run_json(tmp_path, "run_grader", set="gold", grader=registered)
    assert again == first
    assert (first["split"], first["cells"]) == ("all", 21)
    assert Grade.objects.count() == 21


@pytest.mark.usefixtures("workers")
def test_run_grader_takes_a_limit_and_propositions(tmp_path: Path, registered: str) -> None:
    result = run_json(
        tmp_path, "run_grader", set="gold", grader=registered, limit=2, propositions="helps,rude"
    )
    # 2 completions × 2 propositions
    assert result["cells"] == 4


@pytest.mark.usefixtures("workers")
def test_run_grader_writes_its_json_also_for_a_run_that_fails(
    tmp_path: Path, gold: ConversationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "PATIENCE", 1)
    # The probe asks 7 completions × 2 propositions, the run 7 × 3: the run's 16th call fails.
    GraderVersionFactory(grader__name="mine", settings={"fail_after": 15})
    out = tmp_path / "out.json"
    message = error("run_grader", set="gold", grader="mine", json=str(out))
    run = GraderRun.objects.get()
    assert message == f"{run} failed: the fake engine fails after 15 cells, as configured"
    result = json.loads(out.read_text())
    assert (result["status"], result["cells"], result["grades"]) == ("failed", 21, 0)
    assert result["error"] == run.error


@pytest.mark.usefixtures("workers")
def test_run_grader_says_why_a_grader_does_not_start(tmp_path: Path, gold: ConversationSet) -> None:
    GraderVersionFactory(grader__name="mine", settings={"fail_after": 1})
    message = error("run_grader", set="gold", grader="mine")
    assert message == "grader mine: the fake engine fails after 1 cells, as configured"
    assert not GraderRun.objects.exists()


@pytest.mark.usefixtures("workers")
def test_run_grader_names_an_unknown_proposition_and_an_empty_split(registered: str) -> None:
    bare = ConversationSetFactory(name="bare")
    fill(bare, "train", 1)
    assert "unknown proposition 'hopes'" in error(
        "run_grader", set="gold", grader=registered, propositions="hopes"
    )
    assert "bare has no completion in split 'test'" in error(
        "run_grader", set="bare", grader=registered, split="test"
    )


@pytest.mark.django_db
def test_run_grader_names_what_there_is_not(gold: ConversationSet) -> None:
    assert error("run_grader", set="silver", grader="x") == "there is no set 'silver'"
    assert "there is no grader 'x'" in error("run_grader", set="gold", grader="x")
    assert error("run_grader", set="gold", grader="x", limit=0) == "--limit must be at least 1"
    assert "invalid choice: 'dev'" in error("run_grader", "--set=gold", "--grader=x", "--split=dev")
    assert not Grader.objects.exists()


# report


@pytest.fixture
def run(gold: ConversationSet) -> GraderRun:
    version = GraderVersionFactory(grader__name="mine")
    started = start_run(grader_version=version, conversation_set=gold, split="all").run
    grade_run(started.pk)
    return started


@pytest.mark.django_db
def test_report_writes_the_keys_of_its_contract(tmp_path: Path, run: GraderRun) -> None:
    result = run_json(tmp_path, "report", run.pk)
    assert (result["run"], result["split"], result["out_of_fold"]) == (run.pk, "all", False)
    assert list(result["propositions"]) == ["helps", "rude", "cites"]
    for scores in result["propositions"].values():
        assert set(scores) >= SCORES
    assert set(result["macro"]) >= {"accuracy", "auroc", "n_measurable"}
    helps = result["propositions"]["helps"]
    # fill(): of four train rows the first and third help, of three test rows likewise.
    assert (helps["n"], helps["positives"]) == (7, 4)
    low, high = helps["accuracy_ci"]
    assert 0 <= low <= helps["accuracy"] <= high <= 1


@pytest.mark.django_db
def test_report_writes_null_and_the_reason_where_a_number_is_undefined(
    tmp_path: Path, run: GraderRun
) -> None:
    cites = run_json(tmp_path, "report", run.pk)["propositions"]["cites"]
    assert cites["positives"] == 0
    assert cites["auroc"] is None
    assert cites["balanced_accuracy"] is None
    assert cites["undefined"]["auroc"] == "only negatives in 7 rows"
    assert cites["verdict"] == "not measurable"


@pytest.mark.django_db
def test_report_prints_how_often_people_agree_and_what_is_stale(
    run: GraderRun, ana: User, ben: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("report", run.pk)
    assert "people: n/a, no unit has answers of two people" in capsys.readouterr().out
    helps = run.propositions.get(key="helps")
    for completion, answer in zip(Completion.objects.all(), "TFTF", strict=False):
        LabelFactory(completion=completion, annotator=ana, answer=Answer.of(answer == "T"))
        LabelFactory(completion=completion, annotator=ben, answer=Answer.TRUE)
    newer = PolicyVersionFactory(policy=run.policy_version.policy, number=2)
    DefinitionChange.objects.create(version=newer, proposition=helps)
    call_command("report", run.pk)
    out = capsys.readouterr().out
    # The same answer on two of four.
    assert re.search(r"^helps .* 0\.500 ", out, re.MULTILINE)
    assert "people: how often one agrees with another, on 1 propositions" in out
    assert "stale: helps changed its meaning in v2" in out


@pytest.mark.django_db
def test_report_takes_a_split_of_a_run_over_all(tmp_path: Path, run: GraderRun) -> None:
    result = run_json(tmp_path, "report", run.pk, split="test")
    assert (result["split"], result["propositions"]["helps"]["n"]) == ("test", 3)


@pytest.mark.django_db
def test_report_prints_a_line_for_each_proposition(
    run: GraderRun, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("report", run.pk)
    said = capsys.readouterr().out
    assert f"run {run.pk}: mine v1 on gold, split all" in said
    [cites] = [line for line in said.splitlines() if line.startswith("cites")]
    assert "n/a" in cites
    assert "not measurable" in cites
    assert "mean over 2 measurable propositions" in said


@pytest.mark.django_db
@pytest.mark.usefixtures("learning")
def test_report_says_that_train_rows_were_graded_out_of_fold(
    tmp_path: Path, gold: ConversationSet, capsys: pytest.CaptureFixture[str]
) -> None:
    version = GraderVersionFactory()
    learned = start_run(grader_version=version, conversation_set=gold, split="all").run
    grade_run(learned.pk)
    assert run_json(tmp_path, "report", learned.pk)["split"] == "test"
    assert "5 folds" not in capsys.readouterr().out
    result = run_json(tmp_path, "report", learned.pk, split="train")
    assert result["out_of_fold"] is True
    assert "had not seen its prompt" in capsys.readouterr().out


@pytest.mark.django_db
def test_report_names_a_run_that_is_not_there_and_a_split_that_was_not_graded(
    gold: ConversationSet,
) -> None:
    assert error("report", 10**9) == f"there is no run {10**9}"
    run = start_run(grader_version=GraderVersionFactory(), conversation_set=gold, split="test").run
    assert error("report", run.pk, split="train") == f"{run} can be reported for test"
