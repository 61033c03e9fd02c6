"""Confirms labels that were given under an earlier definition."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from annotation.models import Label, LabelEvent, PolicyVersion, Proposition
from annotation.services.gold_truths import lock_completions


@transaction.atomic
def confirm_labels(
    *,
    labels: QuerySet[Label],
    proposition: Proposition,
    actor: User,
    policy_version: PolicyVersion,
) -> int:
    """Say that all these labels of a proposition hold under `policy_version`; how many did.

    The same as `services.labels.confirm_label` for each, in a handful of queries. No truth
    changes, since no answer does.
    """
    lock_completions(sorted(set(labels.values_list("completion", flat=True))))
    found = list(
        Label.objects.filter(pk__in=labels.values("pk"), proposition=proposition).order_by("pk")
    )
    LabelEvent.objects.bulk_create(
        [
            LabelEvent(
                label=label,
                actor=actor,
                kind=LabelEvent.Kind.CONFIRMED,
                old=label.answer,
                new=label.answer,
                policy_version=policy_version,
                after_reveal=label.after_reveal,
            )
            for label in found
        ],
        batch_size=1_000,
    )
    Label.objects.filter(pk__in=[label.pk for label in found]).update(
        policy_version=policy_version, updated_at=timezone.now()
    )
    return len(found)
