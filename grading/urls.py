"""Pages of grading: graders, runs and their reports; the dashboard."""

from __future__ import annotations

from django.urls import path

from grading.views import dashboard, graders, propositions, runs

urlpatterns = [
    path("", dashboard.dashboard, name="dashboard"),
    path("graders/", graders.graders, name="graders"),
    path("graders/<slug:name>/", graders.card, name="grader_card"),
    path("graders/<slug:name>/probe/", graders.probe, name="probe_grader"),
    path("runs/", runs.runs, name="runs"),
    path("runs/<int:pk>/", runs.run, name="run"),
    path("runs/<int:pk>/progress/", runs.progress, name="run_progress"),
    path("runs/<int:pk>/stop/", runs.stop, name="stop_run"),
    path("runs/<int:pk>/resume/", runs.resume, name="resume_run"),
    path("runs/<int:pk>/report.json", runs.report_json, name="run_report_json"),
    path("runs/<int:pk>/propositions/<str:key>/", propositions.proposition, name="run_proposition"),
]
