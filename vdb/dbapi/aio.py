"""The DB-API for coroutines, under trio and asyncio: the same calls, in worker threads.

    async with vdb.dbapi.aio.connect("data", keys="root.key") as connection:
        await connection.execute("INSERT INTO visits (note) VALUES (?)", ("check-up",))
        await connection.commit()
        async with connection.execute("SELECT note FROM visits") as cursor:
            async for (note,) in cursor:
                ...

- A connection's calls run one after another, in the order in which they were made.
- A call that is cancelled is interrupted, and has come to its end when the cancellation goes on.
- What `vdb.dbapi.attributed` says around a call counts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

from vdb.dbapi import connect as connect_sync
from vdb.dbapi.connection import Connection
from vdb.dbapi.cursor import Cursor
from vdb.sql.diffing import TableDiff
from vdb.sql.explanation import Explanation
from vdb.sql.history import Version
from vdb.sql.moment import AnyMoment
from vdb.world.threads import Turns

T = TypeVar("T")
A = TypeVar("A")

ROWS_AT_ONCE = 128
"""Rows that `async for` takes from SQLite at a time."""


class Opening(Generic[A]):
    """Something that is being made: `await` gives it, and `async with` closes it, too."""

    def __init__(self, make: Callable[[], Awaitable[A]]) -> None:
        self._make = make
        self._made: A | None = None

    def __await__(self) -> Generator[Any, Any, A]:
        return self._make().__await__()

    async def __aenter__(self) -> A:
        self._made = await self._make()
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        made: Any = self._made
        await made.close()


class AsyncCursor:
    """A cursor whose statement was run. Its methods are those of `vdb.dbapi.Cursor`."""

    def __init__(self, connection: AsyncConnection, cursor: Cursor) -> None:
        self.connection = connection
        self._cursor = cursor
        self._call = connection._call

    async def execute(self, sql: str, parameters: Any = ()) -> AsyncCursor:
        """Run one statement."""
        await self._call(lambda: self._cursor.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, parameters: Any) -> AsyncCursor:
        """Run one statement for each of several parameters."""
        await self._call(lambda: self._cursor.executemany(sql, parameters))
        return self

    async def executescript(self, script: str) -> AsyncCursor:
        """Run all statements of a text."""
        await self._call(lambda: self._cursor.executescript(script))
        return self

    async def fetchone(self) -> Any:
        """The next row, or None."""
        return await self._call(self._cursor.fetchone)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows, `arraysize` unless said otherwise; none at the end."""
        return await self._call(lambda: self._cursor.fetchmany(size))

    async def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return await self._call(self._cursor.fetchall)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany(ROWS_AT_ONCE):
            for row in rows:
                yield row

    async def close(self) -> None:
        """Give the statement back."""
        if self.connection.is_open:
            await self._call(self._cursor.close)

    @property
    def description(self) -> tuple[tuple[Any, ...], ...] | None:
        """The result's columns."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The rowid of the row that was inserted last."""
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        """How many rows `fetchmany` gives."""
        return self._cursor.arraysize

    @arraysize.setter
    def arraysize(self, size: int) -> None:
        self._cursor.arraysize = size

    @property
    def row_factory(self) -> Any:
        """Called with the cursor, a `vdb.dbapi.Cursor`, and a row."""
        return self._cursor.row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._cursor.row_factory = factory


