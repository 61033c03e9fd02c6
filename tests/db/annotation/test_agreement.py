"""Agreement of people, worked by hand over rows of the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, Label, LabellingQueue, QueueSlot
from annotation.models.labels import WITHDRAWN, Answer
from annotation.selectors.agreement import (
    AgreementRow,
    human_ceiling,
    ordered,
    pair_agreement,
    people_ratings,
    person_agreement,
    set_agreement,
)
from tests.factories import ConversationSetFactory, LabelFactory, fill

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
T, F, U = Answer.TRUE, Answer.FALSE, Answer.CANNOT_DECIDE

HELPS = {
    "ana": (T, T, F, F, F),
    "ben": (T, F, F, F, U),
}
"""Two people, five completions: the same answer on three of four; the fifth ben cannot decide."""


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


def labelled(
    gold: ConversationSet,
    answers: dict[User, Sequence[str]],
    key: str = "helps",
    completions: Sequence[Completion] = (),
    split: str = "test",
    **more: Any,
) -> list[Completion]:
    """A completion for each column, a label for each answer; an empty one is no label."""
    rows = list(completions) or fill(gold, split, len(next(iter(answers.values()))))
    for person, given in answers.items():
        for completion, answer in zip(rows, given, strict=True):
            if answer:
                LabelFactory(
                    completion=completion, key=key, annotator=person, answer=answer, **more
                )
    return rows


@pytest.fixture
def five(gold: ConversationSet, ana: User, ben: User) -> list[Completion]:
    return labelled(gold, {ana: HELPS["ana"], ben: HELPS["ben"]})


def row(gold: ConversationSet, key: str = "helps", **more: Any) -> AgreementRow:
    return next(row for row in set_agreement(gold, **more) if row.key == key)


def test_two_people_over_five_completions_worked_by_hand(
    gold: ConversationSet, five: list[Completion]
) -> None:
    found = row(gold)
    agreement = found.agreement
    assert (agreement.n_units, agreement.n_people, agreement.n_undecided) == (4, 2, 1)
    assert agreement.percent.value == pytest.approx(3 / 4)
    # Pairs have 8 ratings, 3 of them true: chance = (3/8)² + (5/8)² = 34/64.
    # Fleiss: (48/64 - 34/64) / (30/64)
    assert agreement.fleiss.value == pytest.approx(14 / 30)
    # α = 1 - (8 - 1) · (one pair that disagrees: 2 of 8 coincidences) / (2 · 3 · 5) = 1 - 14 / 30
    assert agreement.alpha.value == pytest.approx(16 / 30)
    # Nine ratings, ana's fifth among them: three are true.
    assert agreement.prevalence.value == pytest.approx(3 / 9)
    # The second completion, and the fifth: who cannot decide does not say "false".
    assert found.disputed == 2


def test_labels_after_the_reveal_withdrawn_and_imported_do_not_count(
    gold: ConversationSet, five: list[Completion], rhea: User
) -> None:
    before = row(gold).agreement
    labelled(gold, {rhea: (F, F, T, T, T)}, completions=five, after_reveal=True)
    labelled(gold, {User.objects.create_user("cleo"): [WITHDRAWN] * 5}, completions=five)
    for completion in five:
        LabelFactory(completion=completion, answer=T)
    assert row(gold).agreement == before
    assert row(gold).left_out == 5
    assert "rhea" not in people_ratings(gold).people
    Label.objects.filter(annotator=rhea).update(after_reveal=False)
    assert row(gold).agreement != before


def test_people_who_all_say_the_same_have_no_kappa_but_a_reason(
    gold: ConversationSet, ana: User, ben: User
) -> None:
    labelled(gold, {ana: (F, F, F), ben: (F, F, F)}, key="cites")
    found = row(gold, "cites").agreement
    assert found.percent.value == 1.0
    assert (found.fleiss.value, found.alpha.value) == (None, None)
    assert found.alpha.reason == "only one answer occurs in 3 units"


def test_a_proposition_that_nobody_or_one_person_labelled_is_undefined(
    gold: ConversationSet, ana: User
) -> None:
    labelled(gold, {ana: (T, F)})
    assert row(gold).agreement.percent.value is None
    assert row(gold).agreement.percent.reason == "no unit has answers of two people"
    assert row(gold, "rude").agreement.n_units == 0
    assert [found.key for found in set_agreement(gold)] == ["helps", "rude", "cites"]


def test_split_response_type_and_queue_narrow_what_is_compared(
    gold: ConversationSet, five: list[Completion], ana: User, ben: User
) -> None:
    labelled(gold, {ana: (T, T), ben: (F, F)}, split="train")
    # Test: 3 of 4; train: 0 of 2.
    assert row(gold, split="test").agreement.percent.value == pytest.approx(3 / 4)
    assert row(gold, split="train").agreement.percent.value == 0.0
    assert row(gold).agreement.percent.value == pytest.approx(3 / 6)
    assert row(gold, response_type="refuse").agreement.n_units == 0
    assert row(gold, response_type="comply").agreement.n_units == 6
    queue = LabellingQueue.objects.create(conversation_set=gold, name="two", fingerprint="q")
    for completion in five[:2]:
        QueueSlot.objects.create(queue=queue, completion=completion, ordinal=0, rank=0)
    # The first two completions: the same, not the same.
    assert row(gold, queue=queue).agreement.percent.value == pytest.approx(1 / 2)
    queue.propositions.set([Label.objects.filter(proposition__key="helps")[0].proposition])
    assert row(gold, queue=queue).agreement.n_units == 2


def test_another_set_is_not_counted(gold: ConversationSet, five: list[Completion]) -> None:
    other = ConversationSetFactory(policy=gold.policy)
    people = User.objects.filter(username__in=("ana", "ben"))
    labelled(other, {person: (T if person.username == "ana" else F,) for person in people})
    assert row(gold).agreement.n_units == 4
    assert human_ceiling(gold)["helps"].value == pytest.approx(3 / 4)


def test_a_pair_is_compared_on_one_proposition_or_on_all(
    gold: ConversationSet, five: list[Completion], ana: User, ben: User
) -> None:
    labelled(gold, {ana: (T, F, T, F, F), ben: (T, F, F, T, F)}, key="rude", completions=five)
    on_helps = pair_agreement(gold, key="helps")[("ana", "ben")]
    assert (on_helps.n, on_helps.percent.value) == (4, pytest.approx(3 / 4))
    # helps: tt 1, tf 1, ff 2: (3/4 - (2/4·1/4 + 2/4·3/4)) / (1 - 1/2) = 1/2
    assert on_helps.kappa.value == pytest.approx(1 / 2)
    on_all = pair_agreement(gold)[("ana", "ben")]
    # 3 of 4 and 3 of 5
    assert (on_all.n, on_all.percent.value) == (9, pytest.approx(6 / 9))
    # rude: tt 1, tf 1, ft 1, ff 2: (3/5 - (2/5·2/5 + 3/5·3/5)) / (1 - 13/25) = 2/12
    assert on_all.kappa.value == pytest.approx((1 / 2 + 2 / 12) / 2)
    assert on_all.kappa.reason == "mean over the 2 propositions that define it"


def test_two_people_without_a_cell_in_common_are_no_pair(
    gold: ConversationSet, ana: User, ben: User
) -> None:
    labelled(gold, {ana: (T, T, ""), ben: ("", "", T)})
    assert pair_agreement(gold) == {}
    assert {found.value for found in person_agreement(gold).values()} == {None}


def test_a_person_is_compared_with_all_others(
    gold: ConversationSet, five: list[Completion], ana: User, ben: User, rhea: User
) -> None:
    labelled(gold, {rhea: (T, T, T, "", "")}, completions=five)
    found = person_agreement(gold)
    # ana: 3 of 4 with ben, 2 of 3 with rhea; ben: 3 of 4 and 1 of 3; rhea: 2 of 3 and 1 of 3.
    assert found[ana.pk].value == pytest.approx(5 / 7)
    assert found[ben.pk].value == pytest.approx(4 / 7)
    assert found[rhea.pk].value == pytest.approx(3 / 6)


def test_the_ceiling_counted_in_sql_is_the_one_of_the_page(
    gold: ConversationSet, five: list[Completion], ana: User, rhea: User
) -> None:
    labelled(gold, {rhea: (T, T, T, "", F)}, completions=five)
    labelled(gold, {ana: (T,), rhea: (F,)}, split="train", key="rude")
    for split in ("all", "test", "train"):
        counted = human_ceiling(gold, split)
        for found in set_agreement(gold, split):
            if found.key in counted:
                assert counted[found.key] == found.agreement.ceiling, (split, found.key)
            else:
                assert found.agreement.ceiling.value is None
    # Pairs that agree: 3 (T T T), 1 of 3 (T F T), 1 of 3 (F F T), 1 of 1 and ana's with rhea's.
    assert human_ceiling(gold, "test")["helps"].value == pytest.approx((3 + 1 + 1 + 1 + 1) / 11)


def test_reading_the_labels_of_a_set_is_one_query(
    gold: ConversationSet, five: list[Completion], django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        people_ratings(gold)
    with django_assert_num_queries(1):
        human_ceiling(gold)


def test_rows_come_lowest_agreement_first_and_undefined_ones_last(
    gold: ConversationSet, five: list[Completion], ana: User, ben: User
) -> None:
    labelled(gold, {ana: (T, F, T, F, F), ben: (T, F, F, T, F)}, key="rude", completions=five)
    rows = set_agreement(gold)
    # α: rude is below helps (16/30); cites has none.
    assert [found.key for found in ordered(rows, "")] == ["rude", "helps", "cites"]
    assert [found.key for found in ordered(rows, "-alpha")] == ["helps", "rude", "cites"]
    assert [found.key for found in ordered(rows, "key")] == ["cites", "helps", "rude"]
    assert [found.key for found in ordered(rows, "-n_units")] == ["rude", "helps", "cites"]
    assert [found.key for found in ordered(rows, "nonsense")] == ["rude", "helps", "cites"]


# The page


@pytest.fixture
def page(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


def url(gold: ConversationSet) -> str:
    return reverse("agreement", args=[gold.pk])


def text(response: Any) -> str:
    return str(response.content.decode())


def test_the_page_shows_numbers_reasons_and_the_way_to_the_disputes(
    page: Client, gold: ConversationSet, five: list[Completion], rhea: User
) -> None:
    LabelFactory(completion=five[0], annotator=rhea, answer=F, after_reveal=True)
    response = page.get(url(gold))
    body = text(response)
    assert [found.key for found in response.context["rows"]] == ["helps", "rude", "cites"]
    assert "no unit has answers of two people" in body
    assert "1 label given or changed after the reveal is left out" in body
    assert f"{reverse('adjudication', args=[gold.pk])}?proposition=helps&amp;state=all" in body


def test_filters_and_order_are_in_the_address(
    page: Client, gold: ConversationSet, five: list[Completion]
) -> None:
    response = page.get(url(gold), {"split": "train", "sort": "-key"}, headers=HTMX)
    assert text(response).lstrip().startswith('<div id="agreement"')
    assert "Nobody has labelled here" in text(response)
    response = page.get(url(gold), {"pair": "helps", "split": "nonsense", "queue": "7"})
    assert response.context["pair"] == "helps"
    assert response.context["rows"][0].agreement.n_units == 4


def test_one_person_alone_is_told_so(page: Client, gold: ConversationSet, ana: User) -> None:
    labelled(gold, {ana: (T, F)})
    body = text(page.get(url(gold)))
    assert "No cell has answers of two people yet" in body
    assert "ana labels alone so far" in body


def test_the_page_takes_as_many_queries_however_many_people_and_rows(
    page: Client, gold: ConversationSet, five: list[Completion], ana: User,
    django_assert_max_num_queries: Any, django_assert_num_queries: Any,
) -> None:  # fmt: skip
    with django_assert_max_num_queries(8) as queries:
        page.get(url(gold))
    people = {User.objects.create_user(f"p{n}"): (T, F) * 5 for n in range(4)}
    labelled(gold, people)
    with django_assert_num_queries(len(queries)):
        page.get(url(gold))


def test_the_page_needs_a_login_and_takes_no_post(
    client: Client, page: Client, gold: ConversationSet
) -> None:
    assert page.post(url(gold)).status_code == 405
    assert page.get(reverse("agreement", args=[10**9])).status_code == 404
    client.logout()
    assert client.get(url(gold))["Location"].startswith("/login/")
