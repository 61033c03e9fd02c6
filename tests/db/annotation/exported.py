"""What the export tests say, and how they read it back."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User

from annotation.models import Completion, ConversationSet, Label
from annotation.models.labels import Answer
from annotation.selectors.export_files import write_export
from annotation.selectors.label_exports import LabelExport, Row
from annotation.services.labels import Click, record_label
from tests.factories import latest_version, proposition

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def say(
    completion: Completion, answer: Answer, actor: User, key: str = "helps", **click: Any
) -> Label:
    return record_label(
        completion=completion,
        proposition=proposition(completion, key),
        answer=answer,
        actor=actor,
        policy_version=latest_version(completion),
        click=Click(**{"at": NOON, **click}),
    )


def rows(gold: ConversationSet, what: str, **choices: Any) -> list[Row]:
    return list(LabelExport(gold, what, **choices).rows())


def written(gold: ConversationSet, what: str, file_format: str, **choices: Any) -> bytes:
    file = io.BytesIO()
    write_export(LabelExport(gold, what, **choices), file_format, file)
    return file.getvalue()
