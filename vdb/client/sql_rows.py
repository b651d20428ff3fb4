"""What a statement gave to a client: its counts, and its rows, which are fetched as they are needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from vdb.changes import Value
from vdb.client.sql_line import SqlLine
from vdb.sql.answers import SqlAnswer

if TYPE_CHECKING:
    from vdb.client.sql_session import RemoteSession


class SqlRows:
    """What a statement gave: its counts, and its rows, which are fetched as they are needed."""

    def __init__(self, session: RemoteSession, answer: SqlAnswer, line: SqlLine | None) -> None:
        self.columns = answer.columns
        """Names; None: the statement returns no rows."""
        self.declared = answer.declared
        """Of each column the type that it is declared with, or ""."""
        self.rowcount = answer.rowcount
        """Rows that were changed; -1: not known, or none could be."""
        self.lastrowid = answer.lastrowid
        self._session = session
        self._line = line
        self._rows = answer.rows
        self._at = 0
        self._cursor = answer.cursor

    async def fetchone(self) -> tuple[Value, ...] | None:
        """The next row, or None."""
        found = await self.fetchmany(1)
        return found[0] if found else None

    async def fetchmany(self, count: int) -> list[tuple[Value, ...]]:
        """Up to `count` rows; none at the end. TransactionEnded where the session lost those that are left."""
        while self._at == len(self._rows) and self._cursor:
            await self._more()
        found = self._rows[self._at : self._at + count]
        self._at += len(found)
        while len(found) < count and self._cursor:
            await self._more()
            more = self._rows[: count - len(found)]
            self._at = len(more)
            found += more
        return found

    def take(self, count: int) -> list[tuple[Value, ...]] | None:
        """Up to `count` rows, if that needs nobody else: None where some must be fetched."""
        if len(self._rows) - self._at < count and self._cursor:
            return None
        found = self._rows[self._at : self._at + count]
        self._at += len(found)
        return found

    async def fetchall(self) -> list[tuple[Value, ...]]:
        """All rows that are left."""
        found = self._rows[self._at :]
        self._at = len(self._rows)
        while self._cursor:
            await self._more()
            found += self._rows
            self._at = len(self._rows)
        return found

    async def __aiter__(self) -> AsyncIterator[tuple[Value, ...]]:
        while True:
            for row in self._rows[self._at :]:
                self._at += 1
                yield row
            if not self._cursor:
                return
            await self._more()

    async def close(self) -> None:
        """Give up the rows that are left."""
        cursor, self._cursor = self._cursor, 0
        self._rows, self._at = [], 0
        if cursor and self._line is not None:
            await self._session._close_cursor(self._line, cursor)

    def __del__(self) -> None:
        if self._cursor and self._line is not None:
            self._session._given_up.append((self._line, self._cursor))

    async def _more(self) -> None:
        assert self._line is not None, "rows to fetch are at the end of a line"
        cursor, self._cursor = self._cursor, 0
        answer = await self._session._fetch(self._line, cursor)
        self._rows, self._at, self._cursor = answer.rows, 0, answer.cursor
