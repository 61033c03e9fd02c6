"""Frozen versions: what they hold, when two are the same, what changed between them."""

from __future__ import annotations

import json
import random

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.models import Completion, ConversationSet, GoldVersion, PolicyVersion
from annotation.models.labels import Answer
from annotation.selectors.gold_versions import (
    current_rows,
    export_lines,
    gold_versions,
    version_diff,
)
from annotation.services.conversations import import_conversations
from annotation.services.gold_sets import create_gold_set
from annotation.services.gold_versions import FreezeRefused, content_hash, freeze_gold_set
from annotation.services.labels import record_label, undo_last_label
from annotation.services.policies import import_policy
from rbr_app.rbr.conversations import parse_conversation
from tests.factories import (
    KEYS,
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    PolicyFactory,
    fill,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    found = ConversationSetFactory(name="gold")
    fill(found, "train", 3, labelled=True)
    fill(found, "test", 2, labelled=True)
    return found


def answer(completion: Completion, actor: User, value: Answer, key: str = "helps") -> None:
    record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=value,
        actor=actor,
        policy_version=completion.conversation.conversation_set.policy.latest,
    )


def test_a_version_keeps_rows_splits_and_truths_with_their_sources(
    gold: ConversationSet, ana: User, ben: User, rhea: User
) -> None:
    row = Completion.objects.order_by("pk")[0]
    answer(row, ana, Answer.TRUE)
    answer(row, ben, Answer.FALSE)
    answer(row, ana, Answer.FALSE, key="rude")
    version, added = freeze_gold_set(conversation_set=gold, author=rhea, note="first")
    assert added
    assert (version.number, version.parent, version.author, version.note) == (
        1,
        None,
        rhea,
        "first",
    )
    assert version.policy_version == gold.policy.latest
    frozen = {row.completion_id: row for row in version.rows.all()}
    assert len(frozen) == 5
    # Row 0 of the train split helps and is rude by the file; the two people came after it.
    assert frozen[row.pk].truths == {
        "helps": [None, "disputed"], "rude": [False, "unanimous"], "cites": [False, "imported"],
    }  # fmt: skip
    assert (frozen[row.pk].split, frozen[row.pk].category, frozen[row.pk].response_type) == (
        "train", "chat", "comply",
    )  # fmt: skip


def test_what_is_stored_is_what_was_hashed(gold: ConversationSet, ana: User) -> None:
    CompletionFactory(conversation__conversation_set=gold)  # a row without any truth
    version, _ = freeze_gold_set(conversation_set=gold)
    stored = {row.completion_id: row.truths for row in version.rows.all()}
    assert stored == {row.completion: row.truths for row in current_rows(gold)}
    assert {} in stored.values()


def test_a_state_that_did_not_change_is_the_same_version(
    gold: ConversationSet, ana: User, rhea: User
) -> None:
    first, _ = freeze_gold_set(conversation_set=gold, author=rhea, note="first")
    same, added = freeze_gold_set(conversation_set=gold, author=ana, note="other words")
    assert (same, added, same.note) == (first, False, "first")
    row = Completion.objects.order_by("pk")[0]
    answer(row, ana, Answer.FALSE)
    second, added = freeze_gold_set(conversation_set=gold)
    assert (added, second.number, second.parent) == (True, 2, first)
    # Back to the first state by way of an undo is back to the first version.
    undo_last_label(actor=ana)
    assert freeze_gold_set(conversation_set=gold) == (first, False)
    assert GoldVersion.objects.count() == 2


def test_another_policy_version_is_another_state(gold: ConversationSet) -> None:
    first, _ = freeze_gold_set(conversation_set=gold)
    before: PolicyVersion = gold.policy.latest
    import_policy(text=tiny("Is it rude?", "Is it impolite?"), name=gold.policy.name)
    second, added = freeze_gold_set(conversation_set=ConversationSet.objects.get(pk=gold.pk))
    assert added
    assert first.policy_version == before
    assert second.policy_version.number == 2
    assert version_diff(first, second).n_rows == 0


def test_a_set_without_completions_is_refused() -> None:
    empty = ConversationSetFactory()
    ConversationFactory(conversation_set=empty)
    with pytest.raises(FreezeRefused):
        freeze_gold_set(conversation_set=empty)
    assert not GoldVersion.objects.exists()


def test_the_database_refuses_to_change_a_frozen_row(gold: ConversationSet) -> None:
    version, _ = freeze_gold_set(conversation_set=gold)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        version.rows.update(split="train")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        GoldVersion.objects.filter(pk=version.pk).update(note="changed")


# The hash

