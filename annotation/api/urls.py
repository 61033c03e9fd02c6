"""Routes of annotation under ``/api/v1/``."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from . import views

router = SimpleRouter()
router.register("policies", views.PolicyVersionViewSet, basename="api-policies")
router.register("gold-sets", views.ConversationSetViewSet, basename="api-gold-sets")

urlpatterns = router.urls
