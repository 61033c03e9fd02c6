"""Adjudication: deciding what people disagree on, with a reason, and keeping every decision."""

from __future__ import annotations

from threading import Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from annotation.models import (
    Adjudication,
    ConversationSet,
    DefinitionFlag,
    Reveal,
)
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.selectors.disputes import (
    DisputeFilter,
    dispute_counts,
    dispute_lines,
    disputed_cells,
    following,
    named_truth,
    people_of,
    shared_cells,
)
from annotation.services.adjudication import (
    DecidedMeanwhile,
    flag_definition,
    resolve_flag,
)
from annotation.services.labels import record_label
from rbr_app.rbr.agreement import unit_agreement
from tests.db.annotation.disagreeing import F, T, U, cell, decide
from tests.factories import (
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    PolicyVersionFactory,
    fill,
    proposition,
    tiny,
)


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def people(ana: User, ben: User) -> list[User]:
    return [ana, ben, *(User.objects.create_user(name) for name in ("cleo", "dan"))]


def listed(gold: ConversationSet, **wanted: str) -> list[int]:
    """The completions of the listed cells."""
    pks = disputed_cells(gold, DisputeFilter(**wanted))
    return [line.truth.completion_id for line in dispute_lines(pks)]


# Deciding


@pytest.mark.django_db
@pytest.mark.parametrize(("answer", "truth"), [(T, True), (F, False), (U, None)])
def test_the_truth_becomes_the_adjudicated_one(
    gold: ConversationSet, people: list[User], rhea: User, answer: Answer, truth: bool | None
) -> None:
    found = cell(gold, people, (T, F))
    assert (found.truth, found.source) == (None, "disputed")
    decide(found, rhea, answer)
    found.refresh_from_db()
    assert (found.truth, found.source) == (truth, "adjudicated")


