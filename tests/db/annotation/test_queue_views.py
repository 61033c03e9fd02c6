"""Pages of labelling queues: the list, the form, one queue, and the way to its next item."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation.models import Assignment, Completion, ConversationSet, LabellingQueue
from annotation.services.queues import claim_next, close_queue, complete, open_queue, skip
from tests.factories import ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def rows(gold: ConversationSet) -> list[Completion]:
    return fill(gold, "train", 3)


@pytest.fixture
def queue(gold: ConversationSet, rows: list[Completion]) -> LabellingQueue:
    return open_queue(conversation_set=gold, name="All of gold", actor=None)


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


def text(response: Any) -> str:
    return " ".join(response.content.decode().split())


def url(name: str, queue: LabellingQueue) -> str:
    return reverse(name, args=[queue.pk])


def item_url(item: Assignment) -> str:
    return reverse("queue_item", args=[item.queue_id, item.pk])


def let_time_run_out(queue: LabellingQueue) -> None:
    reserved = queue.slots.filter(leased_until__isnull=False)
    reserved.update(leased_until=timezone.now() - timedelta(seconds=1))


def test_every_page_opens(page: Client, queue: LabellingQueue) -> None:
    for address in (
        reverse("queues"),
        reverse("queue_new"),
        url("queue", queue),
        reverse("progress", args=[queue.conversation_set_id]),
    ):
        assert page.get(address).status_code == 200, address


def test_nothing_is_shown_or_handed_out_without_signing_in(
    client: Client, queue: LabellingQueue
) -> None:
    for address in (
        reverse("queues"),
        reverse("queue_new"),
        url("queue", queue),
        reverse("progress", args=[queue.conversation_set_id]),
    ):
        assert client.get(address)["Location"].startswith("/login/"), address
    for name in ("queue_next", "queue_requeue", "queue_close"):
        assert client.post(url(name, queue))["Location"].startswith("/login/"), name
    assert not Assignment.objects.exists()
    queue.refresh_from_db()
    assert queue.closed_at is None


def test_pages_take_no_post_and_changes_take_no_get(page: Client, queue: LabellingQueue) -> None:
    for name in ("queue_next", "queue_requeue", "queue_close"):
        assert page.get(url(name, queue)).status_code == 405, name
    assert page.post(reverse("queues")).status_code == 405
    assert page.post(url("queue", queue)).status_code == 405
    assert page.post(reverse("progress", args=[queue.conversation_set_id])).status_code == 405
    assert page.delete(reverse("queue_new")).status_code == 405


def test_what_is_not_there_is_404(page: Client) -> None:
    for name in ("queue", "progress"):
        assert page.get(reverse(name, args=[10**9])).status_code == 404
    for name in ("queue_next", "queue_requeue", "queue_close"):
        assert page.post(reverse(name, args=[10**9])).status_code == 404
    for asked in ("999999", "nonsense", "9" * 40):
        assert page.get(reverse("queue_new"), {"conversation_set": asked}).status_code == 404


def test_an_empty_site_says_what_comes_first(page: Client) -> None:
    assert "No queue yet" in text(page.get(reverse("queues")))
    assert "import_conversations" in text(page.get(reverse("queue_new")))
    refused = page.post(reverse("queue_new"), {})
    assert refused.status_code == 422


# Opening


def test_a_queue_is_opened_by_the_form(page: Client, gold: ConversationSet, ana: User) -> None:
    fill(gold, "train", 2)
    fill(gold, "test", 1)
    sent = {
        "conversation_set": gold.pk,
        "split": "train",
        "order": "random",
        "seed": "7",
        "overlap": "2",
        "propositions": ["rude", "helps"],
        "name": "Rude or helpful",
    }
    answer = page.post(reverse("queue_new"), sent)
    [queue] = LabellingQueue.objects.all()
    assert answer["Location"] == url("queue", queue)
    assert (queue.name, queue.order, queue.seed, queue.overlap) == (
        *("Rude or helpful", "random", 7, 2),
    )
    assert queue.selection == {"split": "train"}
    assert queue.created_by == ana
    assert queue.slots.count() == 4
    assert set(queue.propositions.values_list("key", flat=True)) == {"rude", "helps"}
    again = page.post(reverse("queue_new"), sent, headers=HTMX)
    assert again["HX-Redirect"] == url("queue", queue)
    assert LabellingQueue.objects.count() == 1


def test_a_link_that_labels_something_needs_to_say_little(
    page: Client, gold: ConversationSet, rows: list[Completion]
) -> None:
    LabelFactory(completion=rows[0], key="rude")
    sent = {"conversation_set": gold.pk, "proposition": "rude", "state": "undecided"}
    page.post(reverse("queue_new"), sent)
    [queue] = LabellingQueue.objects.all()
    assert queue.selection == {"proposition": "rude", "state": "undecided"}
    assert queue.slots.count() == 2
    assert (queue.order, queue.overlap) == ("sequence", 1)
    # The question is about the one proposition.
    assert list(queue.propositions.values_list("key", flat=True)) == ["rude"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"overlap": "0"}, "greater than or equal to 1"),
        ({"overlap": "99"}, "less than or equal to 20"),
        ({"order": "nonsense"}, "nonsense is not one of the available choices"),
        ({"order": "uncertainty"}, "needs a grader run"),
        ({"propositions": ["nonsense"]}, "nonsense is not one of the available choices"),
        ({"category": "nonsense"}, "nonsense is not one of the available choices"),
        ({"split": "test"}, "no completion of gold meets this filter"),
        ({"verdict_source": "run 9"}, "run 9 is not one of the available choices"),
        ({"seed": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_queue_that_makes_no_sense_is_refused_with_the_reason(
    page: Client,
    gold: ConversationSet,
    rows: list[Completion],
    changed: dict[str, Any],
    reason: str,
) -> None:
    sent = {"conversation_set": gold.pk, **changed}
    refused = page.post(reverse("queue_new"), sent, headers=HTMX)
    assert refused.status_code == 422
    assert reason in text(refused)
    assert text(refused).startswith('<form id="queue-form"')
    whole = page.post(reverse("queue_new"), sent)
    assert whole.status_code == 422
    assert "<html" in text(whole)
    assert not LabellingQueue.objects.exists()


def test_the_form_says_how_many_completions_the_filter_chooses(
    page: Client, gold: ConversationSet, rows: list[Completion]
) -> None:
    asked = {"conversation_set": gold.pk, "overlap": "2"}
    found = page.get(reverse("queue_new"), asked, headers=HTMX)
    assert "<b>3</b> completions × 2 people = <b>6</b> places" in text(found)
    none = page.get(reverse("queue_new"), asked | {"split": "test"}, headers=HTMX)
    assert "<b>0</b> completions" in text(none)
    # Half-typed numbers are no reason to complain yet.
    typing = page.get(reverse("queue_new"), asked | {"overlap": ""}, headers=HTMX)
    assert typing.status_code == 200
    assert "field-error" not in text(typing)


def test_a_sample_is_part_of_what_defines_the_queue(
    page: Client, gold: ConversationSet, rows: list[Completion]
) -> None:
    sent = {"conversation_set": gold.pk, "sample": "2", "sample_seed": "5", "seed": "0"}
    page.post(reverse("queue_new"), sent)
    [queue] = LabellingQueue.objects.all()
    assert queue.selection == {"sample": "2", "sample_seed": "5"}
    assert queue.slots.count() == 2


def test_the_form_offers_the_propositions_of_the_chosen_set(page: Client) -> None:
    ConversationSetFactory(name="a")
    found = page.get(reverse("queue_new"))
    assert [value for value, _ in found.context["form"].fields["propositions"].choices] == [
        *("helps", "rude", "cites"),
    ]


# Going through it


def test_next_leads_to_the_item_and_back_to_it(
    page: Client, queue: LabellingQueue, ana: User
) -> None:
    first = page.post(url("queue_next", queue))
    [item] = Assignment.objects.filter(annotator=ana)
    assert first["Location"] == item_url(item)
    assert page.post(url("queue_next", queue))["Location"] == item_url(item)
    htmx = page.post(url("queue_next", queue), headers=HTMX)
    assert htmx["HX-Redirect"] == item_url(item)


def test_the_page_says_that_all_that_is_left_is_with_others_and_until_when(
    page: Client, queue: LabellingQueue, ben: User
) -> None:
    others = [User.objects.create_user(f"p{n}") for n in range(2)]
    for person in (ben, *others):
        claim_next(queue=queue, annotator=person)
    answer = page.post(url("queue_next", queue))
    assert answer["Location"] == url("queue", queue)
    said = text(page.get(answer["Location"]))
    assert "<b>Nothing is free at this moment.</b> 3 items are with other people." in said
    # The first lease is ten minutes.
    assert "The first comes free in 10:00" in said or "The first comes free in 9:5" in said
    assert "Finished" not in said
    let_time_run_out(queue)
    assert "Start labelling" in text(page.get(url("queue", queue)))


def test_what_one_skipped_is_offered_again(page: Client, queue: LabellingQueue, ana: User) -> None:
    for _ in range(3):
        item = claim_next(queue=queue, annotator=ana)
        assert item is not None
        skip(assignment=item)
    said = text(page.get(url("queue", queue)))
    assert "You skipped 3 items that still want an answer." in said
    answer = page.post(url("queue_requeue", queue))
    item = claim_next(queue=queue, annotator=ana)
    assert item is not None
    assert answer["Location"] == item_url(item)


def test_finished_is_said_only_when_every_place_is_done(
    page: Client, gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    queue = open_queue(conversation_set=gold, overlap=2, actor=None)
    for person, said in ((ana, "Your part is done."), (ben, "Finished.")):
        for _ in range(3):
            item = claim_next(queue=queue, annotator=person)
            assert item is not None
            complete(assignment=item)
        assert said in text(page.get(url("queue", queue)))
    assert "All 3 completions were labelled by 2 people each." in text(
        page.get(url("queue", queue))
    )


def test_a_closed_queue_says_so_and_hands_out_nothing(
    page: Client, queue: LabellingQueue, ana: User
) -> None:
    answer = page.post(url("queue_close", queue))
    assert answer["Location"] == url("queue", queue)
    said = text(page.get(url("queue", queue)))
    assert "no more items are handed out" in said
    assert "Close the queue" not in said
    assert page.post(url("queue_next", queue))["Location"] == url("queue", queue)
    assert not Assignment.objects.exists()


def test_htmx_gets_the_part_that_changes(page: Client, queue: LabellingQueue) -> None:
    found = text(page.get(url("queue", queue), headers=HTMX))
    assert found.startswith('<section id="queue-standing"')
    assert "hx-trigger" in found
    close_queue(queue=queue, actor=None)  # type: ignore[arg-type]
    assert "hx-trigger" not in text(page.get(url("queue", queue), headers=HTMX))


def test_my_queues_come_first_and_those_i_can_go_on_with_before_the_rest(
    page: Client, gold: ConversationSet, rows: list[Completion], ana: User, ben: User
) -> None:
    taken = open_queue(conversation_set=gold, completions=[rows[0].pk], name="taken", actor=None)
    claim_next(queue=taken, annotator=ben)
    free = open_queue(conversation_set=gold, completions=[rows[1].pk], name="free", actor=None)
    begun = open_queue(conversation_set=gold, completions=[rows[2].pk], name="begun", actor=None)
    claim_next(queue=begun, annotator=ana)
    done = open_queue(
        conversation_set=gold, completions=[rows[0].pk, rows[1].pk], name="done", actor=None
    )
    for _ in range(2):
        item = claim_next(queue=done, annotator=ana)
        assert item is not None
        complete(assignment=item)
    found = page.get(reverse("queues"))
    assert [line.queue for line in found.context["mine"]] == [begun, free, taken]
    assert {line.queue for line in found.context["lines"]} == {taken, free, begun, done}


def test_the_list_takes_as_many_queries_for_many_queues_as_for_one(
    page: Client,
    gold: ConversationSet,
    rows: list[Completion],
    queue: LabellingQueue,
    django_assert_num_queries: Any,
) -> None:
    # Session, person, number of queues, queues, pace, standings.
    with django_assert_num_queries(6):
        page.get(reverse("queues"))
    for row in rows:
        open_queue(conversation_set=gold, completions=[row.pk], actor=None)
    with django_assert_num_queries(6):
        page.get(reverse("queues"))


def test_a_name_that_is_markup_stays_text(page: Client, gold: ConversationSet) -> None:
    fill(gold, "train", 1)
    queue = open_queue(conversation_set=gold, name="<script>alert(1)</script>", actor=None)
    for address in (reverse("queues"), url("queue", queue)):
        assert "<script>alert" not in text(page.get(address))
        assert "&lt;script&gt;alert" in text(page.get(address))
