"""The labelling page and what is said on it: the page, saving, notes, who may do what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import (
    Completion,
    CompletionNote,
    ConversationSet,
    Label,
    LabelEvent,
    Reveal,
)
from annotation.models.labels import Answer
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    PolicyVersionFactory,
    fill,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
HOSTILE = '<script>alert(1)</script>\u202egnihtemos & "quoted" {{ 7|add:7 }}'


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


# The page


def test_previous_and_next_walk_the_filtered_list(page: Client, gold: ConversationSet) -> None:
    pks = list(
        Completion.objects.filter(conversation__split="test")
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    place = page.get(reverse("label", args=[pks[1]]), {"split": "test"}).context["place"]
    assert (place.previous, place.number, place.total, place.following) == (pks[0], 2, 3, pks[2])


def test_a_list_of_ids_is_walked_in_its_own_order(page: Client, gold: ConversationSet) -> None:
    a, b, c = Completion.objects.order_by("pk").values_list("pk", flat=True)[:3]
    place = page.get(reverse("label", args=[a]), {"ids": f"{c},{a},{b},x"}).context["place"]
    assert (place.previous, place.following) == (c, b)


def test_an_answer_that_leaves_the_filter_does_not_end_the_walk(
    page: Client, gold: ConversationSet
) -> None:
    query = {"proposition": "helps", "value": "true"}
    pks = page.get(reverse("gold_set", args=[gold.pk]), query).context["page"].object_list
    page.post(reverse("record_label", args=[pks[0], "helps"]), {"answer": "false"})
    place = page.get(reverse("label", args=[pks[0]]), query).context["place"]
    assert place.following == pks[1]


def test_the_way_back_is_a_path_of_this_site_or_not_offered(
    page: Client, completion: Completion
) -> None:
    for back in ("//evil.example/", "https://evil.example/", "javascript:alert(1)", "\\\\evil"):
        assert page.get(at("label", completion), {"back": back}).context["back"] == ""
    assert page.get(at("label", completion), {"back": "/runs/1/"}).context["back"] == "/runs/1/"


def test_propositions_that_decide_the_class_come_first_and_the_rest_is_folded(
    page: Client, completion: Completion
) -> None:
    sheet = page.get(at("label", completion)).context["sheet"]
    assert [(row.key, row.decides, row.required) for row in sheet.rows] == [
        ("helps", True, True), ("rude", True, True), ("cites", False, False),
    ]  # fmt: skip
    assert [row.key for row in sheet.folded] == ["cites"]


def test_a_response_type_without_rules_folds_nothing(page: Client) -> None:
    bare = CompletionFactory(conversation__response_type="")
    sheet = page.get(at("label", bare)).context["sheet"]
    assert [row.key for row in sheet.asked] == ["helps", "rude", "cites"]
    assert sheet.folded == []


def test_turns_before_the_last_three_are_folded(page: Client) -> None:
    prompt = [{"role": "user", "content": f"turn {n}"} for n in range(5)]
    long = CompletionFactory(conversation=ConversationFactory(prompt=prompt))
    response = page.get(at("label", long))
    assert [turn.content for turn in response.context["turns"]] == ["turn 2", "turn 3", "turn 4"]
    assert "Show 2 earlier turns" in text(response)
    assert "earlier turn" not in text(page.get(at("label", CompletionFactory())))


def test_hostile_text_is_shown_and_never_run(page: Client) -> None:
    conversation = ConversationFactory(
        prompt=[{"role": "system", "content": HOSTILE}, {"role": "user", "content": HOSTILE}],
        category=HOSTILE[:100],
    )
    completion = CompletionFactory(conversation=conversation, text=HOSTILE, external_id=HOSTILE)
    gold_set = reverse("gold_set", args=[conversation.conversation_set.pk])
    for url in (at("label", completion), gold_set, f"{gold_set}?text=%3Cscript%3Ealert"):
        body = text(page.get(url))
        assert "<script>alert" not in body, url
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body, url


def test_an_empty_completion_is_shown_as_such(page: Client) -> None:
    assert "The completion is empty" in text(page.get(at("label", CompletionFactory(text=""))))
    blank = text(page.get(at("label", CompletionFactory(text=" \n "))))
    assert "white space only" in blank


def test_contradicting_answers_are_named(page: Client, completion: Completion) -> None:
    policy = completion.conversation.conversation_set.policy
    first = policy.latest
    document = first.document | {"exclusions": [{"helps": True, "rude": True}]}
    PolicyVersionFactory(policy=policy, number=2, parent=first, document=document)
    page.post(at("record_label", completion, "helps"), {"answer": "true"})
    response = page.post(at("record_label", completion, "rude"), {"answer": "true"}, headers=HTMX)
    assert "Contradiction:" in text(response)
    response = page.post(at("record_label", completion, "rude"), {"answer": "false"}, headers=HTMX)
    assert "Contradiction:" not in text(response)


# Saving


def test_an_answer_returns_its_row_the_class_and_the_decisions(
    page: Client, ana: User, completion: Completion
) -> None:
    response = page.post(at("record_label", completion, "rude"), {"answer": "true"}, headers=HTMX)
    assert response.status_code == 200
    body = text(response)
    assert body.lstrip().startswith('<li id="label-row-rude"')
    for part in ("label-implied", "label-decisions", "label-undo"):
        assert body.count(f'id="{part}"') == 1
    # Whatever is rude is a rude completion: nothing that is still open can change that.
    explanation = response.context["sheet"].explanation
    assert (explanation.implied, explanation.missing) == ("rude_completion", ())
    stored = Label.objects.get(annotator=ana)
    assert (stored.proposition.key, stored.answer) == ("rude", Answer.TRUE)


def test_an_answer_says_when_the_server_had_it(page: Client, completion: Completion) -> None:
    before = datetime.now(tz=UTC).timestamp() * 1000
    response = page.post(at("record_label", completion, "rude"), {"answer": "true"}, headers=HTMX)
    assert before - 1 <= int(response["X-Now"]) <= datetime.now(tz=UTC).timestamp() * 1000 + 1


def test_an_answer_without_htmx_leads_back_to_its_row(page: Client, completion: Completion) -> None:
    url = at("record_label", completion, "rude")
    response = page.post(f"{url}?split=train", {"answer": "cannot_decide"})
    assert response.status_code == 302
    assert response["Location"] == f"{at('label', completion)}?split=train#label-row-rude"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"answer": "maybe"},
        {"answer": ""},
        {"answer": "true", "client_id": "x"},
        {"answer": "true", "at": "noon"},
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_an_answer_that_is_none_is_refused_with_its_row(
    page: Client, completion: Completion, data: dict[str, str], headers: dict[str, str]
) -> None:
    response = page.post(at("record_label", completion, "rude"), data, headers=headers)
    assert response.status_code == 422
    assert 'id="label-row-rude"' in text(response)
    problem = text(response).split('role="alert">')[1].split("</p>")[0]
    assert problem.strip()
    assert not LabelEvent.objects.exists()


def test_a_click_that_is_sent_twice_is_one_event(
    page: Client, ana: User, completion: Completion
) -> None:
    url = at("record_label", completion, "rude")
    click = {"client_id": str(uuid4()), "at": "2026-01-01T10:00:00.000Z"}
    for answer in ("true", "true"):
        page.post(url, {"answer": answer, **click}, headers=HTMX)
    event = LabelEvent.objects.get(actor=ana)
    assert str(event.client_id) == click["client_id"]
    assert event.clicked_at == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_a_click_that_waited_offline_does_not_replace_a_newer_one(
    page: Client, ana: User, completion: Completion
) -> None:
    url = at("record_label", completion, "rude")
    now = timezone.now()
    for answer, minutes in (("true", 1), ("false", 5)):
        clicked = (now - timedelta(minutes=minutes)).isoformat()
        response = page.post(url, {"answer": answer, "at": clicked}, headers=HTMX)
    assert response.context["row"].mine == Answer.TRUE
    assert Label.objects.get(annotator=ana).answer == Answer.TRUE
    kinds = LabelEvent.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == [LabelEvent.Kind.ANSWERED, LabelEvent.Kind.SUPERSEDED]


def test_what_the_page_of_another_person_sends_is_refused(
    page: Client, ana: User, ben: User, completion: Completion
) -> None:
    url = at("record_label", completion, "rude")
    theirs = {**HTMX, "X-Labeller": str(ben.pk)}
    assert page.post(url, {"answer": "true"}, headers=theirs).status_code == 409
    assert not LabelEvent.objects.exists()
    mine = {**HTMX, "X-Labeller": str(ana.pk)}
    assert page.post(url, {"answer": "true"}, headers=mine).status_code == 200


def test_saving_takes_the_same_few_queries_whatever_the_size_of_the_set(
    page: Client, gold: ConversationSet, completion: Completion, django_assert_num_queries: Any
) -> None:
    url = at("record_label", completion, "rude")
    page.post(url, {"answer": "false"}, headers=HTMX)  # parses the policy, once per process
    # Session, user, completion, version, proposition; then in one transaction (two: a savepoint)
    # the lock, the click's name, the label, the reveal, its update, two for the truth, the event;
    # then for the fragment the version, propositions, my labels, the reveal, the decisions and
    # their items.
    cost = 21
    with django_assert_num_queries(cost):
        page.post(url, {"answer": "true", "client_id": str(uuid4())}, headers=HTMX)
    fill(gold, "train", 40, labelled=True)
    with django_assert_num_queries(cost):
        page.post(url, {"answer": "false", "client_id": str(uuid4())}, headers=HTMX)


def test_the_labelling_page_takes_few_queries(
    page: Client, completion: Completion, django_assert_max_num_queries: Any
) -> None:
    page.get(at("label", completion))
    with django_assert_max_num_queries(13):
        page.get(at("label", completion))


# Notes


def test_a_note_and_a_flag_are_kept_apart(page: Client, ana: User, completion: Completion) -> None:
    url = at("write_note", completion)
    response = page.post(url, {"text": "  odd <b>\n"}, headers=HTMX)
    assert text(response).lstrip().startswith('<form id="label-note"')
    page.post(url, {"flagged": "true"}, headers=HTMX)
    note = CompletionNote.objects.get(author=ana)
    assert (note.text, note.flagged) == ("  odd <b>\n", True)
    page.post(url, {"text": ""}, headers=HTMX)
    note.refresh_from_db()
    assert (note.text, note.flagged) == ("", True)
    plain = page.post(f"{url}?split=test", {"flagged": "false"})
    assert plain["Location"] == f"{at('label', completion)}?split=test#label-note"


def test_a_note_that_is_too_long_is_refused_with_its_text(
    page: Client, completion: Completion
) -> None:
    long = "x" * 20_001
    response = page.post(at("write_note", completion), {"text": long}, headers=HTMX)
    assert response.status_code == 422
    assert long in text(response)
    assert 'role="alert"' in text(response)
    assert not CompletionNote.objects.exists()


# Every view


def posts(completion: Completion) -> list[str]:
    return [
        at("record_label", completion, "helps"),
        at("confirm_label", completion, "helps"),
        at("reveal", completion),
        at("write_note", completion),
        reverse("undo_label"),
    ]


def test_nothing_is_said_without_signing_in(client: Client, completion: Completion) -> None:
    assert client.get(at("label", completion))["Location"].startswith("/login/")
    for url in posts(completion):
        refused = client.post(url, {"answer": "true", "text": "hello"})
        assert refused["Location"].startswith("/login/"), url
    assert not LabelEvent.objects.exists()
    assert not CompletionNote.objects.exists()
    assert not Reveal.objects.exists()


def test_the_page_takes_no_post_and_what_is_said_takes_no_get(
    page: Client, completion: Completion
) -> None:
    assert page.post(at("label", completion)).status_code == 405
    for url in posts(completion):
        assert page.get(url).status_code == 405, url


def test_an_unknown_row_is_404(page: Client, completion: Completion) -> None:
    for name in ("label", "reveal", "write_note"):
        send = page.get if name == "label" else page.post
        assert send(reverse(name, args=[10**9])).status_code == 404, name
    for name in ("record_label", "confirm_label"):
        url = at(name, completion, "nonsense")
        assert page.post(url, {"answer": "true"}).status_code == 404, name
    # An answer that was never given cannot be confirmed, nor one that nobody gave undone.
    assert page.post(at("confirm_label", completion, "rude")).status_code == 404
    for event in ("x", str(10**9)):
        assert page.post(reverse("undo_label"), {"event": event}).status_code == 404
    for item in ("x", str(10**9)):
        data = {"answer": "true", "assignment": item}
        assert page.post(at("record_label", completion, "helps"), data).status_code == 404
