"""A new Gold set made of conversations that are there already."""

from __future__ import annotations

from collections import Counter

import pytest
from django.contrib.auth.models import User

from annotation.models import (
    Adjudication,
    Completion,
    ConversationSet,
    GoldTruth,
    Label,
    LabelEvent,
    Reveal,
)
from annotation.models.adjudication import Reason
from annotation.models.labels import Answer
from annotation.selectors.browsing import CompletionFilter
from annotation.selectors.sampling import draw_completions, quotas_of
from annotation.services.gold_sets import (
    GoldSetRefused,
    configure_gold_set,
    create_gold_set,
)
from annotation.services.labels import record_label, reveal, undo_last_label
from tests.factories import (
    CompletionFactory,
    ConversationFactory,
    ConversationSetFactory,
    LabelFactory,
    PolicyFactory,
    fill,
    proposition,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(db: None) -> ConversationSet:
    """Four labelled train rows and two labelled test rows."""
    found = ConversationSetFactory(name="source")
    fill(found, "train", 4, labelled=True)
    fill(found, "test", 2, labelled=True)
    return found


def members(conversation_set: ConversationSet) -> list[Completion]:
    found = Completion.objects.filter(conversation__conversation_set=conversation_set)
    return list(found.select_related("conversation").order_by("pk"))


def truths_of(completion: Completion) -> dict[str, tuple[bool | None, str]]:
    rows = GoldTruth.objects.filter(completion=completion)
    return {
        key: (truth, source)
        for key, truth, source in rows.values_list("proposition__key", "truth", "source")
    }


def answer(completion: Completion, actor: User, value: Answer, key: str = "helps") -> Label:
    return record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=value,
        actor=actor,
        policy_version=completion.conversation.conversation_set.policy.latest,
    )


def test_a_set_is_copied_row_by_row_and_each_copy_names_its_original(
    source: ConversationSet, rhea: User
) -> None:
    made = create_gold_set(
        name="copy", sources=[source], policy=source.policy, note="for us", actor=rhea
    )
    copies, originals = members(made.conversation_set), members(source)
    assert [copy.copied_from_id for copy in copies] == [row.pk for row in originals]
    for copy, original in zip(copies, originals, strict=True):
        assert copy.as_conversation() == original.as_conversation()
        assert (copy.fingerprint, copy.occurrence) == (original.fingerprint, original.occurrence)
        assert copy.conversation.split == original.conversation.split
        assert copy.conversation_id != original.conversation_id
        assert truths_of(copy) == truths_of(original) != {}
    assert (made.conversation_set.note, made.conversation_set.created_by) == ("for us", rhea)
    # Three propositions for each of six rows.
    assert made.labels == 18


def test_what_happens_to_a_copy_leaves_its_original_alone(
    source: ConversationSet, rhea: User, ana: User
) -> None:
    made = create_gold_set(name="copy", sources=[source], policy=source.policy, actor=rhea)
    copy, original = members(made.conversation_set)[0], members(source)[0]
    before = truths_of(original)
    answer(copy, ana, Answer.FALSE)
    assert truths_of(copy)["helps"] == (False, "unanimous")
    assert truths_of(original) == before


def test_labels_of_people_stay_theirs_with_an_event_that_says_copied(
    source: ConversationSet, rhea: User, ana: User, ben: User
) -> None:
    original = members(source)[0]
    mine = answer(original, ana, Answer.TRUE)
    answer(original, ben, Answer.FALSE)
    reveal(completion=original, annotator=ana)
    changed = answer(original, ana, Answer.CANNOT_DECIDE)
    made = create_gold_set(name="copy", sources=[source], policy=source.policy, actor=rhea)
    copy = members(made.conversation_set)[0]
    theirs = Label.objects.filter(completion=copy, annotator__isnull=False)
    assert {(row.annotator, row.answer) for row in theirs} == {
        (ana, Answer.CANNOT_DECIDE),
        (ben, Answer.FALSE),
    }
    label = theirs.get(annotator=ana)
    assert (label.clicked_at, label.after_reveal) == (changed.clicked_at, True)
    assert label.policy_version_id == mine.policy_version_id
    (event,) = label.events.all()
    assert (event.kind, event.actor, event.old, event.new) == (
        LabelEvent.Kind.COPIED, rhea, "", Answer.CANNOT_DECIDE,
    )  # fmt: skip
    assert truths_of(copy)["helps"] == (None, "disputed")
    # Who had seen the others' answers there has seen them here.
    assert list(Reveal.objects.filter(completion=copy).values_list("annotator", flat=True)) == [
        ana.pk
    ]
    # Copying is nobody's last answer: undo does not reach into it.
    assert undo_last_label(actor=rhea) is None


