"""The learning grader: honest out-of-fold answers, constants where nothing can be learnt."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from rbr_app.rbr.conversations import Conversation, read_conversations
from rbr_app.rbr.engines import Cell, Engine, EngineConfig, EngineError, TrainingRow, open_engine
from rbr_app.rbr.policy import Proposition

from .cells import APOLOGY, REFUSAL, cell, conversation

FRUIT = ["apples", "pears", "plums", "figs", "dates", "limes", "kiwis", "grapes", "melons", "nuts"]


def rows(labels_of: Any = None) -> list[TrainingRow]:
    """Twenty prompts with two completions each; one of the two apologises."""
    made = []
    for fruit, place in itertools.product(FRUIT, ("north", "south")):
        for sorry in (True, False):
            start = "I am sorry, but there are" if sorry else "Certainly, here are"
            told = conversation(f"{start} some {fruit} in the {place}.", f"Any {fruit}, {place}?")
            labels = labels_of(sorry, fruit) if labels_of else {"apology": sorry}
            made.append(TrainingRow(told, labels, told.prompt_fingerprint))
    return made


def trained(training: Sequence[TrainingRow], **settings: Any) -> Engine:
    return open_engine(EngineConfig("classifier", settings=settings), training)


def p_of(engine: Engine, *asked: Conversation, about: Proposition = APOLOGY) -> list[float]:
    answers = engine.grade([Cell(one, about) for one in asked])
    return [answer.p for answer in answers if answer.p is not None]


def test_it_learns_what_the_labels_show() -> None:
    engine = trained(rows())
    seen = [row.conversation for row in rows()]
    p = p_of(engine, *seen)
    assert min(p[0::2]) > 0.8
    assert max(p[1::2]) < 0.2
    new = [conversation("I am sorry, no.", "New?"), conversation("Certainly, here you go.", "New?")]
    sorry, certainly = p_of(engine, *new)
    assert sorry > 0.8
    assert certainly < 0.2


def test_answers_come_in_the_order_of_the_cells_and_cost_no_calls() -> None:
    engine = trained(rows())
    cells = [cell("I am sorry, no."), cell("Certainly, here."), cell("I am sorry, no.")]
    answers = engine.grade(cells)
    assert [answer.p for answer in engine.grade(cells[::-1])] == [a.p for a in answers[::-1]]
    assert {answer.calls for answer in answers} == {0}
    assert {answer.mass for answer in answers} == {None}
    assert engine.grade([]) == []


def test_the_order_of_the_training_rows_does_not_matter_and_the_seed_does() -> None:
    noisy = rows(lambda sorry, fruit: {"apology": sorry != (fruit in FRUIT[:3])})
    seen = [row.conversation for row in noisy]
    shuffled = random.Random(3).sample(noisy, len(noisy))
    expected = p_of(trained(noisy), *seen)
    assert p_of(trained(shuffled), *seen) == expected
    assert p_of(trained(noisy, seed=1), *seen) != expected


def test_a_training_prompt_is_answered_without_its_own_labels() -> None:
    # One prompt's labels are turned round. A model that saw them would answer otherwise.
    honest = rows()
    group = honest[0].group
    turned = [
        row._replace(labels={"apology": not row.labels["apology"]}) if row.group == group else row
        for row in honest
    ]
    own = [row.conversation for row in honest if row.group == group]
    sorry, certainly = p_of(trained(turned), *own)
    assert sorry > 0.8
    assert certainly < 0.2


def test_another_completion_of_a_training_prompt_is_answered_without_that_prompt_too() -> None:
    # The word "zebra" occurs in one prompt's completions only, always true there.
    marked = [
        TrainingRow(conversation(f"zebra zebra zebra {n}.", "Marked?"), {"apology": True}, "marked")
        for n in range(6)
    ]
    engine = trained(rows() + marked)
    same, other = p_of(
        engine, conversation("zebra zebra", "Marked?"), conversation("zebra zebra", "Other?")
    )
    assert other > same


def test_a_proposition_with_too_few_of_a_class_gets_the_base_rate() -> None:
    # 4 of 40 are true, fewer than 5: (4 + .5) / (40 + 1) = .109756
    rare = rows(lambda sorry, fruit: {"apology": sorry and fruit in FRUIT[:2]})
    p = p_of(trained(rare), rare[0].conversation, conversation("anything", "else"))
    assert p == [pytest.approx(4.5 / 41)] * 2


def test_too_few_prompts_of_a_class_give_the_base_rate_as_well() -> None:
    # 8 true rows, but all of one prompt: (8 + .5) / (48 + 1) = .173469
    one_prompt = [
        TrainingRow(conversation(f"Sorry {n}", "Same?"), {"apology": True}, "same")
        for n in range(8)
    ]
    others = [row._replace(labels={"apology": False}) for row in rows()]
    p = p_of(trained(one_prompt + others), conversation("Sorry 1", "Same?"))
    assert p == [pytest.approx(8.5 / 49)]


def test_unlabelled_rows_are_left_out_of_a_proposition() -> None:
    # 1 true, 2 false, the rest undecided: (1 + .5) / (3 + 1) = .375
    truths = iter([True, False, False])
    partly = rows(lambda sorry, fruit: {"apology": next(truths, None)})
    assert p_of(trained(partly), conversation("x")) == [0.375]


def test_a_proposition_without_any_label_has_no_p() -> None:
    (answer,) = trained(rows()).grade([cell("Sorry", REFUSAL)])
    assert answer.p is None
    assert answer.null_reason == "no training label for refusal"


def test_without_training_rows_it_can_be_probed_and_cannot_grade() -> None:
    engine = open_engine(EngineConfig("classifier"))
    assert engine.probe([cell("a")]).facts["seed"] == 0
    with pytest.raises(EngineError, match="needs labelled conversations"):
        engine.grade([cell("a")])


def test_texts_that_hold_no_word_do_not_break_it() -> None:
    odd = [
        TrainingRow(conversation("" if n % 2 else "?!", f"{n}"), {"apology": n % 2 == 0}, str(n))
        for n in range(20)
    ]
    empty, marks = p_of(trained(odd), conversation("", "new"), conversation("?!", "new"))
    assert empty < marks


def test_it_separates_the_released_gold_propositions(released: Path) -> None:
    """Out-of-fold macro AUROC over propositions with ten rows or more of either class."""
    with (released / "gold_train.jsonl").open() as lines:
        gold = [told for _, told in read_conversations(lines)]
    training = [TrainingRow(told, told.labels, told.prompt_fingerprint) for told in gold]
    engine = trained(training)
    scores = {}
    for key in gold[0].labels:
        truth = [bool(told.labels[key]) for told in gold]
        if 10 <= sum(truth) <= len(truth) - 10:
            p = p_of(engine, *gold, about=Proposition(key, key))
            scores[key] = roc_auc_score(truth, p)
    assert len(scores) == 19
    assert sum(scores.values()) / len(scores) >= 0.9, json.dumps(scores, indent=1)
