"""Exported rows: labels and truths with all that is known of where they come from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotation.models import (
    Adjudication,
    Assignment,
    Completion,
    ConversationSet,
    DefinitionChange,
    GoldVersion,
    GoldVersionRow,
    LabellingQueue,
)
from annotation.models.labels import Answer
from annotation.selectors.label_exports import LabelExport, pseudonym
from annotation.services.gold_truths import refresh_gold_truths
from annotation.services.labels import undo_last_label
from tests.db.annotation.exported import NOON, rows, say
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    PolicyVersionFactory,
    fill,
    latest_version,
    proposition,
    tiny,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    return CompletionFactory(conversation__conversation_set=gold, external_id="row-1")


# Labels


def test_a_label_is_exported_with_all_that_is_known_of_it(
    gold: ConversationSet, completion: Completion, ana: User
) -> None:
    say(completion, Answer.FALSE, ana, prelabel=Answer.TRUE)
    queue = LabellingQueue.objects.create(conversation_set=gold, name="q", fingerprint="f")
    Assignment.objects.create(
        queue=queue, completion=completion, annotator=ana, rank=1, active_seconds=12.5
    )
    version = latest_version(completion)
    assert rows(gold, "labels") == [
        {
            "set": "gold",
            "completion": completion.pk,
            "external_id": "row-1",
            "fingerprint": completion.fingerprint,
            "prompt_fingerprint": completion.conversation.prompt_fingerprint,
            "split": "test",
            "category": "chat",
            "response_type": "comply",
            "proposition": "helps",
            "answer": "false",
            "source": "person",
            "person": "ana",
            "clicked_at": NOON,
            "active_seconds": 12.5,
            "after_reveal": False,
            "prelabel": "true",
            "policy": version.policy.name,
            "policy_version": 1,
            "policy_fingerprint": version.fingerprint,
            "stale": False,
        }
    ]


def test_each_person_and_the_file_have_a_row_and_a_withdrawn_answer_has_none(
    gold: ConversationSet, completion: Completion, ana: User, ben: User
) -> None:
    LabelFactory(completion=completion)
    say(completion, Answer.FALSE, ana)
    say(completion, Answer.CANNOT_DECIDE, ben)
    say(completion, Answer.TRUE, ben, key="rude")
    undo_last_label(actor=ben)
    found = {(row["source"], row["person"]): row["answer"] for row in rows(gold, "labels")}
    assert found == {
        ("imported", None): "true",
        ("person", "ana"): "false",
        ("person", "ben"): "cannot_decide",
    }


def test_labels_of_an_older_meaning_are_marked_stale(
    gold: ConversationSet, completion: Completion, ana: User
) -> None:
    say(completion, Answer.TRUE, ana)
    say(completion, Answer.TRUE, ana, key="rude")
    first = latest_version(completion)
    second = PolicyVersionFactory(
        policy=first.policy, number=2, parent=first, source=tiny("Does it help?", "Is it of use?")
    )
    helps = proposition(completion, "helps")
    DefinitionChange.objects.create(version=second, proposition=helps)
    stale = {row["proposition"]: row["stale"] for row in rows(gold, "labels")}
    assert stale == {"helps": True, "rude": False}
    assert [row["stale"] for row in rows(gold, "gold")] == [True, False]
    gold.policy.__dict__.pop("latest", None)
    fresh = Completion.objects.get(pk=completion.pk)
    say(fresh, Answer.TRUE, ana, at=None)
    newer = next(row for row in rows(gold, "labels") if row["proposition"] == "helps")
    assert (newer["policy_version"], newer["stale"]) == (2, False)


def test_people_appear_by_name_by_a_lasting_pseudonym_or_not_at_all(
    gold: ConversationSet, completion: Completion, ana: User, ben: User
) -> None:
    say(completion, Answer.TRUE, ana)
    say(completion, Answer.TRUE, ben)

    def people(choice: str) -> list[Any]:
        return [row["person"] for row in rows(gold, "labels", people=choice)]

    assert people("names") == ["ana", "ben"]
    assert people("none") == [None, None]
    first, second = people("pseudonyms")
    assert people("pseudonyms") == [first, second] == [pseudonym(ana.pk), pseudonym(ben.pk)]
    assert first != second
    assert first.startswith("person-")
    assert "ana" not in first


def test_a_pseudonym_cannot_be_worked_out_without_the_sites_secret(
    ana: User, settings: Any
) -> None:
    here = pseudonym(ana.pk)
    settings.SECRET_KEY = "another site's"
    assert pseudonym(ana.pk) != here


def test_only_the_asked_split_is_exported(gold: ConversationSet) -> None:
    fill(gold, "train", 2, labelled=True)
    fill(gold, "test", 1, labelled=True)
    # Three propositions of each completion are labelled.
    assert len(rows(gold, "labels", split="train")) == 6
    assert len(rows(gold, "gold", split="test")) == 3
    assert len(rows(gold, "conversations")) == 3


# Gold truths


def test_a_truth_is_exported_with_its_source_and_who_decided(
    gold: ConversationSet, completion: Completion, ana: User, ben: User, rhea: User
) -> None:
    say(completion, Answer.TRUE, ana)
    say(completion, Answer.FALSE, ben)
    say(completion, Answer.TRUE, ana, key="rude")
    LabelFactory(completion=completion, key="cites", answer=Answer.FALSE)
    decision = Adjudication.objects.create(
        completion=completion,
        proposition=proposition(completion, "helps"),
        answer="true",
        reason="guideline_gap",
        note="see 3.2",
        adjudicator=rhea,
        policy_version=latest_version(completion),
    )
    refresh_gold_truths([completion.pk])
    found = {row["proposition"]: row for row in rows(gold, "gold")}
    short = {key: (row["truth"], row["source"], row["people"]) for key, row in found.items()}
    assert short == {
        "helps": (True, "adjudicated", 2),
        "rude": (True, "unanimous", 1),
        "cites": (False, "imported", 0),
    }
    helps = found["helps"]
    assert (helps["adjudication_reason"], helps["adjudication_note"]) == (
        "guideline_gap",
        "see 3.2",
    )
    assert (helps["adjudicator"], helps["adjudicated_at"]) == ("rhea", decision.at)
    assert found["rude"]["adjudicator"] is None
    assert {row["policy_version"] for row in found.values()} == {1}
    hidden = rows(gold, "gold", people="pseudonyms")
    assert pseudonym(rhea.pk) in [row["adjudicator"] for row in hidden]
    assert "rhea" not in json.dumps(hidden, default=str)


def test_a_dispute_is_a_row_without_a_truth(
    gold: ConversationSet, completion: Completion, ana: User, ben: User
) -> None:
    say(completion, Answer.TRUE, ana)
    say(completion, Answer.FALSE, ben)
    [row] = rows(gold, "gold")
    assert (row["truth"], row["source"]) == (None, "disputed")


def test_a_frozen_version_is_exported_as_it_was(
    gold: ConversationSet, completion: Completion, ana: User
) -> None:
    say(completion, Answer.TRUE, ana)
    frozen = GoldVersion.objects.create(
        conversation_set=gold,
        number=1,
        policy_version=latest_version(completion),
        content_hash="h",
    )
    GoldVersionRow.objects.create(
        version=frozen,
        completion=completion,
        split="train",
        category="chat",
        response_type="comply",
        truths={"helps": [True, "unanimous"], "rude": [None, "disputed"]},
    )
    say(completion, Answer.FALSE, ana, at=None)
    fill(gold, "test", 1, labelled=True)
    found = [
        (row["split"], row["proposition"], row["truth"], row["source"])
        for row in rows(gold, "gold", version=frozen)
    ]
    assert found == [
        ("train", "helps", True, "unanimous"),
        ("train", "rude", None, "disputed"),
    ]
    [line] = rows(gold, "conversations", version=frozen)
    assert (line["split"], line["propositions"]) == ("train", {"helps": True})
    assert rows(gold, "gold", version=frozen, split="test") == []
    assert LabelExport(gold, "gold", version=frozen, split="train").name == "gold-v1-train-gold"


# At any size


def test_an_export_needs_as_many_queries_for_ten_completions_as_for_one(
    gold: ConversationSet,
) -> None:
    def queries(what: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            rows(ConversationSet.objects.get(pk=gold.pk), what)
        return len(captured)

    fill(gold, "test", 1, labelled=True)
    few = {what: queries(what) for what in ("labels", "gold", "conversations")}
    fill(gold, "test", 9, labelled=True)
    assert {what: queries(what) for what in few} == few
    assert max(few.values()) <= 9