Row = tuple[str, str, str, tuple[bool | None, ...]]
contents = st.lists(
    st.tuples(
        st.sampled_from(["How?", "Why?", "Who?", "When?"]),
        st.sampled_from(["Yes.", "No.", ""]),
        st.sampled_from(["train", "test"]),
        st.tuples(*[st.sampled_from([True, False, None])] * 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[:3],
)
FEW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def stored(rows: list[Row]) -> ConversationSet:
    """A set with these rows, added in this order. A truth of None is a cell without a label."""
    policy = PolicyFactory()
    gold = ConversationSetFactory(policy=policy)
    conversations = {}
    for text, answer, split, truths in rows:
        if (text, split) not in conversations:
            conversations[text, split] = ConversationFactory(
                conversation_set=gold, split=split, prompt=[{"role": "user", "content": text}]
            )
        completion = CompletionFactory(conversation=conversations[text, split], text=answer)
        for key, truth in zip(KEYS, truths, strict=True):
            if truth is not None:
                LabelFactory(completion=completion, key=key, answer=Answer.of(truth))
    return gold


def digest(rows: list[Row]) -> str:
    return content_hash(stored(rows), "the policy")


@FEW
@given(rows=contents, seed=st.integers(0, 1000))
def test_the_hash_does_not_depend_on_the_order_in_which_rows_came(
    db: None, rows: list[Row], seed: int
) -> None:
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert digest(shuffled) == digest(rows)


@FEW
@given(rows=contents, data=st.data())
def test_the_hash_changes_when_one_truth_or_one_split_does(
    db: None, rows: list[Row], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    text, reply, split, truths = rows[index]
    cell = data.draw(st.integers(0, 2))
    other = data.draw(st.sampled_from([v for v in (True, False, None) if v is not truths[cell]]))
    changed = (*truths[:cell], other, *truths[cell + 1 :])
    before = digest(rows)
    assert digest([*rows[:index], (text, reply, split, changed), *rows[index + 1 :]]) != before
    moved = (text, reply, "train" if split == "test" else "test", truths)
    if moved[:3] not in {row[:3] for row in rows}:
        assert digest([*rows[:index], moved, *rows[index + 1 :]]) != before


# Between versions


def test_the_difference_counts_rows_splits_truths_and_sources(
    gold: ConversationSet, ana: User
) -> None:
    first, _ = freeze_gold_set(conversation_set=gold)
    rows = list(Completion.objects.select_related("conversation").order_by("pk"))
    # Row 0 helps and is rude by the file. Ana denies the one and confirms the other.
    answer(rows[0], ana, Answer.FALSE, key="helps")
    answer(rows[0], ana, Answer.TRUE, key="rude")
    rows[4].conversation.split = "train"
    rows[4].conversation.save()
    (new,) = fill(gold, "test", 1)
    second, _ = freeze_gold_set(conversation_set=gold)
    diff = version_diff(first, second)
    assert (diff.added, diff.removed, diff.moved, diff.truths, diff.sources) == (1, 0, 1, 1, 1)
    changes = {row.completion: row for row in diff.rows}
    assert set(changes) == {rows[0].pk, rows[4].pk, new.pk}
    assert [(cell.key, cell.before, cell.after) for cell in changes[rows[0].pk].cells] == [
        ("helps", [True, "imported"], [False, "unanimous"]),
        ("rude", [True, "imported"], [True, "unanimous"]),
    ]
    assert (changes[rows[4].pk].before_split, changes[rows[4].pk].after_split) == ("test", "train")
    back = version_diff(second, first)
    assert (back.added, back.removed, back.n_rows) == (0, 1, 3)
    assert len(version_diff(first, second, listed=2).rows) == 2


def test_the_list_counts_rows_splits_and_decided_cells(gold: ConversationSet, ana: User) -> None:
    row = Completion.objects.order_by("pk")[0]
    freeze_gold_set(conversation_set=gold)
    answer(row, ana, Answer.CANNOT_DECIDE)
    freeze_gold_set(conversation_set=gold)
    # Five rows of three cells; in the second version one of them is undecided.
    assert [
        (found.number, found.n_rows, found.n_train, found.n_test, found.n_decided)
        for found in gold_versions(gold)
    ] == [(2, 5, 3, 2, 14), (1, 5, 3, 2, 15)]


def test_a_version_is_exported_in_the_form_that_imports_read(gold: ConversationSet) -> None:
    version, _ = freeze_gold_set(conversation_set=gold)
    lines = list(export_lines(version))
    assert len(lines) == 5
    first = json.loads(lines[0])
    assert first["sources"] == dict.fromkeys(KEYS, "imported")
    original = Completion.objects.order_by("pk")[0]
    read = parse_conversation(first)
    assert (read.prompt, read.completion) == (
        original.as_conversation().prompt,
        original.text,
    )
    assert read.labels == {"helps": True, "rude": True, "cites": False}
    report = import_conversations(
        lines=[line for line in lines if json.loads(line)["split"] == "train"],
        set_name="back",
        split="train",
        policy_name=gold.policy.name,
    )
    assert (report.added, report.labels) == (3, 9)


def test_a_copy_of_a_set_has_the_hash_of_its_original(gold: ConversationSet) -> None:
    made = create_gold_set(name="copy", sources=[gold], policy=gold.policy).conversation_set
    assert content_hash(made, "the policy") == content_hash(gold, "the policy")
