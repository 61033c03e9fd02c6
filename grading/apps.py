"""The app as Django knows it."""

from django.apps import AppConfig


class GradingConfig(AppConfig):
    name = "grading"
    verbose_name = "Grading: what we compute"

    def ready(self) -> None:
        # Tasks are sent through the project's Celery application; sending needs it to be loaded.
        from annotation import dependents, verdicts
        from grading.selectors.staleness import stale_artefacts
        from grading.verdicts import RunVerdicts
        from rbr_app import celery  # noqa: F401

        verdicts.supply(RunVerdicts())
        dependents.register(stale_artefacts)
