"""What a change of meaning made stale: labels given under an earlier definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, IntegerField, Max, Min, OuterRef, QuerySet, Subquery

from annotation.models import ConversationSet, DefinitionChange, Label, Policy
from annotation.models.labels import WITHDRAWN


@dataclass(frozen=True)
class StaleCount:
    """How many labels of one person on one proposition are stale.

    `annotator` is empty for the labels of the imported file. `changed_in` is the number of the
    latest version that gave the proposition another meaning, `oldest` the earliest version under
    which one of these labels was given.
    """

    key: str
    annotator_pk: int | None
    annotator: str
    n: int
    changed_in: int
    oldest: int


@dataclass(frozen=True)
class StaleSummary:
    """The stale labels of a policy, or of one of its sets, for a banner."""

    policy_pk: int
    counts: tuple[StaleCount, ...]

    @property
    def n(self) -> int:
        return sum(count.n for count in self.counts)

    @property
    def because(self) -> tuple[tuple[str, int], ...]:
        """Each proposition that changed its meaning, with the number of the version that did it."""
        return tuple({count.key: (count.key, count.changed_in) for count in self.counts}.values())

    def __bool__(self) -> bool:
        return bool(self.counts)


def stale_labels(policy: Policy, conversation_set: ConversationSet | None = None) -> QuerySet[Any]:
    """Answers given under a version before the last change of their proposition's meaning.

    Rows are labels that carry `changed_in`, the number of the version that made it stale.
    """
    changed_in = (
        DefinitionChange.objects.filter(proposition=OuterRef("proposition"))
        .values("proposition")
        .values(number=Max("version__number"))
    )
    found = (
        Label.objects.filter(
            # Said twice, so that the database starts from the few propositions that changed.
            proposition__in=DefinitionChange.objects.filter(proposition__policy=policy).values(
                "proposition"
            ),
        )
        .exclude(answer=WITHDRAWN)
        .annotate(changed_in=Subquery(changed_in, output_field=IntegerField()))
        .filter(policy_version__number__lt=F("changed_in"))
    )
    if conversation_set is not None:
        found = found.filter(completion__conversation__conversation_set=conversation_set)
    return found


def stale_summary(policy: Policy, conversation_set: ConversationSet | None = None) -> StaleSummary:
    """The stale labels counted by proposition and person, in one query."""
    rows = (
        stale_labels(policy, conversation_set)
        .values("proposition__key", "annotator", "annotator__username", "changed_in")
        .annotate(n=Count("pk"), oldest=Min("policy_version__number"))
        .order_by("proposition__key", "annotator__username")
    )
    return StaleSummary(
        policy.pk,
        tuple(
            StaleCount(
                key=row["proposition__key"],
                annotator_pk=row["annotator"],
                annotator=row["annotator__username"] or "",
                n=row["n"],
                changed_in=row["changed_in"],
                oldest=row["oldest"],
            )
            for row in rows
        ),
    )


IMPORTED = "file"
"""Stands for the labels of the imported file where a person's number is asked for."""


def listed_stale_labels(policy: Policy, key: str = "", person: str = "") -> QuerySet[Any]:
    """Stale labels for the review page, of one proposition and one person if those are named.

    `person` is the number of a user or `IMPORTED`; anything else names nobody.
    """
    found = stale_labels(policy).select_related(
        "completion__conversation__conversation_set", "proposition", "annotator", "policy_version"
    )
    if key:
        found = found.filter(proposition__key=key)
    if person == IMPORTED:
        found = found.filter(annotator=None)
    elif person:
        found = found.filter(annotator=int(person)) if person.isdecimal() else found.none()
    return found.order_by("proposition__key", "pk")
