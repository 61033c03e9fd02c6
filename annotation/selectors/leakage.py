"""What stands in a set's train split, or in its policy's examples, and in its test split too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from annotation.models import Completion, ConversationSet
from annotation.models.conversations import Split
from annotation.selectors.conversations import completions_of
from rbr_app.rbr.conversations import Conversation as KernelConversation
from rbr_app.rbr.leakage import Leak, leaks

KINDS = {
    "same_prompt": "the same prompt",
    "same_prompt_but_for_form": "the same prompt but for case, spaces and punctuation",
    "start_of_conversation": "one conversation starts the other",
    "near_duplicate": "nearly the same last turn and completion",
    "example_user_turn": "a few-shot example’s user turn",
    "example_completion": "a few-shot example’s completion",
}
LISTED = 200


@dataclass(frozen=True)
class FoundLeak:
    """A leak with its rows; `train` is None for a few-shot example."""

    leak: Leak
    test: Completion
    train: Completion | None

    @property
    def why(self) -> str:
        return KINDS[self.leak.kind]


@dataclass(frozen=True)
class LeakReport:
    """All leaks counted by kind and the first of them with their rows."""

    counts: list[tuple[str, int]]
    listed: list[FoundLeak]
    n: int
    n_train: int
    n_test: int


def found_leaks(conversation_set: ConversationSet) -> LeakReport:
    """Compare every test row with the train rows and with the examples of the latest policy."""
    train, test = (_rows(conversation_set, split) for split in (Split.TRAIN, Split.TEST))
    policy = conversation_set.policy.latest.as_policy()
    examples = [(row.key, example) for row in policy.propositions for example in row.examples]
    found = leaks(train, test, examples)
    counts: Counter[str] = Counter(leak.kind for leak in found)
    listed = found[:LISTED]
    pks = {int(pk) for leak in listed for pk in (leak.test_id, leak.train_id) if pk}
    rows = Completion.objects.select_related("conversation").in_bulk(pks)
    return LeakReport(
        counts=[(title, counts[kind]) for kind, title in KINDS.items() if counts[kind]],
        listed=[
            FoundLeak(
                leak, rows[int(leak.test_id)], rows[int(leak.train_id)] if leak.train_id else None
            )
            for leak in listed
        ],
        n=len(found),
        n_train=len(train),
        n_test=len(test),
    )


def _rows(conversation_set: ConversationSet, split: str) -> dict[str, KernelConversation]:
    found = completions_of(conversation_set, split)
    return {str(row.pk): row.as_conversation() for row in found.iterator(chunk_size=2_000)}
