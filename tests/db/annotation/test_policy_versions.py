"""Saving versions: what changed its meaning, who was first, what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from annotation.models import (
    DefinitionChange,
    DefinitionFlag,
    PolicyVersion,
    Proposition,
)
from annotation.selectors import policies as select_policies
from annotation.services.policies import (
    NothingChanged,
    StaleSave,
    UnsoundPolicy,
    import_policy,
    meaning_choices,
    resolve_flag,
    save_version,
)
from rbr_app.rbr.policy import PolicyError
from rbr_app.rbr.policy_files import read_policy
from tests.factories import TINY, PolicyVersionFactory, tiny, tiny_policy

pytestmark = pytest.mark.django_db
ASKS = ("Is it rude?", "Is it impolite?")


def edited(*changes: tuple[str, str]) -> dict[str, Any]:
    text = TINY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return read_policy(text).as_document()


def meanings(version: PolicyVersion) -> list[str | None]:
    """The keys whose meaning the version changed, None for the rules."""
    rows = DefinitionChange.objects.filter(version=version)
    return sorted(
        rows.values_list("proposition__key", flat=True), key=lambda key: (key is None, key)
    )


@pytest.fixture
def base(db: None) -> PolicyVersion:
    return import_policy(text=TINY).version


# Saving


def test_a_saved_version_follows_its_base_and_reads_back_from_its_file(
    base: PolicyVersion, rhea: User
) -> None:
    document = edited(ASKS)
    version = save_version(
        policy=base.policy, base=base, document=document, author=rhea, note="sharper"
    )
    assert (version.number, version.parent, version.author) == (2, base, rhea)
    assert version.note == "sharper"
    assert read_policy(version.source) == version.as_policy() == tiny_policy(*ASKS)


def test_only_what_the_author_says_has_changed_its_meaning(base: PolicyVersion, rhea: User) -> None:
    document = edited(ASKS, ("Does it help?", "Does it really help?"))
    version = save_version(
        policy=base.policy, base=base, document=document, author=rhea, meaning=["rude"]
    )
    assert meanings(version) == ["rude"]


def test_a_change_of_wording_leaves_no_definition_change(base: PolicyVersion, rhea: User) -> None:
    version = save_version(policy=base.policy, base=base, document=edited(ASKS), author=rhea)
    assert meanings(version) == []


def test_a_proposition_that_did_not_change_cannot_change_its_meaning(
    base: PolicyVersion, rhea: User
) -> None:
    version = save_version(
        policy=base.policy, base=base, document=edited(ASKS), author=rhea, meaning=["helps", "x"]
    )
    assert meanings(version) == []


def test_a_change_of_the_rules_is_kept_beside_those_of_propositions(
    base: PolicyVersion, rhea: User
) -> None:
    document = edited(ASKS)
    version = save_version(
        policy=base.policy,
        base=base,
        document=document,
        author=rhea,
        meaning=["rude"],
        rules_changed=True,
    )
    assert meanings(version) == ["rude", None]


def test_a_new_proposition_gets_its_lasting_identity_and_no_change_of_meaning(
    base: PolicyVersion, rhea: User
) -> None:
    document = edited(("cites: {", 'short: {question: "Is it short?"}\n  cites: {'))
    version = save_version(
        policy=base.policy, base=base, document=document, author=rhea, meaning=["short"]
    )
    assert Proposition.objects.filter(policy=base.policy, key="short").exists()
    assert meanings(version) == []


def test_a_proposition_that_comes_back_may_have_changed_its_meaning(rhea: User) -> None:
    import_policy(text=TINY)
    gone = import_policy(text=tiny('  cites: {question: "Does it cite a source?"}\n', "")).version
    back = tiny_policy("Does it cite a source?", "Does it name a source?")
    assert [choice.key for choice in meaning_choices(gone, back)] == ["cites"]
    version = save_version(
        policy=gone.policy,
        base=gone,
        document=back.as_document(),
        author=rhea,
        meaning=["cites"],
    )
    assert meanings(version) == ["cites"]


def test_overlapping_classes_and_gaps_are_refused_with_witnesses(
    base: PolicyVersion, rhea: User
) -> None:
    document = edited()
    del document["completion_classes"]["poor"]["comply"]["rude"]
    with pytest.raises(UnsoundPolicy) as caught:
        save_version(policy=base.policy, base=base, document=document, author=rhea)
    [overlap] = [row for row in caught.value.findings if row.code == "overlap"]
    assert overlap.classes == ("poor", "rude_completion")
    assert overlap.witness is not None
    assert overlap.witness["rude"] is True
    assert PolicyVersion.objects.count() == 1


def test_a_policy_whose_names_do_not_fit_together_is_refused(
    base: PolicyVersion, rhea: User
) -> None:
    document = edited()
    document["derived"][0]["all_of"]["nonsense"] = True
    with pytest.raises(PolicyError, match="nonsense"):
        save_version(policy=base.policy, base=base, document=document, author=rhea)


def test_warnings_of_the_linter_do_not_stop_a_save(base: PolicyVersion, rhea: User) -> None:
    # `cites` is used in no class.
    version = save_version(policy=base.policy, base=base, document=edited(ASKS), author=rhea)
    assert version.number == 2


def test_a_save_that_changes_nothing_is_refused(base: PolicyVersion, rhea: User) -> None:
    with pytest.raises(NothingChanged):
        save_version(policy=base.policy, base=base, document=base.document, author=rhea)


def test_a_save_on_an_older_base_is_refused_and_names_the_latest(
    base: PolicyVersion, rhea: User
) -> None:
    latest = import_policy(text=tiny(*ASKS)).version
    with pytest.raises(StaleSave) as caught:
        save_version(
            policy=base.policy,
            base=base,
            document=edited(("Does it help?", "Is it of help?")),
            author=rhea,
        )
    assert caught.value.latest == latest
    assert PolicyVersion.objects.count() == 2


def test_the_base_of_another_policy_is_stale(base: PolicyVersion, rhea: User) -> None:
    other = PolicyVersionFactory()
    with pytest.raises(StaleSave):
        save_version(policy=base.policy, base=other, document=edited(ASKS), author=rhea)


@pytest.mark.django_db(transaction=True)
def test_of_several_people_who_save_at_once_exactly_one_wins(rhea: User) -> None:
    base = import_policy(text=TINY).version

    def work(n: int) -> bool:
        try:
            document = edited(("Is it rude?", f"Is it rude, {n}?"))
            save_version(policy=base.policy, base=base, document=document, author=rhea)
        except StaleSave:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(work, range(6)))
    assert sum(won) == 1
    [question] = [
        row["question"]
        for row in base.policy.latest.document["propositions"]
        if row["key"] == "rude"
    ]
    assert question == f"Is it rude, {won.index(True)}?"
    assert PolicyVersion.objects.count() == 2


def test_a_version_cannot_be_changed_afterwards(base: PolicyVersion) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        PolicyVersion.objects.filter(pk=base.pk).update(note="another")


# Imports


def test_an_import_over_a_policy_takes_what_it_changes_for_a_change_of_meaning(
    base: PolicyVersion,
) -> None:
    version = import_policy(text=tiny(*ASKS)).version
    assert meanings(version) == ["rude"]


def test_an_import_may_say_that_it_changes_wording_only(base: PolicyVersion) -> None:
    version = import_policy(text=tiny(*ASKS), wording_only=True).version
    assert meanings(version) == []


def test_an_import_that_changes_the_rules_says_so_even_as_wording(base: PolicyVersion) -> None:
    text = tiny("[ideal, poor, rude_completion]", "[poor, ideal, rude_completion]")
    assert meanings(import_policy(text=text, wording_only=True).version) == [None]


def test_a_first_import_changes_no_meaning(base: PolicyVersion) -> None:
    assert meanings(base) == []


# What pages read


def test_what_a_version_changed_is_said_in_words(base: PolicyVersion, rhea: User) -> None:
    second = save_version(policy=base.policy, base=base, document=edited(ASKS), author=rhea)
    save_version(
        policy=base.policy,
        base=second,
        document=edited(("Is it rude?", "Is it insulting?")),
        author=rhea,
        meaning=["rude"],
        rules_changed=True,
    )
    rows = list(select_policies.versions_of(base.policy))
    assert [str(select_policies.meaning_change(row)) for row in rows[:2]] == [
        "meaning changed: rude, rules",
        "wording only",
    ]
    assert select_policies.meaning_change(rows[2]) is None


def test_a_note_on_a_definition_is_closed_once(base: PolicyVersion, ana: User, ben: User) -> None:
    flag = DefinitionFlag.objects.create(
        proposition=Proposition.objects.get(key="rude"),
        policy_version=base,
        author=ana,
        text="Is irony rude?",
    )
    assert list(select_policies.open_flags(base.policy)) == [flag]
    closed = resolve_flag(flag=flag, actor=ana)
    again = resolve_flag(flag=flag, actor=ben)
    assert again.resolved_by == ana
    assert again.resolved_at == closed.resolved_at
    assert list(select_policies.open_flags(base.policy)) == []
