"""Registers graders: a probe asks a worker to start one, a version records what it is."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.db.models import Max, Q
from django.db.models.functions import Now

from grading.models import Grader, GraderProbe, GraderVersion
from rbr_app import env, weights
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.engines import EngineConfig, ProbeResult, engine_names

SERVERS = ("vllm_server", "openai_topk")
"""Engines that call the server at ``RBR_GRADER_URL``."""

PROBE_LEASE = timedelta(seconds=20)


class UnknownEngine(ValueError):
    """A grader that names an engine this installation does not have."""


@transaction.atomic
def request_probe(*, name: str, config: EngineConfig) -> GraderProbe:
    """Ask for the grader `name` to be started with `config` and registered.

    A probe with the same configuration that still waits for a worker is returned as it is.
    """
    if config.engine not in engine_names():
        raise UnknownEngine(f"{config.engine!r} is none of {', '.join(engine_names())}")
    Grader.objects.get_or_create(name=name)
    grader = Grader.objects.select_for_update().get(name=name)
    document = asdict(config)
    waiting = grader.probes.filter(state=GraderProbe.State.PENDING, config=document).first()
    return waiting or GraderProbe.objects.create(grader=grader, config=document)


def claim_probe(*, probe_pk: int) -> GraderProbe | None:
    """Take the probe if nobody works on it; None when it is done or held."""
    free = Q(state=GraderProbe.State.PENDING) | Q(
        state=GraderProbe.State.RUNNING, leased_until__lt=Now()
    )
    taken = GraderProbe.objects.filter(free, pk=probe_pk).update(
        state=GraderProbe.State.RUNNING, leased_until=Now() + PROBE_LEASE
    )
    return GraderProbe.objects.select_related("grader").get(pk=probe_pk) if taken else None


def renew_probe(*, probe_pk: int) -> None:
    GraderProbe.objects.filter(pk=probe_pk).update(leased_until=Now() + PROBE_LEASE)


@transaction.atomic
def finish_probe(*, probe: GraderProbe, result: ProbeResult) -> GraderVersion:
    """Record that the grader works: the version with these facts, made when it is new."""
    grader = Grader.objects.select_for_update().get(pk=probe.grader_id)
    digest = fingerprint([probe.config, result.facts])
    version = grader.versions.filter(fingerprint=digest).first()
    if version is None:
        last = grader.versions.aggregate(last=Max("number"))["last"] or 0
        version = GraderVersion.objects.create(
            grader=grader,
            number=last + 1,
            config=probe.config,
            facts=result.facts,
            fingerprint=digest,
        )
    GraderProbe.objects.filter(pk=probe.pk).update(
        state=GraderProbe.State.DONE,
        version=version,
        error="",
        seconds=result.seconds,
        calls_per_second=result.calls_per_second,
        finished_at=Now(),
    )
    return version


def fail_probe(*, probe: GraderProbe, error: str) -> None:
    """Record why the grader cannot be used, unless another worker has found that it can."""
    GraderProbe.objects.filter(pk=probe.pk).exclude(state=GraderProbe.State.DONE).update(
        state=GraderProbe.State.FAILED, error=error, finished_at=Now()
    )


def configured(name: str) -> EngineConfig:
    """What the grader `name` is asked to be.

    The engines' own names mean the grader that the environment variables describe; any other name
    is that of a registered grader, as its latest version has it.
    """
    if name == "classifier":
        return EngineConfig("classifier")
    if name == "vllm":
        model = env.GRADER_MODEL or str(weights.model_directory(env.HOME))
        return EngineConfig("vllm", model=model, dtype=env.GRADER_DTYPE)
    if name in SERVERS:
        if not env.GRADER_URL:
            raise UnknownEngine("set RBR_GRADER_URL to the address of the model server")
        return EngineConfig(
            name, model=env.GRADER_MODEL, url=env.GRADER_URL, dtype=env.GRADER_DTYPE
        )
    version = GraderVersion.objects.filter(grader__name=name).order_by("number").last()
    if version is None:
        raise UnknownEngine(
            f"there is no grader {name!r}; there are classifier, vllm, {', '.join(SERVERS)}"
        )
    return version.as_config()