@pytest.mark.django_db
def test_labels_that_come_later_do_not_overrule_a_decision(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    found = cell(gold, people, (T, F))
    decide(found, rhea, F)
    cell(gold, people[2:], (T, T), completion=found.completion)
    found.refresh_from_db()
    assert (found.truth, found.source) == (False, "adjudicated")


@pytest.mark.django_db
def test_the_latest_decision_counts_and_earlier_ones_stay(
    gold: ConversationSet, people: list[User], rhea: User, ana: User
) -> None:
    found = cell(gold, people, (T, F))
    first = decide(found, rhea, T, note="as the guideline has it")
    second = decide(found, ana, F, reason=Reason.GUIDELINE_GAP)
    found.refresh_from_db()
    assert found.truth is False
    assert list(Adjudication.objects.order_by("pk")) == [first, second]
    assert (first.note, first.adjudicator) == ("as the guideline has it", rhea)


@pytest.mark.django_db
def test_who_decides_knows_what_others_say_from_then_on(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    found = cell(gold, people, (T, F))
    decide(found, rhea)
    decide(found, rhea, F)
    assert list(Reveal.objects.values_list("annotator", flat=True)) == [rhea.pk]
    label = record_label(
        completion=found.completion, proposition=found.proposition, answer=T, actor=rhea,
        policy_version=gold.policy.latest,
    )  # fmt: skip
    assert label.after_reveal


@pytest.mark.django_db
def test_a_flag_is_written_with_the_decision_or_not_at_all(
    gold: ConversationSet, people: list[User], rhea: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = cell(gold, people, (T, F))
    decide(found, rhea, flag_text="Says nothing of partial help.")
    flag = DefinitionFlag.objects.get()
    assert (flag.text, flag.author, flag.completion, flag.proposition) == (
        "Says nothing of partial help.", rhea, found.completion, found.proposition,
    )  # fmt: skip

    def broken(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("annotation.services.adjudication.flag_definition", broken)
    with pytest.raises(RuntimeError):
        decide(found, rhea, F, flag_text="Lost.")
    found.refresh_from_db()
    assert (found.truth, Adjudication.objects.count()) == (True, 1)


@pytest.mark.django_db
def test_a_decision_that_somebody_else_made_meanwhile_is_not_overwritten_unseen(
    gold: ConversationSet, people: list[User], rhea: User, ana: User
) -> None:
    found = cell(gold, people, (T, F))
    theirs = decide(found, ana, F, last_seen=0)
    with pytest.raises(DecidedMeanwhile) as caught:
        decide(found, rhea, T, last_seen=0)
    assert caught.value.standing == theirs
    assert Adjudication.objects.count() == 1
    decide(found, rhea, T, last_seen=theirs.pk)
    found.refresh_from_db()
    assert found.truth is True


@pytest.mark.django_db
def test_a_form_that_is_sent_twice_decides_once(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    found = cell(gold, people, (T, F))
    once, twice = (decide(found, rhea, F, last_seen=0) for _ in range(2))
    assert once == twice
    assert Adjudication.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_people_who_decide_at_once_one_is_first_and_the_others_are_told(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T, F))
    told: list[str] = []

    def work(adjudicator: User, answer: Answer) -> None:
        try:
            decide(found, adjudicator, answer, last_seen=0)
        except DecidedMeanwhile as meanwhile:
            told.append(meanwhile.standing.adjudicator.username)
        finally:
            connection.close()

    answers = (T, F, U, T)
    threads = [Thread(target=work, args=pair) for pair in zip(people, answers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    only = Adjudication.objects.get()
    assert told == [only.adjudicator.username] * 3
    found.refresh_from_db()
    assert found.source == "adjudicated"
    assert Answer.of(found.truth) == only.answer


@pytest.mark.django_db
def test_a_flag_is_resolved_once(gold: ConversationSet, rhea: User, ana: User) -> None:
    completion = fill(gold, "test", 1)[0]
    flag = flag_definition(
        proposition=proposition(completion, "helps"), policy_version=gold.policy.latest,
        author=ana, text="What is help?",
    )  # fmt: skip
    resolved = resolve_flag(flag=flag, actor=rhea)
    assert (resolved.resolved_by, resolved.resolved_at is None) == (rhea, False)
    again = resolve_flag(flag=flag, actor=ana)
    assert (again.resolved_by, again.resolved_at) == (rhea, resolved.resolved_at)


# The list


@pytest.mark.django_db
def test_disputed_cells_come_lowest_agreement_first_as_the_kernel_has_it(
    gold: ConversationSet, people: list[User]
) -> None:
    given = [(T, T, T, F), (T, F), (T, U), (T, T, F), (T, T, F, F), (T, T)]
    cells = {cell(gold, people, answers).completion_id: answers for answers in given}
    order = listed(gold)

    def agreement(completion: int) -> float:
        truths = [{T: True, F: False, U: None}[answer] for answer in cells[completion]]
        found = unit_agreement(truths)
        return 2.0 if found is None else found

    # 0, 1/3 (2 of 6 pairs of 2:2; 1 of 3 of 2:1), 1/2 (3 of 6 of 3:1), undefined
    assert [agreement(pk) for pk in order] == pytest.approx([0, 1 / 3, 1 / 3, 1 / 2, 2])
    assert order == sorted(order, key=lambda pk: (round(agreement(pk), 6), pk))


@pytest.mark.django_db
def test_the_list_counts_each_answer(gold: ConversationSet, people: list[User]) -> None:
    found = cell(gold, people, (T, T, F, U))
    LabelFactory(completion=found.completion, answer=F)
    (line,) = dispute_lines([found.pk])
    assert (line.n_true, line.n_false, line.n_cannot_decide) == (2, 1, 1)
    assert (line.cell, line.is_decided) == (f"{found.completion_id}:helps", False)


@pytest.mark.django_db
def test_the_list_is_narrowed_by_proposition_split_response_type_person_and_state(
    gold: ConversationSet, people: list[User], rhea: User
) -> None:
    helps = cell(gold, people, (T, F))
    rude = cell(gold, people[2:], (T, F), key="rude")
    train = cell(gold, people, (T, F), completion=fill(gold, "train", 1)[0])
    refuse = ConversationFactory(conversation_set=gold, response_type="refuse")
    other = cell(gold, people, (T, F), completion=refuse.completions.create(fingerprint="x"))
    pks = [truth.completion_id for truth in (helps, train, other, rude)]
    assert listed(gold) == pks
    assert listed(gold, proposition="rude") == [rude.completion_id]
    assert listed(gold, split="train") == [train.completion_id]
    assert listed(gold, response_type="refuse") == [other.completion_id]
    assert listed(gold, person="cleo") == [rude.completion_id]
    decide(helps, rhea)
    assert listed(gold, state="decided") == [helps.completion_id]
    assert listed(gold) == pks[1:]
    assert listed(gold, state="all") == pks
    counts = dispute_counts(gold, DisputeFilter())
    assert (counts.disputed, counts.decided, counts.undecided) == (4, 1, 3)
    assert dispute_counts(gold, DisputeFilter(proposition="rude")).disputed == 1
    assert people_of(gold) == ["ana", "ben", "cleo", "dan"]
    assert shared_cells(gold) == 4


@pytest.mark.django_db
def test_what_a_majority_decides_is_disputed_and_decided(
    gold: ConversationSet, people: list[User]
) -> None:
    gold.allow_majority = True
    gold.save()
    found = cell(gold, people, (T, T, F))
    even = cell(gold, people, (T, F))
    counts = dispute_counts(gold, DisputeFilter())
    assert (counts.disputed, counts.decided, counts.majority) == (2, 1, 1)
    assert listed(gold) == [even.completion_id]
    assert listed(gold, state="decided") == [found.completion_id]


@pytest.mark.django_db
def test_cells_of_another_set_are_not_listed_or_named(
    gold: ConversationSet, people: list[User]
) -> None:
    other = cell(ConversationSetFactory(policy=gold.policy), people, (T, F))
    assert listed(gold) == []
    name = f"{other.completion_id}:helps"
    assert named_truth(gold, name) is None
    for nonsense in ("", ":", "x:helps", f"{other.completion_id}", "9" * 30 + ":helps"):
        assert named_truth(gold, nonsense) is None


def test_after_a_cell_the_one_that_followed_it_opens_then_those_passed_over() -> None:
    assert following([1, 2, 4], [1, 2, 3, 4], 3) == 4
    assert following([1, 2], [1, 2, 4], 4) == 1
    # The one after it was decided by somebody else meanwhile.
    assert following([1, 5], [1, 3, 4, 5], 3) == 5
    assert following([], [3], 3) is None
    assert following([1, 2], [1, 2], 9) == 1


@pytest.mark.django_db
def test_a_proposition_that_the_policy_dropped_is_not_listed_or_named(
    gold: ConversationSet, people: list[User]
) -> None:
    found = cell(gold, people, (T, F), key="cites")
    name = f"{found.completion_id}:cites"
    assert named_truth(gold, name) == found
    PolicyVersionFactory(
        policy=gold.policy, number=2, source=tiny('  cites: {question: "Does it cite a source?"}\n')
    )
    afresh = ConversationSet.objects.get(pk=gold.pk)
    assert (listed(afresh), named_truth(afresh, name)) == ([], None)
