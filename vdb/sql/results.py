"""What a statement gives: rows to fetch, and what SQLite says of it."""

from __future__ import annotations

from typing import Any

from attrs import define, field


@define(kw_only=True)
class Result:
    """`cursor` is SQLite's own, for rows that are fetched as they are needed; else `rows` are all there are."""

    description: tuple[tuple[Any, ...], ...] | None = None
    rowcount: int = -1
    lastrowid: int | None = None
    cursor: Any = field(default=None, repr=False)
    rows: list[tuple[Any, ...]] = field(factory=list, repr=False)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None."""
        if self.cursor is not None:
            row: tuple[Any, ...] | None = self.cursor.fetchone()
            return row
        return self.rows.pop(0) if self.rows else None

    def fetchmany(self, count: int) -> list[tuple[Any, ...]]:
        """Up to `count` rows; none at the end."""
        if self.cursor is not None:
            found: list[tuple[Any, ...]] = self.cursor.fetchmany(count)
            return found
        taken, self.rows = self.rows[:count], self.rows[count:]
        return taken

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        if self.cursor is not None:
            found: list[tuple[Any, ...]] = self.cursor.fetchall()
            return found
        taken, self.rows = self.rows, []
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
