"""The Celery application: queue `default` for everything, queue `model` for the grader LLM."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rbr_app.settings")

app = Celery("rbr")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
