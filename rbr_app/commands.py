"""What the commands share: one clear line for an error, and ``--json FILE``."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class JsonCommand(BaseCommand):
    """A command that prints for people and, if asked to, writes its result as JSON."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", metavar="FILE", help="write the result to FILE as JSON")

    def write_json(self, options: dict[str, Any], result: dict[str, Any]) -> None:
        if not options["json"]:
            return
        try:
            Path(options["json"]).write_text(json.dumps(result, indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"cannot write {options['json']}: {error.strerror}") from error


def read_bytes(path: str) -> bytes:
    """The file's content; `CommandError` names the file and the reason."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
