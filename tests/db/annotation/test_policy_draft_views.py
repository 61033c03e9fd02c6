"""The editor of a policy, and from a draft to a version."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from annotation.models import (
    Policy,
    PolicyDraft,
)
from annotation.services.policies import import_policy
from rbr_app.rbr.policy_files import read_policy
from tests.db.annotation.policy_pages import (
    CONSTRAINED,
    HTMX,
    SHARPER,
    draft,
    row,
    rude,
    saving,
    text,
    url,
)
from tests.factories import (
    tiny,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def line(db: None) -> Policy:
    return import_policy(text=CONSTRAINED).version.policy


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


# The editor


def test_looking_at_the_editor_makes_no_draft(page: Client, line: Policy) -> None:
    for query in ("", "?item=prompt", "?item=propositions.rude", "?tab=yaml", "?item=nonsense"):
        assert page.get(url("policy_draft", line, query)).status_code == 200
    assert not PolicyDraft.objects.exists()


def test_every_kind_of_part_opens_in_the_editor(page: Client, line: Policy) -> None:
    for item in (
        "overview",
        "prompt",
        "content_areas.talk",
        "categories.chat",
        "response_types.comply",
        "propositions.rude",
        "derived_propositions.kind_help",
        "completion_classes.ideal",
        "implications.0",
    ):
        response = page.get(url("policy_draft", line, f"?item={item}"), headers=HTMX)
        assert str(response.context["item"]) == item
        assert text(response).lstrip().startswith('<div id="draft"')


def test_a_saved_part_comes_back_with_what_the_linter_says_now(page: Client, line: Policy) -> None:
    asked = rude("Is it rude and is it long?")
    response = page.post(url("write_draft_item", line), asked, headers=HTMX)
    assert response.status_code == 200
    assert response["HX-Replace-Url"].endswith("?item=propositions.rude")
    assert row(draft().document)["question"] == "Is it rude and is it long?"
    assert "rude may ask two things at once" in text(response)


def test_a_part_is_saved_without_javascript_too(page: Client, line: Policy) -> None:
    response = page.post(url("write_draft_item", line), rude())
    assert response.status_code == 302
    assert response["Location"] == url("policy_draft", line, "?item=propositions.rude")


def test_a_refused_part_comes_back_with_its_text_and_the_reason(page: Client, line: Policy) -> None:
    response = page.post(
        url("write_draft_item", line), rude("", guideline="Keep this."), headers=HTMX
    )
    assert response.status_code == 422
    assert "A proposition needs its question." in text(response)
    assert "Keep this." in text(response)
    assert not PolicyDraft.objects.exists()
    taken = page.post(url("write_draft_item", line), rude(key="helps"), headers=HTMX)
    assert taken.status_code == 422
    assert "already" in text(taken)


def test_examples_and_polarities_are_saved_and_removed(page: Client, line: Policy) -> None:
    examples = {
        "examples-TOTAL_FORMS": "3",
        "examples-0-user": "Hi",
        "examples-0-assistant": "Go\r\naway",
        "examples-0-answer": "true",
        "examples-1-user": "Bye",
        "examples-1-assistant": "Bye",
        "examples-1-answer": "false",
        "examples-2-answer": "true",
        "polarity:comply": "undesired",
    }
    page.post(url("write_draft_item", line), rude(**examples))
    assert row(draft().document)["examples"] == [
        {"user": "Hi", "assistant": "Go\naway", "answer": True},
        {"user": "Bye", "assistant": "Bye", "answer": False},
    ]
    assert row(draft().document)["polarity"] == {"comply": "undesired"}
    page.post(url("write_draft_item", line), rude(**examples, **{"examples-0-DELETE": "on"}))
    assert [row["user"] for row in row(draft().document)["examples"]] == ["Bye"]


def test_a_conjunction_is_saved_from_its_toggles(page: Client, line: Policy) -> None:
    page.post(
        url("write_draft_item", line),
        {
            "base": "1",
            "item": "derived_propositions.kind_help",
            "key": "kind_help",
            "literal:all_of:helps": "true",
            "literal:all_of:cites": "false",
            "literal:all_of:rude": "",
            "literal:all_of:nonsense": "true",
        },
    )
    [derived] = draft().document["derived"]
    assert derived["all_of"] == {"helps": True, "cites": False}
    refused = page.post(
        url("write_draft_item", line),
        {"base": "1", "item": "derived_propositions.kind_help", "key": "kind_help"},
    )
    assert refused.status_code == 422


def test_parts_are_added_moved_and_removed(page: Client, line: Policy) -> None:
    keys = lambda: [row["key"] for row in draft().document["propositions"]]  # noqa: E731
    added = page.post(
        url("add_draft_item", line), {"base": "1", "section": "propositions", "key": "Too long"}
    )
    assert added["Location"].endswith("?item=propositions.too_long")
    assert keys() == ["helps", "rude", "cites", "too_long"]
    part = {"item": "propositions.too_long"}
    page.post(url("move_draft_item", line), {**part, "step": "-1"})
    assert keys() == ["helps", "rude", "too_long", "cites"]
    page.post(url("remove_draft_item", line), part)
    assert keys() == ["helps", "rude", "cites"]


@pytest.mark.parametrize(
    ("section", "n"),
    [
        ("content_areas", 2),
        ("categories", 3),
        ("response_types", 3),
        ("derived_propositions", 2),
        ("completion_classes", 4),
        ("implications", 2),
        ("exclusions", 1),
    ],
)
def test_a_part_can_be_added_to_every_section(
    page: Client, line: Policy, section: str, n: int
) -> None:
    page.post(url("add_draft_item", line), {"base": "1", "section": section, "key": "fresh"})
    name = {"derived_propositions": "derived", "completion_classes": "class_order"}
    assert len(draft().document[name.get(section, section)]) == n


@pytest.mark.parametrize(
    ("section", "key"), [("propositions", "rude"), ("prompt", "x"), ("nonsense", "x")]
)
def test_a_part_that_cannot_be_added_is_refused(
    page: Client, line: Policy, section: str, key: str
) -> None:
    response = page.post(url("add_draft_item", line), {"section": section, "key": key})
    assert response.status_code == 422
    assert not PolicyDraft.objects.exists()


def test_the_whole_draft_is_edited_as_text(page: Client, line: Policy) -> None:
    shown = page.get(url("policy_draft", line, "?tab=yaml")).context["source"]["text"].value()
    assert read_policy(shown) == line.latest.as_policy()
    sent = shown.replace(*SHARPER).replace("\n", "\r\n")
    response = page.post(url("write_draft_source", line), {"base": "1", "text": sent})
    assert response["Location"].endswith("?tab=yaml")
    assert row(draft().document)["question"] == "Is it insulting?"


def test_text_that_cannot_be_read_stays_in_the_form(page: Client, line: Policy) -> None:
    response = page.post(
        url("write_draft_source", line), {"base": "1", "text": "format: [half"}, headers=HTMX
    )
    assert response.status_code == 422
    assert "not YAML" in text(response)
    assert "format: [half" in text(response)


def test_a_draft_begins_on_the_version_that_the_page_showed(page: Client, line: Policy) -> None:
    import_policy(text=tiny(*SHARPER))
    page.post(url("write_draft_item", line), rude())
    assert draft().base.number == 1
    assert "v2 was saved" in text(page.get(url("policy_draft", line)))


def test_a_discarded_draft_is_gone(page: Client, line: Policy) -> None:
    page.post(url("write_draft_item", line), rude())
    assert page.post(url("discard_draft", line))["Location"] == url("policy", line)
    assert not PolicyDraft.objects.exists()


# Saving


def test_the_save_shows_what_changed_and_asks_what_it_means(page: Client, line: Policy) -> None:
    page.post(url("write_draft_item", line), rude())
    response = page.get(url("save_policy_draft", line), headers=HTMX)
    assert "<del>rude</del><ins>curt</ins>" in text(response)
    [field] = response.context["form"].meaning_fields
    assert (field.label, field.value()) == ("rude", "meaning")
    assert text(response).lstrip().startswith('<div id="draft-save"')


def test_a_version_is_saved_with_its_meaning_and_note(page: Client, line: Policy) -> None:
    page.post(url("write_draft_item", line), rude())
    response = saving(page, line, note="curt is clearer", **{"meaning:rude": "meaning"})
    assert response["HX-Redirect"] == url("policy", line)
    version = line.versions.get(number=2)
    assert version.note == "curt is clearer"
    assert [str(change) for change in version.definition_changes.all()] == ["rude in tiny v2"]


def test_wording_only_is_saved_as_such(page: Client, line: Policy) -> None:
    page.post(url("write_draft_item", line), rude())
    saving(page, line, **{"meaning:rude": "wording"})
    assert not line.versions.get(number=2).definition_changes.exists()


def test_a_save_without_saying_what_it_means_is_refused(page: Client, line: Policy) -> None:
    page.post(url("write_draft_item", line), rude())
    assert saving(page, line).status_code == 422
    assert line.versions.count() == 1


def test_an_unsound_draft_is_refused_with_the_findings(page: Client, line: Policy) -> None:
    page.post(
        url("write_draft_item", line),
        {
            "base": "1",
            "item": "completion_classes.poor",
            "key": "poor",
            "literal:comply:helps": "false",
        },
    )
    response = saving(page, line)
    assert response.status_code == 422
    assert "poor and rude_completion both hold" in text(response)
    assert "no class holds" in text(response)


def test_a_draft_edited_in_another_tab_has_to_be_looked_at_again(
    page: Client, line: Policy
) -> None:
    page.post(url("write_draft_item", line), rude())
    seen = page.get(url("save_policy_draft", line)).context["form"]["seen"].value()
    page.post(url("write_draft_item", line), rude("Is it cold?"))
    sent = {"seen": seen, "meaning:rude": "wording"}
    response = page.post(url("save_policy_draft", line), sent, headers=HTMX)
    assert response.status_code == 422
    assert "Is it <del>rude</del><ins>cold</ins>?" in text(response)
    sent["seen"] = response.context["form"]["seen"].value()
    assert page.post(url("save_policy_draft", line), sent, headers=HTMX).status_code == 200
    assert line.versions.count() == 2


def test_without_a_draft_there_is_nothing_to_save(page: Client, line: Policy) -> None:
    for response in (
        page.get(url("save_policy_draft", line)),
        page.post(url("save_policy_draft", line), {"seen": "x"}),
    ):
        assert response["Location"] == url("policy_draft", line)


def test_a_stale_save_is_409_with_both_changes_and_can_be_rebased(
    page: Client, line: Policy, ben: User
) -> None:
    page.post(url("write_draft_item", line), rude())
    seen = page.get(url("save_policy_draft", line)).context["form"]["seen"].value()
    import_policy(text=CONSTRAINED.replace(*SHARPER), author=ben, note="sharper")
    response = page.post(
        url("save_policy_draft", line), {"seen": seen, "meaning:rude": "wording"}, headers=HTMX
    )
    assert response.status_code == 409
    assert [conflict.path for conflict in response.context["conflicts"]] == [
        "propositions.rude.question"
    ]
    body = text(response)
    assert "<ins>insulting</ins>" in body
    assert "<ins>curt</ins>" in body
    assert "sharper" in body
    rebased = page.post(url("rebase_policy_draft", line))
    assert rebased["Location"] == url(
        "policy_draft", line, "?item=propositions.rude&conflict=propositions.rude.question"
    )
    assert "yours stayed" in text(page.get(rebased["Location"]))
    assert draft().base.number == 2
    saving(page, line, **{"meaning:rude": "meaning"})
    assert row(line.versions.get(number=3).document)["question"] == "Is it curt?"
