"""What a connection of the DB-API stands on: a session with a database, in this process or at a node far away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from vdb.changes import Attribution
from vdb.dbapi.telling import ToldRows, UntoldRows, told_result
from vdb.embedded.crud import LocalDatabase
from vdb.embedded.past import diff, history, restore
from vdb.ports import Connection
from vdb.sql.diffing import TableDiff
from vdb.sql.explain import explain
from vdb.sql.explanation import Explanation
from vdb.sql.governor import Governor
from vdb.sql.history import Version
from vdb.sql.host import run_inline
from vdb.sql.moment import Moment
from vdb.sql.results import Result
from vdb.sql.session import SqlSession
from vdb.sql.subjects import Subjects
from vdb.sql.verdict import Verdict
from vdb.sql.warden import Admission
from vdb.world.using import Using


class Backend(Protocol):
    """Errors are the binding's and `vdb.errors`'. Parameters are of SQLite's own types; nobody else changes them."""

    using: Using

    @property
    def session(self) -> SqlSession | None:
        """The session, where it is in this process: then reads go straight to SQLite."""

    @property
    def read_only(self) -> bool:
        """Whether statements that write are refused."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    @property
    def total_changes(self) -> int:
        """Rows that the connection has changed since it was opened."""

    def verdict(self, sql: str) -> Verdict:
        """What a statement is."""

    @property
    def is_kept(self) -> bool:
        """Whether a policy or the audit log has a say in this process: then no read goes straight to SQLite."""

    def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Result:
        """Run one statement for each of several parameters."""

    def commit(self) -> None:
        """Commit what is open."""

    def rollback(self) -> None:
        """Roll back what is open."""

    def attribute(self, attribution: Attribution) -> None:
        """On whose behalf the next transaction is made."""

    def read_text_as(self, factory: Any) -> None:
        """What makes text of bytes, where SQLite isn't at hand to be told."""

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""

    def notice(self) -> None:
        """A read failed: give back what a transaction held that SQLite has ended."""

    def history(self, table: str, key: Any) -> Sequence[Version]:
        """The versions of a row, the oldest first."""

    def explain(self, sql: str) -> Explanation:
        """What a statement would read, write and log."""

    def diff(self, first: Moment, second: Moment) -> Sequence[TableDiff]:
        """What turns the rows of the first moment into those of the second."""

    def restore(self, name: str, moment: Moment) -> None:
        """Make a new database, as this one was."""

    def close(self) -> None:
        """Roll back what is open, and end."""

    def abandon(self) -> None:
        """Close without waiting, in any thread: the connection was forgotten."""


class LocalBackend:
    """A session in this process. `end` gives it back to the database that it is of."""

    def __init__(
        self,
        session: SqlSession,
        *,
        local: LocalDatabase,
        governor: Governor,
        read_only: bool,
        end: Callable[[], None],
        abandon: Callable[[], None],
    ) -> None:
        self.session: SqlSession = session
        self.read_only = read_only
        self._local = local
        self._governor = governor
        self.is_kept = governor.keeper is not None
        self._db: Any = session.db
        self.using = local.using[session]
        """Says that this connection is at work: around what goes straight to SQLite."""
        self._undone = 0
        """Own changes that were rolled back: SQLite counts them all the same."""
        self._end = end
        self._abandon = abandon

    @property
    def db(self) -> Connection:
        """SQLite's own connection."""
        return self.session.db

    @property
    def in_transaction(self) -> bool:
        return bool(self._db.in_transaction)

    @property
    def total_changes(self) -> int:
        return int(self._db.total_changes) - self.session.own_changes - self._undone

    def verdict(self, sql: str) -> Verdict:
        return run_inline(self.session.verdict(sql))

    def execute(self, sql: str, parameters: Any = ()) -> Result:
        admission = run_inline(self._governor.admit(sql))
        result = run_inline(self._governor.execute(admission, parameters))
        return told_result(result, admission, self._governor)

    def admit(self, sql: str, *, names: bool) -> Admission:
        """What runs for a read. `names`: its receipt names subjects."""
        return run_inline(self._governor.admit(sql, names=names))

    def read(self, admission: Admission, parameters: Any) -> Any:
        """Run a read that was admitted; what rows are fetched from."""
        self.using.enter()
        try:
            cursor = self._db.execute(admission.sql, parameters)
        finally:
            self.using.leave()
        if admission.receipt or admission.governed:
            return ToldRows(cursor, admission, self._governor, self._db, self.using)
        return UntoldRows(cursor, admission, self._governor) if self.is_kept else cursor

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Result:
        admission = run_inline(self._governor.admit(sql, rows=False))
        return run_inline(self._governor.execute(admission, parameters, many=True))

    def commit(self) -> None:
        run_inline(self.session.commit())

    def rollback(self) -> None:
        before = self.session.own_changes
        run_inline(self.session.rollback())
        self._undone += before - self.session.own_changes

    def attribute(self, attribution: Attribution) -> None:
        self.session.attribution = attribution

    def read_text_as(self, factory: Any) -> None:
        """SQLite's connection is told by whoever reads."""

    def interrupt(self) -> None:
        self._db.interrupt()

    def notice(self) -> None:
        self.session.notice()

    def history(self, table: str, key: Any) -> Sequence[Version]:
        return history(self._local, table, key)

    def explain(self, sql: str) -> Explanation:
        run_inline(self._governor.admit(sql, rows=False, runs=False))
        self.using.enter()
        try:
            return explain(self.session.db, self.session.classifier, sql, Subjects(self.session.db).columns())
        finally:
            self.using.leave()

    def diff(self, first: Moment, second: Moment) -> Sequence[TableDiff]:
        return diff(self._local, first, second)

    def restore(self, name: str, moment: Moment) -> None:
        restore(self._local, name, moment, self.session.attribution)

    def close(self) -> None:
        self._end()

    def abandon(self) -> None:
        self._abandon()