def test_a_withdrawn_answer_is_not_copied(source: ConversationSet, rhea: User, ana: User) -> None:
    original = members(source)[0]
    answer(original, ana, Answer.TRUE)
    undo_last_label(actor=ana)
    made = create_gold_set(name="copy", sources=[source], policy=source.policy, actor=rhea)
    copy = members(made.conversation_set)[0]
    assert not Label.objects.filter(completion=copy, annotator=ana).exists()


def test_the_latest_decision_is_copied_with_its_reason(
    source: ConversationSet, rhea: User, ana: User, ben: User
) -> None:
    original = members(source)[0]
    answer(original, ana, Answer.TRUE)
    answer(original, ben, Answer.FALSE)
    for value, reason in ((Answer.TRUE, Reason.OTHER), (Answer.FALSE, Reason.EDGE_CASE)):
        Adjudication.objects.create(
            completion=original,
            proposition=proposition(original, "helps"),
            answer=value,
            reason=reason,
            note="why",
            adjudicator=rhea,
            policy_version=source.policy.latest,
        )
    made = create_gold_set(name="copy", sources=[source], policy=source.policy, actor=ana)
    copy = members(made.conversation_set)[0]
    decision = Adjudication.objects.get(completion=copy)
    assert (decision.answer, decision.reason, decision.note, decision.adjudicator) == (
        Answer.FALSE, Reason.EDGE_CASE, "why", rhea,
    )  # fmt: skip
    assert truths_of(copy)["helps"] == (False, "adjudicated")


def test_without_labels_the_set_starts_blank(source: ConversationSet, rhea: User) -> None:
    made = create_gold_set(
        name="blank", sources=[source], policy=source.policy, with_labels=False, actor=rhea
    )
    assert len(members(made.conversation_set)) == 6
    assert made.labels == 0
    in_set = {"completion__conversation__conversation_set": made.conversation_set}
    assert not Label.objects.filter(**in_set).exists()
    assert not GoldTruth.objects.filter(**in_set).exists()


@pytest.mark.parametrize(
    ("wanted", "n"),
    [
        (CompletionFilter(split="test"), 2),
        (CompletionFilter(proposition="helps", value="true"), 3),
        (CompletionFilter(completion_class="rude_completion"), 3),
        (CompletionFilter(text="no such words"), 0),
    ],
)
def test_only_what_meets_the_filter_is_copied(
    source: ConversationSet, rhea: User, wanted: CompletionFilter, n: int
) -> None:
    # Row i helps where 2 divides i, is rude where 3 does: train 0..3, test 0..1.
    assert len(draw_completions([source], wanted).pks) == n
    if not n:
        with pytest.raises(GoldSetRefused, match="No completion"):
            create_gold_set(
                name="new", sources=[source], policy=source.policy, wanted=wanted, actor=rhea
            )
        assert not ConversationSet.objects.filter(name="new").exists()
        return
    made = create_gold_set(
        name="new", sources=[source], policy=source.policy, wanted=wanted, actor=rhea
    )
    assert len(members(made.conversation_set)) == n


def test_the_same_row_of_two_sources_is_copied_once_and_that_of_one_source_twice() -> None:
    first = ConversationSetFactory()
    prompt = [{"role": "user", "content": "Same?"}]
    conversation = ConversationFactory(conversation_set=first, prompt=prompt)
    twice = [
        CompletionFactory(conversation=conversation, text="Yes.", occurrence=number)
        for number in range(2)
    ]
    second = ConversationSetFactory(policy=first.policy)
    again = ConversationFactory(conversation_set=second, prompt=prompt)
    CompletionFactory(conversation=again, text="Yes.")
    other = CompletionFactory(conversation=again, text="No.")
    elsewhere = ConversationFactory(conversation_set=second, prompt=prompt, split="train")
    moved = CompletionFactory(conversation=elsewhere, text="Yes.")
    made = create_gold_set(name="both", sources=[first, second], policy=first.policy)
    assert made.draw.doubles == 1
    copies = members(made.conversation_set)
    assert [copy.copied_from_id for copy in copies] == [row.pk for row in (*twice, other, moved)]
    assert [copy.occurrence for copy in copies] == [0, 1, 0, 0]
    # The prompt in its two splits is two conversations.
    assert len({copy.conversation_id for copy in copies}) == 2


