"""Bringing files in and taking them out, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from annotation.models import ConversationSet, Label, PolicyVersion
from tests.factories import TINY, tiny

from .conftest import Site

pytestmark = pytest.mark.django_db(transaction=True)


def label_studio(gold: ConversationSet, path: Path, answer: str) -> Path:
    """An export in which ana answers `helps` for every completion of the set."""
    tasks = [
        {
            "data": {
                "prompt": conversation.prompt,
                "completion": conversation.completions.get().text,
            },
            "annotations": [
                {
                    "completed_by": "ana",
                    "updated_at": "2026-01-01T12:00:00Z",
                    "result": [
                        {"type": "choices", "from_name": "help", "value": {"choices": [answer]}}
                    ],
                }
            ],
        }
        for conversation in gold.conversations.order_by("pk")
    ]
    path.write_text(json.dumps(tasks))
    return path


def test_labels_of_another_tool_are_looked_at_and_then_imported_without_choosing_the_file_twice(
    site: Site, gold: ConversationSet, ana: User, rhea: User, tmp_path: Path
) -> None:
    site.expected = {422}
    site.sign_in(rhea)
    site.open(f"/gold-sets/{gold.pk}/import/")
    page = site.page
    file = label_studio(gold, tmp_path / "export.json", "Yes")
    page.get_by_label("JSON or JSONL file").set_input_files(file)
    page.get_by_role("button", name="Look at what it would do").click()
    page.get_by_text("the policy has no proposition 'help'").wait_for()
    page.get_by_label("Questions").fill("help = helps")
    page.get_by_role("button", name="Look at what it would do").click()
    page.get_by_role("button", name="Import 7 labels").click()
    page.get_by_role("heading", name="Imported into gold").wait_for()
    assert Label.objects.filter(annotator=ana, answer="true").count() == 7


def test_a_policy_with_a_fault_is_mended_in_the_page(
    site: Site, rhea: User, tmp_path: Path
) -> None:
    site.expected = {422}
    site.sign_in(rhea)
    site.open("/policies/upload/")
    page = site.page
    file = tmp_path / "tiny.yaml"
    file.write_text(tiny("kind_help: true", "kindness: true"))
    page.get_by_label("YAML file").set_input_files(file)
    page.get_by_role("button", name="Add this policy").click()
    page.get_by_text("This policy cannot be used").wait_for()
    text = page.get_by_label("or its text")
    assert "kindness: true" in text.input_value()
    text.fill(text.input_value().replace("kindness: true", "kind_help: true"))
    page.get_by_role("button", name="Add this policy").click()
    page.get_by_text("tiny v1 was added.").wait_for()
    assert PolicyVersion.objects.get().source.strip() == TINY.strip()


def test_conversations_are_imported_and_the_report_is_on_the_page(
    site: Site, gold: ConversationSet, rhea: User, tmp_path: Path
) -> None:
    site.sign_in(rhea)
    site.open("/gold-sets/upload/?set=gold")
    page = site.page
    line = {
        "prompt": [{"role": "user", "content": "New?"}],
        "completion": "",
        "category": "chat",
        "response_type": "comply",
        "propositions": {"helps": False, "rude": False},
    }
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(line))
    page.get_by_label("JSONL file").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    page.get_by_role("heading", name="1 row added to gold").wait_for()
    assert page.get_by_text("Empty completions: line 1").is_visible()


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_a_table_is_downloaded(
    site: Site, gold: ConversationSet, rhea: User, file_format: str
) -> None:
    site.sign_in(rhea)
    site.open(f"/gold-sets/{gold.pk}/export/")
    page = site.page
    page.get_by_role("radio", name=re.compile("^Gold truths")).check()
    page.get_by_label("Format").select_option(file_format)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == f"gold-gold.{file_format}"
