"""Pages of annotation: policies, sets of conversations, labelling."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from annotation.views import gold_sets, labels, policies

urlpatterns = [
    path("policies/", policies.policies, name="policies"),
    path("policies/<int:pk>/", policies.policy, name="policy"),
    path("conversations/", RedirectView.as_view(pattern_name="gold_sets"), name="conversations"),
    path("gold-sets/", gold_sets.gold_sets, name="gold_sets"),
    path("gold-sets/<int:pk>/", gold_sets.gold_set, name="gold_set"),
    path("completions/<int:pk>/label/", labels.label, name="label"),
    path("completions/<int:pk>/labels/<str:key>/", labels.record, name="record_label"),
]
