"""What a statement gives: rows to fetch, and what SQLite says of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from attrs import define, field

from vdb.ports import Connection


@define(kw_only=True)
class Result:
    """`cursor` is SQLite's own, for rows that are fetched as they are needed; else `rows` are all there are."""

    description: tuple[tuple[Any, ...], ...] | None = None
    rowcount: int = -1
    lastrowid: int | None = None
    cursor: Any = field(default=None, repr=False)
    rows: list[tuple[Any, ...]] = field(factory=list, repr=False)
    _taken: int = field(default=0, init=False, repr=False)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        if self.cursor is not None:
            row: tuple[Any, ...] | None = self.cursor.fetchone()
            return row
        if self._taken >= len(self.rows):
            return None
        self._taken += 1
        return self.rows[self._taken - 1]

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        """Up to `count` rows; none at the end."""
        if self.cursor is not None:
            found: list[tuple[Any, ...]] = self.cursor.fetchmany(count)
            return found
        taken = self.rows[self._taken : self._taken + count]
        self._taken += len(taken)
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        if self.cursor is not None:
            found: list[tuple[Any, ...]] = self.cursor.fetchall()
            return found
        taken, self.rows = self.rows[self._taken :], []
        self._taken = 0
        return taken


def live(cursor: Any) -> Result:
    """Rows as SQLite steps to them."""
    return Result(description=cursor.description, rowcount=cursor.rowcount, lastrowid=cursor.lastrowid, cursor=cursor)


def buffered(result: Any) -> Result:
    """All rows at once, so that the statement is over."""
    cursor = result.cursor if isinstance(result, Result) else result
    if cursor is None:
        assert isinstance(result, Result)
        return result
    rows = cursor.fetchall() if cursor.description is not None else []
    return Result(description=cursor.description, rowcount=cursor.rowcount, lastrowid=cursor.lastrowid, rows=list(rows))


def returned(cursor: Any, db: Connection, trusting: AbstractContextManager[None]) -> Result:
    """The rows of RETURNING, all at once: only when the statement is over does SQLite say how many it changed."""
    result = buffered(cursor)
    with trusting:
        (result.rowcount,) = db.execute("SELECT changes()").fetchone()
    return result
