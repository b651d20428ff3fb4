"""The RPC door of SQL databases: one per connection, since a session belongs to its connection and ends with it.

A call takes its place in its session's queue while it is dispatched, so calls run in the order of their arrival.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio

from vdb.changes import NOBODY
from vdb.errors import DefiniteError, TransactionEnded, WireError
from vdb.kernel.reply import StreamCreated
from vdb.marks import mark
from vdb.node.crud.asked_session import AskedSession
from vdb.node.crud.databases import DatabaseInfo
from vdb.node.doors.answering import Fill, answer, listed
from vdb.node.doors.rpc_face import RpcFace
from vdb.node.gate.guard import Guard
from vdb.node.gate.origin import read_origin
from vdb.node.gate.permit import Permit
from vdb.node.gate.writes import Failure
from vdb.rpc.server import IncomingCall
from vdb.sql.answers import SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.sql.crossing import attribution_from, diff_into, explanation_into, versions_into
from vdb.sql.moment import Moment, parse_moment
from vdb.wire.api import read_level
from vdb.wire.sql_api import parameters_from, rows_into, value_from

T = TypeVar("T")


class _Unnamed(Exception):
    """A call is made for somebody whom the caller may not name."""

    def __init__(self, permit: Permit) -> None:
        self.permit = permit


class SqlDoor:
    """Dispatches the calls of one connection: those of SQL databases itself, the others through the node's face."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._face = RpcFace(guard)
        self._sessions = guard.sql
        self._open: dict[int, tuple[AskedSession, str]] = {}
        """Sessions by number, and whose they are."""
        self._serial = 0

    def dispatch(self, call: IncomingCall) -> None:
        """Take one call. Its parameters are read before this returns."""
        handler = _HANDLERS.get(call.method.name)
        if handler is None:
            self._face.dispatch(call)
            return
        try:
            entered = self._guard.enter(call.method.name)
            try:
                handler(self, call)
            finally:
                self._guard.leave(entered)
        except _Unnamed as refused:
            call.start_soon(self._deny, refused.permit)
        except (DefiniteError, WireError) as error:
            call.fail(error)

    async def _deny(self, permit: Permit) -> None:
        """AccessDenied, once that is in the audit log."""
        await self._guard.checked(permit)

    async def close(self) -> None:
        """The connection is over: end its sessions."""
        sessions = [session for session, _ in self._open.values()]
        self._open.clear()
        if sessions:
            with trio.CancelScope(shield=True):
                for session in sessions:
                    await self._sessions.close(session)

    # Databases -------------------------------------------------------------------------------------------------

    def _create(self, call: IncomingCall) -> None:
        params = call.params

        def on_answer(created: StreamCreated | Failure) -> None:
            if not isinstance(created, StreamCreated):
                call.fail(created)
                return
            call.respond(lambda results: setattr(results, "created", created.created))

        self._sessions.create_soon(
            read_origin(params.origin),
            params.tenant,
            params.database,
            params.dataClass,
            params.placement,
            if_not_exists=params.ifNotExists,
            on_answer=on_answer,
        )

    def _list(self, call: IncomingCall) -> None:
        params = call.params
        tenant, group, level = params.tenant, params.group, read_level(params.consistency)

        answer(call, partial(self._sessions.list, tenant, group, level=level), listed("databases", _fill_info))

    def _outcome(self, call: IncomingCall) -> None:
        params = call.params
        tenant, name, transaction, since = params.tenant, params.database, params.transaction, params.sinceOffset
        answer(call, partial(self._sessions.outcome, tenant, name, bytes(transaction), since), _fill_outcome)

    # Sessions --------------------------------------------------------------------------------------------------

    def _open_session(self, call: IncomingCall) -> None:
        params = call.params
        tenant, name, level = params.tenant, params.database, read_level(params.consistency)
        attribution = attribution_from(params.attribution) or NOBODY
        lock_seconds, idle_seconds = params.lockMicros / 1e6, params.idleMicros / 1e6
        moment = _moment(params.asOf) if params.asOf else None

        async def run() -> None:
            session = await self._sessions.open(
                tenant,
                name,
                attribution=attribution,
                lock_seconds=lock_seconds,
                idle_seconds=idle_seconds,
                level=level,
                moment=moment,
            )
            if call.cancelled:
                with trio.CancelScope(shield=True):
                    await self._sessions.close(session)
                return
            self._serial += 1
            number = self._serial
            self._open[number] = session, self._guard.caller.principal.name

            def build(results: Any) -> None:
                results.session = number
                results.group = session.database.reader.group.name
                results.nextOffset = session.next_offset

            call.respond(build)

        call.start_soon(run)

    def _execute(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        statement, max_rows = _read_statement(params.statement), params.maxRows
        _run(call, session, partial(session.execute, sql_call, statement, max_rows), _fill_one)

    def _execute_many(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        text, sets = str(params.text), [parameters_from(one) for one in params.parameters]
        _run(call, session, partial(session.executemany, sql_call, text, sets), _fill_one)

    def _batch(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        statements, max_rows = [_read_statement(one) for one in params.statements], params.maxRows
        work = partial(session.batch, sql_call, statements, max_rows)
        _run(call, session, work, listed("answers", _fill_answer))

    def _fetch(self, call: IncomingCall) -> None:
        params = call.params
        session, cursor, max_rows = self._session(params.session), params.cursor, params.maxRows
        _run(call, session, partial(session.fetch, cursor, max_rows), _fill_one)

    def _close_cursor(self, call: IncomingCall) -> None:
        session, cursor = self._session(call.params.session), call.params.cursor
        _run(call, session, partial(session.close_cursor, cursor))

    def _commit(self, call: IncomingCall) -> None:
        session, sql_call = self._asked(call.params.call)
        _run(call, session, partial(session.commit, sql_call), _fill_one)

    def _migrate(self, call: IncomingCall) -> None:
        session, sql_call = self._asked(call.params.call)
        files = {str(file.name): str(file.text) for file in call.params.files}
        _run(call, session, partial(session.migrate, sql_call, files), _fill_one)

    def _rollback(self, call: IncomingCall) -> None:
        session, sql_call = self._asked(call.params.call)
        _run(call, session, partial(session.rollback, sql_call), _fill_one)

    # What is asked ---------------------------------------------------------------------------------------------

    def _history(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        table, key = str(params.table), [value_from(one) for one in params.key]
        work = partial(session.history, sql_call, table, key, params.skip, params.toOffset)
        _run(call, session, work, versions_into)

    def _explain(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        work = partial(session.explain, sql_call, str(params.text))
        _run(call, session, work, lambda results, found: explanation_into(results.explanation, found))

    def _diff(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        first, second, skip = _moment(params.first), _moment(params.second), params.skip
        _run(call, session, partial(session.diff, sql_call, first, second, skip), diff_into)

    def _restore(self, call: IncomingCall) -> None:
        params = call.params
        session, sql_call = self._asked(params.call)
        _run(call, session, partial(session.restore, sql_call, str(params.name), _moment(params.moment)))

    def _close_session(self, call: IncomingCall) -> None:
        found = self._open.pop(call.params.session, None)

        async def run() -> None:
            if found is not None:
                with trio.CancelScope(shield=True):
                    await self._sessions.close(found[0])
            call.respond()

        call.start_soon(run)

    def _asked(self, reader: Any) -> tuple[AskedSession, SqlCall]:
        """A call's session, and the call, if the caller may name whom it is made for."""
        session, call = self._session(reader.session), _read_call(reader)
        permit = self._sessions.naming(session.database.tenant, session.database.name, call.attribution)
        if permit is not None:
            raise _Unnamed(permit)
        return session, call

    def _session(self, number: int) -> AskedSession:
        session, owner = self._open.get(number, (None, None))
        if session is None:
            raise TransactionEnded(f"this connection has no SQL session {number}: open one")
        if owner != self._guard.principal.principal.name:
            mark("sql.anothers_session")
            raise TransactionEnded(f"SQL session {number} was opened by somebody else: open one")
        return session


def _run(
    call: IncomingCall, session: AskedSession, work: Callable[..., Awaitable[T]], fill: Fill[T] | None = None
) -> None:
    """Answer a call of a session, in the session's order; if it is cancelled, what SQLite is at is interrupted."""
    answer(call, partial(work, place=session.line_up()), fill)
    cancel = call.on_cancel
    assert cancel is not None

    def on_cancel() -> None:
        cancel()
        session.interrupt()

    call.on_cancel = on_cancel


def _read_call(reader: Any) -> SqlCall:
    return SqlCall(
        transaction=bytes(reader._get("transaction")),
        within=reader._get("within"),
        level=read_level(reader._get("consistency")),
        attribution=attribution_from(reader._get("attribution")) if reader._has("attribution") else None,
    )


def _read_statement(reader: Any) -> SqlStatement:
    return SqlStatement(sql=str(reader._get("text")), parameters=parameters_from(reader._get("parameters")))


def _moment(text: Any) -> Moment:
    return parse_moment(str(text)) if text else Moment()


def _fill_outcome(results: Any, outcome: SqlOutcome) -> None:
    results.committed = outcome.committed
    results.nextOffset = outcome.next_offset
    if outcome.position is not None:
        results.group = outcome.position.group
        results.nextPosition = outcome.position.number


def _fill_one(results: Any, found: SqlAnswer) -> None:
    _fill_answer(results.init("answer"), found)


def _fill_info(builder: Any, info: DatabaseInfo) -> None:
    builder.name = info.name
    builder.group = info.group
    builder.dataClass = int(info.data_class)
    builder.nextOffset = info.next_offset
    builder.createdAt = info.created_at


def _fill_answer(builder: Any, answer: SqlAnswer) -> None:
    if answer.columns is not None:
        builder.columns = list(answer.columns)
        if any(answer.declared):
            builder.declared = list(answer.declared)
        rows_into(builder, answer.rows)
        builder.cursor = answer.cursor
    builder.rowcount = answer.rowcount
    if answer.lastrowid is not None:
        builder.lastrowid = answer.lastrowid
        builder.hasLastrowid = True
    builder.inTransaction = answer.in_transaction
    if answer.position is not None:
        builder.group = answer.position.group
        builder.nextPosition = answer.position.number
    builder.nextOffset = answer.next_offset
    builder.totalChanges = answer.total_changes


_HANDLERS: dict[str, Callable[[SqlDoor, IncomingCall], None]] = {
    "sqlCreate": SqlDoor._create,
    "sqlList": SqlDoor._list,
    "sqlOpen": SqlDoor._open_session,
    "sqlExecute": SqlDoor._execute,
    "sqlExecuteMany": SqlDoor._execute_many,
    "sqlBatch": SqlDoor._batch,
    "sqlFetch": SqlDoor._fetch,
    "sqlCloseCursor": SqlDoor._close_cursor,
    "sqlCommit": SqlDoor._commit,
    "sqlRollback": SqlDoor._rollback,
    "sqlClose": SqlDoor._close_session,
    "sqlOutcome": SqlDoor._outcome,
    "sqlMigrate": SqlDoor._migrate,
    "sqlHistory": SqlDoor._history,
    "sqlExplain": SqlDoor._explain,
    "sqlDiff": SqlDoor._diff,
    "sqlRestore": SqlDoor._restore,
}