class AsyncConnection:
    """One session with a database. Made by `connect`."""

    def __init__(self, connection: Connection, turns: Turns) -> None:
        self.sync = connection
        """The connection itself: settings may be read and set here, statements run through the coroutines alone."""
        self._turns = turns

    async def _call(self, work: Callable[[], T]) -> T:
        return await self._turns.call(work, self._interrupt)

    def _interrupt(self) -> None:
        if self.is_open:
            self.sync.interrupt()

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self.sync.backend is not None

    def cursor(self) -> AsyncCursor:
        """A new cursor."""
        return AsyncCursor(self, self.sync.cursor())

    def execute(self, sql: str, parameters: Any = ()) -> Opening[AsyncCursor]:
        """Run one statement in a new cursor: `await` it, or use it with `async with`."""
        return self._run(lambda: self.sync.execute(sql, parameters))

    def executemany(self, sql: str, parameters: Any) -> Opening[AsyncCursor]:
        """Run one statement for each of several parameters, in a new cursor."""
        return self._run(lambda: self.sync.executemany(sql, parameters))

    def executescript(self, script: str) -> Opening[AsyncCursor]:
        """Run all statements of a text, in a new cursor."""
        return self._run(lambda: self.sync.executescript(script))

    async def execute_fetchall(self, sql: str, parameters: Any = ()) -> list[Any]:
        """Run one statement, and all of its rows."""
        found: list[Any] = await self._call(lambda: self.sync.execute(sql, parameters).fetchall())
        return found

    async def commit(self) -> None:
        """Commit what is open: returns when it is in the log."""
        await self._call(self.sync.commit)

    async def rollback(self) -> None:
        """Roll back what is open."""
        await self._call(self.sync.rollback)

    async def backup(self, target: AsyncConnection, **options: Any) -> None:
        """Make another connection's database the same as this one."""
        await self._call(lambda: self.sync.backup(target.sync, **options))

    async def iterdump(self) -> AsyncIterator[str]:
        """The statements that make the same database."""
        for statement in await self._call(lambda: list(self.sync.iterdump())):
            yield statement

    async def history(self, table: str, key: Any) -> Sequence[Version]:
        """The versions of a row, the oldest first. See `Connection.history`."""
        return await self._call(lambda: self.sync.history(table, key))

    async def explain(self, sql: str, /) -> Explanation:
        """What a statement would read, write and log. It isn't run."""
        return await self._call(lambda: self.sync.explain(sql))

    async def diff(self, first: AnyMoment, second: AnyMoment) -> Sequence[TableDiff]:
        """Which rows differ between two moments."""
        return await self._call(lambda: self.sync.diff(first, second))

    async def restore(self, name: str, moment: AnyMoment) -> None:
        """Make a new database `name` beside this one, as this one was."""
        await self._call(lambda: self.sync.restore(name, moment))

    async def close(self) -> None:
        """Roll back what is open, and end. Closing twice is harmless."""
        await self._turns.call(self.sync.close, None)

    def interrupt(self) -> None:
        """Stop the statement that runs."""
        self.sync.interrupt()

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.sync.in_transaction

    @property
    def total_changes(self) -> int:
        """Rows that were inserted, updated or deleted since the connection was opened."""
        return self.sync.total_changes

    @property
    def row_factory(self) -> Any:
        """Given to each cursor."""
        return self.sync.row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self.sync.row_factory = factory

    @property
    def isolation_level(self) -> str | None:
        """How transactions begin by themselves."""
        return self.sync.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        self.sync.isolation_level = level

    @property
    def actor(self) -> str:
        """Who makes the transactions that begin from now on."""
        return self.sync.actor

    @actor.setter
    def actor(self, actor: str) -> None:
        self.sync.actor = actor

    @property
    def purpose(self) -> str:
        """What they are made for."""
        return self.sync.purpose

    @purpose.setter
    def purpose(self, purpose: str) -> None:
        self.sync.purpose = purpose

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else is said of them."""
        return self.sync.metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, str]) -> None:
        self.sync.metadata = metadata

    def _run(self, work: Callable[[], Cursor]) -> Opening[AsyncCursor]:
        async def run() -> AsyncCursor:
            return AsyncCursor(self, await self._call(work))

        return Opening(run)


def connect(database: Any, **options: Any) -> Opening[AsyncConnection]:
    """Connect as `vdb.dbapi.connect` does: `await` it, or use it with `async with`, which closes it."""

    async def make() -> AsyncConnection:
        turns = Turns()
        connection = await turns.call(lambda: connect_sync(database, check_same_thread=False, **options), None)
        return AsyncConnection(connection, turns)

    return Opening(make)
