"""Policy versions: added, never edited."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from annotation.models import Policy, PolicyVersion, Proposition
from annotation.services.policies import import_policy
from rbr_app.rbr.policy import PolicyError
from rbr_app.rbr.policy_files import read_policy
from tests.conftest import SAMPLE
from tests.factories import TINY, PolicyVersionFactory, tiny

pytestmark = pytest.mark.django_db


def test_a_first_import_makes_version_one_with_its_propositions(rhea: User) -> None:
    imported = import_policy(text=TINY, author=rhea, note="first try")
    version = imported.version
    assert imported.added
    assert str(version) == "tiny v1"
    assert (version.number, version.parent, version.author) == (1, None, rhea)
    assert version.note == "first try"
    assert version.source == TINY
    assert version.as_policy() == read_policy(TINY)
    keys = set(Proposition.objects.filter(policy=version.policy).values_list("key", flat=True))
    assert keys == {"helps", "rude", "cites"}


def test_the_same_file_again_is_the_same_version() -> None:
    first = import_policy(text=TINY)
    again = import_policy(text=TINY)
    assert not again.added
    assert again.version == first.version
    assert PolicyVersion.objects.count() == 1


def test_comments_spaces_and_key_order_make_no_new_version() -> None:
    first = import_policy(text=TINY)
    ideal = "    comply: {kind_help: true}\n    refuse: {helps: false, rude: false}\n"
    swapped = "    refuse: {rude: false, helps: false}\n    comply: {kind_help: true}\n"
    again = import_policy(text="# a comment\n" + tiny(ideal, swapped))
    assert again.version == first.version


def test_a_changed_file_is_the_next_version_with_its_parent() -> None:
    first = import_policy(text=TINY).version
    second = import_policy(text=tiny("Is it rude?", "Is it impolite?")).version
    assert (second.number, second.parent) == (2, first)
    assert second.policy == first.policy
    first.refresh_from_db()
    assert first.as_policy().proposition("rude").question == "Is it rude?"
    assert second.as_policy().proposition("rude").question == "Is it impolite?"


def test_going_back_to_an_earlier_text_is_a_version_of_its_own() -> None:
    import_policy(text=TINY)
    second = import_policy(text=tiny("Is it rude?", "Is it impolite?")).version
    third = import_policy(text=TINY).version
    assert (third.number, third.parent) == (3, second)


def test_propositions_keep_their_identity_across_versions() -> None:
    before = dict(
        Proposition.objects.filter(policy=import_policy(text=TINY).version.policy).values_list(
            "key", "pk"
        )
    )
    version = import_policy(text=tiny("cites: {", "quotes: {")).version
    after = dict(Proposition.objects.filter(policy=version.policy).values_list("key", "pk"))
    # The dropped proposition stays: labels of it may exist.
    assert after == before | {"quotes": after["quotes"]}
    assert "cites" not in version.as_policy().proposition_keys


def test_a_given_name_counts_before_the_files_own_and_that_before_the_fallback() -> None:
    named = import_policy(text=TINY, name="My Policy", fallback_name="file").version
    own = import_policy(text=TINY, fallback_name="file").version
    fallback = import_policy(text=tiny("name: tiny\n", ""), fallback_name="My File").version
    assert [v.policy.name for v in (named, own, fallback)] == ["my_policy", "tiny", "my_file"]


def test_a_policy_without_any_name_is_refused() -> None:
    with pytest.raises(PolicyError, match="no name"):
        import_policy(text=tiny("name: tiny\n", ""), fallback_name="???")


def test_a_name_that_no_column_can_hold_is_refused() -> None:
    with pytest.raises(PolicyError, match="100 characters"):
        import_policy(text=TINY, name="x" * 101)


def test_an_unusable_file_leaves_no_row() -> None:
    with pytest.raises(PolicyError, match="both hold"):
        import_policy(text=tiny("comply: {helps: false, rude: false}", "comply: {helps: false}"))
    assert not Policy.objects.exists()


def test_a_stored_policy_classifies_like_its_file() -> None:
    # JSONB reorders keys; the order of derived propositions and of classes must survive.
    text = (SAMPLE / "policy.yaml").read_text()
    version = import_policy(text=text).version
    version.refresh_from_db()
    policy, wanted = version.as_policy(), read_policy(text)
    assert policy == wanted
    assert list(policy.derived) == list(wanted.derived)
    assert policy.proposition_keys == wanted.proposition_keys
    assert list(policy.classes_of("comply")) == list(wanted.class_order)


def test_the_released_policy_is_stored_under_its_files_name(released: Path) -> None:
    text = (released / "proposition_prompts.yaml").read_text()
    version = import_policy(text=text, fallback_name="proposition_prompts").version
    assert str(version) == "proposition_prompts v1"
    assert version.as_policy() == read_policy(text)


def test_a_version_number_exists_once_per_policy() -> None:
    version = PolicyVersionFactory()
    with pytest.raises(IntegrityError, match="policy_version_number"), transaction.atomic():
        PolicyVersionFactory(policy=version.policy, number=version.number)


def test_a_policy_with_versions_cannot_be_deleted() -> None:
    version = import_policy(text=TINY).version
    with pytest.raises(ProtectedError):
        version.policy.delete()


@pytest.mark.django_db(transaction=True)
def test_imports_at_the_same_time_into_one_new_policy_are_numbered_in_turn() -> None:
    texts = [tiny("Is it rude?", f"Is it rude, {n}?") for n in range(4)]

    def work(text: str) -> int:
        try:
            return import_policy(text=text).version.number
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(work, texts))
    assert sorted(numbers) == [1, 2, 3, 4]
    parents = PolicyVersion.objects.order_by("number").values_list("parent__number", flat=True)
    assert list(parents) == [None, 1, 2, 3]
