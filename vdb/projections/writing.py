"""Rows on their way into a database, many at a time: what a statement costs is then paid once for all of its rows.

Rows keep their order. They are written when another statement comes, when many have come, and by `flush`.
"""

from __future__ import annotations

from typing import Any

from vdb.ports import Connection
from vdb.projections.values import SqlValue

ROWS_MAX = 1_000


class RowWriter:
    """Stands where a template expects a connection; statements give nothing back."""

    __slots__ = ("_db", "_rows", "_sql")

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._sql = ""
        self._rows: list[tuple[SqlValue, ...]] = []

    def execute(self, sql: str, row: tuple[SqlValue, ...]) -> None:
        """Have a statement run for a row, in turn."""
        if sql is not self._sql or len(self._rows) >= ROWS_MAX:
            self.flush()
            self._sql = sql
        self._rows.append(row)

    def executemany(self, sql: str, rows: Any) -> None:
        for row in rows:
            self.execute(sql, row)

    def begin(self, sql: str) -> list[tuple[SqlValue, ...]]:
        """Where rows of a statement may be put, until the next call of this writer."""
        if sql is not self._sql or len(self._rows) >= ROWS_MAX:
            self.flush()
            self._sql = sql
        return self._rows

    def flush(self) -> None:
        """Write what is waiting."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._db.executemany(self._sql, rows)
