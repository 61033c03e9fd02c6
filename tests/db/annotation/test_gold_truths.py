"""Which truth counts in a cell, and that the stored projection always says the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.models import Adjudication, Completion, GoldTruth, Label, Proposition
from annotation.models.labels import WITHDRAWN, Answer
from annotation.selectors.labels import gold_truths
from annotation.services.gold_truths import lock_completions, refresh_gold_truths, refresh_set
from annotation.services.labels import Click, record_label, reveal, undo_last_label
from tests.factories import (
    CompletionFactory,
    LabelFactory,
    UserFactory,
    latest_version,
    proposition,
)
from tests.gold_rule import Held, decide

pytestmark = pytest.mark.django_db

ANSWERS = {"T": Answer.TRUE, "F": Answer.FALSE, "?": Answer.CANNOT_DECIDE, "-": WITHDRAWN}


def held(completion: Completion, key: str = "helps") -> Held:
    row = GoldTruth.objects.filter(completion=completion, proposition__key=key).first()
    return (row.truth, row.source) if row else None


def adjudicate(completion: Completion, answer: str, key: str = "helps") -> None:
    """An adjudication's row, and the projection that its service refreshes."""
    Adjudication.objects.create(
        completion=completion,
        proposition=proposition(completion, key),
        answer=answer,
        reason="edge_case",
        adjudicator=UserFactory(),
        policy_version=latest_version(completion),
    )
    refresh_gold_truths([completion.pk])


def allow_majority(completion: Completion, allowed: bool) -> None:
    held = completion.conversation.conversation_set
    held.allow_majority = allowed
    held.save()
    refresh_set(held)


# The rule


@pytest.mark.parametrize(
    ("people", "imported", "adjudicated", "majority", "expected"),
    [
        # Nobody, and the file alone.
        ("", "", "", False, None),
        ("", "T", "", False, (True, "imported")),
        ("", "F", "", False, (False, "imported")),
        ("", "?", "", False, (None, "imported")),
        # People who agree count before the file.
        ("T", "", "", False, (True, "unanimous")),
        ("F", "T", "", False, (False, "unanimous")),
        ("TT", "F", "", False, (True, "unanimous")),
        ("?", "T", "", False, (None, "unanimous")),
        ("??", "", "", True, (None, "unanimous")),
        # People who do not.
        ("TF", "T", "", False, (None, "disputed")),
        ("TTF", "", "", False, (None, "disputed")),
        ("T?", "", "", False, (None, "disputed")),
        # A majority is more than half of all who answered: 2 of 3, not 1 of 2 or 2 of 4.
        ("TTF", "", "", True, (True, "majority")),
        ("TFF", "T", "", True, (False, "majority")),
        ("TF", "T", "", True, (None, "disputed")),
        ("TTFF", "", "", True, (None, "disputed")),
        ("TT??", "", "", True, (None, "disputed")),
        ("TTF?", "", "", True, (None, "disputed")),
        ("TTT?F", "", "", True, (True, "majority")),
        ("T??", "", "", True, (None, "disputed")),
        # Somebody who took the answer back says nothing.
        ("-", "", "", False, None),
        ("-", "T", "", False, (True, "imported")),
        ("T-", "F", "", False, (True, "unanimous")),
        ("TF-", "", "", True, (None, "disputed")),
        ("TTF-", "", "", True, (True, "majority")),
        # An adjudication counts before all of them, also where nobody said anything.
        ("TT", "T", "F", False, (False, "adjudicated")),
        ("TF", "", "T", True, (True, "adjudicated")),
        ("TF", "", "?", True, (None, "adjudicated")),
        ("", "T", "F", False, (False, "adjudicated")),
        ("", "", "T", False, (True, "adjudicated")),
    ],
)
def test_the_truth_of_a_cell(
    people: str, imported: str, adjudicated: str, majority: bool, expected: Held
) -> None:
    completion = CompletionFactory(conversation__conversation_set__allow_majority=majority)
    if imported:
        LabelFactory(completion=completion, answer=ANSWERS[imported])
    for answer in people:
        LabelFactory(completion=completion, annotator=UserFactory(), answer=ANSWERS[answer])
    if adjudicated:
        adjudicate(completion, ANSWERS[adjudicated])
    assert held(completion) == expected
    assert expected == decide(
        [ANSWERS[answer] for answer in people],
        ANSWERS[imported] if imported else None,
        ANSWERS[adjudicated] if adjudicated else None,
        majority,
    )


