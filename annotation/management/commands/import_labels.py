"""``manage.py import_labels FILE --set NAME --tool label_studio|argilla``"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from annotation.models import ConversationSet
from annotation.services.conversations import ImportRefused
from annotation.services.label_imports import (
    LabelImport,
    Tool,
    import_labels,
    read_answers,
    read_mapping,
)
from rbr_app.commands import JsonCommand, read_bytes
from rbr_app.rbr.foreign_labels import Reading


class Command(JsonCommand):
    help = "Add the labels of a Label Studio or Argilla export to the completions of a set."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", help="the export: JSON or JSONL")
        parser.add_argument("--set", required=True, help="the set whose completions were labelled")
        parser.add_argument("--format", required=True, choices=Tool.values, help="the tool")
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="QUESTION=KEY",
            help="the proposition that a question is; without a key it is left out. May be "
            "given often",
        )
        parser.add_argument(
            "--answer",
            action="append",
            default=[],
            metavar="CHOICE=MEANING",
            help="what a choice means: true, false or cannot decide. May be given often",
        )
        parser.add_argument("--prompt", default="", help="the column that holds the prompt")
        parser.add_argument("--completion", default="", help="the column of the completion")
        parser.add_argument("--id", default="", help="the column of the completion's id")
        parser.add_argument(
            "--person", default="", help="who answered, where the file does not say"
        )
        parser.add_argument(
            "--policy-version",
            type=int,
            metavar="N",
            help="the version of the definitions that were answered; default: the latest",
        )
        parser.add_argument(
            "--user", default="", help="in whose name the import is recorded; default: a superuser"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would happen")

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["file"]
        held = ConversationSet.objects.select_related("policy").filter(name=options["set"]).first()
        if held is None:
            raise CommandError(f"there is no set {options['set']!r}")
        number = options["policy_version"]
        version = held.policy.versions.filter(number=number).first() if number else None
        if number and version is None:
            raise CommandError(f"{held.policy} has no version {number}")
        try:
            report = import_labels(
                conversation_set=held,
                content=read_bytes(path),
                tool=options["format"],
                actor=_actor(options["user"]),
                reading=_reading(options),
                policy_version=version,
                dry_run=options["dry_run"],
            )
        except ImportRefused as error:
            raise CommandError(f"{path}: {error}; nothing was imported") from error
        self._print(report, options["dry_run"])
        self.write_json(options, _as_json(report, options["dry_run"]))

    def _print(self, report: LabelImport, dry_run: bool) -> None:
        would = "would be " if dry_run else ""
        self.stdout.write(
            f"{report.conversation_set} (definitions of {report.policy_version}): "
            f"{report.matched} of {report.in_file} answers belong to it: "
            f"{report.added} {would}added, {report.replaced} {would}replaced by newer ones, "
            f"{report.unchanged} unchanged, {len(report.conflicts)} in conflict"
        )
        for name, username in report.people.items():
            made = " (new, cannot sign in)" if username in report.new_people else ""
            self.stdout.write(f"  {name} is {username}{made}")
        for conflict in report.conflicts:
            self.stdout.write(
                f"  conflict: record {conflict.row}, {conflict.person} on "
                f"{conflict.proposition}: {conflict.in_file} in the file, {conflict.here} here"
            )
        for unmatched in report.unmatched:
            self.stdout.write(f"  left out: record {unmatched.row}: {unmatched.reason}")
        for reason, n in report.left_out.items():
            self.stdout.write(f"  left out: {n} {reason}")


def _reading(options: dict[str, Any]) -> Reading:
    return Reading(
        keys=read_mapping(options["map"]),
        answers=read_answers(options["answer"]),
        **{name: options[name] for name in ("prompt", "completion", "id", "person")},
    )


def _actor(name: str) -> User:
    users = User.objects.filter(username=name) if name else User.objects.filter(is_superuser=True)
    if (user := users.order_by("pk").first()) is None:
        who = f"there is no user {name!r}" if name else "there is no superuser: give --user"
        raise CommandError(who)
    return user


def _as_json(report: LabelImport, dry_run: bool) -> dict[str, Any]:
    return {
        "set": report.conversation_set.name,
        "policy_version": report.policy_version.pk,
        "dry_run": dry_run,
        "in_file": report.in_file,
        "matched": report.matched,
        "added": report.added,
        "replaced": report.replaced,
        "unchanged": report.unchanged,
        "repeated": report.repeated,
        "conflicts": [vars(conflict) for conflict in report.conflicts],
        "unmatched": [vars(unmatched) for unmatched in report.unmatched],
        "left_out": dict(report.left_out),
        "people": report.people,
        "new_people": report.new_people,
    }
