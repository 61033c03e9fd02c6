"""Policies for their list page."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from annotation.models import Policy


def policies() -> QuerySet[Policy]:
    return Policy.objects.annotate(
        n_versions=Count("versions", distinct=True),
        n_propositions=Count("propositions", distinct=True),
    ).order_by("name")
