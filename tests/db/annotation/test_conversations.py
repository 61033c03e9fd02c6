"""Importing conversations: everything or nothing, once, and what is odd is reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from annotation.models import Completion, Conversation, ConversationSet, Label
from annotation.models.labels import Answer
from annotation.services.conversations import (
    Conflict,
    ConversationImport,
    ImportRefused,
    import_conversations,
)
from annotation.services.labels import record_label
from annotation.services.policies import import_policy
from tests.factories import (
    TINY,
    CompletionFactory,
    ConversationFactory,
    UserFactory,
    latest_version,
    tiny,
)

pytestmark = pytest.mark.django_db

COUNTED = (ConversationSet, Conversation, Completion, Label)


def row(prompt: str = "Hello?", completion: str = "Hi.", **changes: Any) -> str:
    return json.dumps(
        {
            "prompt": [{"role": "user", "content": prompt}],
            "completion": completion,
            "category": "chat",
            "response_type": "comply",
            "propositions": {"helps": True, "rude": False, "cites": False},
        }
        | changes
    )


def load(*lines: str, split: str = "train", name: str = "gold", **more: Any) -> ConversationImport:
    return import_conversations(lines=lines, set_name=name, split=split, **more)


def counts() -> list[int]:
    return [model.objects.count() for model in COUNTED]


def refusal(*lines: str, **more: Any) -> str:
    before = counts()
    with pytest.raises(ImportRefused) as caught:
        load(*lines, **more)
    assert counts() == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def policy(db: None) -> None:
    import_policy(text=TINY)


# What is stored


@pytest.mark.usefixtures("policy")
def test_a_row_is_stored_with_all_it_says() -> None:
    load(row(id="a-1", completion_type="perfect", rm_score=1.5))
    completion = Completion.objects.get()
    conversation = completion.conversation
    assert conversation.prompt == [{"role": "user", "content": "Hello?"}]
    assert (conversation.split, conversation.category, conversation.response_type) == (
        "train",
        "chat",
        "comply",
    )
    assert (completion.text, completion.external_id) == ("Hi.", "a-1")
    assert (completion.completion_type, completion.rm_score) == ("perfect", 1.5)
    kernel = completion.as_conversation()
    assert completion.fingerprint == kernel.fingerprint
    assert conversation.prompt_fingerprint == kernel.prompt_fingerprint
    answers = dict(Label.objects.values_list("proposition__key", "answer"))
    assert answers == {"helps": "true", "rude": "false", "cites": "false"}
    assert Label.objects.filter(annotator=None).count() == 3


@pytest.mark.usefixtures("policy")
def test_a_null_label_is_stored_as_cannot_decide() -> None:
    load(row(propositions={"helps": None}))
    assert Label.objects.get().answer == Answer.CANNOT_DECIDE


@pytest.mark.usefixtures("policy")
def test_completions_of_one_prompt_share_their_conversation() -> None:
    load(row(completion="Hi."), row(completion="Go."), row(prompt="Bye?"))
    assert Conversation.objects.count() == 2
    assert Completion.objects.count() == 3


@pytest.mark.usefixtures("policy")
def test_one_prompt_under_two_categories_is_two_conversations() -> None:
    load(row(), row(category="trick", response_type="refuse"))
    assert Conversation.objects.count() == 2
    assert Completion.objects.count() == 2


@pytest.mark.usefixtures("policy")
def test_equal_rows_in_one_file_are_a_row_each() -> None:
    load(row(), row(), row())
    occurrences = Completion.objects.order_by("occurrence").values_list("occurrence", flat=True)
    assert list(occurrences) == [0, 1, 2]
    again = load(row(), row(), row(), row())
    assert (again.added, again.unchanged) == (1, 3)


@pytest.mark.usefixtures("policy")
def test_equal_rows_with_equal_labels_are_no_conflict() -> None:
    assert load(row(), row()).conflicts == []


@pytest.mark.usefixtures("policy")
def test_the_same_rows_in_another_set_are_added_there() -> None:
    load(row())
    assert load(row(), name="other").added == 1


@pytest.mark.usefixtures("policy")
def test_labels_that_were_missing_are_added_to_a_stored_row() -> None:
    load(row(propositions={"helps": True}))
    report = load(row(propositions={"helps": True, "rude": False}))
    assert (report.added, report.unchanged, report.labels) == (0, 1, 1)
    assert report.conflicts == []
    assert Label.objects.count() == 2


@pytest.mark.usefixtures("policy")
def test_a_set_name_is_taken_as_given_with_dashes() -> None:
    assert load(row(), name=" gold-set_1 ").conversation_set.name == "gold-set_1"


# What is reported


@pytest.mark.usefixtures("policy")
def test_duplicates_with_other_labels_are_reported_with_their_lines() -> None:
    other = row(propositions={"helps": False, "rude": False, "cites": True})
    report = load(row(prompt="Bye?"), row(), "", other)
    assert report.conflicts == [Conflict((2, 4), ("cites", "helps"))]
    assert report.added == 3


@pytest.mark.usefixtures("policy")
def test_undecided_and_decided_is_a_conflict_and_unlabelled_is_none() -> None:
    undecided = row(propositions={"helps": None})
    assert load(row(propositions={"helps": True}), undecided).conflicts == [
        Conflict((1, 2), ("helps",))
    ]
    assert load(row("B?"), row("B?", propositions={})).conflicts == []


@pytest.mark.usefixtures("policy")
def test_a_conflicting_import_keeps_the_stored_label_and_reports_the_line() -> None:
    load(row())
    changed = row(propositions={"helps": False, "rude": False, "cites": None})
    report = load(row(prompt="New?"), changed)
    assert report.conflicts == [Conflict((2,), ("cites", "helps"))]
    assert (report.added, report.unchanged, report.labels) == (1, 1, 3)
    stored = Label.objects.filter(completion=Completion.objects.order_by("pk").first())
    assert dict(stored.values_list("proposition__key", "answer")) == {
        "helps": "true",
        "rude": "false",
        "cites": "false",
    }


@pytest.mark.usefixtures("policy")
def test_a_persons_label_is_no_conflict_and_is_left_alone() -> None:
    load(row())
    completion = Completion.objects.get()
    helps = Label.objects.get(proposition__key="helps").proposition
    person = UserFactory()
    record_label(
        completion=completion,
        proposition=helps,
        answer=Answer.FALSE,
        actor=person,
        policy_version=latest_version(completion),
    )
    report = load(row())
    assert report.conflicts == []
    assert Label.objects.get(annotator=person).answer == Answer.FALSE


@pytest.mark.usefixtures("policy")
def test_empty_and_blank_completions_are_reported_by_line() -> None:
    report = load(row(), row(completion=""), row(completion=" \n"))
    assert report.empty_completions == [2, 3]
    assert report.added == 3


@pytest.mark.usefixtures("policy")
def test_prompts_in_both_splits_are_reported() -> None:
    load(row("A?"), row("A?", "Yes."), row("B?"), row("C?"))
    # Two prompts, A and B, whatever the completion.
    report = load(row("A?", "No."), row("B?"), row("B?", "No."), row("D?"), split="test")
    assert report.split_overlap == 2
    assert load(row("D?", "No."), name="other").split_overlap == 0
    assert load(row("A?")).split_overlap == 1


@pytest.mark.usefixtures("policy")
def test_classes_are_counted_by_response_type() -> None:
    report = load(
        row("A?"),
        row("B?"),
        row("C?", propositions={"helps": False, "rude": False}),
        row("D?", category="trick", response_type="refuse"),
        row("E?", propositions={"helps": True, "rude": None}),
        row("F?", propositions={}),
    )
    assert report.classes == {
        # A and B are kind help; C does not help; E and F lack what decides.
        "comply": {"ideal": 2, "poor": 1, "unlabelled": 2},
        "refuse": {"poor": 1},
    }


# What is refused


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("nonsense", ["line 3", "not JSON"]),
        (row(propositions={"hopes": True}), ["line 3", "unknown proposition 'hopes'"]),
        (row(response_type="Shrug"), ["line 3", "shrug", "comply, refuse"]),
        (row(response_type=None), ["line 3", "none given"]),
        (row(category="trick"), ["line 3", "'trick'", "'refuse'", "'comply'"]),
        (row(completion="\x00"), ["line 3", "NUL"]),
        (row(id="x" * 201), ["line 3", "`id`", "200"]),
        (row(category="x" * 101), ["line 3", "`category`", "100"]),
        (row(completion_type="x" * 101), ["line 3", "`completion_type`", "100"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_bad_last_line_is_named_and_nothing_is_loaded(bad: str, words: list[str]) -> None:
    message = refusal(row("A?"), row("B?"), bad, policy_name="tiny")
    for word in words:
        assert word in message


@pytest.mark.usefixtures("policy")
def test_a_bad_line_leaves_a_set_as_it_was() -> None:
    load(row())
    assert "line 2" in refusal(row("New?"), row(propositions={"hopes": True}))


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("lines", [(), ("", "  ")])
def test_a_file_without_conversations_is_refused(lines: tuple[str, ...]) -> None:
    assert "no conversation" in refusal(*lines)


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("name", ["", "  ", "Gold Set", "Gold", "gold/1", "-", "x" * 101], ids=len)
def test_a_name_that_is_no_set_name_is_refused(name: str) -> None:
    message = refusal(row(), name=name)
    assert "is not a set name" in message


@pytest.mark.usefixtures("policy")
def test_a_set_with_another_purpose_is_refused() -> None:
    load(row())
    message = refusal(row("New?"), purpose="comparison")
    assert "'gold'" in message
    assert "purpose gold" in message


def test_a_set_under_another_policy_is_refused() -> None:
    import_policy(text=TINY)
    import_policy(text=TINY, name="other")
    load(row(), policy_name="tiny")
    assert "under the policy 'tiny'" in refusal(row("New?"), policy_name="other")


def test_without_a_policy_nothing_can_be_imported() -> None:
    assert "there is no policy yet" in refusal(row())


@pytest.mark.usefixtures("policy")
def test_an_unknown_policy_is_named() -> None:
    assert "there is no policy 'big'" in refusal(row(), policy_name="big")


def test_the_newest_policy_that_fits_is_taken() -> None:
    import_policy(text=TINY, name="first")
    import_policy(text=TINY, name="second")
    import_policy(text=tiny("helps", "serves"), name="third")
    assert load(row()).conversation_set.policy.name == "second"
    serves = row(propositions={"serves": True})
    assert load(serves, name="other").conversation_set.policy.name == "third"


def test_if_no_policy_fits_the_newest_says_why() -> None:
    import_policy(text=TINY, name="first")
    import_policy(text=TINY, name="second")
    message = refusal(row(), row(propositions={"hopes": True}))
    assert "no policy fits" in message
    assert "second v1" in message
    assert "line 2: unknown proposition 'hopes'" in message


def test_rows_are_read_under_the_policys_latest_version() -> None:
    import_policy(text=TINY)
    load(row())
    import_policy(text=tiny("cites", "quotes"))
    assert load(row("New?", propositions={"quotes": True})).policy_version.number == 2
    assert "unknown proposition 'cites'" in refusal(row("Old?"))


# What the database itself refuses


def test_a_completion_stands_once_per_occurrence() -> None:
    completion = CompletionFactory()
    with pytest.raises(IntegrityError, match="completion_identity"), transaction.atomic():
        CompletionFactory(conversation=completion.conversation, text=completion.text)


def test_a_split_is_train_or_test() -> None:
    with pytest.raises(IntegrityError, match="conversation_split"), transaction.atomic():
        ConversationFactory(split="dev")


# At the same time


def at_once(work: Callable[[], ConversationImport], n: int = 2) -> list[ConversationImport]:
    barrier = Barrier(n)

    def start() -> ConversationImport:
        try:
            barrier.wait(10)
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(n) as pool:
        futures = [pool.submit(start) for _ in range(n)]
        return [future.result(30) for future in futures]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("exists", [False, True], ids=["a new set", "a set that exists"])
def test_two_imports_of_one_file_at_once_end_with_each_row_once(exists: bool) -> None:
    import_policy(text=TINY)
    lines = [row(f"Question {n}?") for n in range(150)] + [row("Twice?"), row("Twice?")]
    if exists:
        load(lines[0])
    reports = at_once(lambda: load(*lines))
    assert Completion.objects.count() == 152
    assert Label.objects.count() == 152 * 3
    assert ConversationSet.objects.count() == 1
    assert sum(report.added for report in reports) == 152 - exists
    assert sum(report.unchanged for report in reports) == 152 + exists
