"""The labelling page after the fact: the reveal, undo, answers under an earlier definition."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation import verdicts
from annotation.models import (
    Completion,
    ConversationSet,
    DefinitionChange,
    Label,
    LabelEvent,
    Reveal,
)
from annotation.models.labels import Answer
from annotation.verdicts import VerdictSource
from tests.factories import (
    ConversationSetFactory,
    LabelFactory,
    PolicyVersionFactory,
    fill,
    proposition,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def gold(db: None) -> ConversationSet:
    """Four train rows and three test rows, labelled by the file."""
    conversation_set = ConversationSetFactory(name="gold")
    fill(conversation_set, "train", 4, labelled=True)
    fill(conversation_set, "test", 3, labelled=True)
    return conversation_set


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    """The file says of it: helps, rude, cites nothing."""
    found = Completion.objects.order_by("pk").first()
    assert found is not None
    return found


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


def at(name: str, completion: Completion, *rest: str) -> str:
    return reverse(name, args=[completion.pk, *rest])


def text(response: Any) -> str:
    return str(response.content.decode())


class Grader:
    """A grader that is sure of everything it is asked."""

    def __init__(self, p: float) -> None:
        self.p = p

    def sources(self, conversation_set: ConversationSet) -> list[VerdictSource]:
        return [VerdictSource("run:2", "judge run 2"), VerdictSource("run:1", "judge run 1")]

    def probabilities(self, source: str, completions: Any = None) -> dict[tuple[int, str], float]:
        assert source == "run:2"
        return {(pk, "rude"): self.p for pk in completions}


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "_supplier", Grader(0.0625))


# Blind until the reveal


def others_shown(body: str) -> int:
    return body.count('class="said-who"')


def test_nobody_elses_answers_are_in_the_page_before_the_reveal(
    page: Client, ben: User, completion: Completion, grader: None
) -> None:
    LabelFactory(completion=completion, key="rude", annotator=ben, answer=Answer.FALSE)
    body = text(page.get(at("label", completion)))
    saved = text(
        page.post(at("record_label", completion, "rude"), {"answer": "true"}, headers=HTMX)
    )
    for html in (body, saved):
        assert others_shown(html) == 0
        assert ">ben<" not in html
        assert "judge run" not in html
        assert "label-events" not in html
    page.post(at("reveal", completion))
    body = text(page.get(at("label", completion)))
    # On rude: ben, the file and the newest run; on helps and cites the file.
    assert others_shown(body) == 5
    assert "label-events" in body


def test_the_reveal_says_who_agrees(
    page: Client, ben: User, completion: Completion, grader: None
) -> None:
    LabelFactory(completion=completion, key="rude", annotator=ben, answer=Answer.FALSE)
    page.post(at("record_label", completion, "rude"), {"answer": "true"})
    page.post(at("reveal", completion))
    sheet = page.get(at("label", completion)).context["sheet"]
    rude, helps = sheet.row("rude"), sheet.row("helps")
    assert [(said.who, said.answer, said.agrees, said.p) for said in rude.others] == [
        ("ben", "false", False, None),
        ("file", "true", True, None),
        ("judge run 2", "false", False, 0.0625),
    ]
    assert [(said.who, said.agrees) for said in helps.others] == [("file", None)]
    assert sheet.n_differing == 1


def test_whoever_comes_from_a_run_has_seen_the_verdict(
    page: Client, ana: User, completion: Completion
) -> None:
    page.get(at("label", completion), {"back": "/gold-sets/1/"})
    assert not Reveal.objects.exists()
    page.get(at("label", completion), {"back": "/runs/1/helps/?show=all"})
    assert Reveal.objects.get().annotator == ana


def test_what_is_answered_after_the_reveal_is_marked(page: Client, completion: Completion) -> None:
    page.post(at("record_label", completion, "helps"), {"answer": "true"})
    page.post(at("reveal", completion))
    page.post(at("record_label", completion, "rude"), {"answer": "true"})
    body = text(page.get(at("label", completion)))
    assert body.count("after the reveal: kept, but left out of agreement") == 1


# Undo


def test_undo_leads_to_the_row_and_names_what_it_is_again(
    page: Client, completion: Completion
) -> None:
    url = at("record_label", completion, "rude")
    page.post(url, {"answer": "true"}, headers=HTMX)
    shown = page.post(url, {"answer": "false"}, headers=HTMX).context["decisions"][0].event
    response = page.post(reverse("undo_label"), {"event": shown.pk}, headers=HTMX).json()
    assert response["undone"] is True
    assert (response["completion"], response["key"]) == (completion.pk, "rude")
    assert response["page"] == f"{at('label', completion)}#label-row-rude"
    assert response["text"] == "rude is true again."
    assert Label.objects.get(annotator__username="ana").answer == Answer.TRUE


def test_an_undo_that_two_presses_sent_takes_back_one_answer(
    page: Client, completion: Completion
) -> None:
    for key in ("helps", "rude"):
        url = at("record_label", completion, key)
        shown = page.post(url, {"answer": "true"}, headers=HTMX).context["decisions"][0].event
    for wanted in (True, False):
        said = page.post(reverse("undo_label"), {"event": shown.pk}, headers=HTMX).json()
        assert said["undone"] is wanted
    answers = Label.objects.exclude(annotator=None).order_by("proposition__key")
    assert [label.answer for label in answers] == ["true", ""]


def test_undo_with_nothing_to_take_back_says_so(page: Client, completion: Completion) -> None:
    assert page.post(reverse("undo_label"), headers=HTMX).json()["undone"] is False
    back = page.post(reverse("undo_label"), {"back": at("label", completion)})
    assert back["Location"] == at("label", completion)
    away = page.post(reverse("undo_label"), {"back": "//evil.example/"})
    assert away["Location"] == "/"


def test_nobody_undoes_the_answer_of_somebody_else(
    page: Client, ben: User, completion: Completion
) -> None:
    other = Client()
    other.force_login(ben)
    other.post(at("record_label", completion, "rude"), {"answer": "true"})
    event = LabelEvent.objects.get(actor=ben)
    assert page.post(reverse("undo_label"), {"event": event.pk}).status_code == 404
    assert page.post(reverse("undo_label"), headers=HTMX).json()["undone"] is False
    assert Label.objects.get(annotator=ben).answer == Answer.TRUE


# A definition that changed


def test_an_answer_under_an_earlier_meaning_is_shown_and_can_be_confirmed(
    page: Client, ana: User, completion: Completion
) -> None:
    policy = completion.conversation.conversation_set.policy
    for key in ("helps", "rude"):
        page.post(at("record_label", completion, key), {"answer": "true"})
    second = PolicyVersionFactory(policy=policy, number=2, parent=policy.latest)
    DefinitionChange.objects.create(version=second, proposition=proposition(completion, "rude"))
    shown = page.get(at("label", completion))
    changes = reverse("policy_versions", args=[policy.pk])
    assert f'href="{changes}?from=1&amp;to=2"' in text(shown)
    sheet = shown.context["sheet"]
    assert {row.key: row.changed_in for row in sheet.rows} == {
        "helps": None, "rude": 2, "cites": None,
    }  # fmt: skip
    response = page.post(at("confirm_label", completion, "rude"), headers=HTMX)
    assert response.context["row"].changed_in is None
    assert Label.objects.get(annotator=ana, proposition__key="rude").policy_version == second
    assert LabelEvent.objects.filter(kind=LabelEvent.Kind.CONFIRMED).count() == 1
