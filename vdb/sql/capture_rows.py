"""Captured rows, read back as steps of a transaction.

Only the columns in use are read. Text is str where it is UTF-8; the first that isn't makes the whole be read again
with a slower reader, which says RawText.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vdb.changes import Layout, Operation, RawText, RowChange, SchemaChange, Step
from vdb.marks import mark
from vdb.sql.capture_triggers import CAPTURE_WIDTH, VALUE_COLUMNS, Event
from vdb.sql.names import CAPTURE_TABLE
from vdb.sql.tables import Table

Row = tuple[Any, ...]

_HEAD = 3
_UPDATE, _INSERT, _DELETE = Operation.UPDATE, Operation.INSERT, Operation.DELETE


def select_rows(tables: Sequence[Table]) -> str:
    """The statement that reads all that was captured, as wide as these tables need it."""
    widest = max((2 * len(table.columns) for table in tables), default=1)
    names = ", ".join(("code", "row_before", "row_after", *VALUE_COLUMNS[: max(1, min(widest, CAPTURE_WIDTH))]))
    return f"SELECT {names} FROM {CAPTURE_TABLE} ORDER BY seq"


def text_or_raw(data: bytes) -> str | RawText:
    """The text factory that takes what isn't UTF-8 as well."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        mark("sql.raw_text")
        return RawText(data)


def read_steps(rows: list[Row], tables: Mapping[int, Table]) -> tuple[list[int], list[Step]]:
    """What the rows say, and the ids of the layouts that occur, in the order of their indexes.

    `tables`: by the id of their layout; a change of a layout that isn't there is left out.
    """
    layouts: list[int] = []
    known: dict[int, tuple[int, int]] = {}
    steps: list[Step] = []
    take = iter(rows)
    for row in take:
        layout, event = row[0] >> 3, row[0] & 7
        if event == Event.SCHEMA:
            steps.append(SchemaChange(sql=row[_HEAD]))
            continue
        found = known.get(layout)
        if found is None:
            table = tables.get(layout)
            if table is None:
                mark("sql.stray_capture")
                continue
            found = known[layout] = (len(layouts), len(table.columns))
            layouts.append(layout)
        index, count = found
        if event == _UPDATE:
            end = _HEAD + 2 * count
            if end > len(row):
                row = _joined(row, take, end)
            middle = _HEAD + count
            steps.append(
                RowChange(
                    layout=index,
                    operation=_UPDATE,
                    rowid_before=row[1],
                    rowid_after=row[2],
                    before=row[_HEAD:middle],
                    after=row[middle:end],
                )
            )
            continue
        end = _HEAD + count
        if end > len(row):
            row = _joined(row, take, end)
        if event == _INSERT:
            steps.append(RowChange(layout=index, operation=_INSERT, rowid_after=row[2], after=row[_HEAD:end]))
        else:
            steps.append(RowChange(layout=index, operation=_DELETE, rowid_before=row[1], before=row[_HEAD:end]))
    return layouts, steps


def _joined(row: Row, take: Any, end: int) -> Row:
    """The row with what follows it, until it has `end` values."""
    while len(row) < end:
        more = next(take)
        assert more[0] == Event.CONTINUED, "a captured row that goes on is followed by the rest of it"
        row += more[_HEAD:]
    return row


def layout_of(table: Table) -> Layout:
    """What a transaction says of the table."""
    return Layout(table=table.name, columns=table.columns, key=table.key, rowid=not table.without_rowid)
