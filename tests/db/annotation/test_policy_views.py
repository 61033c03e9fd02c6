"""Pages of policies: who may see them, reading, the file, the playground, versions, notes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation.models import (
    DefinitionFlag,
    Policy,
    PolicyDraft,
    PolicyVersion,
    Proposition,
)
from annotation.services.policies import import_policy
from rbr_app.rbr.policy_files import read_policy
from tests.db.annotation.policy_pages import (
    CONSTRAINED,
    HTMX,
    SHARPER,
    rude,
    text,
    url,
)
from tests.factories import (
    TINY,
    tiny,
)

pytestmark = pytest.mark.django_db


READ = ("policy", "policy_export", "policy_playground", "policy_versions", "policy_stale")
READ += ("policy_draft",)
WRITE = (
    "write_draft_item",
    "add_draft_item",
    "remove_draft_item",
    "move_draft_item",
    "write_draft_source",
    "discard_draft",
    "rebase_policy_draft",
    "confirm_labels",
)


@pytest.fixture
def line(db: None) -> Policy:
    return import_policy(text=CONSTRAINED).version.policy


@pytest.fixture
def page(client: Client, ana: User) -> Client:
    client.force_login(ana)
    return client


# Who may do what


@pytest.mark.parametrize("name", [*READ, *WRITE, "save_policy_draft"])
def test_a_page_asks_who_you_are(client: Client, line: Policy, name: str) -> None:
    response = client.get(url(name, line)) if name in READ else client.post(url(name, line))
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


@pytest.mark.parametrize("name", READ)
def test_a_page_opens_and_takes_no_post(page: Client, line: Policy, name: str) -> None:
    assert page.get(url(name, line)).status_code == 200
    assert page.post(url(name, line)).status_code == 405
    assert page.get(reverse(name, args=[10**9])).status_code == 404


@pytest.mark.parametrize("name", WRITE)
def test_what_changes_something_takes_no_get(page: Client, line: Policy, name: str) -> None:
    assert page.get(url(name, line)).status_code == 405
    assert page.post(reverse(name, args=[10**9])).status_code == 404


@pytest.mark.parametrize("name", ["confirm_stale_label", "reveal_stale_label", "resolve_flag"])
def test_what_changes_one_row_asks_who_you_are_and_takes_no_get(
    client: Client, ana: User, name: str
) -> None:
    address = reverse(name, args=[10**9])
    assert client.post(address)["Location"].startswith("/login/")
    client.force_login(ana)
    assert client.get(address).status_code == 405
    assert client.post(address).status_code == 404


# Reading


def test_the_list_of_policies_marks_drafts_in_a_fixed_number_of_queries(
    page: Client, line: Policy, ben: User, django_assert_num_queries: Any
) -> None:
    for number in range(3):
        import_policy(text=TINY, name=f"other_{number}")
    page.post(url("write_draft_item", line), rude())
    PolicyDraft.objects.create(
        policy=Policy.objects.get(name="other_1"),
        author=ben,
        base=PolicyVersion.objects.get(policy__name="other_1"),
        document={},
    )
    # Session, user, policies.
    with django_assert_num_queries(3):
        body = text(page.get(reverse("policies")))
    assert body.count("your draft") == 1
    assert "1 of others" in body


def test_the_rule_table_has_a_mark_for_every_class_in_every_cell(
    page: Client, line: Policy
) -> None:
    response = page.get(url("policy", line, "?class=poor"))
    table = {item.key: item.cells for item in response.context["rules"]}
    comply, refuse = (
        [(mark.completion_class, mark.demand) for mark in cell.marks] for cell in table["helps"]
    )
    assert comply == [("ideal", "true"), ("poor", "false"), ("rude_completion", "free")]
    assert refuse == [("ideal", "false"), ("poor", "true"), ("rude_completion", "free")]
    assert all(cell.is_free for cell in table["cites"])
    assert [cell.polarity for cell in table["rude"]] == ["undesired", "undesired"]
    assert 'data-lit="1"' in text(response)


def test_an_unknown_class_lights_nothing(page: Client, line: Policy) -> None:
    assert "data-lit" not in text(page.get(url("policy", line, "?class=nonsense")))


def test_an_older_version_says_which_one_is_the_latest(page: Client, line: Policy) -> None:
    import_policy(text=tiny(*SHARPER))
    body = text(page.get(url("policy", line, "?version=1")))
    assert "v2 is the latest" in body
    assert "Is it rude?" in body


def test_both_forms_of_a_policy_are_downloaded_and_read_back(page: Client, line: Policy) -> None:
    response = page.get(url("policy_export", line))
    assert response["Content-Disposition"] == 'attachment; filename="tiny-v1.yaml"'
    assert read_policy(text(response)) == line.latest.as_policy()
    plain = text(response).split("content_areas:")[0]
    assert plain.startswith("format: rbr-policy/1")


def test_the_released_form_is_refused_with_what_it_would_lose(page: Client, line: Policy) -> None:
    response = page.get(url("policy_export", line, "?form=released"))
    assert response.status_code == 422
    for loss in ("the title", "content areas", "implications"):
        assert loss in text(response)
    assert page.get(url("policy_export", line, "?form=nonsense")).status_code == 404


def test_a_released_policy_is_downloaded_in_its_own_form(page: Client, released: Any) -> None:
    source = (released / "proposition_prompts.yaml").read_text()
    version = import_policy(text=source, name="released").version
    response = page.get(url("policy_export", version.policy, "?form=released"))
    assert response.status_code == 200
    assert read_policy(text(response)) == version.as_policy()


# The playground


def test_the_playground_shows_the_implied_class_and_why(page: Client, line: Policy) -> None:
    query = "?response_type=comply&is_helps=true&is_rude=false"
    ground = page.get(url("policy_playground", line, query)).context["ground"]
    assert ground.explanation.implied == "ideal"
    assert [(row.completion_class, row.state) for row in ground.explanation.classes] == [
        ("ideal", "holds"),
        ("poor", "fails"),
        ("rude_completion", "fails"),
    ]
    assert [toggle.key for toggle in ground.toggles if not toggle.relevant] == ["cites"]


def test_the_playground_leaves_open_what_is_unknown(page: Client, line: Policy) -> None:
    query = "?response_type=comply&is_helps=true"
    ground = page.get(url("policy_playground", line, query)).context["ground"]
    assert ground.explanation.implied == ""
    assert ground.explanation.possible == ("ideal", "rude_completion")
    assert ground.explanation.missing == ("rude",)


def test_the_playground_names_broken_constraints_and_ignores_nonsense(
    page: Client, line: Policy
) -> None:
    query = "?response_type=nonsense&is_helps=true&is_rude=true&is_cites=maybe&is_x=true"
    response = page.get(url("policy_playground", line, query), headers=HTMX)
    assert response.context["ground"].response_type == "comply"
    assert text(response).lstrip().startswith('<div id="playground">')
    assert "rude is true, so helps has to be false" in text(response)


def test_the_playground_can_stand_on_the_draft(page: Client, line: Policy) -> None:
    literals = {"literal:comply:rude": "false", "literal:refuse:rude": "true"}
    page.post(
        url("write_draft_item", line),
        {"base": "1", "item": "completion_classes.poor", "key": "poor", **literals},
    )
    query = "?draft=1&response_type=comply&is_helps=true&is_rude=false"
    explanation = page.get(url("policy_playground", line, query)).context["ground"].explanation
    assert [row.completion_class for row in explanation.classes if row.holds] == ["ideal", "poor"]


# Versions


def test_the_versions_page_says_what_changed_and_compares_any_two(
    page: Client, line: Policy, ben: User
) -> None:
    import_policy(text=CONSTRAINED.replace(*SHARPER), author=ben, note="sharper")
    import_policy(text=CONSTRAINED.replace("Is it rude?", "Is it harsh?"), wording_only=True)
    body = text(page.get(url("policy_versions", line)))
    assert "meaning changed" in body
    assert "wording only" in body
    assert "<del>insulting</del><ins>harsh</ins>" in body
    two = page.get(url("policy_versions", line, "?from=1&to=3"), headers=HTMX)
    assert "<del>rude</del><ins>harsh</ins>" in text(two)
    assert text(two).lstrip().startswith('<section id="version-diff"')
    same = page.get(url("policy_versions", line, "?from=2&to=2"))
    assert "Nothing differs." in text(same)


def test_the_versions_page_takes_the_same_queries_for_many_versions(
    page: Client, line: Policy, django_assert_num_queries: Any
) -> None:
    for number in range(4):
        import_policy(text=CONSTRAINED.replace("Is it rude?", f"Is it rude, {number}?"))
    # Session, user, policy, versions, their changes.
    with django_assert_num_queries(5):
        page.get(url("policy_versions", line))


# Notes on definitions


def test_a_note_on_a_definition_is_shown_until_it_is_resolved(
    page: Client, line: Policy, ben: User
) -> None:
    flag = DefinitionFlag.objects.create(
        proposition=Proposition.objects.get(policy=line, key="rude"),
        policy_version=line.latest,
        author=ben,
        text="<b>Is irony rude?</b>",
    )
    assert "&lt;b&gt;Is irony rude?" in text(page.get(url("policy", line)))
    response = page.post(reverse("resolve_flag", args=[flag.pk]), headers=HTMX)
    assert "irony" not in text(response)
    assert "irony" not in text(page.get(url("policy", line)))
