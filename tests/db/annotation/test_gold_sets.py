"""The released Gold rows and the sample, imported as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation.models import Completion, Conversation, ConversationSet, Label
from annotation.models.labels import Answer
from annotation.services.conversations import (
    Conflict,
    ConversationImport,
    import_conversations,
)
from annotation.services.policies import import_policy
from tests.conftest import SAMPLE

pytestmark = pytest.mark.django_db


def load(*lines: str, split: str = "train") -> ConversationImport:
    return import_conversations(lines=lines, set_name="gold", split=split)


def counts() -> list[int]:
    models = (ConversationSet, Conversation, Completion, Label)
    return [model.objects.count() for model in models]


@pytest.fixture
def released_lines(db: None, released: Path) -> list[str]:
    text = (released / "proposition_prompts.yaml").read_text()
    import_policy(text=text, fallback_name="released")
    return (released / "gold_train.jsonl").read_text().splitlines()


def test_the_released_rows_are_loaded_unchanged_with_what_is_odd_about_them(
    released_lines: list[str],
) -> None:
    report = load(*released_lines)
    assert (report.added, report.unchanged) == (351, 0)
    assert report.labels == 351 * 23
    assert report.conflicts == [Conflict((96, 153), ("additional_content", "conditional_verbiage"))]
    assert len(report.empty_completions) == 7
    assert report.split_overlap == 0
    assert counts() == [1, Conversation.objects.count(), 351, 351 * 23]


def test_each_released_row_has_exactly_one_class(released_lines: list[str]) -> None:
    report = load(*released_lines)
    assert sum(sum(found.values()) for found in report.classes.values()) == 351
    assert set(report.classes) == {"hard_refuse", "comply", "safe_refuse_1", "safe_refuse_2"}
    for found in report.classes.values():
        assert "unlabelled" not in found
    # method.md, section 3: hard refusal has no ideal row in train.
    assert report.classes["hard_refuse"]["ideal"] == 0


def test_the_released_rows_loaded_again_add_nothing(released_lines: list[str]) -> None:
    first = load(*released_lines)
    before = counts()
    again = load(*released_lines)
    assert counts() == before
    assert (again.added, again.unchanged, again.labels) == (0, 351, 0)
    assert again.conflicts == first.conflicts
    assert again.empty_completions == first.empty_completions
    assert again.classes == first.classes


def test_the_released_facts_about_positives_hold_in_the_database(
    released_lines: list[str],
) -> None:
    load(*released_lines)
    positives = Label.objects.filter(answer=Answer.TRUE)
    assert not positives.filter(proposition__key="prescribes_dosage").exists()
    assert positives.filter(proposition__key="insulting_language").count() == 1


# The sample


def test_the_sample_set_loads_without_conflict_or_overlap() -> None:
    import_policy(text=(SAMPLE / "policy.yaml").read_text())
    for split in ("train", "test"):
        lines = (SAMPLE / f"gold_{split}.jsonl").read_text().splitlines()
        report = load(*lines, split=split)
        assert report.added == len(lines)
        assert report.conflicts == []
        assert report.split_overlap == 0
