"""A session of a SQL database for a caller far away: what `SqlSession` does, a call at a time, with limits.

Rules
- A read of which a receipt is committed asks no quorum beside: the receipt is committed in the view that was read in.
- Calls run one after the other, in the order in which they lined up.
- A session belongs to the view of the group in which it was opened. In a later one it writes nothing any more: so what
  the new primary says of a transaction that it doesn't find stays true.
- After SqlFailed (it says so), SqlRefused, DatabaseLocked and InvalidArgument an open transaction stays open. After
  every other error, and when a call is cancelled, it is rolled back.
- A caller that believes in a transaction which isn't open any more gets TransactionEnded, with what ended it.
- Rows that don't fit an answer stay with SQLite until they are fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import trio
from attrs import evolve

from vdb.errors import (
    InvalidArgument,
    NotReady,
    Overloaded,
    SqlFailed,
    TooLarge,
    TransactionEnded,
    VerityError,
)
from vdb.limits import (
    SQL_CHUNK_BYTES,
    SQL_CURSORS_MAX,
    SQL_ROW_BYTES_MAX,
    SQL_STATEMENTS_PER_BATCH,
)
from vdb.marks import mark
from vdb.node.crud.bridge import LoopBridge
from vdb.node.crud.copies import AsOf
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.freshness import Freshness
from vdb.node.crud.result_chunks import Row, check_text, count_of, size_of, take_rows
from vdb.policy.words import Action
from vdb.projections.store import Binding, interrupt, total_changes
from vdb.sql import sqlite_api
from vdb.sql.answers import STAYS_OPEN, Parameters, SqlAnswer, SqlCall, SqlStatement
from vdb.sql.governor import Governor
from vdb.sql.keeping import Answered, Keeper
from vdb.sql.migrations import apply_next, load_migrations
from vdb.sql.results import Result, live
from vdb.sql.session import SqlSession
from vdb.sql.verdict import StatementKind
from vdb.sql.warden import Admission
from vdb.types import Consistency

T = TypeVar("T")

BATCH_BYTES = 8 * SQL_CHUNK_BYTES
"""Of the rows that one batch answers, about."""

_WRITES = (StatementKind.WRITE, StatementKind.SCHEMA)
_TOO_BIG = 18
_READS = (StatementKind.READ, StatementKind.EXPLAIN)
_CONTROL = (StatementKind.BEGIN, StatementKind.COMMIT, StatementKind.ROLLBACK)
_ENDS = (StatementKind.COMMIT, StatementKind.ROLLBACK, StatementKind.RELEASE, StatementKind.ROLLBACK_TO)
_STEPS = (*_ENDS, StatementKind.BEGIN, StatementKind.SAVEPOINT, StatementKind.PRAGMA_SET, StatementKind.EMPTY)
"""Statements that neither read nor write."""

_NO_CALL = SqlCall()


class ServerSession:
    """See the module's docstring. Made by `NodeSessions.open`, ended by its `close`."""

    def __init__(
        self,
        *,
        database: CrudDatabase,
        session: SqlSession,
        bridge: LoopBridge,
        idle_seconds: float,
        is_void: Callable[[bytes], bool],
        as_of: AsOf | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        """`keeper` None: nobody asks what the session may do, and nobody is told what it was told."""
        self.database = database
        self.session = session
        self.idle_seconds = idle_seconds
        self.idle_since = trio.current_time()
        self.running = b""
        """Id of the transaction that the call under way may commit."""
        self._bridge = bridge
        self._is_void = is_void
        self._view = database.view
        self._as_of = as_of
        """What is read instead of the present."""
        self._queue: deque[trio.Event] = deque()
        self._governor = Governor(session, bridge, keeper, past=as_of is not None)
        self._cursors: dict[int, tuple[Result, Admission]] = {}
        self._serial = 0
        self._freshness = Freshness(database)
        self._touched = False
        """Whether the open transaction has read or written: until then it holds nothing, and sees nothing either."""
        self._ended = ""
        """Why the last transaction ended, if the caller hasn't heard of it."""
        self._closed = False

    @property
    def next_offset(self) -> int:
        """Of the database's stream, as far as the session reads it."""
        return self.database.applied if self._as_of is None else self._as_of.offset

    # Turns -----------------------------------------------------------------------------------------------------

    def line_up(self) -> trio.Event:
        """A place in the queue of calls; each is given to one call, which must be made."""
        place = trio.Event()
        self._queue.append(place)
        if len(self._queue) == 1:
            place.set()
        return place

    @asynccontextmanager
    async def turn(self, place: trio.Event | None = None) -> AsyncIterator[None]:
        """The time in which no other call runs."""
        mine = place if place is not None else self.line_up()
        try:
            await mine.wait()
            yield
        finally:
            self._queue.remove(mine)
            if self._queue:
                self._queue[0].set()
            self.idle_since = trio.current_time()

    @property
    def is_idle(self) -> bool:
        """No call is under way, and something is held that others miss."""
        session = self.session
        return not self._queue and (
            session.holds_lease or (session.in_transaction and self._touched) or bool(self._cursors)
        )

    def interrupt(self) -> None:
        """Have SQLite stop what it is at."""
        if not self._closed and self._queue:
            interrupt(self.session.db)

    # Calls -----------------------------------------------------------------------------------------------------

    async def execute(
        self, call: SqlCall, statement: SqlStatement, max_rows: int = 0, *, place: trio.Event | None = None
    ) -> SqlAnswer:
        """Run one statement; up to `max_rows` of its rows (0: a chunk)."""
        async with self.turn(place):
            return await self._run(call, lambda: self._statement(call, statement, max_rows))

    async def executemany(
        self, call: SqlCall, sql: str, parameters: Sequence[Parameters], *, place: trio.Event | None = None
    ) -> SqlAnswer:
        """Run one statement for each of these parameters; outside of a transaction they are one."""

        async def work() -> SqlAnswer:
            check_text(sql)
            await self._before(call, sql)
            admission = await self._governor.admit(sql, rows=False)
            result = await self._governor.execute(admission, parameters, many=True)
            return self._answer(result, [], 0)

        async with self.turn(place):
            return await self._run(call, work)

    async def batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int = 0, *, place: trio.Event | None = None
    ) -> list[SqlAnswer]:
        """Run several statements, up to the first that fails; outside of a transaction they are one, all or none."""
        if len(statements) > SQL_STATEMENTS_PER_BATCH:
            raise TooLarge(f"a batch has at most {SQL_STATEMENTS_PER_BATCH} statements; found {len(statements)}")
        async with self.turn(place):
            alone = not self.session.in_transaction
            try:
                return await self._run(call, lambda: self._batch(call, statements, max_rows, alone=alone))
            except SqlFailed as error:
                error.in_transaction = not alone and self.session.in_transaction
                raise
            finally:
                if alone:
                    with trio.CancelScope(shield=True):
                        await self._roll_back()

    async def fetch(self, cursor: int, max_rows: int = 0, *, place: trio.Event | None = None) -> SqlAnswer:
        """More rows of a result. TransactionEnded where it was given up meanwhile."""
        async with self.turn(place):
            found = self._cursors.get(cursor)
            if found is None:
                raise TransactionEnded(self._take_reason() or f"there is no result {cursor} to fetch from")
            result, admission = found

            async def work() -> SqlAnswer:
                await self._governor.ask_again(admission)
                rows, more = await self._rows(result, max_rows, SQL_CHUNK_BYTES)
                if not more:
                    self._cursors.pop(cursor, None)
                rows = await self._governor.told(admission, result, rows)
                return self._answer(result, rows, cursor if more else 0, hidden=len(admission.slots))

            return await self._run(_NO_CALL, work)

    async def close_cursor(self, cursor: int, *, place: trio.Event | None = None) -> None:
        """Give up the rows that are left; harmless where there are none."""
        async with self.turn(place):
            found = self._cursors.pop(cursor, None)
            if found is not None and found[0].cursor is not None:
                await self._bridge.off_loop(found[0].cursor.close)

    async def commit(self, call: SqlCall, *, place: trio.Event | None = None) -> SqlAnswer:
        """Commit what is open; nothing may be."""

        async def work() -> SqlAnswer:
            if self.session.in_transaction:
                if self._as_of is None:
                    self._check_view()
                await self.session.commit()
            return self._answer(Result(), [], 0)

        async with self.turn(place):
            return await self._run(call, work)

    async def rollback(self, call: SqlCall, *, place: trio.Event | None = None) -> SqlAnswer:
        """Roll back what is open; nothing may be."""

        async def work() -> SqlAnswer:
            if self.session.in_transaction:
                await self.session.rollback()
            return self._answer(Result(), [], 0)

        async with self.turn(place):
            self._ended = ""
            return await self._run(SqlCall(attribution=call.attribution), work)

    async def migrate(self, call: SqlCall, files: Mapping[str, str], *, place: trio.Event | None = None) -> SqlAnswer:
        """Apply the first of these migrations that the database hasn't yet; the answer's row is its name."""

        async def work() -> SqlAnswer:
            migrations = load_migrations(files)
            if self.session.in_transaction:
                raise InvalidArgument("a migration is a transaction by itself: commit or roll back the open one")
            await self._governor.ask(Action.SCHEMA)
            await self._before(call, "BEGIN IMMEDIATE")
            applied = await apply_next(self.session, migrations, self._governor.admit_migrating)
            rows: list[Row] = [] if applied is None else [(applied.name,)]
            return self._answer(Result(description=(("name", None),), rowcount=len(rows)), rows, 0)

        async with self.turn(place):
            return await self._run(call, work)

    async def expire(self) -> None:
        """Nobody has called for too long: give up what is open."""
        async with self.turn():
            if trio.current_time() - self.idle_since < self.idle_seconds or self._closed:
                return
            mark("sql.idle")
            reason = f"the transaction was idle for more than {self.idle_seconds:g} s, and was rolled back"
            if not self.session.in_transaction:
                reason = f"rows weren't fetched for more than {self.idle_seconds:g} s, and were given up"
            await self._roll_back(reason)
            await self._close_cursors()

    async def close(self) -> None:
        """Roll back what is open, and end."""
        if self._closed:
            return
        self.interrupt()
        async with self.turn():
            self._closed = True
            self._cursors.clear()
            with suppress(trio.ClosedResourceError):
                await self._end()

    async def _end(self) -> None:
        if self._as_of is None:
            await self.database.end(self.session)
            return
        try:
            await self.session.close()
            await self._as_of.file.disconnect(self.session.db)
        finally:
            await self._as_of.close()

    # -- within a turn

    async def _run(self, call: SqlCall, work: Callable[[], Awaitable[T]]) -> T:
        """One call, with what its errors mean for the transaction."""
        if self._closed:
            raise TransactionEnded("the session was closed")
        if call.within and not self.session.in_transaction:
            raise TransactionEnded(self._take_reason() or "no transaction is open: a statement has ended it")
        if call.attribution is not None:
            self.session.attribution = call.attribution
        self.session.next_id = call.transaction or None
        self.running = call.transaction
        try:
            if call.transaction and self._is_void(call.transaction):
                mark("sql.voided")
                raise TransactionEnded(
                    "somebody has asked for this transaction's outcome, and was told that it has none"
                )
            return await work()
        except STAYS_OPEN:
            raise
        except VerityError as error:
            if not isinstance(error, SqlFailed):
                await self._roll_back(str(error))
            raise
        except trio.ClosedResourceError:
            raise NotReady(f"the file of database {self.database.name!r} was replaced: open another session") from None
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await self._roll_back("a call was cancelled, and the transaction rolled back")
            raise
        except AssertionError:
            raise
        except Exception as error:
            raise self._failed(error) from None
        finally:
            self.running = b""

    async def _statement(self, call: SqlCall, statement: SqlStatement, max_rows: int) -> SqlAnswer:
        check_text(statement.sql)
        kind = await self._before(call, statement.sql, told=True)
        admission = await self._governor.admit(statement.sql)
        if kind in _READS:
            result, rows, more = await self._read(evolve(statement, sql=admission.sql), max_rows)
        else:
            result = await self._governor.execute(admission, statement.parameters)
            rows, more = await self._rows(result, max_rows, SQL_CHUNK_BYTES)
        rows, answered = self._governor.receipt(admission, result, rows)
        await self._freshness.confirm(receipt=bool(answered))
        await self._governor.record(answered)
        cursor = 0
        if more:
            if len(self._cursors) >= SQL_CURSORS_MAX:
                raise Overloaded(f"a session has at most {SQL_CURSORS_MAX} results to fetch from: close some")
            self._serial += 1
            cursor = self._serial
            self._cursors[cursor] = result, admission
        return self._answer(result, rows, cursor, hidden=len(admission.slots))

    async def _batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int, *, alone: bool
    ) -> list[SqlAnswer]:
        answers: list[SqlAnswer] = []
        receipts: list[Answered] = []
        if alone:
            # One that may be read anywhere takes no lease unless it must.
            anywhere = call.level is not Consistency.LINEARIZABLE or self._as_of is not None
            begin = "BEGIN" if anywhere else "BEGIN IMMEDIATE"
            await self._before(call, begin)
            await self.session.execute(begin)
        room = BATCH_BYTES
        for statement in statements:
            check_text(statement.sql)
            verdict = await self.session.verdict(statement.sql)
            if verdict.kind in _CONTROL:
                raise InvalidArgument(
                    "a batch is within one transaction: expected no statement that begins or ends one"
                )
            await self._before(call, statement.sql)
            admission = await self._governor.admit(statement.sql)
            result = await self._governor.execute(admission, statement.parameters)
            rows, more = await self._rows(result, max_rows, min(room, SQL_CHUNK_BYTES))
            if more and result.cursor is not None:
                await self._bridge.off_loop(result.cursor.close)
            room = max(0, room - sum(map(size_of, rows)))
            rows, answered = self._governor.receipt(admission, result, rows)
            receipts += answered
            answers.append(self._answer(result, rows, 0, hidden=len(admission.slots)))
        await self._governor.record(receipts)
        if alone:
            if self.session.in_transaction:
                await self.session.commit()
            answers.append(self._answer(Result(), [], 0))
        return answers

    async def _read(self, statement: SqlStatement, max_rows: int) -> tuple[Result, list[Row], bool]:
        """Run what only reads, and take its first rows, in one go."""
        parameters: Any = statement.parameters  # SQLite's binding takes mappings as well
        in_transaction = self.session.in_transaction

        def work() -> tuple[Result, list[Row], bool]:
            result = live(self.session.db.execute(statement.sql, parameters))
            rows, more = take_rows(result, count_of(max_rows), SQL_CHUNK_BYTES)
            if rows and size_of(rows[-1]) > SQL_ROW_BYTES_MAX:
                raise SqlFailed("string or blob too big", "DataError", _TOO_BIG, in_transaction=in_transaction)
            return result, rows, more

        try:
            return await self._bridge.off_loop(work)
        except Binding.Error:
            self.session.notice()
            raise

    async def _before(self, call: SqlCall, sql: str, *, told: bool = False) -> StatementKind:
        """What a statement needs of the log before it runs; what it is. `told`: `confirm` follows where it reads."""
        if self._as_of is not None:
            return (await self.session.verdict(sql)).kind
        fresh = self._freshness
        if not (self.session.in_transaction and self._touched):
            fresh.forget()
            known = self.session.classifier.cached(sql)
            if known is None or known.kind not in (*_WRITES, *_ENDS):
                await (fresh.look if told and self._governor.gives_receipts else fresh.reach)(call.level)
        verdict = await self.session.verdict(sql)
        if not told or verdict.kind not in _READS:
            await fresh.settle()
        if not self.session.in_transaction or not self._touched:
            self._touched = verdict.kind not in _STEPS
        if (
            verdict.kind in _WRITES
            or verdict.begin_mode in ("immediate", "exclusive")
            or (verdict.kind in _ENDS and self.session.holds_lease)
        ):
            self._check_view()
        return verdict.kind

    def _check_view(self) -> None:
        if self.database.view == self._view:
            return
        mark("sql.session_of_an_earlier_view")
        name = self.database.reader.group.name
        if self.session.in_transaction:
            raise TransactionEnded(
                f"group {name} changed its primary: nothing of the transaction was kept, run it again"
            )
        raise NotReady(f"group {name} changed its primary since the session was opened: open another one")

    async def _rows(self, result: Result, max_rows: int, room: int) -> tuple[list[Row], bool]:
        if result.description is None:
            return [], False
        return await self._bridge.off_loop(lambda: take_rows(result, count_of(max_rows), room))

    def _answer(self, result: Result, rows: list[Row], cursor: int, *, hidden: int = 0) -> SqlAnswer:
        """`hidden`: columns at the end that aren't the caller's."""
        description = result.description
        if description is not None and hidden:
            description = description[:-hidden]
        logged = self.session.last_logged
        return SqlAnswer(
            columns=None if description is None else tuple(str(column[0]) for column in description),
            declared=() if description is None else tuple(str(column[1] or "") for column in description),
            rows=rows,
            cursor=cursor,
            rowcount=result.rowcount if cursor or result.cursor is None else result.cursor.rowcount,
            lastrowid=result.lastrowid,
            in_transaction=self.session.in_transaction,
            position=None if logged is None else logged.position,
            next_offset=self.next_offset,
            # The file may have been replaced since the statement was done: its answer is none the worse for that.
            total_changes=max(0, total_changes(self.session.db) - self.session.own_changes),
        )

    def _failed(self, error: Exception) -> SqlFailed:
        """What SQLite or its binding said, as it crosses."""
        code = getattr(error, "sqlite_errorcode", 0) or 1
        if code == 1 and isinstance(error, Binding.Error):
            found = sqlite_api.extended_errcode(self.session.db)
            code = found if found not in (0, 100, 101) else 1
        return SqlFailed(str(error), type(error).__name__, code, in_transaction=self.session.in_transaction)

    async def _roll_back(self, reason: str = "") -> None:
        if self.session.in_transaction or self.session.holds_lease:
            self._ended = reason
            with suppress(trio.ClosedResourceError):
                await self.session.close()

    async def _close_cursors(self) -> None:
        cursors = [result.cursor for result, _ in self._cursors.values() if result.cursor is not None]
        self._cursors.clear()
        with suppress(trio.ClosedResourceError):
            await self._bridge.off_loop(lambda: [cursor.close() for cursor in cursors])

    def _take_reason(self) -> str:
        reason, self._ended = self._ended, ""
        return reason
