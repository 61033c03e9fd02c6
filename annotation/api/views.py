"""Policies and sets as JSON, to read."""

from __future__ import annotations

from rest_framework import serializers, viewsets

from annotation.models import ConversationSet, PolicyVersion
from annotation.selectors import conversations as select_conversations


class PolicyVersionSerializer(serializers.ModelSerializer[PolicyVersion]):
    policy = serializers.CharField(source="policy.name")

    class Meta:
        model = PolicyVersion
        fields = (
            "id",
            "policy",
            "number",
            "parent",
            "note",
            "fingerprint",
            "created_at",
            "document",
        )


class ConversationSetSerializer(serializers.ModelSerializer[ConversationSet]):
    policy = serializers.CharField(source="policy.name")
    n_train = serializers.IntegerField()
    n_test = serializers.IntegerField()

    class Meta:
        model = ConversationSet
        fields = ("id", "name", "purpose", "policy", "n_train", "n_test", "created_at")


class PolicyVersionViewSet(viewsets.ReadOnlyModelViewSet[PolicyVersion]):
    queryset = PolicyVersion.objects.select_related("policy").order_by("-pk")
    serializer_class = PolicyVersionSerializer


class ConversationSetViewSet(viewsets.ReadOnlyModelViewSet[ConversationSet]):
    queryset = select_conversations.conversation_sets()
    serializer_class = ConversationSetSerializer
