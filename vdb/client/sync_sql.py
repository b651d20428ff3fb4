"""SQL sessions for programs without an event loop: the same methods as `RemoteSession`, blocking. Thread-safe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Protocol, TypeVar

from vdb.changes import Attribution, Value
from vdb.client.migrating import applied_migrations, migrate
from vdb.client.sql_rows import SqlRows
from vdb.client.sql_session import RemoteSession
from vdb.sql.answers import Parameters, SqlStatement
from vdb.sql.diffing import TableDiff
from vdb.sql.explanation import Explanation
from vdb.sql.history import Version
from vdb.sql.migrations import Applied
from vdb.sql.moment import AnyMoment
from vdb.types import Position, ReadLevel

T = TypeVar("T")


class Run(Protocol):
    """Runs an asynchronous function on the face's loop and waits for its result."""

    def __call__(self, function: Callable[[], Awaitable[T]], /) -> T: ...


class SyncRows:
    """What a statement gave. See `SqlRows`."""

    def __init__(self, rows: SqlRows, run: Run) -> None:
        self._rows = rows
        self._run = run
        self.columns = rows.columns
        self.declared = rows.declared
        self.rowcount = rows.rowcount
        self.lastrowid = rows.lastrowid

    def fetchone(self) -> tuple[Value, ...] | None:
        """The next row, or None."""
        found = self.fetchmany(1)
        return found[0] if found else None

    def fetchmany(self, count: int) -> list[tuple[Value, ...]]:
        """Up to `count` rows; none at the end."""
        here = self._rows.take(count)
        return here if here is not None else self._run(partial(self._rows.fetchmany, count))

    def fetchall(self) -> list[tuple[Value, ...]]:
        """All rows that are left."""
        return self._run(self._rows.fetchall)

    def __iter__(self) -> Iterator[tuple[Value, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """Give up the rows that are left."""
        self._run(self._rows.close)


class SyncSession:
    """See `RemoteSession`. For `with`."""

    def __init__(self, session: RemoteSession, run: Run) -> None:
        self._session = session
        self._run = run

    @property
    def name(self) -> str:
        return self._session.name

    @property
    def in_transaction(self) -> bool:
        return self._session.in_transaction

    @property
    def position(self) -> Position | None:
        """Before which the last transaction lies that this session has committed."""
        return self._session.position

    @property
    def total_changes(self) -> int:
        return self._session.total_changes

    @property
    def level(self) -> ReadLevel:
        return self._session.level

    @level.setter
    def level(self, level: ReadLevel) -> None:
        self._session.level = level

    @property
    def attribution(self) -> Attribution:
        return self._session.attribution

    @attribution.setter
    def attribution(self, attribution: Attribution) -> None:
        self._session.attribution = attribution

    def execute(
        self, sql: str, parameters: Parameters = (), *, max_rows: int = 0, timeout: float | None = None
    ) -> SyncRows:
        """Run one statement."""
        work = partial(self._session.execute, sql, parameters, max_rows=max_rows, timeout=timeout)
        return SyncRows(self._run(work), self._run)

    def executemany(self, sql: str, parameters: Sequence[Parameters], *, timeout: float | None = None) -> SyncRows:
        """Run one statement for each of several parameters."""
        return SyncRows(self._run(partial(self._session.executemany, sql, parameters, timeout=timeout)), self._run)

    def batch(
        self, statements: Sequence[SqlStatement | str], *, max_rows: int = 0, timeout: float | None = None
    ) -> list[SyncRows]:
        """Run several statements in one call."""
        found = self._run(partial(self._session.batch, statements, max_rows=max_rows, timeout=timeout))
        return [SyncRows(rows, self._run) for rows in found]

    def commit(self, *, timeout: float | None = None) -> None:
        """Commit what is open; nothing may be."""
        self._run(partial(self._session.commit, timeout=timeout))

    def rollback(self, *, timeout: float | None = None) -> None:
        """Roll back what is open; nothing may be."""
        self._run(partial(self._session.rollback, timeout=timeout))

    def migrate(self, files: Mapping[str, str], *, timeout: float | None = None) -> list[str]:
        """Apply the migrations that the database hasn't yet; the names of those that this applied."""
        return self._run(partial(migrate, self._session, files, timeout=timeout))

    def migrations(self) -> list[Applied]:
        """The migrations that the database has, in order."""
        return self._run(partial(applied_migrations, self._session))

    @contextmanager
    def transaction(self, mode: str = "IMMEDIATE") -> Iterator[SyncSession]:
        """For `with`: a transaction that is committed at the end of the block, or rolled back by an error."""
        self.execute(f"BEGIN {mode}")
        try:
            yield self
        except BaseException:
            self.rollback()
            raise
        self.commit()

    def history(self, table: str, key: Value | Sequence[Value], *, timeout: float | None = None) -> list[Version]:
        """The versions of a row, the oldest first. `key`: of its primary key, or its rowid where it has none."""
        return self._run(partial(self._session.history, table, key, timeout=timeout))

    def explain(self, sql: str, *, timeout: float | None = None) -> Explanation:
        """What a statement would read, write and log. It isn't run."""
        return self._run(partial(self._session.explain, sql, timeout=timeout))

    def diff(self, first: AnyMoment, second: AnyMoment, *, timeout: float | None = None) -> list[TableDiff]:
        """What turns the rows of the first moment into those of the second."""
        return self._run(partial(self._session.diff, first, second, timeout=timeout))

    def restore(self, name: str, moment: AnyMoment, *, timeout: float | None = None) -> None:
        """Make a new database `name`, as this one was. See `RemoteSession.restore`."""
        self._run(partial(self._session.restore, name, moment, timeout=timeout))

    def interrupt(self) -> None:
        """Stop the call that another thread has under way. See `RemoteSession.interrupt`."""

        async def work() -> None:
            self._session.interrupt()

        self._run(work)

    def close(self, *, timeout: float | None = None) -> None:
        """Roll back what is open, and end. Closing twice is harmless."""
        self._run(partial(self._session.close, timeout=timeout))

    def __enter__(self) -> SyncSession:
        self._run(self._session.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(partial(self._session.__aexit__, kind, error, traceback))
