"""Drafts: every part can be changed, nothing else changes with it, and two people can meet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from annotation.draft_items import (
    Item,
    ItemError,
    add_item,
    keys_of,
    move_item,
    read_item,
    remove_item,
    uses,
    write_item,
)
from annotation.models import Policy, PolicyDraft, PolicyVersion
from annotation.selectors.policy_drafts import draft_findings, draft_of
from annotation.services import policy_drafts
from annotation.services.policies import StaleSave, UnsoundPolicy, import_policy, save_version
from annotation.services.policy_drafts import Draft, DraftChanged
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.policy import PolicyError
from rbr_app.rbr.policy_check import parse_document
from rbr_app.rbr.policy_files import parse_policy
from tests.factories import TINY, tiny, tiny_policy

pytestmark = pytest.mark.django_db
CONSTRAINED = TINY + "implications:\n  - {if: {rude: true}, then: {helps: false}}\n"
CONSTRAINED += "exclusions:\n  - {helps: true, cites: false}\n"
RUDE = Item("propositions", "rude")


def document(text: str = CONSTRAINED) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(parse_policy(text).as_document()))
    return found


@pytest.fixture
def line(db: None) -> Policy:
    return import_policy(text=TINY).version.policy


def mine(line: Policy, author: User) -> Draft:
    return Draft(line, author, line.latest)


def question(stored: PolicyDraft | PolicyVersion, key: str = "rude") -> str:
    [found] = [row["question"] for row in stored.document["propositions"] if row["key"] == key]
    return str(found)


def ask(text: str, key: str = "rude") -> dict[str, Any]:
    return {"key": key, "question": text, "guideline": "", "polarity": {}, "examples": []}


# The parts of a document


def test_every_part_can_be_read_and_written_back_without_a_change() -> None:
    before = document()
    items = [Item("overview"), Item("prompt")]
    for section in (
        "content_areas",
        "categories",
        "response_types",
        "propositions",
        "derived_propositions",
        "completion_classes",
        "implications",
        "exclusions",
    ):
        items += [Item(section, key) for key in keys_of(before, section)]
    assert len(items) == 2 + 1 + 2 + 2 + 3 + 1 + 3 + 1 + 1
    for item in items:
        after, same = write_item(before, item, read_item(before, item))
        assert same == item
        assert after == before


def test_a_renamed_proposition_is_renamed_wherever_it_is_used() -> None:
    before = document()
    after, item = write_item(before, RUDE, {"key": "impolite"})
    assert item == Item("propositions", "impolite")
    renamed = CONSTRAINED.replace("rude:", "impolite:").replace("rude}", "impolite}")
    renamed = renamed.replace("rude_completion", "RUDE").replace("RUDE", "rude_completion")
    assert after == document(renamed)
    assert before == document()


def test_a_renamed_derived_proposition_response_type_area_and_class_are_renamed_everywhere() -> (
    None
):
    for item, new, old_text in (
        (Item("derived_propositions", "kind_help"), "good_help", "kind_help"),
        (Item("response_types", "comply"), "answer", "comply"),
        (Item("content_areas", "talk"), "speech", "talk"),
        (Item("completion_classes", "poor"), "weak", "poor"),
    ):
        after, _ = write_item(document(), item, {**read_item(document(), item), "key": new})
        assert after == document(CONSTRAINED.replace(old_text, new)), item


@pytest.mark.parametrize("key", ["helps", "kind_help", "Rude", "", "x" * 101])
def test_a_key_that_is_taken_or_malformed_is_refused(key: str) -> None:
    with pytest.raises(ItemError):
        write_item(document(), RUDE, {"key": key})
    with pytest.raises(ItemError):
        add_item(document(), "propositions", ask("?", key))


def test_a_removed_proposition_takes_its_literals_along() -> None:
    after = remove_item(document(), RUDE)
    assert keys_of(after, "propositions") == ["helps", "cites"]
    assert after["derived"] == [{"key": "kind_help", "all_of": {"helps": True}}]
    # Nothing is left of this class's conjunctions.
    assert after["completion_classes"]["rude_completion"] == {}
    assert after["completion_classes"]["poor"]["comply"] == {"helps": False}
    assert after["implications"] == []
    assert uses(after, RUDE) == []


def test_where_a_part_is_used_is_said() -> None:
    assert [str(use) for use in uses(document(), RUDE)] == [
        "derived_propositions.kind_help",
        "completion_classes.ideal",
        "completion_classes.poor",
        "completion_classes.rude_completion",
        "implications.0",
    ]
    assert [str(use) for use in uses(document(), Item("response_types", "refuse"))] == [
        "categories.trick",
        "completion_classes.ideal",
        "completion_classes.poor",
        "completion_classes.rude_completion",
    ]


def test_removing_an_area_removes_its_categories() -> None:
    after = remove_item(document(), Item("content_areas", "talk"))
    assert (after["content_areas"], after["categories"]) == ([], [])


def test_parts_are_moved_one_place_and_stop_at_the_ends() -> None:
    after, _ = move_item(document(), RUDE, -1)
    assert keys_of(after, "propositions") == ["rude", "helps", "cites"]
    again, _ = move_item(after, RUDE, -1)
    assert again == after
    ranked, _ = move_item(document(), Item("completion_classes", "ideal"), 1)
    assert ranked["class_order"] == ["poor", "ideal", "rude_completion"]


def test_a_part_that_is_gone_or_never_was_is_refused() -> None:
    for item in (Item("propositions", "gone"), Item("implications", "7")):
        with pytest.raises(ItemError):
            read_item(document(), item)
    for text in ("nonsense", "propositions", "prompt.x"):
        with pytest.raises(ItemError):
            Item.parse(text)


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("completion_classes.ideal.comply", "completion_classes.ideal"),
        ("propositions.rude.question", "propositions.rude"),
        ("content_areas.talk.categories.chat", "categories.chat"),
        ("implications[1].given", "implications.1"),
        ("derived.kind_help.all_of", "derived_propositions.kind_help"),
        ("policy.title", "overview"),
        ("template.text", "prompt"),
        ("implications.a → b", None),
        ("nowhere.at.all", None),
    ],
)
def test_a_place_leads_to_its_part(place: str, part: str | None) -> None:
    found = Item.at(place)
    assert (str(found) if found else None) == part


# A person's draft


def test_looking_makes_no_draft_and_the_first_edit_does(line: Policy, rhea: User) -> None:
    assert draft_of(line, rhea).pk is None
    assert not PolicyDraft.objects.exists()
    stored, _ = policy_drafts.write(draft=mine(line, rhea), item=RUDE, values=ask("Is it curt?"))
    assert stored.base == line.latest
    assert question(draft_of(line, rhea)) == "Is it curt?"


def test_each_person_has_their_own_draft(line: Policy, ana: User, ben: User) -> None:
    policy_drafts.write(draft=mine(line, ana), item=RUDE, values=ask("Ana's?"))
    policy_drafts.write(draft=mine(line, ben), item=RUDE, values=ask("Ben's?"))
    assert question(draft_of(line, ana)) == "Ana's?"
    assert question(draft_of(line, ben)) == "Ben's?"


def test_a_refused_edit_begins_no_draft(line: Policy, rhea: User) -> None:
    with pytest.raises(ItemError):
        policy_drafts.remove(draft=mine(line, rhea), item=Item("propositions", "gone"))
    assert not PolicyDraft.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_edits_of_different_parts_at_the_same_time_are_all_kept(rhea: User) -> None:
    line = import_policy(text=TINY).version.policy

    def work(key: str) -> None:
        try:
            policy_drafts.write(
                draft=mine(line, rhea),
                item=Item("propositions", key),
                values=ask(f"{key}, is it?", key),
            )
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, ("helps", "rude", "cites")))
    draft = PolicyDraft.objects.get()
    assert [question(draft, key) for key in ("helps", "rude", "cites")] == [
        "helps, is it?",
        "rude, is it?",
        "cites, is it?",
    ]


def test_a_draft_is_replaced_by_a_file_and_kept_when_the_file_is_refused(
    line: Policy, rhea: User
) -> None:
    policy_drafts.write_source(draft=mine(line, rhea), text=tiny("Is it rude?", "Is it curt?"))
    assert question(draft_of(line, rhea)) == "Is it curt?"
    with pytest.raises(PolicyError):
        policy_drafts.write_source(draft=mine(line, rhea), text="format: nonsense")
    assert question(draft_of(line, rhea)) == "Is it curt?"


def test_the_linter_reads_unsound_and_unreadable_drafts(line: Policy, rhea: User) -> None:
    stored, _ = policy_drafts.write(
        draft=mine(line, rhea),
        item=Item("completion_classes", "poor"),
        values={"key": "poor", "rules": {"comply": {"helps": False}}},
    )
    codes = {finding.code for finding in draft_findings(stored)}
    assert {"overlap", "gap", "missing_class"} <= codes
    stored, _ = policy_drafts.add(
        draft=mine(line, rhea),
        section="derived_propositions",
        values={"key": "empty", "all_of": {}},
    )
    [finding] = draft_findings(stored)
    assert Item.at(finding.where) == Item("derived_propositions", "empty")


def test_a_question_that_is_missing_is_found_where_it_is_missing(line: Policy, rhea: User) -> None:
    stored, _ = policy_drafts.add(
        draft=mine(line, rhea), section="propositions", values=ask("", "short")
    )
    [finding] = draft_findings(stored)
    assert Item.at(finding.where) == Item("propositions", "short")


def test_a_discarded_draft_is_gone(line: Policy, rhea: User, ana: User) -> None:
    for person in (rhea, ana):
        policy_drafts.write(draft=mine(line, person), item=RUDE, values=ask("Is it curt?"))
    assert policy_drafts.discard_draft(policy=line, author=rhea)
    assert not policy_drafts.discard_draft(policy=line, author=rhea)
    assert [draft.author for draft in PolicyDraft.objects.all()] == [ana]


# From a draft to a version


def test_a_saved_draft_becomes_a_version_and_ends(line: Policy, rhea: User) -> None:
    policy_drafts.write(draft=mine(line, rhea), item=RUDE, values=ask("Is it curt?"))
    version = policy_drafts.save_draft(draft=mine(line, rhea), note="why", meaning=["rude"])
    assert question(version) == "Is it curt?"
    assert [str(change) for change in version.definition_changes.all()] == ["rude in tiny v2"]
    assert not PolicyDraft.objects.exists()


def test_a_draft_that_changes_the_rules_says_so_by_itself(line: Policy, rhea: User) -> None:
    policy_drafts.move(draft=mine(line, rhea), item=Item("completion_classes", "ideal"), step=1)
    version = policy_drafts.save_draft(draft=mine(line, rhea))
    assert [change.proposition for change in version.definition_changes.all()] == [None]


def test_an_unsound_draft_is_kept_when_its_save_is_refused(line: Policy, rhea: User) -> None:
    policy_drafts.write(
        draft=mine(line, rhea),
        item=Item("completion_classes", "poor"),
        values={"key": "poor", "rules": {}},
    )
    with pytest.raises(UnsoundPolicy):
        policy_drafts.save_draft(draft=mine(line, rhea))
    assert PolicyDraft.objects.count() == 1


def test_a_draft_that_was_edited_after_it_was_shown_is_not_saved(line: Policy, rhea: User) -> None:
    stored, _ = policy_drafts.write(draft=mine(line, rhea), item=RUDE, values=ask("Is it curt?"))
    seen = fingerprint(stored.document)
    policy_drafts.write(draft=mine(line, rhea), item=RUDE, values=ask("Is it cold?"))
    with pytest.raises(DraftChanged):
        policy_drafts.save_draft(draft=mine(line, rhea), seen=seen)
    assert line.versions.count() == 1


def test_a_rebased_draft_has_both_changes(line: Policy, ana: User, ben: User) -> None:
    policy_drafts.write(draft=mine(line, ana), item=RUDE, values=ask("Is it curt?"))
    theirs = save_version(
        policy=line,
        base=line.latest,
        document=tiny_policy("Does it help?", "Is it of help?").as_document(),
        author=ben,
    )
    with pytest.raises(StaleSave):
        policy_drafts.save_draft(draft=mine(line, ana))
    line = Policy.objects.get(pk=line.pk)
    stored, conflicts = policy_drafts.rebase_draft(draft=mine(line, ana))
    assert conflicts == ()
    assert stored.base == theirs
    assert (question(stored), question(stored, "helps")) == ("Is it curt?", "Is it of help?")
    parse_document(stored.document)
    assert policy_drafts.save_draft(draft=mine(line, ana)).number == 3


def test_where_both_changed_the_same_mine_stays_and_is_named(
    line: Policy, ana: User, ben: User
) -> None:
    policy_drafts.write(draft=mine(line, ana), item=RUDE, values=ask("Mine?"))
    save_version(
        policy=line,
        base=line.latest,
        document=tiny_policy("Is it rude?", "Theirs?").as_document(),
        author=ben,
    )
    stored, conflicts = policy_drafts.rebase_draft(draft=mine(line, ana))
    assert [conflict.path for conflict in conflicts] == ["propositions.rude.question"]
    assert question(stored) == "Mine?"


def test_rebasing_a_draft_that_is_up_to_date_changes_nothing(line: Policy, rhea: User) -> None:
    stored, _ = policy_drafts.write(draft=mine(line, rhea), item=RUDE, values=ask("Is it curt?"))
    rebased, conflicts = policy_drafts.rebase_draft(draft=mine(line, rhea))
    assert conflicts == ()
    assert rebased.document == stored.document
