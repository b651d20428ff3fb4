"""What a SQL session of a client needs of whatever carries its calls: a session at a node, for as long as it lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen

from vdb.changes import Attribution, Value
from vdb.errors import NotPrimary, NotReady
from vdb.sql.answers import Parameters, SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.sql.crossing import DiffPage, VersionsPage
from vdb.sql.explanation import Explanation
from vdb.types import DataClass, GroupId, ReadLevel

LOCK_TIMEOUT = 5.0
"""Seconds that a write waits while another session writes, unless it is told otherwise."""


@frozen(kw_only=True)
class SqlDatabase:
    """A SQL database, as it is listed."""

    name: str
    group: GroupId
    data_class: DataClass
    next_offset: int
    """Of its stream."""
    created_at: int
    """Microseconds UTC."""


class SqlLine(Protocol):
    """One session at one node. `timeout` is seconds. Errors are those of `vdb.errors`. What was lost stays lost."""

    @property
    def next_offset(self) -> int:
        """Of the database's stream, when the session was opened; of the past, where it reads that."""

    def new_id(self) -> bytes:
        """16 random bytes, for a transaction."""

    async def execute(self, call: SqlCall, statement: SqlStatement, max_rows: int, *, timeout: float) -> SqlAnswer: ...

    async def executemany(
        self, call: SqlCall, sql: str, parameters: Sequence[Parameters], *, timeout: float
    ) -> SqlAnswer: ...

    async def batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int, *, timeout: float
    ) -> list[SqlAnswer]: ...

    async def fetch(self, cursor: int, max_rows: int, *, timeout: float) -> SqlAnswer: ...

    async def close_cursor(self, cursor: int, *, timeout: float) -> None: ...

    def give_up(self, cursor: int) -> None:
        """`close_cursor`, and don't wait for it."""

    async def commit(self, call: SqlCall, *, timeout: float) -> SqlAnswer: ...

    async def rollback(self, call: SqlCall, *, timeout: float) -> SqlAnswer: ...

    async def migrate(self, call: SqlCall, files: Mapping[str, str], *, timeout: float) -> SqlAnswer: ...

    async def history(
        self, call: SqlCall, table: str, key: Sequence[Value], skip: int, to_offset: int, *, timeout: float
    ) -> VersionsPage: ...

    async def explain(self, call: SqlCall, sql: str, *, timeout: float) -> Explanation: ...

    async def diff(self, call: SqlCall, first: str, second: str, skip: int, *, timeout: float) -> DiffPage:
        """`first` and `second`: texts of moments."""

    async def restore(self, call: SqlCall, name: str, moment: str, *, timeout: float) -> None: ...

    async def refused(self, error: NotPrimary | NotReady) -> None:
        """The node says that it isn't the one to ask: the next line leads to another one, or waits."""

    def drop(self) -> None:
        """End the session, and don't wait for it."""

    async def close(self, *, timeout: float) -> None:
        """End the session; harmless for one that was lost."""


class SqlSource(Protocol):
    """Where lines come from. Bound to one database."""

    async def open(
        self, attribution: Attribution, level: ReadLevel, *, primary: bool, timeout: float, as_of: str = ""
    ) -> SqlLine:
        """A session at the primary, or at any node. `as_of`: a moment of the past to read; empty: the present."""

    async def outcome(self, transaction: bytes, since_offset: int, *, timeout: float) -> SqlOutcome: ...
