"""SQL sessions of the faces of a node in this process: straight to its gate, or from another loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import trio
from attrs import frozen

from vdb.changes import Attribution, Value
from vdb.client.sql_line import SqlLine, SqlSource
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import NotPrimary, NotReady
from vdb.node.crud.asked_session import AskedSession
from vdb.node.gate.guard_sql import GuardedSessions
from vdb.sql.answers import Parameters, SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.sql.crossing import DiffPage, VersionsPage
from vdb.sql.explanation import Explanation
from vdb.sql.moment import parse_moment
from vdb.types import ReadLevel

PAUSE_SECONDS = 0.02
"""Before a node that wasn't ready is asked again."""


class ServiceLine:
    """Implements `vdb.client.sql_line.SqlLine` in the node's loop."""

    def __init__(self, sessions: GuardedSessions, session: AskedSession) -> None:
        self._sessions = sessions
        self._session = session
        self.next_offset = session.next_offset

    def new_id(self) -> bytes:
        return self._session.database.new_id()

    async def execute(self, call: SqlCall, statement: SqlStatement, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._session.execute(call, statement, max_rows)

    async def executemany(
        self, call: SqlCall, sql: str, parameters: Sequence[Parameters], *, timeout: float
    ) -> SqlAnswer:
        return await self._session.executemany(call, sql, parameters)

    async def batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int, *, timeout: float
    ) -> list[SqlAnswer]:
        return await self._session.batch(call, statements, max_rows)

    async def fetch(self, cursor: int, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._session.fetch(cursor, max_rows)

    async def close_cursor(self, cursor: int, *, timeout: float) -> None:
        await self._session.close_cursor(cursor)

    def give_up(self, cursor: int) -> None:
        self._sessions.give_up_soon(self._session, cursor)

    async def commit(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._session.commit(call)

    async def rollback(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._session.rollback(call)

    async def migrate(self, call: SqlCall, files: Mapping[str, str], *, timeout: float) -> SqlAnswer:
        return await self._session.migrate(call, files)

    async def history(
        self, call: SqlCall, table: str, key: Sequence[Value], skip: int, to_offset: int, *, timeout: float
    ) -> VersionsPage:
        return await self._session.history(call, table, key, skip, to_offset)

    async def explain(self, call: SqlCall, sql: str, *, timeout: float) -> Explanation:
        return await self._session.explain(call, sql)

    async def diff(self, call: SqlCall, first: str, second: str, skip: int, *, timeout: float) -> DiffPage:
        return await self._session.diff(call, parse_moment(first), parse_moment(second), skip)

    async def restore(self, call: SqlCall, name: str, moment: str, *, timeout: float) -> None:
        await self._session.restore(call, name, parse_moment(moment))

    async def refused(self, error: NotPrimary | NotReady) -> None:
        self.drop()
        await trio.sleep(PAUSE_SECONDS)

    def drop(self) -> None:
        self._sessions.close_soon(self._session)

    async def close(self, *, timeout: float) -> None:
        with trio.CancelScope(shield=True):
            await self._sessions.close(self._session)


@frozen
class ServiceSource:
    """Implements `vdb.client.sql_line.SqlSource` in the node's loop."""

    _sessions: GuardedSessions
    _tenant: int
    _name: str
    _lock_timeout: float
    _idle_timeout: float

    async def open(
        self, attribution: Attribution, level: ReadLevel, *, primary: bool, timeout: float, as_of: str = ""
    ) -> ServiceLine:
        session = await self._sessions.open(
            self._tenant,
            self._name,
            attribution=attribution,
            lock_seconds=self._lock_timeout,
            idle_seconds=self._idle_timeout,
            level=level,
            moment=parse_moment(as_of) if as_of else None,
        )
        return ServiceLine(self._sessions, session)

    async def outcome(self, transaction: bytes, since_offset: int, *, timeout: float) -> SqlOutcome:
        return await self._sessions.outcome(self._tenant, self._name, transaction, since_offset)


class HopLine:
    """Implements `SqlLine` over one that lives in a `LoopThread`."""

    def __init__(self, inner: SqlLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop
        self.next_offset = inner.next_offset

    def new_id(self) -> bytes:
        return self._inner.new_id()

    async def execute(self, call: SqlCall, statement: SqlStatement, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.execute, call, statement, max_rows, timeout=timeout))

    async def executemany(
        self, call: SqlCall, sql: str, parameters: Sequence[Parameters], *, timeout: float
    ) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.executemany, call, sql, parameters, timeout=timeout))

    async def batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int, *, timeout: float
    ) -> list[SqlAnswer]:
        return await self._loop.call_async(partial(self._inner.batch, call, statements, max_rows, timeout=timeout))

    async def fetch(self, cursor: int, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.fetch, cursor, max_rows, timeout=timeout))

    async def close_cursor(self, cursor: int, *, timeout: float) -> None:
        await self._loop.call_async(partial(self._inner.close_cursor, cursor, timeout=timeout))

    def give_up(self, cursor: int) -> None:
        self._loop.post(partial(self._inner.give_up, cursor))

    async def commit(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.commit, call, timeout=timeout))

    async def rollback(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.rollback, call, timeout=timeout))

    async def migrate(self, call: SqlCall, files: Mapping[str, str], *, timeout: float) -> SqlAnswer:
        return await self._loop.call_async(partial(self._inner.migrate, call, files, timeout=timeout))

    async def history(
        self, call: SqlCall, table: str, key: Sequence[Value], skip: int, to_offset: int, *, timeout: float
    ) -> VersionsPage:
        history = partial(self._inner.history, call, table, key, skip, to_offset, timeout=timeout)
        return await self._loop.call_async(history)

    async def explain(self, call: SqlCall, sql: str, *, timeout: float) -> Explanation:
        return await self._loop.call_async(partial(self._inner.explain, call, sql, timeout=timeout))

    async def diff(self, call: SqlCall, first: str, second: str, skip: int, *, timeout: float) -> DiffPage:
        return await self._loop.call_async(partial(self._inner.diff, call, first, second, skip, timeout=timeout))

    async def restore(self, call: SqlCall, name: str, moment: str, *, timeout: float) -> None:
        await self._loop.call_async(partial(self._inner.restore, call, name, moment, timeout=timeout))

    async def refused(self, error: NotPrimary | NotReady) -> None:
        await self._loop.call_async(partial(self._inner.refused, error))

    def drop(self) -> None:
        self._loop.post(self._inner.drop)

    async def close(self, *, timeout: float) -> None:
        await self._loop.call_async(partial(self._inner.close, timeout=timeout))


@frozen
class HopSource:
    """Implements `SqlSource` over one that lives in a `LoopThread`."""

    _inner: SqlSource
    _loop: LoopThread

    async def open(
        self, attribution: Attribution, level: ReadLevel, *, primary: bool, timeout: float, as_of: str = ""
    ) -> HopLine:
        line = await self._loop.call_async(
            partial(self._inner.open, attribution, level, primary=primary, timeout=timeout, as_of=as_of)
        )
        return HopLine(line, self._loop)

    async def outcome(self, transaction: bytes, since_offset: int, *, timeout: float) -> SqlOutcome:
        return await self._loop.call_async(partial(self._inner.outcome, transaction, since_offset, timeout=timeout))
