"""Drawing which conversations are for training and which for testing."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.models import Completion, Conversation, ConversationSet, Label
from annotation.models.labels import Answer
from annotation.selectors.leakage import found_leaks
from annotation.services.gold_versions import freeze_gold_set
from annotation.services.splits import SplitRefused, draw_split
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
    tiny,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory()


def sides(conversation_set: ConversationSet) -> dict[int, str]:
    found = Completion.objects.filter(conversation__conversation_set=conversation_set)
    return dict(found.values_list("pk", "conversation__split"))


def prompt(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_each_stratum_gets_its_share_and_the_set_remembers_the_draw(gold: ConversationSet) -> None:
    for kind, n in (("comply", 10), ("refuse", 5)):
        for _ in range(n):
            CompletionFactory(conversation__conversation_set=gold, conversation__response_type=kind)
    drawn = draw_split(conversation_set=gold, test_share=0.4, seed=7)
    found = Counter(
        Completion.objects.values_list("conversation__response_type", "conversation__split")
    )
    # 0.4 of 10 prompts is 4, of 5 prompts 2.
    assert found == {
        ("comply", "train"): 6, ("comply", "test"): 4,
        ("refuse", "train"): 3, ("refuse", "test"): 2,
    }  # fmt: skip
    assert drawn.strata["comply", "chat"].test_units == 4
    # All stood in test before; nine left it.
    assert (drawn.moved, drawn.merged) == (9, 0)
    gold.refresh_from_db()
    assert (gold.split_seed, gold.test_share) == (7, 0.4)


def test_the_same_seed_draws_the_same_split_and_changes_nothing_twice(
    gold: ConversationSet,
) -> None:
    fill(gold, "train", 20)
    draw_split(conversation_set=gold, test_share=0.5, seed=1)
    first = sides(gold)
    draw_split(conversation_set=gold, test_share=0.5, seed=2)
    assert sides(gold) != first
    draw_split(conversation_set=gold, test_share=0.5, seed=1)
    assert sides(gold) == first
    assert draw_split(conversation_set=gold, test_share=0.5, seed=1).moved == 0


def test_all_rows_of_a_prompt_go_together_whatever_their_category(gold: ConversationSet) -> None:
    for number in range(8):
        for category in ("chat", "trick"):
            CompletionFactory(
                conversation__conversation_set=gold,
                conversation__category=category,
                conversation__prompt=prompt(f"Prompt {number}"),
            )
    draw_split(conversation_set=gold, test_share=0.5, seed=3)
    rows = Conversation.objects.values_list("prompt_fingerprint", "split").distinct()
    assert Counter(split for _, split in rows) == {"train": 4, "test": 4}


def test_a_prompt_that_stood_in_both_splits_becomes_one_conversation(
    gold: ConversationSet,
) -> None:
    kept = ConversationFactory(conversation_set=gold, split="train", prompt=prompt("Same?"))
    gone = ConversationFactory(conversation_set=gold, split="test", prompt=prompt("Same?"))
    yes = [CompletionFactory(conversation=kept, text="Yes.", occurrence=n) for n in range(2)]
    again = [CompletionFactory(conversation=gone, text="Yes.", occurrence=n) for n in range(2)]
    other = CompletionFactory(conversation=gone, text="No.", occurrence=0)
    label = LabelFactory(completion=again[0], answer=Answer.TRUE)
    fill(gold, "train", 3)
    drawn = draw_split(conversation_set=gold, test_share=0.5, seed=0)
    assert drawn.merged == 1
    assert not Conversation.objects.filter(pk=gone.pk).exists()
    rows = Completion.objects.filter(conversation=kept).order_by("pk")
    # Two of the same answer were here, so those that came are its third and fourth.
    assert [(row.pk, row.occurrence) for row in rows] == [
        (yes[0].pk, 0), (yes[1].pk, 1), (again[0].pk, 2), (again[1].pk, 3), (other.pk, 0),
    ]  # fmt: skip
    assert Label.objects.get(pk=label.pk).completion_id == again[0].pk


def test_frozen_versions_keep_their_split(gold: ConversationSet) -> None:
    fill(gold, "train", 6)
    before, _ = freeze_gold_set(conversation_set=gold)
    draw_split(conversation_set=gold, test_share=0.5, seed=0)
    after, added = freeze_gold_set(conversation_set=gold)
    assert added
    assert Counter(before.rows.values_list("split", flat=True)) == {"train": 6}
    assert Counter(after.rows.values_list("split", flat=True)) == {"train": 3, "test": 3}
    assert (before.split_seed, after.split_seed) == (None, 0)


def test_a_set_without_completions_is_refused(gold: ConversationSet) -> None:
    ConversationFactory(conversation_set=gold)
    with pytest.raises(SplitRefused):
        draw_split(conversation_set=gold, test_share=0.5, seed=0)
    gold.refresh_from_db()
    assert gold.split_seed is None


# (prompt, category, split, text) of each completion; few values, so that they collide.
rows = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from(["chat", "trick"]),
        st.sampled_from(["train", "test"]),
        st.sampled_from(["Yes.", "No."]),
    ),
    min_size=1,
    max_size=14,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=rows, seed=st.integers(0, 2**53), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_no_prompt_is_torn_apart_and_no_completion_is_lost(
    db: None, rows: list[tuple[str, str, str, str]], seed: int, share: float
) -> None:
    gold = ConversationSetFactory()
    for text, category, split, answer in rows:
        fields = {"conversation_set": gold, "split": split, "category": category}
        made = ConversationFactory.build(prompt=prompt(text), **fields)
        conversation, _ = Conversation.objects.get_or_create(
            **fields,
            response_type="comply",
            prompt_fingerprint=made.prompt_fingerprint,
            defaults={"prompt": made.prompt},
        )
        number = conversation.completions.filter(text=answer).count()
        CompletionFactory(conversation=conversation, text=answer, occurrence=number)
    before = Counter((text, category, answer) for text, category, _, answer in rows)
    draw_split(conversation_set=gold, test_share=share, seed=seed)
    found = Completion.objects.filter(conversation__conversation_set=gold).values_list(
        "conversation__prompt", "conversation__category", "text", "conversation__split"
    )
    after = Counter((turns[0]["content"], category, text) for turns, category, text, _ in found)
    assert after == before
    side = {}
    for turns, _, _, split in found:
        assert side.setdefault(turns[0]["content"], split) == split


# Leakage


def test_a_prompt_in_both_splits_is_found_with_both_rows(gold: ConversationSet) -> None:
    train = CompletionFactory(
        conversation__conversation_set=gold,
        conversation__split="train",
        conversation__prompt=prompt("The very same question?"),
    )
    test = CompletionFactory(
        conversation__conversation_set=gold,
        conversation__split="test",
        conversation__prompt=prompt("The very same question?"),
    )
    fill(gold, "test", 2)
    report = found_leaks(gold)
    assert report.counts == [("the same prompt", 1)]
    (found,) = report.listed
    assert (found.test, found.train) == (test, train)
    assert (report.n, report.n_train, report.n_test) == (1, 1, 3)


def test_a_few_shot_example_in_a_test_row_is_found_without_a_train_row() -> None:
    text = tiny(
        'rude: {question: "Is it rude?"}',
        'rude: {question: "Is it rude?", examples: '
        '[{user: "How do I bake a good bread?", assistant: "Read a book.", answer: true}]}',
    )
    gold = ConversationSetFactory(policy__version__source=text)
    CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=prompt("How do I bake a good bread?"),
    )
    report = found_leaks(gold)
    assert [(found.leak.proposition, found.train) for found in report.listed] == [("rude", None)]


def test_after_a_draw_no_prompt_leaks(gold: ConversationSet) -> None:
    for split in ("train", "test"):
        for number in range(6):
            CompletionFactory(
                conversation__conversation_set=gold,
                conversation__split=split,
                conversation__prompt=prompt(f"{number} " * 5 + "what is it?"),
            )
    assert dict(found_leaks(gold).counts)["the same prompt"] == 6
    draw_split(conversation_set=gold, test_share=0.5, seed=0)
    assert "the same prompt" not in dict(found_leaks(gold).counts)
