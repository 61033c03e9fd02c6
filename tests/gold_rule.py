"""Which truth counts in a cell, in plain Python: what the site's own answer is held against."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.models.labels import TRUTH, WITHDRAWN, Answer

Held = tuple[bool | None, str] | None
"""A cell's truth and source; None where nobody says anything."""


def decide(
    answers: Iterable[str],
    imported: str | None = None,
    adjudicated: str | None = None,
    majority: bool = False,
) -> Held:
    """`answers` are those of people; `majority` says whether more than half of them suffice."""
    if adjudicated is not None:
        return TRUTH[adjudicated], "adjudicated"
    people = [answer for answer in answers if answer != WITHDRAWN]
    if not people:
        return (TRUTH[imported], "imported") if imported else None
    if len(set(people)) == 1:
        return TRUTH[people[0]], "unanimous"
    for answer in (Answer.TRUE, Answer.FALSE):
        if majority and people.count(answer) > len(people) / 2:
            return TRUTH[answer], "majority"
    return None, "disputed"