def test_occurrences_are_numbered_anew_where_only_a_later_one_is_drawn() -> None:
    source = ConversationSetFactory()
    conversation = ConversationFactory(conversation_set=source)
    first = CompletionFactory(conversation=conversation, text="Yes.", occurrence=0)
    second = CompletionFactory(conversation=conversation, text="Yes.", occurrence=1)
    LabelFactory(completion=first, answer=Answer.FALSE)
    LabelFactory(completion=second, answer=Answer.TRUE)
    made = create_gold_set(
        name="one",
        sources=[source],
        policy=source.policy,
        wanted=CompletionFilter(proposition="helps", value="true"),
    )
    (copy,) = members(made.conversation_set)
    assert (copy.copied_from_id, copy.occurrence) == (second.pk, 0)


# Sampling


def test_a_sample_keeps_every_stratums_share_and_its_seed() -> None:
    source = ConversationSetFactory()
    for kind, n in (("comply", 12), ("refuse", 6)):
        for _ in range(n):
            CompletionFactory(
                conversation__conversation_set=source,
                conversation__response_type=kind,
                conversation__category="",
            )
    draw = draw_completions([source], CompletionFilter(), size=6, seed=3)
    # 6 of 18: a third of 12 and a third of 6.
    assert [(row.response_type, row.available, row.drawn) for row in draw.strata] == [
        ("comply", 12, 4), ("refuse", 6, 2),
    ]  # fmt: skip
    kinds = Counter(
        Completion.objects.filter(pk__in=draw.pks).values_list(
            "conversation__response_type", flat=True
        )
    )
    assert kinds == {"comply": 4, "refuse": 2}
    assert draw.pks == sorted(draw.pks)
    assert draw_completions([source], CompletionFilter(), size=6, seed=3) == draw
    others = {
        tuple(draw_completions([source], CompletionFilter(), 6, seed).pks) for seed in range(9)
    }
    assert len(others) > 1


def test_a_sample_larger_than_the_source_is_all_of_it(source: ConversationSet) -> None:
    draw = draw_completions([source], CompletionFilter(), size=100)
    assert len(draw.pks) == draw.available == 6


def test_quotas_go_to_the_largest_remainders_and_add_up() -> None:
    sizes = {("a", ""): 5, ("b", ""): 3, ("c", ""): 2}
    # 4 of 10: shares 2, 1.2 and 0.8; the one left over goes to c.
    assert quotas_of(sizes, 4) == {("a", ""): 2, ("b", ""): 1, ("c", ""): 1}
    # 5 of 10: shares 2.5, 1.5 and 1: of equal remainders the larger stratum.
    assert quotas_of(sizes, 5) == {("a", ""): 3, ("b", ""): 1, ("c", ""): 1}
    assert quotas_of(sizes, 10) == sizes


# Refused


def test_a_name_that_is_taken_is_refused_and_nothing_is_copied(source: ConversationSet) -> None:
    with pytest.raises(GoldSetRefused) as refused:
        create_gold_set(name="source", sources=[source], policy=source.policy)
    assert refused.value.field == "name"
    assert Completion.objects.count() == 6


def test_labels_of_another_policy_are_refused_and_its_conversations_are_not(
    source: ConversationSet,
) -> None:
    other = PolicyFactory()
    with pytest.raises(GoldSetRefused, match="source is read under another policy") as refused:
        create_gold_set(name="new", sources=[source], policy=other)
    assert refused.value.field == "with_labels"
    made = create_gold_set(name="new", sources=[source], policy=other, with_labels=False)
    assert made.conversation_set.policy == other


def test_a_policy_without_the_response_type_is_refused() -> None:
    source = ConversationSetFactory()
    CompletionFactory(
        conversation__conversation_set=source, conversation__response_type="unheard_of"
    )
    with pytest.raises(GoldSetRefused, match="no response type unheard_of") as refused:
        create_gold_set(name="new", sources=[source], policy=source.policy)
    assert refused.value.field == "policy"


# Settings


def test_allowing_a_majority_decides_the_cells_anew_and_taking_it_back_too(
    source: ConversationSet, ana: User, ben: User, rhea: User
) -> None:
    row = members(source)[0]
    for actor, value in ((ana, Answer.TRUE), (ben, Answer.TRUE), (rhea, Answer.FALSE)):
        answer(row, actor, value)
    assert truths_of(row)["helps"] == (None, "disputed")
    held = configure_gold_set(
        conversation_set=source, coverage_floor=7, allow_majority=True, note="new"
    )
    assert (held.coverage_floor, held.note) == (7, "new")
    assert truths_of(row)["helps"] == (True, "majority")
    configure_gold_set(conversation_set=source, coverage_floor=7, allow_majority=False, note="")
    assert truths_of(row)["helps"] == (None, "disputed")
