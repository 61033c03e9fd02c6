"""Policies and conversations brought in on a page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, Policy, PolicyVersion
from annotation.services.policies import import_policy
from tests.factories import TINY, tiny

pytestmark = pytest.mark.django_db

POLICY, CONVERSATIONS = "policy_upload", "conversations_upload"


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


def post(client: Client, page: str, content: str | bytes = "", **values: Any) -> Any:
    headers = {"HX-Request": "true"} if values.pop("htmx", False) else {}
    given = content.encode() if isinstance(content, str) else content
    if given:
        values["file"] = SimpleUploadedFile(values.pop("file_name", "rows.txt"), given)
    return client.post(reverse(page), values, headers=headers)


def send(client: Client, *lines: str, **values: Any) -> Any:
    values = {"set_name": "gold", "split": "train", "purpose": "gold", **values}
    return post(client, CONVERSATIONS, "\n".join(lines), **values)


@pytest.fixture
def signed_in(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


# Both


@pytest.mark.parametrize("name", [POLICY, CONVERSATIONS])
def test_an_upload_is_for_people_who_are_signed_in(client: Client, rhea: User, name: str) -> None:
    for answer in (client.get(reverse(name)), client.post(reverse(name))):
        assert answer.headers["Location"].startswith("/login/")
    client.force_login(rhea)
    assert client.get(reverse(name)).status_code == 200
    assert client.put(reverse(name)).status_code == 405


@pytest.mark.parametrize("name", [POLICY, CONVERSATIONS])
def test_a_file_that_is_too_large_is_refused_with_both_sizes(
    signed_in: Client, settings: Any, name: str
) -> None:
    settings.LARGEST_UPLOAD = 1024
    values = {"set_name": "gold", "purpose": "gold"} if name == CONVERSATIONS else {}
    refused = post(signed_in, name, "x" * 2048, **values)
    assert refused.status_code == 422
    text = refused.content.decode().replace("\xa0", " ")
    assert "The file has 2.0 KB, and a page takes 1.0 KB" in text
    assert not Policy.objects.exists()
    assert not ConversationSet.objects.exists()


@pytest.mark.parametrize("name", [POLICY, CONVERSATIONS])
def test_nothing_at_all_is_refused_with_the_form(signed_in: Client, name: str) -> None:
    refused = post(signed_in, name, htmx=True)
    assert refused.status_code == 422
    text = refused.content.decode()
    assert text.lstrip().startswith("<div id=")
    assert 'role="alert"' in text


# A policy


@pytest.mark.parametrize("pasted", [True, False])
def test_a_policy_is_added_from_a_file_or_from_its_text(
    signed_in: Client, rhea: User, pasted: bool
) -> None:
    values = {"name": "", "note": "the first"}
    done = (
        post(signed_in, POLICY, text=TINY, **values)
        if pasted
        else post(signed_in, POLICY, b"\xef\xbb\xbf" + TINY.encode(), **values)
    )
    version = PolicyVersion.objects.get()
    assert (version.policy.name, version.author, version.note) == ("tiny", rhea, "the first")
    assert done.headers["Location"] == reverse("policy", args=[version.policy_id])
    assert "tiny v1 was added." in signed_in.get(done.headers["Location"]).content.decode()


def test_a_file_without_a_name_goes_by_its_own_and_the_field_counts_first(
    signed_in: Client,
) -> None:
    unnamed = tiny("name: tiny\n", "")
    post(signed_in, POLICY, unnamed, file_name="My Policy.yaml")
    post(signed_in, POLICY, unnamed, file_name="My Policy.yaml", name="other")
    assert set(Policy.objects.values_list("name", flat=True)) == {"my_policy", "other"}


def test_the_same_policy_again_adds_nothing_and_says_so(signed_in: Client) -> None:
    import_policy(text=TINY)
    done = post(signed_in, POLICY, TINY, htmx=True)
    assert PolicyVersion.objects.count() == 1
    assert done.headers["HX-Redirect"] == reverse("policy", args=[Policy.objects.get().pk])
    page = signed_in.get(done.headers["HX-Redirect"]).content.decode()
    assert "tiny v1 is there already: nothing was added." in page


@pytest.mark.parametrize("wording_only", [True, False])
def test_a_new_wording_changes_the_meaning_unless_it_is_said_not_to(
    signed_in: Client, wording_only: bool
) -> None:
    import_policy(text=TINY)
    values = {"wording_only": "on"} if wording_only else {}
    post(signed_in, POLICY, tiny("Does it help?", "Is it of use?"), **values)
    version = PolicyVersion.objects.get(number=2)
    assert version.definition_changes.exists() is not wording_only


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (tiny("kind_help: true", "kindness: true"), "kindness"),
        (tiny("comply: {helps: false, rude: false}", "comply: {helps: false}"), "poor"),
        ("a: [", "not YAML"),
    ],
)
@pytest.mark.parametrize("htmx", [True, False])
def test_a_policy_with_faults_comes_back_with_them_and_with_its_text(
    signed_in: Client, text: str, words: str, htmx: bool
) -> None:
    refused = post(signed_in, POLICY, text, htmx=htmx)
    assert refused.status_code == 422
    page = refused.content.decode()
    assert "This policy cannot be used" in page
    assert words in page
    assert refused.context["source"] == text
    assert ("<html" in page) is not htmx
    assert not Policy.objects.exists()


def test_a_file_that_is_no_text_is_refused(signed_in: Client) -> None:
    refused = post(signed_in, POLICY, b"\xff\xfe\x00")
    assert refused.status_code == 422
    assert "is not UTF-8 text" in refused.content.decode()


# Conversations


def test_conversations_are_added_and_the_report_says_what_was_found(signed_in: Client) -> None:
    import_policy(text=TINY)
    lines = [row(), row(propositions={"helps": False}), row("Empty?", ""), row("Both?")]
    first = send(signed_in, *lines)
    assert first.status_code == 200
    assert Completion.objects.count() == 4
    page = " ".join(first.content.decode().split())
    assert "4 rows added to" in page
    assert "line 1 and 2" in page
    assert "Empty completions: line 3" in page
    second = send(signed_in, row("Both?"), row("New?"), split="test", htmx=True)
    assert second.context["report"].split_overlap == 1
    assert "<html" not in second.content.decode()
    again = send(signed_in, row("Both?", propositions={"helps": False}), split="test")
    report = again.context["report"]
    assert (report.added, report.unchanged, len(report.conflicts)) == (0, 1, 1)
    assert "line 1 differs from the stored row" in " ".join(again.content.decode().split())


def test_each_line_may_name_its_own_split(signed_in: Client) -> None:
    import_policy(text=TINY)
    send(signed_in, row("A?", split="train"), row("B?", split="test"), split="")
    splits = Completion.objects.order_by("pk").values_list("conversation__split", flat=True)
    assert list(splits) == ["train", "test"]


@pytest.mark.parametrize(
    ("line", "values", "words"),
    [
        ("nonsense", {}, "line 1: not JSON"),
        (row(split="test"), {}, "line 1 is of the split &#x27;test&#x27;, not &#x27;train&#x27;"),
        (row(), {"split": ""}, "line 1 has no split"),
        (row(split="dev"), {"split": ""}, "the unknown split &#x27;dev&#x27;"),
        (row(), {"set_name": "Gold set"}, "Enter a valid"),
        (row(), {"set_name": "Gold"}, "is not a set name"),
        (row(), {"purpose": "fun"}, "not one of the available choices"),
        (row(), {"policy": "big"}, "not one of the available choices"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_as_a_whole(
    signed_in: Client, line: str, values: dict[str, str], words: str
) -> None:
    import_policy(text=TINY)
    refused = send(signed_in, line, htmx=True, **values)
    assert refused.status_code == 422
    assert words in refused.content.decode()
    assert not ConversationSet.objects.exists()
