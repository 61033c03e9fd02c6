"""Importing labels with the command and on the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from annotation.models import Completion, ConversationSet, Label
from tests.db.annotation.foreign_tasks import task
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    return CompletionFactory(
        conversation__conversation_set=gold,
        conversation__prompt=[{"role": "user", "content": "Hello?"}],
        text="Hi.",
        external_id="row-1",
    )


# The command


def run(tmp_path: Path, *tasks: Any, **options: Any) -> dict[str, Any]:
    file, out = tmp_path / "export.json", tmp_path / "out.json"
    file.write_text(json.dumps(tasks))
    options = {"set": "gold", "format": "label_studio", "user": "rhea", **options}
    call_command("import_labels", str(file), json=str(out), **options)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.mark.usefixtures("completion", "rhea")
def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stray = task(data={"id": "row-3"}, helps="yes")
    first = run(tmp_path, task(h="yes"), stray, map=["h=helps"], dry_run=True)
    assert (first["dry_run"], first["added"]) == (True, 1)
    assert not Label.objects.exists()
    found = run(tmp_path, task(h="yes"), stray, map=["h=helps"])
    assert (found["added"], found["matched"], found["in_file"]) == (1, 1, 2)
    assert found["unmatched"] == [{"row": 2, "reason": "no completion has the id 'row-3'"}]
    assert found["people"] == {"ana@example.org": "ana@example.org"}
    printed = capsys.readouterr().out
    assert "1 of 2 answers belong to it: 1 would be added" in printed
    assert "ana@example.org is ana@example.org (new, cannot sign in)" in printed
    assert "left out: record 2: no completion has the id 'row-3'" in printed


@pytest.mark.usefixtures("completion", "rhea")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"set": "silver"}, "there is no set 'silver'"),
        ({"user": "nobody"}, "there is no user 'nobody'"),
        ({"user": ""}, "there is no superuser"),
        ({"policy_version": 9}, "has no version 9"),
        ({"map": ["h"]}, "is no mapping"),
        ({}, "nothing was imported"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CommandError) as caught:
        run(tmp_path, task(hopes="yes"), **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# The page


def post(client: Client, gold: ConversationSet, *tasks: Any, **values: Any) -> Any:
    headers = {"HX-Request": "true"} if values.pop("htmx", False) else {}
    file = SimpleUploadedFile("export.json", json.dumps(tasks).encode())
    version = gold.policy.latest.number
    data = {"tool": "label_studio", "policy_version": version, "file": file, **values}
    return client.post(reverse("import_labels", args=[gold.pk]), data, headers=headers)


def test_the_page_shows_what_would_happen_and_then_does_it(
    client: Client, gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    client.force_login(rhea)
    assert client.get(reverse("import_labels", args=[gold.pk])).status_code == 200
    looked = post(client, gold, task(helps="yes"), step="look", htmx=True)
    assert looked.status_code == 200
    assert "What it would do" in looked.content.decode()
    assert "<html" not in looked.content.decode()
    assert not Label.objects.exists()
    digest = looked.context["digest"]
    done = post(client, gold, task(helps="yes"), step="import", digest=digest)
    assert done.status_code == 200
    assert "Imported into" in done.content.decode()
    assert Label.objects.get().events.get().actor == rhea


def test_a_file_that_changed_since_it_was_looked_at_is_not_imported(
    client: Client, gold: ConversationSet, completion: Completion, rhea: User
) -> None:
    client.force_login(rhea)
    digest = post(client, gold, task(helps="yes"), step="look").context["digest"]
    other = post(client, gold, task(helps="no"), step="import", digest=digest)
    assert other.status_code == 409
    assert "not the file that was looked at" in other.content.decode()
    assert not Label.objects.exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tool": "spreadsheet"}, "not one of the available choices"),
        ({"file": ""}, "This field is required"),
        ({"keys": "helps"}, "is no mapping"),
        ({"answers": "yes = perhaps"}, "has to mean true, false or cannot decide"),
        ({"keys": "helps = hopes"}, "no proposition &#x27;hopes&#x27;"),
    ],
)
def test_a_form_that_says_nothing_useful_comes_back_with_the_reason(
    client: Client,
    gold: ConversationSet,
    completion: Completion,
    rhea: User,
    values: dict[str, Any],
    words: str,
) -> None:
    client.force_login(rhea)
    for htmx in (True, False):
        refused = post(client, gold, task(helps="yes"), step="import", htmx=htmx, **values)
        assert refused.status_code == 422
        assert words in refused.content.decode()
    assert not Label.objects.exists()


def test_the_page_is_for_people_who_are_signed_in(
    client: Client, gold: ConversationSet, rhea: User
) -> None:
    url = reverse("import_labels", args=[gold.pk])
    assert client.get(url).headers["Location"].startswith("/login/")
    assert client.post(url).headers["Location"].startswith("/login/")
    client.force_login(rhea)
    assert client.delete(url).status_code == 405
    assert client.get(reverse("import_labels", args=[0])).status_code == 404
