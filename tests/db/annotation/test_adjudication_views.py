"""The pages of adjudication: what is listed, what is refused, what opens next."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Adjudication, ConversationSet, DefinitionFlag, GoldTruth, Reveal
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.services.adjudication import adjudicate
from tests.factories import ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
HOSTILE = "<script>alert(1)</script> & {{ 7|add:7 }}"


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def disputes(gold: ConversationSet, ana: User, ben: User) -> list[GoldTruth]:
    """Three completions of which ana says that they help and ben that they do not."""
    for completion in fill(gold, "test", 3):
        LabelFactory(completion=completion, annotator=ana, answer=Answer.TRUE)
        LabelFactory(completion=completion, annotator=ben, answer=Answer.FALSE)
    return list(GoldTruth.objects.order_by("completion"))


@pytest.fixture
def page(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


def url(gold: ConversationSet) -> str:
    return reverse("adjudication", args=[gold.pk])


def post_url(truth: GoldTruth) -> str:
    held = truth.completion.conversation.conversation_set_id
    return reverse("adjudicate", args=[held, truth.completion_id, truth.proposition.key])


def cell(truth: GoldTruth) -> str:
    return f"{truth.completion_id}:{truth.proposition.key}"


def text(response: Any) -> str:
    return str(response.content.decode())


GIVEN = {"answer": "true", "reason": "edge_case", "note": "", "last_seen": "0"}


def test_the_page_opens_the_first_dispute_or_the_one_that_is_named(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth]
) -> None:
    response = page.get(url(gold))
    assert response.context["card"].truth == disputes[0]
    assert [line.truth for line in response.context["lines"]] == disputes
    named = page.get(url(gold), {"cell": cell(disputes[2])}, headers=HTMX)
    assert named.context["card"].truth == disputes[2]
    assert text(named).lstrip().startswith('<div id="adjudication"')
    assert page.get(url(gold), {"cell": "77777:helps"}).status_code == 404


def test_opening_a_card_is_a_reveal(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth], rhea: User
) -> None:
    for _ in range(2):
        page.get(url(gold))
    reveal = Reveal.objects.get()
    assert (reveal.annotator, reveal.completion) == (rhea, disputes[0].completion)


def test_a_decision_is_saved_and_the_next_cell_opens(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth], rhea: User
) -> None:
    response = page.post(post_url(disputes[1]), GIVEN | {"note": "so it is"}, headers=HTMX)
    assert response.status_code == 200
    decision = Adjudication.objects.get()
    assert (decision.answer, decision.reason, decision.note, decision.adjudicator) == (
        "true", "edge_case", "so it is", rhea,
    )  # fmt: skip
    assert decision.policy_version == gold.policy.latest
    assert response.context["card"].truth == disputes[2]
    assert response["HX-Replace-Url"].endswith(f"?cell={disputes[2].completion_id}%3Ahelps")
    counts = response.context["counts"]
    assert (counts.disputed, counts.decided) == (3, 1)


def test_without_javascript_the_next_cell_is_a_redirect_away(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth]
) -> None:
    response = page.post(f"{post_url(disputes[0])}?proposition=helps", GIVEN)
    assert response.status_code == 302
    assert response["Location"] == (
        f"{url(gold)}?proposition=helps&cell={disputes[1].completion_id}%3Ahelps"
    )
    assert page.get(response["Location"]).context["card"].truth == disputes[1]


def test_when_all_are_decided_the_page_says_so(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth]
) -> None:
    for truth in disputes:
        response = page.post(post_url(truth), GIVEN, headers=HTMX)
    assert "All 3 disputed cells are decided" in text(response)
    assert response.context["card"] is None
    assert "All 3 disputed cells are decided" in text(page.get(url(gold)))
    decided = page.get(url(gold), {"state": "decided"})
    assert [line.truth.truth for line in decided.context["lines"]] == [True] * 3


def test_what_is_decided_under_a_filter_is_not_said_of_the_set(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth], ana: User, ben: User
) -> None:
    completion = disputes[0].completion
    LabelFactory(completion=completion, key="rude", annotator=ana, answer=Answer.TRUE)
    LabelFactory(completion=completion, key="rude", annotator=ben, answer=Answer.FALSE)
    rude = GoldTruth.objects.get(proposition__key="rude")
    body = text(page.post(f"{post_url(rude)}?proposition=rude", GIVEN, headers=HTMX))
    assert "All 1 disputed cell under this filter is decided" in body
    assert "3 others in the set are still to be decided" in body


def test_a_page_without_a_dispute_says_why(
    page: Client, gold: ConversationSet, ana: User, ben: User
) -> None:
    assert "No cell has answers of two people" in text(page.get(url(gold)))
    (completion,) = fill(gold, "test", 1)
    for person in (ana, ben):
        LabelFactory(completion=completion, annotator=person, answer=Answer.TRUE)
    assert "Nobody disagrees" in text(page.get(url(gold)))


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reason": ""}, "Say why people disagreed."),
        ({"reason": "nonsense"}, "nonsense"),
        ({"answer": ""}, "Choose true, false or cannot decide."),
        ({"flag": "on"}, "Say what is wrong with the definition."),
    ],
)
def test_a_decision_without_its_reason_is_refused_and_what_was_typed_is_kept(
    page: Client, disputes: list[GoldTruth],
    wrong: dict[str, str], message: str, headers: dict[str, str],
) -> None:  # fmt: skip
    typed = {"note": f"long thought {HOSTILE}"}
    response = page.post(post_url(disputes[1]), GIVEN | typed | wrong, headers=headers)
    body = text(response)
    assert response.status_code == 422
    assert message in body
    assert 'role="alert"' in body
    assert "long thought &lt;script&gt;alert(1)&lt;/script&gt; &amp; {{ 7|add:7 }}" in body
    assert response.context["card"].truth == disputes[1]
    assert not Adjudication.objects.exists()


def test_a_flag_reaches_the_definition(page: Client, disputes: list[GoldTruth]) -> None:
    flagged = {"flag": "on", "flag_text": "What of partial help?"}
    page.post(post_url(disputes[0]), GIVEN | flagged, headers=HTMX)
    assert DefinitionFlag.objects.get().text == "What of partial help?"
    page.post(post_url(disputes[1]), GIVEN | {"flag_text": "unticked"}, headers=HTMX)
    assert DefinitionFlag.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_decision_of_somebody_else_meanwhile_is_shown_beside_mine(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth], ana: User,
    headers: dict[str, str],
) -> None:  # fmt: skip
    theirs = adjudicate(
        completion=disputes[0].completion, proposition=disputes[0].proposition,
        answer=Answer.FALSE, reason=Reason.GUIDELINE_GAP, note="not in the guideline",
        adjudicator=ana, policy_version=gold.policy.latest,
    )  # fmt: skip
    mine = GIVEN | {"note": "it is plain"}
    response = page.post(post_url(disputes[0]), mine, headers=headers)
    body = text(response)
    assert response.status_code == 409
    assert "ana has decided this meanwhile" in body
    assert "not in the guideline" in body
    assert "it is plain" in body
    assert Adjudication.objects.get() == theirs
    assert f'name="last_seen" value="{theirs.pk}"' in body
    page.post(post_url(disputes[0]), mine | {"last_seen": str(theirs.pk)}, headers=HTMX)
    disputes[0].refresh_from_db()
    assert disputes[0].truth is True


def test_texts_are_shown_as_they_are(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth]
) -> None:
    completion = disputes[0].completion
    completion.text = HOSTILE
    completion.save()
    body = text(page.get(url(gold)))
    assert HOSTILE not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; {{ 7|add:7 }}" in body


def test_the_list_has_pages_and_the_page_of_the_open_cell(
    page: Client, gold: ConversationSet, ana: User, ben: User
) -> None:
    for completion in fill(gold, "test", 27):
        LabelFactory(completion=completion, annotator=ana, answer=Answer.TRUE)
        LabelFactory(completion=completion, annotator=ben, answer=Answer.FALSE)
    truths = list(GoldTruth.objects.order_by("completion"))
    first = page.get(url(gold))
    assert (len(first.context["lines"]), first.context["page"].number) == (25, 1)
    last = page.get(url(gold), {"cell": cell(truths[24])})
    assert last.context["neighbours"]["following"] == cell(truths[25])
    second = page.get(url(gold), {"page": "2"})
    assert [line.truth for line in second.context["lines"]] == truths[25:]
    assert second.context["card"].truth == truths[25]


def test_the_page_takes_as_many_queries_however_long_the_list(
    page: Client, gold: ConversationSet, disputes: list[GoldTruth], ana: User, ben: User,
    django_assert_max_num_queries: Any, django_assert_num_queries: Any,
) -> None:  # fmt: skip
    page.get(url(gold))
    with django_assert_max_num_queries(20) as queries:
        page.get(url(gold))
    for completion in fill(gold, "test", 20):
        LabelFactory(completion=completion, annotator=ana, answer=Answer.TRUE)
        LabelFactory(completion=completion, annotator=ben, answer=Answer.FALSE)
    with django_assert_num_queries(len(queries)):
        page.get(url(gold))


def test_deciding_needs_a_login_a_post_and_a_cell_with_an_answer(
    client: Client, page: Client, gold: ConversationSet, disputes: list[GoldTruth]
) -> None:
    completion = disputes[0].completion_id
    assert page.post(url(gold)).status_code == 405
    assert page.get(post_url(disputes[0])).status_code == 405
    for missing in ((gold.pk, completion, "cites"), (gold.pk, 10**9, "helps"), (10**9, 1, "helps")):
        assert page.post(reverse("adjudicate", args=missing), GIVEN).status_code == 404
    client.logout()
    for response in (client.get(url(gold)), client.post(post_url(disputes[0]), GIVEN)):
        assert response["Location"].startswith("/login/")
    assert not Adjudication.objects.exists()
