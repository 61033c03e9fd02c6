"""Exported files: three formats, there and back, the page and the command."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from annotation.models import (
    Completion,
    ConversationSet,
)
from annotation.models.labels import Answer
from annotation.selectors import export_files, label_exports
from annotation.selectors.export_files import stream_export
from annotation.selectors.label_exports import LabelExport
from annotation.services.conversations import import_conversations
from annotation.services.policies import import_policy
from rbr_app.rbr.conversations import read_conversations
from tests.conftest import SAMPLE
from tests.db.annotation.exported import rows, say, written
from tests.factories import (
    CompletionFactory,
    ConversationSetFactory,
    LabelFactory,
    fill,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def gold(db: None) -> ConversationSet:
    return ConversationSetFactory(name="gold")


@pytest.fixture
def completion(gold: ConversationSet) -> Completion:
    return CompletionFactory(conversation__conversation_set=gold, external_id="row-1")


# Formats


def test_the_three_formats_hold_the_same_rows(gold: ConversationSet, ana: User) -> None:
    for completion in fill(gold, "test", 3, labelled=True):
        say(completion, Answer.CANNOT_DECIDE, ana)
    for what in ("labels", "gold"):
        expected = rows(gold, what)
        lines = [json.loads(line) for line in written(gold, what, "jsonl").splitlines()]
        assert lines == json.loads(json.dumps(expected, default=datetime.isoformat))
        table = pq.read_table(io.BytesIO(written(gold, what, "parquet")))
        assert table.to_pylist() == expected
        cells = list(csv.DictReader(io.StringIO(written(gold, what, "csv").decode())))
        assert [row["proposition"] for row in cells] == [row["proposition"] for row in expected]
        truth = {None: "", True: "true", False: "false"}
        assert [row["stale"] for row in cells] == [truth[row["stale"]] for row in expected]
        if what == "gold":
            assert [row["truth"] for row in cells] == [truth[row["truth"]] for row in expected]


def test_parquet_columns_have_types_also_where_all_is_null(gold: ConversationSet) -> None:
    fill(gold, "test", 1, labelled=True)
    table = pq.read_table(io.BytesIO(written(gold, "labels", "parquet")))
    kinds = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert kinds["active_seconds"] == "double"
    assert kinds["person"] == kinds["prelabel"] == "string"
    assert kinds["clicked_at"] == "timestamp[us, tz=UTC]"
    assert (kinds["after_reveal"], kinds["completion"]) == ("bool", "int64")


def test_an_empty_set_is_a_file_with_columns_and_no_rows(gold: ConversationSet) -> None:
    assert written(gold, "labels", "jsonl") == b""
    assert written(gold, "labels", "csv").startswith(b"set,completion,external_id")
    assert pq.read_table(io.BytesIO(written(gold, "gold", "parquet"))).num_rows == 0


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_csv_is_a_formula(gold: ConversationSet, begin: str) -> None:
    bad = f"{begin}HYPERLINK(1)"
    completion = CompletionFactory(
        conversation__conversation_set=gold,
        conversation__category=bad,
        external_id=bad,
    )
    LabelFactory(completion=completion)
    text = written(gold, "labels", "csv").decode()
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["category"], row["external_id"]) == (f"'{bad}", f"'{bad}")
    [line] = map(json.loads, written(gold, "labels", "jsonl").splitlines())
    assert line["category"] == bad


def test_a_large_set_needs_the_memory_of_a_chunk(
    gold: ConversationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_exports, "CHUNK", 20)
    monkeypatch.setattr(export_files, "ROWS_AT_ONCE", 60)
    fill(gold, "test", 20, labelled=True)

    def peak() -> int:
        tracemalloc.start()
        for _ in stream_export(LabelExport(gold, "labels"), "csv"):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak()
    small = peak()
    fill(gold, "test", 100, labelled=True)
    # Six times the rows; the pieces in memory are as large as before.
    assert peak() < 1.5 * small


# There and back


def assert_round_trip(gold: ConversationSet, lines: list[bytes]) -> None:
    """The export says of each line what the line said, and makes an equal set."""
    exported = written(gold, "conversations", "jsonl")
    before = [row for _, row in read_conversations(lines)]
    after = [row for _, row in read_conversations(exported.splitlines())]
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        assert (one.prompt, one.completion, one.labels) == (
            other.prompt,
            other.completion,
            other.labels,
        )
        assert (one.category, one.response_type, one.id) == (
            other.category,
            other.response_type,
            other.id,
        )
    report = import_conversations(lines=exported.splitlines(), set_name="again")
    copy = written(report.conversation_set, "conversations", "jsonl")
    assert copy == exported


def test_the_released_rows_come_back_equal(released: Path) -> None:
    import_policy(text=(released / "proposition_prompts.yaml").read_text(), name="released")
    lines = (released / "gold_train.jsonl").read_bytes().splitlines()
    report = import_conversations(lines=lines, set_name="released", split="train")
    assert report.added == 351
    assert_round_trip(report.conversation_set, lines)


def test_the_sample_comes_back_equal_with_both_splits() -> None:
    import_policy(text=(SAMPLE / "policy.yaml").read_text())
    lines: list[bytes] = []
    for split in ("train", "test"):
        more = (SAMPLE / f"gold_{split}.jsonl").read_bytes().splitlines()
        held = import_conversations(lines=more, set_name="sample", split=split).conversation_set
        lines += more
    assert_round_trip(held, lines)
    splits = [row["split"] for row in rows(held, "conversations")]
    assert set(splits) == {"train", "test"}


def test_what_people_decided_comes_back_and_a_dispute_does_not(
    gold: ConversationSet, completion: Completion, ana: User, ben: User
) -> None:
    say(completion, Answer.TRUE, ana)
    say(completion, Answer.FALSE, ben)
    say(completion, Answer.CANNOT_DECIDE, ana, key="rude")
    say(completion, Answer.FALSE, ana, key="cites")
    [line] = rows(gold, "conversations")
    assert line["propositions"] == {"rude": None, "cites": False}
    assert line["id"] == "row-1"
    assert "rm_score" not in line


# The page


def url(gold: ConversationSet) -> str:
    return reverse("export_labels", args=[gold.pk])


def content(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_the_page_offers_every_table_and_names_its_columns(
    client: Client, gold: ConversationSet, rhea: User
) -> None:
    client.force_login(rhea)
    page = client.get(url(gold), {"split": "train"})
    text = page.content.decode()
    assert page.status_code == 200
    for words in ("Gold truths", "Parquet", "pseudonyms", "after_reveal", "adjudication_reason"):
        assert words in text
    assert '<option value="train" selected>' in text


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_a_download_is_what_the_selector_writes(
    client: Client, gold: ConversationSet, rhea: User, file_format: str
) -> None:
    fill(gold, "test", 2, labelled=True)
    client.force_login(rhea)
    response = client.get(url(gold), {"what": "labels", "format": file_format})
    assert response.status_code == 200
    assert response["Content-Disposition"] == (f'attachment; filename="gold-labels.{file_format}"')
    assert content(response) == written(gold, "labels", file_format)


def test_what_cannot_be_exported_is_said_on_the_page(
    client: Client, gold: ConversationSet, rhea: User
) -> None:
    client.force_login(rhea)
    for query, words in [
        ({"what": "everything", "format": "jsonl"}, "not one of the available choices"),
        ({"what": "labels", "format": "xlsx"}, "not one of the available choices"),
        ({"what": "labels"}, "This field is required"),
        ({"what": "conversations", "format": "csv"}, "as JSONL alone"),
        ({"what": "labels", "format": "csv", "people": "all"}, "not one of the available"),
        ({"what": "gold", "format": "csv", "version": "7"}, "not one of the available choices"),
    ]:
        response = client.get(url(gold), query)
        assert response.status_code == 422
        assert words in response.content.decode()


def test_the_page_is_for_people_who_are_signed_in_and_reads_only(
    client: Client, gold: ConversationSet, rhea: User
) -> None:
    assert client.get(url(gold), {"what": "labels"}).headers["Location"].startswith("/login/")
    client.force_login(rhea)
    assert client.post(url(gold)).status_code == 405
    assert client.get(reverse("export_labels", args=[0])).status_code == 404


# The command


def export(gold: ConversationSet, out: Path, **options: Any) -> dict[str, Any]:
    result = out.parent / "result.json"
    call_command("export_labels", set=gold.name, out=str(out), json=str(result), **options)
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_the_command_writes_what_the_page_does_and_takes_the_format_from_the_ending(
    gold: ConversationSet, tmp_path: Path
) -> None:
    fill(gold, "test", 2, labelled=True)
    for ending in ("jsonl", "csv", "parquet"):
        out = tmp_path / f"labels.{ending}"
        assert export(gold, out, what="labels") == {
            "out": str(out),
            "format": ending,
            "rows": 6,
        }
        assert out.read_bytes() == written(gold, "labels", ending)
    plain = tmp_path / "labels.txt"
    assert export(gold, plain, what="gold")["format"] == "jsonl"


def test_the_command_writes_to_the_output(
    gold: ConversationSet, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fill(gold, "test", 1, labelled=True)
    call_command("export_labels", set="gold", what="gold", out="-")
    assert capfdbinary.readouterr().out == written(gold, "gold", "jsonl")


def test_a_command_that_fails_leaves_the_file_as_it_was(
    gold: ConversationSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(gold, "test", 1, labelled=True)
    out = tmp_path / "labels.jsonl"
    out.write_text("precious")

    def broken(*_: object) -> Any:
        yield {"a": 1}
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(LabelExport, "_labels", broken)
    with pytest.raises(RuntimeError):
        call_command("export_labels", set="gold", what="labels", out=str(out))
    assert out.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"set": "silver"}, "there is no set 'silver'"),
        ({"what": "conversations", "format": "csv"}, "as jsonl alone"),
        ({"what": "labels", "gold_version": 1}, "holds no labels"),
        ({"what": "gold", "gold_version": 4}, "no Gold version 4"),
        ({"out": "/nowhere/labels.csv"}, "cannot write /nowhere/labels.csv"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    gold: ConversationSet, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    given = {"set": "gold", "what": "labels", "out": str(tmp_path / "x"), **options}
    with pytest.raises(CommandError) as caught:
        call_command("export_labels", **given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