def test_of_several_adjudications_the_latest_counts() -> None:
    completion = CompletionFactory()
    for answer in (Answer.TRUE, Answer.CANNOT_DECIDE, Answer.FALSE):
        adjudicate(completion, answer)
    assert held(completion) == (False, "adjudicated")


def test_an_adjudicated_cell_stays_so_when_people_answer_again(ana: User) -> None:
    completion = CompletionFactory()
    adjudicate(completion, Answer.FALSE)
    say(completion, Answer.TRUE, ana)
    assert held(completion) == (False, "adjudicated")


def test_a_majority_counts_from_when_the_set_allows_it_to_when_it_no_longer_does() -> None:
    completion = CompletionFactory()
    for answer in (Answer.TRUE, Answer.TRUE, Answer.FALSE):
        LabelFactory(completion=completion, annotator=UserFactory(), answer=answer)
    assert held(completion) == (None, "disputed")
    allow_majority(completion, True)
    assert held(completion) == (True, "majority")
    allow_majority(completion, False)
    assert held(completion) == (None, "disputed")


def test_a_set_is_decided_anew_without_the_others() -> None:
    mine, other = CompletionFactory(), CompletionFactory()
    for completion in (mine, other):
        LabelFactory(completion=completion)
    GoldTruth.objects.update(truth=False)
    refresh_set(mine.conversation.conversation_set)
    assert (held(mine), held(other)) == ((True, "imported"), (False, "imported"))


def test_only_the_named_propositions_are_decided() -> None:
    completion = CompletionFactory()
    for key in ("helps", "rude"):
        LabelFactory(completion=completion, key=key)
    GoldTruth.objects.update(truth=False)
    refresh_gold_truths([completion.pk], [proposition(completion, "rude").pk])
    assert held(completion, "helps") == (False, "imported")
    assert held(completion, "rude") == (True, "imported")


def test_truths_for_the_kernel_leave_out_what_is_not_decided(ana: User) -> None:
    completion, other = CompletionFactory(), CompletionFactory()
    LabelFactory(completion=completion, answer=Answer.TRUE)
    LabelFactory(completion=completion, key="rude", answer=Answer.FALSE)
    LabelFactory(completion=completion, key="cites", answer=Answer.CANNOT_DECIDE)
    LabelFactory(completion=other)
    assert gold_truths([completion.pk]) == {
        (completion.pk, "helps"): True,
        (completion.pk, "rude"): False,
    }


def test_a_cell_in_dispute_has_no_truth() -> None:
    completion = CompletionFactory()
    with pytest.raises(IntegrityError, match="gold_truth_disputed"), transaction.atomic():
        GoldTruth.objects.create(
            completion=completion,
            proposition=proposition(completion, "helps"),
            truth=True,
            source="disputed",
        )


# The projection against the rule, along random walks

START = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("helps", "rude")
PEOPLE = st.integers(0, 2)
CELLS = st.tuples(st.integers(0, 1), st.sampled_from(KEYS))
SAID = st.sampled_from(Answer.values)
STEPS = st.one_of(
    # `delay` is how long the click waited in the browser: it may come after a newer one.
    st.tuples(st.just("answer"), PEOPLE, CELLS, SAID, st.integers(0, 4)),
    st.tuples(st.just("undo"), PEOPLE),
    st.tuples(st.just("adjudicate"), CELLS, SAID),
    st.tuples(st.just("import"), CELLS, SAID),
    st.tuples(st.just("allow"), st.booleans()),
    st.tuples(st.just("reveal"), PEOPLE, st.integers(0, 1)),
)


