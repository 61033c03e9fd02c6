"""axe-core finds nothing serious on the pages, in both themes."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from annotation.models import Completion, ConversationSet
from annotation.models.labels import Answer
from annotation.services.labels import reveal
from annotation.services.queues import claim_next, complete, open_queue
from grading.models import GraderVersion
from grading.services.runs import start_run
from grading.tasks import grade_run
from tests.browser.conftest import Audit, Site
from tests.factories import LabelFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def addresses(
    ana: User, ben: User, gold: ConversationSet, version: GraderVersion
) -> dict[str, str]:
    """Page -> path. Everything that can be shown is there: an open and a completed item, a run."""
    run = start_run(grader_version=version, conversation_set=gold, split="all").run
    grade_run(run.pk)
    first = Completion.objects.order_by("pk").first()
    assert first is not None
    for person, answer in ((ana, Answer.TRUE), (ben, Answer.FALSE)):
        for key in ("helps", "rude"):
            LabelFactory(completion=first, key=key, annotator=person, answer=answer)
    queue = open_queue(conversation_set=gold, overlap=2, actor=ana)
    done = claim_next(queue=queue, annotator=ana)
    assert done is not None
    complete(assignment=done)
    item = claim_next(queue=queue, annotator=ana)
    assert item is not None
    reveal(completion=item.completion, annotator=ana)
    given = {
        "dashboard": [],
        "policies": [],
        "policy": [gold.policy_id],
        "policy_draft": [gold.policy_id],
        "policy_playground": [gold.policy_id],
        "policy_versions": [gold.policy_id],
        "policy_stale": [gold.policy_id],
        "policy_upload": [],
        "gold_sets": [],
        "gold_set_new": [],
        "gold_set": [gold.pk],
        "gold_coverage": [gold.pk],
        "gold_consistency": [gold.pk],
        "gold_split": [gold.pk],
        "gold_versions": [gold.pk],
        "gold_settings": [gold.pk],
        "conversations_upload": [],
        "export_labels": [gold.pk],
        "import_labels": [gold.pk],
        "progress": [gold.pk],
        "agreement": [gold.pk],
        "adjudication": [gold.pk],
        "label": [item.completion_id],
        "queues": [],
        "queue_new": [],
        "queue": [queue.pk],
        "queue_item": [queue.pk, item.pk],
        "graders": [],
        "runs": [],
        "run": [run.pk],
        "run_proposition": [run.pk, "helps"],
    }
    found = {"login": "/login/", "item that is done": f"/queues/{queue.pk}/items/{done.pk}/"}
    found |= {name: reverse(name, args=arguments) for name, arguments in given.items()}
    found["new queue of a set"] = f"{reverse('queue_new')}?set={gold.pk}"
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_has_a_serious_accessibility_problem(
    site: Site, audit: Audit, ana: User, addresses: dict[str, str], scheme: str, width: int
) -> None:
    site.page.set_viewport_size({"width": width, "height": 900})
    site.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    site.open(addresses.pop("login"))
    found = {"login": audit(site.page)}
    site.sign_in(ana)
    for name, path in addresses.items():
        site.open(path)
        found[name] = audit(site.page)
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_what_opens_on_the_labelling_page_has_no_serious_problem_either(
    site: Site, audit: Audit, ana: User, addresses: dict[str, str]
) -> None:
    site.sign_in(ana)
    site.open(addresses["queue_item"])
    site.page.keyboard.press("Shift+G")
    site.page.keyboard.press("e")
    site.page.keyboard.press("y")
    site.page.keyboard.press("Control+Enter")
    assert audit(site.page) == []
    site.page.keyboard.press("?")
    assert audit(site.page) == []
    # The rules are at work: a page with a fault is found out.
    site.page.evaluate("document.querySelector('dialog h2').remove()")
    site.page.evaluate("document.querySelector('textarea').labels[0].remove()")
    site.page.evaluate("document.querySelector('textarea').removeAttribute('placeholder')")
    site.page.evaluate("document.querySelector('dialog').close()")
    assert any("label" in problem for problem in audit(site.page))
