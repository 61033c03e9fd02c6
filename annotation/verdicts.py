"""What annotation wants to know of graders; grading supplies it: no import points downstream.

Used for the order of a labelling queue, for suggested answers, and for the strip that a person
sees after completing an item.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from annotation.models import ConversationSet


@dataclass(frozen=True)
class VerdictSource:
    """Something that graded a set: `key` names it for good, `title` is for people."""

    key: str
    title: str


class GraderVerdicts(Protocol):
    """The probabilities that graders gave."""

    def sources(self, conversation_set: ConversationSet) -> list[VerdictSource]:
        """What has graded the set, newest first."""

    def probabilities(
        self, source: str, completions: Collection[int] | None = None
    ) -> Mapping[tuple[int, str], float]:
        """``(completion pk, proposition key) -> p(true)``; all completions unless some are named.

        An unknown source has graded nothing.
        """


class NoVerdicts:
    """No grader is there."""

    def sources(self, conversation_set: ConversationSet) -> list[VerdictSource]:
        return []

    def probabilities(
        self, source: str, completions: Collection[int] | None = None
    ) -> Mapping[tuple[int, str], float]:
        return {}


_supplier: GraderVerdicts = NoVerdicts()


def supply(verdicts: GraderVerdicts) -> None:
    """Called once, when the app that knows graders is ready."""
    global _supplier
    _supplier = verdicts


def verdicts() -> GraderVerdicts:
    return _supplier
