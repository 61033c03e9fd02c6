"""The import commands: their JSON, and one line for every error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from annotation.models import Completion, ConversationSet, DefinitionChange, Policy, PolicyVersion
from annotation.services.policies import import_policy
from tests.conftest import SAMPLE
from tests.factories import TINY, tiny

pytestmark = pytest.mark.django_db

GOOD = {
    "prompt": [{"role": "user", "content": "Hello?"}],
    "completion": "Hi.",
    "category": "chat",
    "response_type": "Comply",
    "propositions": {"helps": True, "rude": False},
}


def run(tmp_path: Path, *arguments: str, **options: Any) -> dict[str, Any]:
    out = tmp_path / "out.json"
    call_command(*arguments, json=str(out), **options)
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def error(*arguments: str, **options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        call_command(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def written(tmp_path: Path, *rows: object, name: str = "rows.jsonl") -> str:
    path = tmp_path / name
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


# import_policy


def test_import_policy_of_the_released_file_reports_what_the_paper_has(
    tmp_path: Path, released: Path
) -> None:
    result = run(tmp_path, "import_policy", str(released / "proposition_prompts.yaml"))
    assert sorted(result.pop("response_types")) == [
        "comply",
        "hard_refuse",
        "safe_refuse_1",
        "safe_refuse_2",
    ]
    assert result == {
        "policy_version": PolicyVersion.objects.get().pk,
        "policy": "proposition_prompts",
        "number": 1,
        "added": True,
        "propositions": 23,
        "derived_propositions": 6,
        "completion_classes": 5,
        "overlaps": 0,
        "gaps": 0,
    }


def test_import_policy_of_the_sample_reports_its_response_types(tmp_path: Path) -> None:
    result = run(tmp_path, "import_policy", str(SAMPLE / "policy.yaml"))
    assert result["response_types"] == ["hard_refusal", "soft_refusal", "comply"]
    assert (result["policy"], result["propositions"]) == ("sample", 23)


def test_import_policy_twice_says_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, TINY, name="my policy.yaml")
    assert run(tmp_path, "import_policy", path, name="other")["added"] is True
    assert "other v1 (added): 3 propositions, 1 derived" in capsys.readouterr().out
    again = run(tmp_path, "import_policy", path, name="other")
    assert (again["added"], again["number"]) == (False, 1)
    assert "other v1 (unchanged)" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "changed"), [((), ["rude"]), (("--wording-only",), [])])
def test_import_policy_may_say_that_it_changes_wording_only(
    tmp_path: Path, options: tuple[str, ...], changed: list[str]
) -> None:
    import_policy(text=TINY)
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny("Is it rude?", "Is it insulting?"))
    call_command("import_policy", str(path), *options)
    changes = DefinitionChange.objects.filter(version__number=2)
    assert [change.proposition and change.proposition.key for change in changes] == changed


def test_import_policy_reads_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TINY.encode())
    assert run(tmp_path, "import_policy", str(path))["propositions"] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (tiny("kind_help: true", "kindness: true"), ["completion_classes", "'kindness'"]),
        (tiny("comply: {helps: false, rude: false}", "comply: {helps: false}"), ["both hold"]),
        ("a: [\n\n", ["not YAML", "line"]),
        ("", ["the file"]),
    ],
)
def test_import_policy_names_the_file_and_what_is_wrong(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    message = error("import_policy", str(path))
    for word in [str(path), *words]:
        assert word in message
    assert not Policy.objects.exists()


def test_import_policy_says_that_a_file_is_missing_or_no_text(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    message = error("import_policy", missing)
    assert missing in message
    assert "No such file" in message
    assert "directory" in error("import_policy", str(tmp_path))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00a")
    message = error("import_policy", str(binary))
    assert str(binary) in message
    assert "utf-8" in message


def test_json_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, TINY, name="policy.yaml")
    target = str(tmp_path / "no" / "out.json")
    message = error("import_policy", path, json=target)
    assert target in message


# import_conversations


@pytest.fixture
def policy(db: None) -> None:
    import_policy(text=TINY)


def load(tmp_path: Path, path: str, split: str = "train", **options: Any) -> dict[str, Any]:
    return run(tmp_path, "import_conversations", path, set="gold", split=split, **options)


def test_import_conversations_of_the_released_rows_reports_their_oddities(
    tmp_path: Path, released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("import_policy", str(released / "proposition_prompts.yaml"))
    path = str(released / "gold_train.jsonl")
    result = load(tmp_path, path)
    assert (result["set"], result["split"]) == ("gold", "train")
    assert (result["added"], result["unchanged"], result["labels"]) == (351, 0, 351 * 23)
    assert result["conflicting_duplicates"] == 1
    assert result["conflicts"] == [
        {"lines": [96, 153], "propositions": ["additional_content", "conditional_verbiage"]}
    ]
    assert result["empty_completions"] == 7
    assert sum(sum(found.values()) for found in result["classes"].values()) == 351
    said = capsys.readouterr().out
    assert "line 96 and 153: additional_content, conditional_verbiage" in said
    assert "7 empty completions" in said
    again = load(tmp_path, path)
    assert (again["added"], again["unchanged"], again["labels"]) == (0, 351, 0)


@pytest.mark.usefixtures("policy")
def test_import_conversations_writes_the_keys_of_its_contract(tmp_path: Path) -> None:
    result = load(tmp_path, written(tmp_path, GOOD))
    contract = {
        "set": "gold",
        "added": 1,
        "unchanged": 0,
        "labels": 2,
        "conflicting_duplicates": 0,
        "empty_completions": 0,
        "classes": {"comply": {"ideal": 1}},
    }
    assert result | contract == result


@pytest.mark.usefixtures("policy")
def test_import_conversations_takes_the_purpose_and_the_policy(tmp_path: Path) -> None:
    import_policy(text=TINY, name="other")
    load(tmp_path, written(tmp_path, GOOD), purpose="comparison", policy="tiny")
    target = ConversationSet.objects.get()
    assert (target.purpose, target.policy.name) == ("comparison", "tiny")


@pytest.mark.usefixtures("policy")
def test_import_conversations_warns_of_prompts_in_both_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, GOOD)
    load(tmp_path, path)
    assert "both splits" not in capsys.readouterr().out
    assert load(tmp_path, path, split="test")["split_overlap"] == 1
    assert "warning: 1 prompts stand in both splits" in capsys.readouterr().out


@pytest.mark.usefixtures("policy")
def test_import_conversations_reads_windows_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    text = "\r\n\r\n".join(json.dumps(GOOD | {"completion": c}) for c in ("A", "B")) + "\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(tmp_path, str(path))["added"] == 2


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("nonsense", ["line 2", "not JSON"]),
        (GOOD | {"propositions": {"hopes": True}}, ["line 2", "'hopes'"]),
        (GOOD | {"rm_score": "high"}, ["line 2", "`rm_score`"]),
        (GOOD | {"id": "x" * 300}, ["line 2", "`id`"]),
    ],
)
def test_import_conversations_names_the_file_the_line_and_the_reason(
    tmp_path: Path, bad: object, words: list[str]
) -> None:
    path = written(tmp_path, GOOD, bad)
    message = error("import_conversations", path, set="gold", split="train", policy="tiny")
    for word in [path, *words, "nothing was imported"]:
        assert word in message
    assert not Completion.objects.exists()
    assert not ConversationSet.objects.exists()


def test_import_conversations_wants_a_policy_first(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert "there is no policy yet" in error(
        "import_conversations", path, set="gold", split="train"
    )


def test_import_conversations_knows_two_splits_and_three_purposes(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert "invalid choice: 'dev'" in error("import_conversations", path, "--set=a", "--split=dev")
    assert "invalid choice: 'fun'" in error(
        "import_conversations", path, "--set=a", "--split=test", "--purpose=fun"
    )
    assert "--set" in error("import_conversations", path, "--split=test")
