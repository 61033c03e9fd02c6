"""``manage.py import_policy FILE [--name N] [--wording-only]``"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotation.services.policies import import_policy
from rbr_app.commands import JsonCommand, read_bytes
from rbr_app.rbr.lint import gaps, overlaps
from rbr_app.rbr.policy import PolicyError


class Command(JsonCommand):
    help = "Add a policy file (YAML, ours or the released form) as a new policy version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file")
        parser.add_argument("--name", default="", help="default: the file's `name`, else its stem")
        parser.add_argument(
            "--wording-only",
            action="store_true",
            help="labels made so far stay good: no proposition means something else now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        try:
            text = read_bytes(path).decode("utf-8-sig")
            imported = import_policy(
                text=text,
                name=options["name"],
                fallback_name=Path(path).stem,
                wording_only=options["wording_only"],
            )
        except (PolicyError, UnicodeDecodeError) as error:
            raise CommandError(f"{path}: {error}") from error
        version = imported.version
        policy = version.as_policy()
        result = {
            "policy_version": version.pk,
            "policy": version.policy.name,
            "number": version.number,
            "added": imported.added,
            "propositions": len(policy.propositions),
            "derived_propositions": len(policy.derived),
            "completion_classes": len(policy.class_order),
            "response_types": list(policy.response_type_keys),
            "overlaps": len(overlaps(policy)),
            "gaps": len(gaps(policy)),
        }
        self.stdout.write(
            f"{version} ({'added' if imported.added else 'unchanged'}): "
            f"{result['propositions']} propositions, {result['derived_propositions']} derived, "
            f"{result['completion_classes']} classes, "
            f"{len(policy.response_types)} response types; no overlap, no gap"
        )
        self.write_json(options, result)
