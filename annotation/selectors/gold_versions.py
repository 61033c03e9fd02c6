"""Frozen versions of a set: their list, their rows, what changed between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from annotation.models import Completion, ConversationSet, GoldTruth, GoldVersion, GoldVersionRow
from annotation.models.conversations import Split

CHUNK = 2_000
Truths = dict[str, list[bool | str | None]]
"""Proposition key -> ``[truth, source]``."""


@dataclass(frozen=True)
class CurrentRow:
    """A completion as a freeze would store it now."""

    completion: int
    fingerprint: str
    occurrence: int
    split: str
    category: str
    response_type: str
    truths: Truths


def current_rows(conversation_set: ConversationSet) -> Iterator[CurrentRow]:
    """The set's completions with their truths, read in pieces."""
    pk = 0
    found = Completion.objects.filter(conversation__conversation_set=conversation_set)
    while True:
        rows = found.filter(pk__gt=pk).order_by("pk")[:CHUNK].values_list(
            "pk",
            "fingerprint",
            "occurrence",
            "conversation__split",
            "conversation__category",
            "conversation__response_type",
        )  # fmt: skip
        piece = list(rows)
        if not piece:
            return
        truths: dict[int, Truths] = {row[0]: {} for row in piece}
        cells = GoldTruth.objects.filter(completion__in=truths)
        for completion, key, truth, source in cells.values_list(
            "completion", "proposition__key", "truth", "source"
        ):
            truths[completion][key] = [truth, source]
        for row in piece:
            yield CurrentRow(*row, truths=truths[row[0]])
        pk = piece[-1][0]


def gold_versions(conversation_set: ConversationSet) -> QuerySet[GoldVersion]:
    """Newest first, each with its rows, their splits and how many cells are decided."""
    rows = GoldVersionRow.objects.filter(version=OuterRef("pk")).order_by().values("version")
    decided = Func(
        F("truths"),
        Value("$.*[0] ? (@ != null)"),
        function="jsonb_path_query_array",
        template="jsonb_array_length(%(function)s(%(expressions)s::jsonpath))",
        output_field=IntegerField(),
    )

    def counted(**condition: str) -> Coalesce:
        n = rows.annotate(n=Count("pk", filter=Q(**condition))).values("n")
        return Coalesce(Subquery(n, output_field=IntegerField()), 0)

    cells = rows.annotate(n=Func(decided, function="sum", output_field=IntegerField())).values("n")
    return (
        GoldVersion.objects.filter(conversation_set=conversation_set)
        .select_related("author", "policy_version__policy", "parent")
        .annotate(
            n_rows=counted(),
            n_train=counted(split=Split.TRAIN),
            n_test=counted(split=Split.TEST),
            n_decided=Coalesce(Subquery(cells, output_field=IntegerField()), 0),
        )
        .order_by("-number")
    )


def version_rows(version: GoldVersion) -> QuerySet[GoldVersionRow]:
    """The rows of a version in file order, with their texts."""
    return version.rows.select_related("completion__conversation").order_by("completion")


def export_lines(version: GoldVersion) -> Iterator[str]:
    """Each row as a line of JSON: what `import_conversations` reads, and the truths' sources."""
    for row in version_rows(version).iterator(chunk_size=CHUNK):
        completion = row.completion
        yield (
            json.dumps(
                {
                    "prompt": completion.conversation.prompt,
                    "completion": completion.text,
                    "category": row.category,
                    "response_type": row.response_type,
                    "split": row.split,
                    "propositions": {key: cell[0] for key, cell in sorted(row.truths.items())},
                    "sources": {key: cell[1] for key, cell in sorted(row.truths.items())},
                    "id": completion.external_id,
                    "completion_type": completion.completion_type,
                    "rm_score": completion.rm_score,
                    "fingerprint": completion.fingerprint,
                    "occurrence": completion.occurrence,
                },
                ensure_ascii=False,
            )
            + "\n"
        )


@dataclass(frozen=True)
class CellChange:
    """A truth of one row in both versions; None where a version has no such cell."""

    key: str
    before: list[bool | str | None] | None
    after: list[bool | str | None] | None

    @property
    def source_only(self) -> bool:
        """Whether the truth stayed and only the rule behind it is another."""
        truths = [cell[0] if cell else None for cell in (self.before, self.after)]
        return truths[0] is truths[1]


@dataclass(frozen=True)
class RowChange:
    """A row that the versions do not have alike. An empty split: not in that version."""

    completion: int
    before_split: str
    after_split: str
    before_place: tuple[str, str]
    after_place: tuple[str, str]
    cells: list[CellChange]

    @property
    def kind(self) -> str:
        if not self.before_split:
            return "added"
        if not self.after_split:
            return "removed"
        return "changed"

    @property
    def moved(self) -> bool:
        return self.kind == "changed" and self.before_split != self.after_split

    @property
    def replaced(self) -> bool:
        """Whether it stands under another category or response type."""
        return self.kind == "changed" and self.before_place != self.after_place


@dataclass(frozen=True)
class VersionDiff:
    """What the later version has that the earlier has not, and the other way round."""

    before: GoldVersion
    after: GoldVersion
    added: int
    removed: int
    moved: int
    truths: int
    sources: int
    rows: list[RowChange]
    n_rows: int


def version_diff(before: GoldVersion, after: GoldVersion, listed: int = 200) -> VersionDiff:
    """Counts over all rows that differ, and the first `listed` of them. One query, streamed."""
    counts = dict.fromkeys(("added", "removed", "moved", "truths", "sources", "n_rows"), 0)
    rows: list[RowChange] = []
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENT, {"before": before.pk, "after": after.pk})
        while piece := cursor.fetchmany(CHUNK):
            for row in map(_row_change, piece):
                counts["n_rows"] += 1
                if row.kind != "changed":
                    counts[row.kind] += 1
                else:
                    counts["moved"] += row.moved
                    for cell in row.cells:
                        counts["sources" if cell.source_only else "truths"] += 1
                if len(rows) < listed:
                    rows.append(row)
    return VersionDiff(before, after, rows=rows, **counts)


def _row_change(row: tuple[object, ...]) -> RowChange:
    completion, old_split, new_split, *places, old, new = row
    before: Truths = json.loads(str(old)) if old is not None else {}
    after: Truths = json.loads(str(new)) if new is not None else {}
    both = old is not None and new is not None
    old_category, old_kind, new_category, new_kind = map(str, places)
    return RowChange(
        int(str(completion)),
        str(old_split),
        str(new_split),
        (old_category, old_kind),
        (new_category, new_kind),
        [
            CellChange(key, before.get(key), after.get(key))
            for key in sorted(before.keys() | after.keys())
            if both and before.get(key) != after.get(key)
        ],
    )


DIFFERENT = """
SELECT coalesce(later.completion_id, earlier.completion_id),
       coalesce(earlier.split, ''), coalesce(later.split, ''),
       coalesce(earlier.category, ''), coalesce(earlier.response_type, ''),
       coalesce(later.category, ''), coalesce(later.response_type, ''),
       earlier.truths::text, later.truths::text
FROM (SELECT * FROM annotation_goldversionrow WHERE version_id = %(before)s) AS earlier
FULL JOIN (SELECT * FROM annotation_goldversionrow WHERE version_id = %(after)s) AS later
       ON later.completion_id = earlier.completion_id
WHERE (earlier.split, earlier.category, earlier.response_type, earlier.truths)
      IS DISTINCT FROM (later.split, later.category, later.response_type, later.truths)
ORDER BY 1
"""
