"""An item of a queue: its page, its reservation, completing, skipping, taking it up again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import (
    Assignment,
    ConversationSet,
    Label,
    LabellingQueue,
    Prelabel,
    QueueSlot,
    Reveal,
)
from annotation.services.queues import claim_next, complete, open_queue
from tests.factories import ConversationSetFactory, fill, proposition

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ACTIONS = ("queue_item_beat", "queue_item_complete", "queue_item_skip", "queue_item_reopen")


@pytest.fixture
def gold(db: None) -> ConversationSet:
    conversation_set = ConversationSetFactory(name="gold")
    fill(conversation_set, "train", 3, labelled=True)
    return conversation_set


@pytest.fixture
def queue(gold: ConversationSet, rhea: User) -> LabellingQueue:
    return open_queue(conversation_set=gold, actor=rhea)


@pytest.fixture
def item(queue: LabellingQueue, ana: User) -> Assignment:
    found = claim_next(queue=queue, annotator=ana)
    assert found is not None
    return found


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


def at(item: Assignment, name: str = "queue_item") -> str:
    return reverse(name, args=[item.queue_id, item.pk])


def text(response: Any) -> str:
    return str(response.content.decode())


def answer(page: Client, item: Assignment, *keys: str) -> None:
    for key in keys:
        url = reverse("record_label", args=[item.completion_id, key])
        page.post(url, {"answer": "true", "assignment": item.pk}, headers=HTMX)


def test_the_page_shows_the_item_and_how_far_the_queue_is(page: Client, item: Assignment) -> None:
    response = page.get(at(item))
    position = response.context["position"]
    assert (position.done, position.skipped, position.total) == (0, 0, 3)
    assert response.context["held"] is True
    assert 'id="label-expired" class="note note-warn label-notice" role="alert" hidden' in text(
        response
    )


def test_nobody_else_opens_my_item(client: Client, ben: User, item: Assignment) -> None:
    client.force_login(ben)
    assert client.get(at(item)).status_code == 404
    for name in ACTIONS:
        assert client.post(at(item, name)).status_code == 404, name
    answered = client.post(
        reverse("record_label", args=[item.completion_id, "helps"]),
        {"answer": "true", "assignment": item.pk},
    )
    assert answered.status_code == 404
    assert not Label.objects.filter(annotator=ben).exists()


def test_an_item_is_asked_for_under_its_own_queue(page: Client, item: Assignment) -> None:
    assert page.get(reverse("queue_item", args=[item.queue_id + 1, item.pk])).status_code == 404


def test_a_stranger_is_sent_to_sign_in(client: Client, item: Assignment) -> None:
    assert client.get(at(item))["Location"].startswith("/login/")
    for name in ACTIONS:
        assert client.post(at(item, name))["Location"].startswith("/login/"), name


def test_the_page_takes_no_post_and_its_actions_no_get(page: Client, item: Assignment) -> None:
    assert page.post(at(item)).status_code == 405
    for name in ACTIONS:
        assert page.get(at(item, name)).status_code == 405, name


def test_what_the_page_of_another_person_sends_is_refused(
    page: Client, ben: User, item: Assignment
) -> None:
    for name in ACTIONS:
        refused = page.post(at(item, name), headers={**HTMX, "X-Labeller": str(ben.pk)})
        assert refused.status_code == 409, name
    item.refresh_from_db()
    assert (item.completed_at, item.skipped_at, item.beat_at) == (None, None, None)


def test_an_item_with_open_rows_is_not_completed(page: Client, item: Assignment) -> None:
    answer(page, item, "helps")
    fragment = page.post(at(item, "queue_item_complete"), headers=HTMX)
    assert fragment.status_code == 422
    assert text(fragment).lstrip().startswith('<section id="label-actions"')
    assert "1 unanswered" in text(fragment)
    assert "#label-row-rude" in text(fragment)
    plain = page.post(at(item, "queue_item_complete"))
    assert plain.status_code == 422
    assert "1 unanswered" in text(plain)
    item.refresh_from_db()
    assert item.completed_at is None


def test_completing_leads_to_the_next_item(page: Client, ana: User, item: Assignment) -> None:
    answer(page, item, "helps", "rude")
    response = page.post(at(item, "queue_item_complete"), {"active_seconds": "0.001"}, headers=HTMX)
    following = Assignment.objects.get(annotator=ana, completed_at=None)
    assert response["HX-Redirect"] == at(following)
    item.refresh_from_db()
    assert item.completed_at is not None
    assert item.active_seconds == pytest.approx(0.001)
    assert Reveal.objects.filter(completion=item.completion_id, annotator=ana).exists()


def test_a_second_press_of_complete_changes_nothing(page: Client, item: Assignment) -> None:
    answer(page, item, "helps", "rude")
    places = [page.post(at(item, "queue_item_complete"))["Location"] for _ in range(2)]
    assert places[0] == places[1] != at(item)


def test_whoever_wants_to_stays_to_see_what_others_said(page: Client, item: Assignment) -> None:
    answer(page, item, "helps", "rude")
    response = page.post(at(item, "queue_item_complete"), {"stay": "on"})
    assert response["Location"] == at(item)
    body = text(page.get(at(item)))
    assert "Completed" in body
    assert 'class="said' in body
    assert "data-next" in body


def test_the_last_item_leads_to_the_queue(page: Client, ana: User, item: Assignment) -> None:
    for _ in range(2):
        complete(assignment=item)
        following = claim_next(queue=item.queue, annotator=ana)
        assert following is not None
        item = following
    answer(page, item, "helps", "rude")
    response = page.post(at(item, "queue_item_complete"))
    assert response["Location"] == reverse("queue", args=[item.queue_id])


def test_skipping_leads_on_and_the_item_can_be_taken_up_again(
    page: Client, ana: User, item: Assignment
) -> None:
    response = page.post(at(item, "queue_item_skip"), headers=HTMX)
    following = Assignment.objects.get(annotator=ana, skipped_at=None)
    assert response["HX-Redirect"] == at(following)
    assert "You skipped this item" in text(page.get(at(item)))
    assert page.post(at(item, "queue_item_reopen"))["Location"] == at(item)
    item.refresh_from_db()
    assert item.skipped_at is None


def test_a_beat_renews_the_reservation_and_says_until_when(
    page: Client, ana: User, item: Assignment
) -> None:
    slot = QueueSlot.objects.get(annotator=ana)
    QueueSlot.objects.filter(pk=slot.pk).update(leased_until=timezone.now())
    response = page.post(at(item, "queue_item_beat"), {"active_seconds": "1"}, headers=HTMX)
    slot.refresh_from_db()
    assert text(response).lstrip().startswith('<span id="label-lease"')
    assert 'data-held="yes"' in text(response)
    assert slot.leased_until is not None
    assert f'data-until="{int(slot.leased_until.timestamp() * 1000)}"' in text(response)
    assert page.post(at(item, "queue_item_beat"))["Location"] == at(item)


def test_a_reservation_that_somebody_took_is_not_held(
    page: Client, ana: User, ben: User, item: Assignment
) -> None:
    QueueSlot.objects.filter(annotator=ana).update(
        annotator=ben, leased_until=timezone.now() + timedelta(minutes=5)
    )
    beat = page.post(at(item, "queue_item_beat"), {"active_seconds": "x"}, headers=HTMX)
    assert 'data-held="no"' in text(beat)
    response = page.get(at(item))
    assert response.context["held"] is False
    answer(page, item, "helps", "rude")
    page.post(at(item, "queue_item_complete"))
    item.refresh_from_db()
    assert item.is_extra


def test_suggestions_are_shown_recorded_as_seen_and_kept_with_the_answer(
    page: Client, ana: User, gold: ConversationSet, item: Assignment
) -> None:
    LabellingQueue.objects.update(prelabel_source="run:1")
    rows = {"helps": 0.75, "rude": 0.25}
    for key, p in rows.items():
        Prelabel.objects.create(
            queue=item.queue,
            completion=item.completion,
            proposition=proposition(item.completion, key),
            p=p,
        )
    response = page.get(at(item))
    suggested = {row.key: row.suggestion for row in response.context["sheet"].rows}
    assert suggested["helps"].answer == "true"
    assert suggested["rude"].answer == "false"
    assert suggested["cites"] is None
    assert text(response).count("is-suggested") == 2
    item.refresh_from_db()
    assert item.prelabels_seen
    # Said otherwise than suggested: both are kept.
    answer(page, item, "rude", "cites")
    kept = Label.objects.filter(annotator=ana).values_list("proposition__key", "answer", "prelabel")
    assert set(kept) == {("rude", "true", "false"), ("cites", "true", "")}


def test_without_suggestions_none_are_recorded_as_seen(page: Client, item: Assignment) -> None:
    page.get(at(item))
    item.refresh_from_db()
    assert not item.prelabels_seen


def test_the_page_takes_as_many_queries_however_long_the_queue_is(
    page: Client, ana: User, gold: ConversationSet, item: Assignment, django_assert_num_queries: Any
) -> None:
    page.get(at(item))
    # Session, user, item, version; asked and all propositions, my labels, the reveal; decisions,
    # the note; reservation, position, the last item. A rail without answers looks up no items.
    cost = 13
    with django_assert_num_queries(cost):
        page.get(at(item))
    fill(gold, "test", 30, labelled=True)
    longer = open_queue(conversation_set=gold, overlap=2, actor=ana)
    other = claim_next(queue=longer, annotator=ana)
    assert other is not None
    page.get(at(other))
    with django_assert_num_queries(cost):
        page.get(at(other))
