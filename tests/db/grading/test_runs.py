"""Starting, stopping and resuming runs: the row is the job."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection

from annotation.models import Completion, ConversationSet
from annotation.models.labels import Answer
from annotation.services.labels import record_label
from annotation.services.policies import import_policy
from grading.models import GraderRun, GraderVersion, GradingBatch
from grading.services.runs import (
    RunRefused,
    StartedRun,
)
from rbr_app.rbr.engines import fake
from tests.db.grading.work import cells, start
from tests.factories import (
    KEYS,
    TINY,
    CompletionFactory,
    ConversationSetFactory,
    GraderVersionFactory,
    fill,
    latest_version,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db


# What is planned


def test_a_run_records_what_was_asked_for(
    version: GraderVersion, gold: ConversationSet, rhea: User
) -> None:
    run = start(version, gold, actor=rhea).run
    assert (run.status, run.split, run.limit) == ("running", "test", None)
    assert (run.grader_version, run.conversation_set) == (version, gold)
    assert (run.policy_version, run.started_by) == (gold.policy.latest, rhea)
    assert set(run.propositions.values_list("key", flat=True)) == {"helps", "rude", "cites"}
    assert run.training_fingerprint == ""


@pytest.mark.parametrize(("split", "rows"), [("train", 4), ("test", 3), ("all", 7)])
@pytest.mark.usefixtures("small_batches")
def test_batches_hold_every_cell_of_the_split_exactly_once(
    version: GraderVersion, gold: ConversationSet, split: str, rows: int
) -> None:
    run = start(version, gold, split=split).run
    found = cells(run)
    wanted = Completion.objects.filter(conversation__conversation_set=gold)
    if split != "all":
        wanted = wanted.filter(conversation__split=split)
    assert len(found) == len(set(found)) == rows * 3
    assert set(found) == {(pk, key) for pk in wanted.values_list("pk", flat=True) for key in KEYS}
    assert all(b.n_cells == len(b.cells) <= 2 for b in run.batches.all())
    ordinals = run.batches.order_by("ordinal").values_list("ordinal", flat=True)
    assert list(ordinals) == list(range(len(ordinals)))


def test_a_batch_is_as_large_as_the_engine_likes(
    version: GraderVersion, gold: ConversationSet
) -> None:
    fill(gold, "test", 20)
    run = start(version, gold).run
    # 23 completions × 3 propositions = 69 cells: 32 + 32 + 5
    sizes = run.batches.order_by("ordinal").values_list("n_cells", flat=True)
    assert fake.KIND.batch_size == 32
    assert list(sizes) == [32, 32, 5]


def test_question_first_prompts_are_graded_proposition_by_proposition(
    version: GraderVersion, gold: ConversationSet
) -> None:
    keys = [key for _, key in cells(start(version, gold).run)]
    assert keys == ["helps"] * 3 + ["rude"] * 3 + ["cites"] * 3


def test_conversation_first_prompts_are_graded_conversation_by_conversation(
    version: GraderVersion,
) -> None:
    policy = import_policy(text=tiny("question_first", "conversation_first")).version.policy
    gold = ConversationSetFactory(policy=policy)
    for completion in fill(gold, "test", 6):
        CompletionFactory(conversation=completion.conversation)
    found = cells(start(version, gold).run)
    assert [key for _, key in found] == ["helps", "rude", "cites"] * 12
    # Completions of one prompt follow each other: there are as many stretches as prompts.
    prompt_of = dict(Completion.objects.values_list("pk", "conversation"))
    stretches = [prompt for prompt, _ in groupby(prompt_of[completion] for completion, _ in found)]
    assert len(stretches) == len(set(stretches)) == 6


def test_only_the_named_propositions_are_asked_in_policy_order(
    version: GraderVersion, gold: ConversationSet
) -> None:
    run = start(version, gold, propositions=["cites", "helps"]).run
    assert [key for _, key in cells(run)] == ["helps"] * 3 + ["cites"] * 3
    assert set(run.propositions.values_list("key", flat=True)) == {"helps", "cites"}


def test_a_limit_takes_the_same_completions_each_time_and_a_larger_one_adds_to_them(
    version: GraderVersion,
) -> None:
    gold = ConversationSetFactory()
    rows = fill(gold, "test", 12)
    taken = []
    for limit in (3, 6, 12):
        run = start(version, gold, limit=limit).run
        taken.append({completion for completion, _ in cells(run)})
        assert len(taken[-1]) == limit
        assert run.limit == limit
        assert not start(version, gold, limit=limit).added
    assert taken[0] < taken[1] < taken[2]
    # By fingerprint: what comes first in the file has no advantage.
    by_fingerprint = sorted(rows, key=lambda row: row.fingerprint)
    assert taken[0] == {row.pk for row in by_fingerprint[:3]}


def test_a_limit_beyond_the_split_is_the_run_over_all_of_it(
    version: GraderVersion, gold: ConversationSet
) -> None:
    first = start(version, gold)
    assert start(version, gold, limit=100) == replace(first, added=False)


# Refusals


def test_an_unknown_proposition_is_refused(version: GraderVersion, gold: ConversationSet) -> None:
    with pytest.raises(RunRefused, match="unknown proposition 'hopes'"):
        start(version, gold, propositions=["helps", "hopes"])
    assert not GraderRun.objects.exists()


def test_an_empty_split_is_refused(version: GraderVersion) -> None:
    gold = ConversationSetFactory(name="bare")
    fill(gold, "train", 1)
    with pytest.raises(RunRefused, match="bare has no completion in split 'test'"):
        start(version, gold)


@pytest.mark.usefixtures("learning")
def test_a_learning_grader_without_labelled_train_rows_is_refused(version: GraderVersion) -> None:
    gold = ConversationSetFactory(name="bare")
    fill(gold, "train", 2)
    fill(gold, "test", 2, labelled=True)
    with pytest.raises(RunRefused, match="no labelled row in its train split"):
        start(version, gold)


# The same run, and another


def test_the_same_request_again_is_the_same_run(
    version: GraderVersion, gold: ConversationSet
) -> None:
    first = start(version, gold)
    again = start(version, gold)
    assert (first.added, again.added) == (True, False)
    assert again.run == first.run
    assert GradingBatch.objects.count() == 1


def test_naming_every_proposition_in_any_order_is_the_same_run(
    version: GraderVersion, gold: ConversationSet
) -> None:
    first = start(version, gold).run
    assert start(version, gold, propositions=["cites", "rude", "helps"]).run == first


def test_another_grader_split_or_choice_of_propositions_is_another_run(
    version: GraderVersion, gold: ConversationSet
) -> None:
    other = GraderVersionFactory(settings={"seed": 1})
    found = [
        start(version, gold).run,
        start(other, gold).run,
        start(version, gold, split="train").run,
        start(version, gold, split="all").run,
        start(version, gold, limit=2).run,
        start(version, gold, propositions=["helps"]).run,
    ]
    assert len({run.pk for run in found}) == len(found)


@pytest.mark.parametrize(
    ("old", "new"),
    [("Is it rude?", "Is it impolite?"), ("    {examples}\n", "    Examples: {examples}\n")],
    ids=["question", "template"],
)
def test_a_changed_prompt_is_another_run(version: GraderVersion, old: str, new: str) -> None:
    policy = import_policy(text=TINY).version.policy
    gold = ConversationSetFactory(policy=policy)
    fill(gold, "test", 1)
    first = start(version, gold).run
    import_policy(text=tiny(old, new))
    second = start(version, ConversationSet.objects.get())
    assert second.added
    assert second.run.policy_version.number == 2
    assert first.policy_version.number == 1


def test_a_question_that_was_not_asked_may_change(version: GraderVersion) -> None:
    policy = import_policy(text=TINY).version.policy
    gold = ConversationSetFactory(policy=policy)
    fill(gold, "test", 1)
    first = start(version, gold, propositions=["helps"]).run
    import_policy(text=tiny("Is it rude?", "Is it impolite?"))
    again = start(version, ConversationSet.objects.get(), propositions=["helps"])
    assert again == StartedRun(first, added=False)


def test_a_new_completion_is_another_run(version: GraderVersion, gold: ConversationSet) -> None:
    first = start(version, gold).run
    fill(gold, "test", 1)
    assert start(version, gold).run != first


def test_a_label_changes_nothing_for_a_grader_that_does_not_learn(
    version: GraderVersion, gold: ConversationSet, ana: User
) -> None:
    first = start(version, gold).run
    correct(gold, "train", ana)
    assert start(version, gold).run == first


@pytest.mark.usefixtures("learning")
def test_a_train_label_makes_another_run_for_a_grader_that_learns(
    version: GraderVersion, gold: ConversationSet, ana: User
) -> None:
    first = start(version, gold).run
    assert first.training_fingerprint
    correct(gold, "test", ana)
    assert start(version, gold).run == first
    correct(gold, "train", ana)
    second = start(version, gold)
    assert second.added
    assert second.run.training_fingerprint != first.training_fingerprint


def correct(gold: ConversationSet, split: str, actor: User) -> None:
    """Turn round the label of the split's first completion."""
    completion = Completion.objects.filter(
        conversation__conversation_set=gold, conversation__split=split
    ).earliest("pk")
    record_label(
        completion=completion,
        proposition=proposition(completion, "helps"),
        answer=Answer.FALSE,
        actor=actor,
        policy_version=latest_version(completion),
    )


@pytest.mark.django_db(transaction=True)
def test_two_requests_at_once_are_one_run(gold: ConversationSet) -> None:
    version = GraderVersionFactory()
    barrier = Barrier(4)

    def work(_: int) -> StartedRun:
        try:
            barrier.wait(10)
            return start(version, gold)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(work, range(4)))
    assert len({row.run.pk for row in started}) == 1
    assert sum(row.added for row in started) == 1
    assert GradingBatch.objects.count() == 1
