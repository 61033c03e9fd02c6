"""Registering graders: probes are jobs, versions say what a grader is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from grading.models import Grader, GraderProbe, GraderVersion
from grading.services.graders import (
    UnknownEngine,
    claim_probe,
    configured,
    fail_probe,
    finish_probe,
    request_probe,
)
from rbr_app import env
from rbr_app.rbr.engines import EngineConfig, ProbeResult
from tests.factories import GraderProbeFactory, GraderVersionFactory, fake_config

pytestmark = pytest.mark.django_db

FACTS = ProbeResult({"engine": "fake", "seed": 0}, seconds=1.5, calls_per_second=20.0)


def registered(name: str = "fake", result: ProbeResult = FACTS) -> GraderVersion:
    probe = request_probe(name=name, config=fake_config())
    claimed = claim_probe(probe_pk=probe.pk)
    assert claimed is not None
    return finish_probe(probe=claimed, result=result)


def test_a_requested_probe_waits_with_its_configuration() -> None:
    probe = request_probe(name="fake", config=fake_config(seed=3))
    assert (probe.state, probe.grader.name) == ("pending", "fake")
    assert probe.as_config() == EngineConfig("fake", settings={"seed": 3})


def test_asking_again_while_the_probe_waits_gives_the_same_one() -> None:
    first = request_probe(name="fake", config=fake_config())
    assert request_probe(name="fake", config=fake_config()) == first
    assert request_probe(name="fake", config=fake_config(seed=1)) != first
    assert request_probe(name="other", config=fake_config()) != first


def test_asking_again_once_it_is_being_started_is_a_new_probe() -> None:
    first = request_probe(name="fake", config=fake_config())
    claim_probe(probe_pk=first.pk)
    assert request_probe(name="fake", config=fake_config()) != first


def test_an_engine_that_is_not_installed_is_refused_with_those_that_are() -> None:
    with pytest.raises(UnknownEngine, match=r"'magic' is none of .*fake"):
        request_probe(name="magic", config=EngineConfig("magic"))
    assert not Grader.objects.exists()


def test_a_probe_that_works_makes_a_version() -> None:
    version = registered()
    assert str(version) == "fake v1"
    assert version.facts == FACTS.facts
    assert version.as_config() == fake_config()
    assert version.engine == "fake"
    probe = GraderProbe.objects.get()
    assert (probe.state, probe.version, probe.error) == ("done", version, "")
    assert (probe.seconds, probe.calls_per_second) == (1.5, 20.0)
    assert probe.finished_at is not None


def test_a_grader_that_is_what_it_was_keeps_its_version() -> None:
    first = registered()
    # The speed is no fact: it says nothing of the answers.
    again = registered(result=ProbeResult(FACTS.facts, seconds=9.0, calls_per_second=1.0))
    assert again == first
    assert GraderProbe.objects.filter(version=first).count() == 2


def test_a_grader_that_changed_gets_the_next_version() -> None:
    first = registered()
    second = registered(result=ProbeResult({"engine": "fake", "seed": 1}, 1.0))
    assert (first.number, second.number) == (1, 2)
    assert first.fingerprint != second.fingerprint
    assert registered() == first


def test_the_configuration_is_part_of_what_a_grader_is() -> None:
    first = registered()
    probe = request_probe(name="fake", config=fake_config(delay=0.1))
    claimed = claim_probe(probe_pk=probe.pk)
    assert claimed is not None
    assert finish_probe(probe=claimed, result=FACTS).fingerprint != first.fingerprint


def test_a_probe_that_fails_says_why() -> None:
    probe = GraderProbeFactory()
    fail_probe(probe=probe, error="no such model")
    probe.refresh_from_db()
    assert (probe.state, probe.error, probe.version) == ("failed", "no such model", None)


def test_a_worker_that_comes_too_late_does_not_undo_what_another_found() -> None:
    probe = GraderProbeFactory()
    slow = claim_probe(probe_pk=probe.pk)
    GraderProbe.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    quick = claim_probe(probe_pk=probe.pk)
    assert slow is not None
    assert quick is not None
    version = finish_probe(probe=quick, result=FACTS)
    fail_probe(probe=slow, error="out of memory")
    probe.refresh_from_db()
    assert (probe.state, probe.version, probe.error) == ("done", version, "")


def test_a_probe_is_taken_once() -> None:
    probe = GraderProbeFactory()
    assert claim_probe(probe_pk=probe.pk) == probe
    assert claim_probe(probe_pk=probe.pk) is None


def test_a_probe_whose_worker_is_gone_can_be_taken_again() -> None:
    probe = GraderProbeFactory()
    claim_probe(probe_pk=probe.pk)
    GraderProbe.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    assert claim_probe(probe_pk=probe.pk) == probe


@pytest.mark.parametrize("state", ["done", "failed"])
def test_a_probe_that_is_over_is_not_taken(state: str) -> None:
    version = GraderVersionFactory()
    probe = GraderProbeFactory(grader=version.grader, state=state, version=version)
    assert claim_probe(probe_pk=probe.pk) is None


def test_a_probe_that_works_has_a_version() -> None:
    with pytest.raises(IntegrityError, match="probe_done_has_version"), transaction.atomic():
        GraderProbeFactory(state="done")


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_takes_the_probe() -> None:
    probe = GraderProbeFactory()
    barrier = Barrier(6)

    def work(_: int) -> bool:
        try:
            barrier.wait(10)
            return claim_probe(probe_pk=probe.pk) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, range(6))) == 1


# Which grader a name means


def test_the_engines_names_mean_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(env, "GRADER_MODEL", "some/model")
    monkeypatch.setattr(env, "GRADER_DTYPE", "float32")
    monkeypatch.setattr(env, "GRADER_URL", "http://gpu:8000")
    assert configured("classifier") == EngineConfig("classifier")
    vllm = configured("vllm")
    assert (vllm.engine, vllm.model, vllm.dtype) == ("vllm", "some/model", "float32")
    server = configured("vllm_server")
    assert (server.engine, server.model, server.url) == (
        "vllm_server",
        "some/model",
        "http://gpu:8000",
    )


def test_a_server_without_an_address_says_which_variable_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(env, "GRADER_URL", "")
    with pytest.raises(UnknownEngine, match="RBR_GRADER_URL"):
        configured("vllm_server")


def test_any_other_name_is_that_of_a_registered_grader_in_its_latest_version() -> None:
    first = GraderVersionFactory(grader__name="mine")
    GraderVersionFactory(grader=first.grader, number=2, settings={"seed": 7})
    assert configured("mine") == fake_config(seed=7)
    assert asdict(configured("mine"))["settings"] == {"seed": 7}


def test_an_unknown_grader_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownEngine, match=r"'mine'.*classifier, vllm, vllm_server"):
        configured("mine")
