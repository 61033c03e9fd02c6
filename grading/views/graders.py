"""Graders: what they are, whether they work, a button to check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from grading.models import Grader, GraderProbe, GraderVersion
from grading.selectors import graders as select_graders
from grading.services.graders import UnknownEngine, configured, request_probe
from grading.tasks import nudge_probe
from rbr_app.http import Request, see_other

PATIENCE = timedelta(seconds=10)

OFFERED = {
    "classifier": "Trained on the Gold train split in seconds. No model, no GPU: the baseline.",
    "vllm": "A language model inside the model worker, on this machine's GPU or CPU.",
    "vllm_server": "A language model behind an OpenAI-compatible vLLM server elsewhere; "
    "set RBR_GRADER_URL to its address; several addresses share the work by prompt prefix.",
    "openai_topk": "Any OpenAI-compatible server that shows its likeliest tokens: p(yes) with "
    "bounds. Set RBR_GRADER_URL and RBR_GRADER_MODEL.",
}


@dataclass(frozen=True)
class GraderCard:
    """A grader as the page shows it; `grader` is None for one that nobody has started yet."""

    name: str
    hint: str
    grader: Grader | None
    version: GraderVersion | None
    probe: GraderProbe | None
    error: str = ""

    @property
    def is_active(self) -> bool:
        active = (GraderProbe.State.PENDING, GraderProbe.State.RUNNING)
        return self.probe is not None and self.probe.state in active

    @property
    def waits_long(self) -> bool:
        """Whether no worker has taken the probe that was asked for a while ago."""
        return (
            self.probe is not None
            and self.probe.state == GraderProbe.State.PENDING
            and timezone.now() - self.probe.requested_at > PATIENCE
        )


@require_safe
def graders(request: Request) -> HttpResponse:
    return render(request, "grading/graders.html", {"cards": _cards()})


@require_safe
def card(request: Request, name: str) -> HttpResponse:
    """One grader's card, polled while it starts."""
    page = "_grader_card.html" if request.htmx else "graders.html"
    found = _card(name)
    return render(request, f"grading/{page}", {"card": found, "cards": [found]})


@require_POST
def probe(request: Request, name: str) -> HttpResponse:
    """Ask a worker to start the grader and say what it is."""
    _card(name)
    try:
        started = request_probe(name=name, config=configured(name))
    except UnknownEngine as error:
        refused = _card(name, str(error))
        page = "_grader_card.html" if request.htmx else "graders.html"
        context = {"card": refused, "cards": [refused]}
        return render(request, f"grading/{page}", context, status=422)
    nudge_probe(started)
    if request.htmx:
        return render(request, "grading/_grader_card.html", {"card": _card(name)})
    return see_other(request, "/graders/")


def _cards() -> list[GraderCard]:
    """The graders that can be started here, then those that were registered under other names."""
    known = {grader.name: grader for grader in select_graders.graders()}
    names = [*OFFERED, *(name for name in known if name not in OFFERED)]
    return [_as_card(name, known.get(name)) for name in names]


def _card(name: str, error: str = "") -> GraderCard:
    found = select_graders.graders().filter(name=name).first()
    if found is None and name not in OFFERED:
        raise Http404(f"there is no grader {name}")
    return _as_card(name, found, error)


def _as_card(name: str, grader: Grader | None, error: str = "") -> GraderCard:
    versions = list(grader.versions.all()) if grader else []
    probes = list(grader.probes.all()) if grader else []
    return GraderCard(
        name=name,
        hint=OFFERED.get(name, ""),
        grader=grader,
        version=versions[0] if versions else None,
        probe=probes[0] if probes else None,
        error=error,
    )
