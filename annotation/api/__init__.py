"""Annotation's part of ``/api/v1/``."""
