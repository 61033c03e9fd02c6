"""Grader versions, runs and their reports as JSON, to read."""

from __future__ import annotations

from dataclasses import asdict

from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from grading.models import GraderRun, GraderVersion
from grading.selectors import reports as select_reports
from grading.selectors import runs as select_runs
from grading.selectors.reports import as_json


class GraderVersionSerializer(serializers.ModelSerializer[GraderVersion]):
    grader = serializers.CharField(source="grader.name")

    class Meta:
        model = GraderVersion
        fields = ("id", "grader", "number", "config", "facts", "fingerprint", "created_at")


class GraderRunSerializer(serializers.ModelSerializer[GraderRun]):
    grader = serializers.CharField(source="grader_version.grader.name")
    conversation_set = serializers.CharField(source="conversation_set.name")

    class Meta:
        model = GraderRun
        fields = (
            *("id", "status", "error", "grader", "grader_version", "policy_version"),
            *("conversation_set", "split", "limit", "fingerprint", "created_at", "finished_at"),
        )


class GraderVersionViewSet(viewsets.ReadOnlyModelViewSet[GraderVersion]):
    queryset = GraderVersion.objects.select_related("grader").order_by("-pk")
    serializer_class = GraderVersionSerializer


class GraderRunViewSet(viewsets.ReadOnlyModelViewSet[GraderRun]):
    queryset = select_runs.runs()
    serializer_class = GraderRunSerializer

    @action(detail=True)
    def progress(self, request: Request, pk: str) -> Response:
        return Response(asdict(select_runs.run_progress(self.get_object())))

    @action(detail=True)
    def report(self, request: Request, pk: str) -> Response:
        run: GraderRun = self.get_object()
        split = request.query_params.get("split", "")
        if split and split not in select_reports.report_splits(run):
            allowed = ", ".join(select_reports.report_splits(run))
            raise serializers.ValidationError({"split": f"must be one of {allowed}"})
        return Response(as_json(select_reports.run_report(run, split)))
