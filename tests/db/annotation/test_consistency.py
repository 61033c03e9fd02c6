"""Gold truths that cannot all be right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annotation.models import ConversationSet
from annotation.models.labels import Answer
from annotation.selectors.consistency import LISTED, Consistency, consistency
from annotation.selectors.truth_sql import truth_sql
from annotation.services.conversations import import_conversations
from annotation.services.policies import import_policy
from rbr_app.rbr.policy import Implication, Policy
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    tiny_policy,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory()


def check(gold: ConversationSet, policy: Policy | None = None) -> Consistency:
    return consistency(gold, truth_sql(policy or tiny_policy(), gold.policy_id))


def labelled(gold: ConversationSet, **truths: bool | None) -> Any:
    row = CompletionFactory(conversation__conversation_set=gold)
    for key, truth in truths.items():
        LabelFactory(completion=row, key=key, answer=Answer.of(truth))
    return row


DECLARING = replace(
    tiny_policy(),
    implications=(Implication({"cites": True}, {"helps": True}),),
    exclusions=({"kind_help": True, "cites": False},),
)
"""What cites a source helps; what helps kindly and cites none never happens."""


def test_what_breaks_a_constraint_is_counted_and_named(gold: ConversationSet) -> None:
    broken = labelled(gold, cites=True, helps=False)
    labelled(gold, cites=True, helps=True)
    excluded = labelled(gold, cites=False, helps=True, rude=False)
    found = check(gold, DECLARING)
    implication, exclusion = found.constraints
    assert (implication.title, implication.n, implication.completions) == (
        "cites → helps", 1, [broken.pk],
    )  # fmt: skip
    assert (exclusion.title, exclusion.completions) == (
        "not (¬cites ∧ kind_help)", [excluded.pk],
    )  # fmt: skip
    assert found.broken == [implication, exclusion]
    assert found.n == 2


def test_what_is_undecided_breaks_nothing(gold: ConversationSet) -> None:
    labelled(gold, cites=True)
    labelled(gold, cites=True, helps=None)
    labelled(gold, cites=False, helps=True)
    assert check(gold, DECLARING).n == 0


def test_another_sets_rows_are_not_looked_at(gold: ConversationSet) -> None:
    other = ConversationSetFactory(policy=gold.policy)
    labelled(other, cites=True, helps=False)
    assert check(gold, DECLARING).n == 0
    assert check(other, DECLARING).n == 1


def test_a_few_are_named_and_all_are_counted(gold: ConversationSet) -> None:
    for _ in range(LISTED + 3):
        labelled(gold, cites=True, helps=False)
    (implication, _) = check(gold, DECLARING).constraints
    assert (implication.n, len(implication.completions)) == (LISTED + 3, LISTED)


def test_no_class_and_more_than_one_are_found_where_truths_are_complete(
    gold: ConversationSet,
) -> None:
    # `poor` wants only not helping: a rude row that does not help is poor and rude. Nothing is
    # left for a row that helps and is rude once `rude_completion` wants it not to help.
    unsound = replace(
        tiny_policy(),
        completion_classes={
            "ideal": {"comply": {"kind_help": True}},
            "poor": {"comply": {"helps": False}},
            "rude_completion": {"comply": {"rude": True, "helps": False}},
        },
    )
    two = labelled(gold, helps=False, rude=True)
    none = labelled(gold, helps=True, rude=True)
    labelled(gold, helps=True, rude=False)
    labelled(gold, helps=True)
    found = check(gold, unsound)
    assert (found.several_classes.completions, found.no_class.completions) == ([two.pk], [none.pk])


def test_duplicates_whose_truths_differ_are_found_with_what_differs(
    gold: ConversationSet,
) -> None:
    prompt = [{"role": "user", "content": "Same?"}]
    rows = []
    for split, answer in (("train", Answer.TRUE), ("test", Answer.FALSE)):
        conversation = ConversationFactory(conversation_set=gold, split=split, prompt=prompt)
        row = CompletionFactory(conversation=conversation, text="Yes.")
        LabelFactory(completion=row, key="helps", answer=answer)
        LabelFactory(completion=row, key="rude", answer=Answer.TRUE)
        rows.append(row.pk)
    LabelFactory(completion=row, key="cites", answer=Answer.TRUE)
    fill(gold, "train", 3, labelled=True)
    (conflict,) = (found := check(gold)).conflicts
    assert (conflict.completions, conflict.propositions) == (tuple(rows), ("helps",))
    assert (found.n_conflicts, found.n) == (1, 1)


def test_the_released_rows_have_one_conflict_and_one_class_each(released: Any) -> None:
    text = (released / "proposition_prompts.yaml").read_text()
    import_policy(text=text, fallback_name="released")
    lines = (released / "gold_train.jsonl").read_text().splitlines()
    gold = import_conversations(lines=lines, set_name="gold", split="train").conversation_set
    found = check(gold, gold.policy.latest.as_policy())
    # method.md, section 3: one duplicate pair carries conflicting labels.
    (conflict,) = found.conflicts
    assert conflict.propositions == ("additional_content", "conditional_verbiage")
    assert (found.several_classes.n, found.no_class.n) == (0, 0)
    assert found.n == 1


def test_the_check_takes_two_queries(gold: ConversationSet, django_assert_num_queries: Any) -> None:
    fill(gold, "train", 6, labelled=True)
    rules = truth_sql(DECLARING, gold.policy_id)
    with django_assert_num_queries(2):
        consistency(gold, rules)
