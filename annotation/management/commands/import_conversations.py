"""``manage.py import_conversations FILE --set NAME --split train|test``"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from annotation.models import ConversationSet
from annotation.models.conversations import Split
from annotation.services.conversations import (
    ConversationImport,
    ImportRefused,
    import_conversations,
)
from rbr_app.commands import JsonCommand, read_bytes


class Command(JsonCommand):
    help = "Add the conversations of a JSONL file, with their labels, to a set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file")
        parser.add_argument("--set", required=True, help="made when it does not exist")
        parser.add_argument(
            "--split",
            default="",
            choices=Split.values,
            help="default: each line's own `split`",
        )
        parser.add_argument(
            "--purpose",
            choices=ConversationSet.Purpose.values,
            default=ConversationSet.Purpose.GOLD,
        )
        parser.add_argument(
            "--policy", default="", help="default: the newest policy that fits the file"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        try:
            report = import_conversations(
                lines=read_bytes(path).splitlines(),
                set_name=options["set"],
                split=options["split"],
                purpose=options["purpose"],
                policy_name=options["policy"],
            )
        except ImportRefused as error:
            raise CommandError(f"{path}: {error}; nothing was imported") from error
        self._print(report, options["split"])
        self.write_json(
            options,
            {
                "set": report.conversation_set.name,
                "split": options["split"] or "all",
                "policy_version": report.policy_version.pk,
                "added": report.added,
                "unchanged": report.unchanged,
                "labels": report.labels,
                "conflicting_duplicates": len(report.conflicts),
                "conflicts": [
                    {"lines": conflict.lines, "propositions": conflict.propositions}
                    for conflict in report.conflicts
                ],
                "empty_completions": len(report.empty_completions),
                "split_overlap": report.split_overlap,
                "classes": {kind: dict(counts) for kind, counts in report.classes.items()},
            },
        )

    def _print(self, report: ConversationImport, split: str) -> None:
        self.stdout.write(
            f"{report.conversation_set} {split or 'all'} (policy {report.policy_version}): "
            f"{report.added} added, {report.unchanged} unchanged, {report.labels} labels"
        )
        for conflict in report.conflicts:
            lines = " and ".join(map(str, conflict.lines))
            against = "" if len(conflict.lines) > 1 else " differs from the stored row"
            self.stdout.write(
                f"  conflicting duplicate: line {lines}{against}: "
                f"{', '.join(conflict.propositions)}"
            )
        if report.empty_completions:
            lines = ", ".join(map(str, report.empty_completions))
            self.stdout.write(f"  {len(report.empty_completions)} empty completions: line {lines}")
        if report.split_overlap:
            self.stdout.write(
                f"  warning: {report.split_overlap} prompts stand in both splits; "
                "results on test are no longer held out for them"
            )
        for kind, counts in report.classes.items():
            shares = ", ".join(f"{name} {n}" for name, n in counts.most_common())
            self.stdout.write(f"  {kind}: {shares}")
