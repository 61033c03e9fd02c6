"""Rows as files: JSON lines, CSV and Parquet, written piece by piece."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import TextChoices

from annotation.selectors.label_exports import COLUMNS, LabelExport, Row, What
from rbr_app.db import one_moment

ROWS_AT_ONCE = 500
ROW_GROUP = 20_000
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula's beginning."""
PARQUET = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


class Format(TextChoices):
    JSONL = "jsonl", "JSONL"
    CSV = "csv", "CSV"
    PARQUET = "parquet", "Parquet"


CONTENT_TYPES = {
    Format.JSONL: "application/jsonl; charset=utf-8",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def write_export(export: LabelExport, file_format: str, file: BinaryIO) -> int:
    """Write the export, all of it as of one moment; how many rows it has.

    Conversations are JSONL alone.
    """
    counted = _Counted(export.rows())
    with one_moment():
        if file_format == Format.PARQUET:
            _write_parquet(counted, COLUMNS[export.what], file)
        else:
            for piece in _text(counted, export, file_format):
                file.write(piece)
    return counted.n


def stream_export(export: LabelExport, file_format: str) -> Iterator[bytes]:
    """The export as JSONL or CSV, piece by piece, all of it as of one moment."""
    with one_moment():
        yield from _text(export.rows(), export, file_format)


class _Counted:
    """Rows, and how many there were."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = rows
        self.n = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            self.n += 1
            yield row


def _text(rows: Iterable[Row], export: LabelExport, file_format: str) -> Iterator[bytes]:
    if file_format == Format.JSONL:
        return _jsonl(rows)
    if export.what == What.CONVERSATIONS:
        raise ValueError("conversations are exported as JSONL alone")
    return _csv(rows, COLUMNS[export.what])


def _pieces(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while piece := list(islice(rows, size)):
        yield piece


def _jsonl(rows: Iterable[Row]) -> Iterator[bytes]:
    for piece in _pieces(rows, ROWS_AT_ONCE):
        lines = (json.dumps(row, ensure_ascii=False, default=datetime.isoformat) for row in piece)
        yield "".join(f"{line}\n" for line in lines).encode()


def _csv(rows: Iterable[Row], columns: Mapping[str, type]) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for piece in _pieces(rows, ROWS_AT_ONCE):
        writer.writerows([_cell(row[name]) for name in columns] for row in piece)
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def _cell(value: Any) -> str:
    """A value as CSV holds it; text that a spreadsheet would run stands behind an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text


def _write_parquet(rows: Iterable[Row], columns: Mapping[str, type], file: BinaryIO) -> None:
    schema = pa.schema([(name, PARQUET[kind]) for name, kind in columns.items()])
    with pq.ParquetWriter(file, schema) as writer:
        for piece in _pieces(rows, ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(piece, schema=schema))
