"""What a call carries at most: the text of a statement, and rows, as many at a time as fit an answer."""

from __future__ import annotations

from vdb.changes import Value
from vdb.errors import TooLarge
from vdb.limits import SQL_ROWS_PER_CHUNK, SQL_STATEMENT_BYTES_MAX
from vdb.sql.results import Result

Row = tuple[Value, ...]


def count_of(max_rows: int) -> int:
    """How many rows an answer has at most, where its caller wants this many; 0: it didn't say."""
    return min(max_rows or SQL_ROWS_PER_CHUNK, SQL_ROWS_PER_CHUNK)


def take_rows(result: Result, count: int, room: int) -> tuple[list[Row], bool]:
    """Up to `count` rows, the last of which goes beyond `room` bytes; and whether there may be more."""
    rows: list[Row] = []
    while len(rows) < count:
        row = result.fetchone()
        if row is None:
            return rows, False
        rows.append(row)
        room -= size_of(row)
        if room <= 0:
            break
    return rows, True


def size_of(row: Row) -> int:
    """Bytes that a row takes in an answer, about."""
    size = 24 * len(row)
    for value in row:
        if isinstance(value, str | bytes):
            size += len(value)
    return size


def check_text(sql: str) -> None:
    """TooLarge for a statement beyond the limit."""
    if len(sql) > SQL_STATEMENT_BYTES_MAX:
        raise TooLarge(f"a statement has at most {SQL_STATEMENT_BYTES_MAX} characters; found {len(sql)}")
