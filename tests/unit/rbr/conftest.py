"""Property tests have no deadline: two cores that run much else say nothing about the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
