"""Label Studio tasks about one completion, and their import."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from annotation.models import ConversationSet
from annotation.services.label_imports import LabelImport, import_labels

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def task(
    person: str = "ana@example.org",
    minute: int = 0,
    row_id: str = "row-1",
    data: dict[str, Any] | None = None,
    cancelled: bool = False,
    **answers: str,
) -> dict[str, Any]:
    """A Label Studio task with one annotation, made so many minutes after noon."""
    return {
        "id": 7,
        "data": {"prompt": "Hello?", "completion": "Hi.", "id": row_id} if data is None else data,
        "annotations": [
            {
                "completed_by": {"email": person},
                "was_cancelled": cancelled,
                "lead_time": 3.5,
                "updated_at": (NOON + timedelta(minutes=minute)).isoformat(),
                "result": [
                    {"type": "choices", "from_name": name, "value": {"choices": [answer]}}
                    for name, answer in answers.items()
                ],
            }
        ],
    }


def load(gold: ConversationSet, actor: User, *tasks: Any, **choices: Any) -> LabelImport:
    choices = {"tool": "label_studio", **choices}
    content = json.dumps(tasks).encode()
    return import_labels(conversation_set=gold, content=content, actor=actor, **choices)
