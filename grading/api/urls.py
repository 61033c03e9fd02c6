"""Routes of grading under ``/api/v1/``."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from . import views

router = SimpleRouter()
router.register("graders", views.GraderVersionViewSet, basename="api-graders")
router.register("runs", views.GraderRunViewSet, basename="api-runs")

urlpatterns = router.urls
