"""The rows that a learning grader is trained on."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import ConversationSet
from annotation.selectors.conversations import labelled_conversations
from rbr_app.rbr.conversations import fingerprint
from rbr_app.rbr.engines import TrainingRow


@dataclass(frozen=True)
class Training:
    """Labelled rows of a train split; `fingerprint` changes with any text or label of them."""

    rows: tuple[TrainingRow, ...]
    fingerprint: str


def training_rows(conversation_set: ConversationSet) -> Training:
    """The Gold train split of a set, with the truths that count now. Test rows never get in."""
    rows = tuple(
        TrainingRow(conversation, labels, conversation.prompt_fingerprint)
        for conversation, labels in labelled_conversations(conversation_set, "train")
        if labels
    )
    content = [
        [row.conversation.fingerprint, row.conversation.response_type, row.labels] for row in rows
    ]
    return Training(rows, fingerprint(content) if rows else "")
