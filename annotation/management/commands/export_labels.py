"""``manage.py export_labels --set NAME --what labels|gold|conversations --out FILE``"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, cast

from django.core.management.base import CommandError

from annotation.models import ConversationSet, GoldVersion
from annotation.models.conversations import Split
from annotation.selectors.export_files import Format, write_export
from annotation.selectors.label_exports import LabelExport, People, What
from rbr_app.commands import JsonCommand


class Command(JsonCommand):
    help = "Write a set's labels, its Gold truths, or its conversations with them, to a file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--set", required=True, help="the set's name")
        parser.add_argument(
            "--what",
            required=True,
            choices=What.values,
            help="a row for each answer, a row for each Gold cell, or a conversation a line, "
            "as import_conversations reads it",
        )
        parser.add_argument("--out", required=True, help="the file to write; - for the output")
        parser.add_argument(
            "--format", choices=Format.values, help="default: by the ending of FILE, else jsonl"
        )
        parser.add_argument(
            "--people",
            choices=People.values,
            default=People.NAMES,
            help="names, pseudonyms that are the same in every export of this site, or none; "
            "default: names",
        )
        parser.add_argument("--split", choices=["all", *Split.values], default="all")
        parser.add_argument(
            "--gold-version",
            type=int,
            metavar="N",
            help="a frozen version, not today's state",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        export = self._export(options)
        out = options["out"]
        ending = Path(out).suffix.removeprefix(".")
        file_format = options["format"] or (ending if ending in Format.values else Format.JSONL)
        if export.what == What.CONVERSATIONS and file_format != Format.JSONL:
            raise CommandError("conversations are exported as jsonl alone")
        if out == "-":
            write_export(export, file_format, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        rows = _write_whole(export, file_format, Path(out))
        self.stdout.write(f"{out}: {rows} rows of {export.conversation_set}")
        self.write_json(options, {"out": out, "format": str(file_format), "rows": rows})

    def _export(self, options: dict[str, Any]) -> LabelExport:
        held = ConversationSet.objects.select_related("policy").filter(name=options["set"]).first()
        if held is None:
            raise CommandError(f"there is no set {options['set']!r}")
        version, number = None, options["gold_version"]
        if number is not None:
            if options["what"] == What.LABELS:
                raise CommandError("a Gold version holds no labels: take gold or conversations")
            versions = GoldVersion.objects.select_related("policy_version")
            version = versions.filter(conversation_set=held, number=number).first()
            if version is None:
                raise CommandError(f"{held} has no Gold version {number}")
        return LabelExport(held, options["what"], options["people"], options["split"], version)


def _write_whole(export: LabelExport, file_format: str, out: Path) -> int:
    """The whole file or none: it takes its name when all of it is written."""
    try:
        with NamedTemporaryFile(dir=out.parent, prefix=f".{out.name}.", delete=False) as file:
            part = Path(file.name)
            try:
                rows = write_export(export, file_format, cast(BinaryIO, file))
                # A temporary file is its owner's alone; the result is as any other.
                umask = os.umask(0)
                os.umask(umask)
                part.chmod(0o666 & ~umask)
                file.flush()
                part.replace(out)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}") from error
    return rows