@dataclass
class Walk:
    """Does the steps with the services, and keeps in plain Python what has to come of them."""

    completions: list[Completion]
    people: list[User]
    now: int = 10
    said: dict[tuple[int, int, str], str] = field(default_factory=dict)
    clock: dict[tuple[int, int, str], int] = field(default_factory=dict)
    past: dict[int, list[tuple[int, int, str, str]]] = field(default_factory=dict)
    imported: dict[tuple[int, str], str] = field(default_factory=dict)
    adjudicated: dict[tuple[int, str], str] = field(default_factory=dict)
    majority: bool = False

    def answer(self, who: int, cell: tuple[int, str], answer: str, delay: int) -> None:
        self.now += 1
        at = self.now - delay
        click = Click(at=START + timedelta(minutes=at))
        completion, key = self.completions[cell[0]], cell[1]
        say(completion, Answer(answer), self.people[who], key=key, click=click)
        mine = (who, *cell)
        if at < self.clock.get(mine, 0):
            return
        self.clock[mine] = at
        if (old := self.said.get(mine, WITHDRAWN)) != answer:
            self.past.setdefault(who, []).append((*mine, old))
            self.said[mine] = answer

    def undo(self, who: int) -> None:
        undone = undo_last_label(actor=self.people[who])
        past = self.past.get(who, [])
        assert (undone is None) == (not past)
        if past:
            *cell, old = past.pop()
            self.said[(cell[0], cell[1], cell[2])] = old

    def adjudicate(self, cell: tuple[int, str], answer: str) -> None:
        adjudicate(self.completions[cell[0]], answer, cell[1])
        self.adjudicated[cell] = answer

    def import_(self, cell: tuple[int, str], answer: str) -> None:
        completion, key = self.completions[cell[0]], cell[1]
        label = Label.objects.filter(
            completion=completion, proposition__key=key, annotator=None
        ).first()
        if label is None:
            LabelFactory(completion=completion, key=key, answer=answer)
        else:
            label.answer = answer
            label.save()
            refresh_gold_truths([completion.pk])
        self.imported[cell] = answer

    def allow(self, allowed: bool) -> None:
        allow_majority(self.completions[0], allowed)
        self.majority = allowed

    def reveal(self, who: int, which: int) -> None:
        reveal(completion=self.completions[which], annotator=self.people[who])

    def do(self, name: str, *arguments: Any) -> None:
        getattr(self, "import_" if name == "import" else name)(*arguments)

    def check(self) -> None:
        rows = Label.objects.filter(completion__in=self.completions, annotator__isnull=False)
        people = [person.pk for person in self.people]
        completions = [completion.pk for completion in self.completions]
        labels = {
            (people.index(person), completions.index(completion), key): answer
            for person, completion, key, answer in rows.values_list(
                "annotator", "completion", "proposition__key", "answer"
            )
            if person
        }
        assert labels == self.said
        for which, completion in enumerate(self.completions):
            for key in KEYS:
                cell = (which, key)
                answers = [answer for mine, answer in self.said.items() if mine[1:] == cell]
                expected = decide(
                    answers, self.imported.get(cell), self.adjudicated.get(cell), self.majority
                )
                assert held(completion, key) == expected


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=1, max_size=25))
def test_after_any_series_of_steps_labels_and_truths_are_what_the_rules_say(
    db: None, steps: list[tuple[Any, ...]]
) -> None:
    first = CompletionFactory()
    walk = Walk(
        [first, CompletionFactory(conversation=first.conversation)],
        [UserFactory() for _ in range(3)],
    )
    for name, *arguments in steps:
        walk.do(name, *arguments)
        walk.check()


# At the same time


def say(
    completion: Completion,
    answer: Answer,
    actor: User,
    *,
    key: str = "helps",
    click: Click = Click(),  # noqa: B008 (a frozen value)
) -> Label:
    return record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=answer,
        actor=actor,
        policy_version=latest_version(completion),
        click=click,
    )


def at_once(*work: Any) -> None:
    barrier = Barrier(len(work))

    def start(do: Any) -> None:
        try:
            barrier.wait(10)
            do()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(start, work))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("second", [Answer.TRUE, Answer.FALSE])
def test_two_people_who_answer_one_cell_at_once_are_both_counted(second: Answer) -> None:
    completions = [CompletionFactory() for _ in range(8)]
    ana, ben = UserFactory(), UserFactory()

    def all_of(person: User, answer: Answer) -> Any:
        return lambda: [say(completion, answer, person) for completion in completions]

    at_once(all_of(ana, Answer.TRUE), all_of(ben, second))
    expected = (True, "unanimous") if second == Answer.TRUE else (None, "disputed")
    assert [held(completion) for completion in completions] == [expected] * 8


@pytest.mark.django_db(transaction=True)
def test_an_answer_waits_for_whoever_decides_the_completion() -> None:
    completion, ana, ben = CompletionFactory(), UserFactory(), UserFactory()
    helps: Proposition = proposition(completion, "helps")
    locked = Barrier(2)

    def decides_slowly() -> None:
        with transaction.atomic():
            lock_completions([completion.pk])
            locked.wait(10)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(0.3)")
            LabelFactory(completion=completion, annotator=ana, answer=Answer.FALSE)
            refresh_gold_truths([completion.pk], [helps.pk])

    def answers() -> None:
        locked.wait(10)
        say(completion, Answer.TRUE, ben)

    at_once(decides_slowly, answers)
    assert held(completion) == (None, "disputed")
