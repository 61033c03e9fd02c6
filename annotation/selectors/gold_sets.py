"""Sets for their list page."""

from __future__ import annotations

from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotation.models import Completion, ConversationSet, GoldTruth, GoldVersion
from annotation.models.conversations import Split

SET = "conversation__conversation_set"


def gold_sets() -> QuerySet[ConversationSet]:
    """Sets with their sizes, how many rows have a Gold truth, disputes and versions. One query."""
    members = Completion.objects.filter(**{SET: OuterRef("pk")}).order_by().values(SET)
    decided = Exists(GoldTruth.objects.filter(completion=OuterRef("pk"), truth__isnull=False))
    disputes = (
        GoldTruth.objects.filter(
            source=GoldTruth.Source.DISPUTED,
            **{f"completion__{SET}": OuterRef("pk")},
        )
        .order_by()
        .values(f"completion__{SET}")
    )
    versions = GoldVersion.objects.filter(conversation_set=OuterRef("pk")).order_by()
    return (
        ConversationSet.objects.select_related("policy")
        .annotate(
            n_train=_number(
                members.annotate(n=Count("pk", filter=Q(conversation__split=Split.TRAIN)))
            ),
            n_test=_number(
                members.annotate(n=Count("pk", filter=Q(conversation__split=Split.TEST)))
            ),
            n_labelled=_number(members.filter(decided).annotate(n=Count("pk"))),
            n_disputed=_number(disputes.annotate(n=Count("pk"))),
            n_versions=_number(versions.values("conversation_set").annotate(n=Count("pk"))),
        )
        .order_by("purpose", "name")
    )


def _number(counted: QuerySet) -> Coalesce:  # type: ignore[type-arg]
    return Coalesce(Subquery(counted.values("n"), output_field=IntegerField()), 0)
