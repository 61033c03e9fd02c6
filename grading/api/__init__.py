"""Grading's part of ``/api/v1/``."""
