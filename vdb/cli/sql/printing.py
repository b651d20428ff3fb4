"""How rows are printed: a table, CSV, or JSON with one object a row.

A table shows NULL as such and a blob as x'...'. CSV leaves NULL empty and writes a blob in hex, as JSON does; there a
number that JSON doesn't know (an infinity) is text.
"""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

from vdb.changes import RawText
from vdb.cli.output import print_json, print_table

ROWS_AT_ONCE = 500
"""A table's columns are as wide as the widest of so many rows; a longer result comes in several tables."""


class Form(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: Form) -> int:
    """Print all rows as they come; how many there were."""
    if form is Form.JSON:
        return _print_json(columns, rows)
    return _print_csv(columns, rows) if form is Form.CSV else _print_tables(columns, rows)


def _print_tables(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    iterator, count = iter(rows), 0
    while True:
        some = list(islice(iterator, ROWS_AT_ONCE))
        if not some and count:
            return count
        print_table(columns, [[cell_text(cell) for cell in row] for row in some])
        count += len(some)
        if len(some) < ROWS_AT_ONCE:
            return count


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    count = 0
    for line in _csv_lines(columns, rows):
        sys.stdout.write(line)
        count += 1
    sys.stdout.flush()
    return count - 1


def _csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    yield buffer.getvalue()
    for row in rows:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow([cell.hex() if isinstance(cell, bytes) else cell for cell in row])
        yield buffer.getvalue()


def _print_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    names = _different(columns)
    count = 0
    for row in rows:
        print_json({name: json_cell(cell) for name, cell in zip(names, row, strict=True)})
        count += 1
    return count


def _different(columns: Sequence[str]) -> list[str]:
    """Columns of one name get a number, so that an object loses none of them."""
    found: dict[str, None] = {}
    for column in columns:
        name, number = column, 2
        while name in found:
            name, number = f"{column}_{number}", number + 1
        found[name] = None
    return list(found)


def cell_text(cell: Any) -> str:
    """A value as a table shows it."""
    if cell is None:
        return "NULL"
    if isinstance(cell, RawText):
        cell = cell.data
    return f"x'{cell.hex()}'" if isinstance(cell, bytes) else str(cell)


def json_cell(cell: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(cell, RawText):
        return cell.data.hex()
    if isinstance(cell, bytes):
        return cell.hex()
    if isinstance(cell, float) and not math.isfinite(cell):
        return str(cell)
    return cell
