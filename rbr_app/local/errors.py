"""The one exception that ends a command with a single line for the person at the terminal."""

from __future__ import annotations


class SetupError(Exception):
    """What failed and what to do about it, as one line; ``details`` holds the last log lines."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(" ".join(message.split()))
        self.details = details
