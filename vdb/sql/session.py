"""One user's connection to a SQL database: what SQLite does, with the log in between.

    read               straight to SQLite, in the connection's own snapshot
    BEGIN              as SQLite does it; immediate and exclusive ones wait for the lease
    a first write      waits for the lease; from then on this session is the only writer
    COMMIT             deferred keys are checked, captured rows become a transaction, the log takes it, SQLite commits
                       rows and place together, the lease is given back
    ROLLBACK, an error that ends the transaction     the lease is given back; SQLite has undone what was captured
    a write without BEGIN     the same in one go; or another session, which has the lease, runs it with its own

Rules
- The log decides. What it refused is rolled back, and the error says whether that is certain (`DefiniteError`) or not.
  What it took and SQLite couldn't commit is rolled back as well: the node applies it from the log.
- Whoever leads a batch runs the others' statements first and its own last, each as a savepoint, and appends all as one:
  accepted or lost together. No answer leaves before SQLite's COMMIT.
- If one of them ends SQLite's transaction (OR ROLLBACK, RAISE(ROLLBACK), a full disk), the ones before are done again,
  from their rows.
- The only awaits are the bridge's; nothing in here knows a loop or a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from vdb.changes import NOBODY, Attribution, Transaction
from vdb.errors import TransactionEnded, VerityError
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.store import SqliteError, in_transaction
from vdb.sql import sqlite_api
from vdb.sql.applying import apply_transaction
from vdb.sql.batch import Batch
from vdb.sql.capture import Capture
from vdb.sql.confirming import appending
from vdb.sql.host import Bridge, Host, Logged, OneShot, Outcome
from vdb.sql.keeping import Keeper
from vdb.sql.meta import Place, advance
from vdb.sql.noticing import NoticingBridge
from vdb.sql.pragmas import instead_of
from vdb.sql.results import Result, buffered, live, returned
from vdb.sql.savepoints import Savepoints, all_or_nothing
from vdb.sql.subjects import Subjects
from vdb.sql.verdict import Classifier, StatementKind, Verdict
from vdb.sql.written_rows import Keeping
from vdb.wire.sql import encode_transaction

T = TypeVar("T")

LOCK_TIMEOUT = 5.0
"""Seconds that a session waits for the lease, unless it says otherwise; sqlite3's default."""

_WRITES = (StatementKind.WRITE, StatementKind.SCHEMA)
_FAILING = (275, 1299, 1555, 1811, 2067, 2579)  # codes of constraints on which OR FAIL and RAISE(FAIL) act
_MEMBER, _SCHEMA, _BUSY = "vdb_member", "vdb_schema", 5


class SqlSession:
    """See the module's docstring. One call at a time."""

    def __init__(
        self,
        db: Connection,
        host: Host,
        bridge: Bridge,
        *,
        attribution: Attribution = NOBODY,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        self.db = db
        self.classifier = Classifier(db)
        self.capture = Capture(db, self.classifier.trusting)
        self.classifier.make_way = self.capture.make_way
        self.keeping = Keeping(db, self.capture, self.classifier.trusting)
        self.attribution = attribution
        """On whose behalf the next transaction is made."""
        self.lock_timeout = lock_timeout
        self.next_id: bytes | None = None
        """16 bytes, of the next transaction that is logged, for whoever asks for it later. None: random ones."""
        self.settings: dict[str, str] = {}
        """PRAGMAs that were set."""
        self.keeper: Keeper | None = None
        """Says what the audit log is told of what it appends."""
        self.shares = True
        """Whether other sessions may run this one's statements, and it theirs: it has nothing of its own by then."""
        self.last_logged: Logged | None = None
        """Where the last transaction of this session lies in the log."""
        self._host = host
        self._bridge = NoticingBridge(bridge, host)
        self._subjects = Subjects(db)
        self._epoch = host.schema_epoch
        self.generation = 0
        """Another number whenever the schema may have changed, as the session sees it."""
        self._leased = False
        self._advances = 0
        self._schema_changed = False
        self._savepoints = Savepoints()

    @property
    def in_transaction(self) -> bool:
        return in_transaction(self.db)

    @property
    def holds_lease(self) -> bool:
        """Whether the transaction writes."""
        return self._leased

    @property
    def own_changes(self) -> int:
        """How many of the connection's `total_changes` are of our own rows."""
        return self.capture.own_changes + self._advances

    def notice(self) -> None:
        """A statement that ran past the session failed: give the lease back if it ended the transaction."""
        if self._leased and not self.in_transaction:
            self._give_up()

    # What callers do -------------------------------------------------------------------------------------------

    async def verdict(self, sql: str) -> Verdict:
        """What a statement is. SqlRefused, or what SQLite says of it."""
        epoch = self._host.schema_epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget_schema()
        found = self.classifier.cached(sql)
        return found if found is not None else await self._bridge.off_loop(lambda: self.classifier.verdict(sql))

    async def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Run one statement. SqlRefused, DatabaseLocked, SQLite's own errors, or the log's."""
        return await self._run(instead_of(sql), parameters, many=False)

    async def executemany(self, sql: str, parameters: Any) -> Result:
        """Run one statement for each of several parameters."""
        return await self._run(sql, parameters, many=True)

    async def commit(self, ending: str = "COMMIT") -> None:
        """Commit as SQLite would; returns when the log has the transaction and SQLite has committed it."""
        if not self._leased:
            await self._bridge.off_loop(lambda: self._raw(ending))
        else:
            await self._log(await self._bridge.off_loop(self._close_transaction), ending)
        self._reset()

    async def rollback(self, statement: str = "ROLLBACK") -> None:
        """Roll back; the transaction leaves nothing."""
        await self._bridge.off_loop(lambda: self._raw(statement))
        self._give_up()

    async def close(self) -> None:
        """Roll back what is open, and give the lease back. The connection is its owner's to close."""
        try:
            await self._bridge.off_loop(self._roll_back_quietly)
        except TransactionEnded:
            mark("sql.closed_with_its_file")  # what was open is gone
        finally:
            self._give_up()

    # Statements ------------------------------------------------------------------------------------------------

    async def _run(self, sql: str, parameters: Any, *, many: bool) -> Result:
        verdict = await self.verdict(sql)
        kind = verdict.kind
        if kind in _WRITES and not self.in_transaction:
            return await self._autocommit(sql, parameters, verdict, many=many)
        if kind in _WRITES:
            await self.take_lease()
            return await self._guarded(lambda: self._write(sql, parameters, verdict, many=many))
        if kind is StatementKind.COMMIT:
            await self.commit(sql)
        elif kind is StatementKind.ROLLBACK:
            await self.rollback(sql)
        elif kind is StatementKind.BEGIN:
            await self._begin(sql, verdict)
        elif kind in (StatementKind.SAVEPOINT, StatementKind.RELEASE, StatementKind.ROLLBACK_TO):
            await self._savepoint(sql, verdict)
        else:
            if kind is StatementKind.PRAGMA_SET:
                return await self._set(sql, verdict)
            if kind is StatementKind.TEMP:
                self.shares = False
            return await self._guarded(lambda: live(self._raw(sql, parameters, many=many)))
        return Result()

    async def _begin(self, sql: str, verdict: Verdict) -> None:
        if verdict.begin_mode in ("", "deferred") or self.in_transaction:
            await self._bridge.off_loop(lambda: self._raw(sql))
            return
        await self.take_lease()
        try:
            await self._bridge.off_loop(lambda: self._raw(sql))
        except BaseException:
            self._give_up()
            raise

    async def _savepoint(self, sql: str, verdict: Verdict) -> None:
        if verdict.kind is StatementKind.RELEASE and self._savepoints.commits(verdict.name):
            await self.commit(sql)
            return
        begins = not self.in_transaction
        await self._bridge.off_loop(lambda: self._raw(sql))
        if verdict.kind is StatementKind.SAVEPOINT:
            self._savepoints.opened(verdict.name, began=begins)
            return
        released = verdict.kind is StatementKind.RELEASE
        (self._savepoints.released if released else self._savepoints.rolled_back_to)(verdict.name)
        self._forget_schema()

    async def _set(self, sql: str, verdict: Verdict) -> Result:
        result = await self._guarded(lambda: buffered(self._raw(sql)))
        self.settings[verdict.name] = sql
        return result

    async def take_lease(self) -> None:
        """Become the only writer, before anything is read: an older snapshot couldn't write. DatabaseLocked."""
        if not self._leased and not self._take_free_lease():
            await self._bridge.on_loop(lambda: self._host.acquire(self, self.lock_timeout))
            self._leased = True

    def _take_free_lease(self) -> bool:
        """Take the lease without a way to the loop, if nobody has it and nothing stands in the way of writing."""
        if not self._host.try_acquire(self):
            return False
        if self._host.is_ready():
            self._leased = True
            return True
        self._bridge.tell(lambda: self._host.release(self))
        return False

    async def _guarded(self, work: Callable[[], T]) -> T:
        """Run a statement within what is open; give the lease back if it ended the transaction."""
        before = self.in_transaction
        try:
            return await self._bridge.off_loop(work)
        except BaseException as error:
            if before and not self.in_transaction:
                mark("sql.ended_by_statement")
                self._give_up()
            elif self._leased and getattr(error, "sqlite_errorcode", 0) & 0xFF == _BUSY and not self.capture.pending():
                mark("sql.stale_snapshot")
                self._leased = False  # others have written since it began to read: it can't, and they may
                self._bridge.tell(lambda: self._host.release(self))
            raise

    def _raw(self, sql: str, parameters: Any = (), *, many: bool = False) -> Any:
        try:
            return self.db.executemany(sql, parameters) if many else self.db.execute(sql, parameters)
        except SqliteError as error:
            error.sqlite_errorcode = sqlite_api.extended_errcode(self.db)  # another statement would change it
            raise

    def _write(self, sql: str, parameters: Any, verdict: Verdict, *, many: bool) -> Result:
        """One statement that writes, within the transaction and under the lease."""
        if verdict.kind is not StatementKind.SCHEMA:
            self.capture.prepare(verdict.writes, sql)
            return self.keeping.run(lambda: self._change(sql, parameters, verdict, many=many))
        try:
            with all_or_nothing(self.db, _SCHEMA):
                self.capture.before_schema_change(sql, verdict)
                result = buffered(self._raw(sql, parameters, many=many))
                self.capture.after_schema_change(sql, verdict)
        finally:
            self._schema_changed = True
            self._forget_schema()
        return result

    def _change(self, sql: str, parameters: Any, verdict: Verdict, *, many: bool) -> Result:
        cursor, rows = self._raw(sql, parameters, many=many), verdict.returns_rows and not many
        return returned(cursor, self.db, self.classifier.trusting()) if rows else live(cursor)

    def _forget_schema(self) -> None:
        self.generation += 1
        self.classifier.forget()
        self._subjects.forget()

    # Statements that are transactions ---------------------------------------------------------------------------

    async def _autocommit(self, sql: str, parameters: Any, verdict: Verdict, *, many: bool) -> Result:
        simple = verdict.kind is StatementKind.WRITE and not verdict.returns_rows and not many
        shared = simple and self.shares and self.keeping.check is None
        others: list[OneShot] = []
        if shared and not self._take_free_lease():
            mine = OneShot(
                sql=sql,
                parameters=parameters,
                attribution=self.attribution,
                settings=tuple(sorted(self.settings.items())),
                id=self.next_id,
                asked=tuple(self.keeping.asked),
            )
            found = await self._bridge.on_loop(lambda: self._host.lead(self, mine, self.lock_timeout))
            if found is None:
                return self._taken_over(mine)
            others = found
            self._leased = True
        else:
            await self.take_lease()
        batch = Batch()
        try:
            result, failure = await self._bridge.off_loop(
                lambda: self._run_batch(others, sql, parameters, verdict, batch, many=many)
            )
            if batch.lost is not None:
                raise batch.lost
        except BaseException as error:
            await self._abandon(batch, others, error)
            raise
        await self._log(batch, "COMMIT")
        self._reset()
        if failure is not None:
            raise failure
        return result

    def _taken_over(self, mine: OneShot) -> Result:
        """Another session has run the statement."""
        outcome = mine.result()
        self.last_logged = mine.logged
        if outcome.lastrowid is not None:
            sqlite_api.set_last_insert_rowid(self.db, outcome.lastrowid)
        return Result(rowcount=outcome.rowcount, lastrowid=outcome.lastrowid)

    def _run_batch(
        self, others: Sequence[OneShot], sql: str, parameters: Any, verdict: Verdict, batch: Batch, *, many: bool
    ) -> tuple[Result, BaseException | None]:
        """Others' statements, then ours; what each changed goes into the batch."""
        self._raw("BEGIN IMMEDIATE")
        for other in others:
            batch.done.append(other)
            other.outcome = self._run_other(other, batch)
        if not others:
            try:
                result = buffered(self._write(sql, parameters, verdict, many=many))
                sqlite_api.check_deferred(self.db)
            except SqliteError as error:
                if self.in_transaction and not self._keep_partial(
                    error, batch, self.attribution, self.next_id, many=many
                ):
                    self._raw("ROLLBACK")
                return Result(), error
            self._take(batch, self.attribution, self.next_id)
            return result, None
        mine = OneShot(sql=sql, parameters=parameters, attribution=self.attribution, settings=(), id=self.next_id)
        try:
            return self._as_member(
                lambda: buffered(self._write(sql, parameters, verdict, many=many)), mine, batch
            ), None
        except (SqliteError, VerityError) as error:
            return Result(), error

    def _run_other(self, other: OneShot, batch: Batch) -> Outcome | BaseException:
        try:
            verdict = self.classifier.verdict(other.sql)
            result = self._as_member(
                lambda: buffered(self._write(other.sql, other.parameters, verdict, many=False)), other, batch
            )
        except (SqliteError, VerityError) as error:
            return error
        return Outcome(rowcount=result.rowcount, lastrowid=result.lastrowid)

    def _as_member(self, work: Callable[[], Result], whose: OneShot, batch: Batch) -> Result:
        """Run a statement as a savepoint of its own. If it fails, what it leaves is what SQLite leaves of it."""
        self._raw(f"SAVEPOINT {_MEMBER}")
        try:
            result = work()
            sqlite_api.check_deferred(self.db)
            self._take(batch, whose.attribution, whose.id)
        except BaseException as error:
            if not self.in_transaction:
                mark("sql.batch_redone")
                self._redo(batch)
                raise
            kept = isinstance(error, SqliteError) and self._keep_partial(error, batch, whose.attribution, whose.id)
            if not kept:
                self._raw(f"ROLLBACK TO {_MEMBER}")
            self._raw(f"RELEASE {_MEMBER}")
            raise
        self._raw(f"RELEASE {_MEMBER}")
        return result

    def _redo(self, batch: Batch) -> None:
        """A statement ended SQLite's transaction: do again what the ones before it did."""
        try:
            with self.classifier.trusting():
                self._raw("BEGIN IMMEDIATE")
                self.capture.make_way(stale_only=False)  # its triggers would count as changes
                for transaction in batch.transactions:
                    apply_transaction(self.db, transaction)
        except BaseException as error:
            batch.lost = error
            raise
        self.capture.drain()  # these rows have been captured before

    def _keep_partial(
        self, error: Any, batch: Batch, attribution: Attribution, chosen: bytes | None, *, many: bool = False
    ) -> bool:
        """A statement failed that is a transaction of its own: what it leaves (OR FAIL, the rows before; of `many`
        those before it) is committed, as SQLite does, unless that breaks a foreign key. Whether there is any."""
        if not many and getattr(error, "sqlite_errorcode", 0) not in _FAILING:
            return False  # another error takes back all of it, also after OR FAIL
        if not self.capture.pending() or sqlite_api.deferred_violations(self.db):
            return False
        mark("sql.partial")
        try:
            self._take(batch, attribution, chosen)
        except VerityError:
            return False
        return True

    # Commit ----------------------------------------------------------------------------------------------------

    def _close_transaction(self) -> Batch:
        sqlite_api.check_deferred(self.db)
        batch = Batch(schema_changed=self._schema_changed)
        with all_or_nothing(self.db, _MEMBER):  # what can't be logged stays captured, and the transaction open
            self._take(batch, self.attribution, self.next_id)
        return batch

    def _take(self, batch: Batch, attribution: Attribution, chosen: bytes | None) -> None:
        """Move what was captured into the batch, as one transaction."""
        layouts, steps = self.capture.drain()
        batch.schema_changed = batch.schema_changed or self._schema_changed
        if not steps:
            return
        number = chosen or self._host.new_id()
        transaction = Transaction(id=number, attribution=attribution, layouts=layouts, steps=tuple(steps))
        payloads = encode_transaction(transaction, self._subjects.columns(), piece_size=self._host.piece_size)
        batch.transactions.append(transaction)
        batch.payloads += payloads

    async def _log(self, batch: Batch, ending: str) -> None:
        """Append the batch, commit, give the lease back."""
        logged: Logged | None = None
        try:
            if batch.payloads:
                append = appending(self.keeper, self._host, batch, self._subjects, self.keeping.asked, self.attribution)
                logged = await self._bridge.on_loop(append)
            await self._bridge.off_loop(lambda: self._finish(ending, logged))
        except BaseException as error:
            await self._abandon(batch, (), None if logged is not None else error)
            if logged is None or not isinstance(error, SqliteError | VerityError):
                raise
            mark("sql.log_wins")
            await self._bridge.on_loop(partial(self._host.catch_up, logged.next_offset))  # the node applies it
        else:
            if logged is not None:
                self._bridge.tell(partial(self._host.advance, logged))
            self._release(batch)
        self.last_logged = logged if logged is not None else self.last_logged
        for other in batch.done:
            other.logged = logged

    def _finish(self, ending: str, logged: Logged | None) -> None:
        if not self.in_transaction:
            assert logged is None, "what was captured is within a transaction"
            return
        if logged is not None:
            place = Place(next_offset=logged.next_offset, position=logged.position.number)
            with self.classifier.trusting():
                self.capture.unnoticed(lambda: advance(self.db, logged.first_offset, place))
            self._advances += 1
        self._raw(ending)

    async def _abandon(self, batch: Batch, others: Sequence[OneShot], error: BaseException | None) -> None:
        """Nothing of the batch stays here. With an error, that is the outcome of whoever was in it."""
        self._forget_schema()
        try:
            with suppress(VerityError):  # the file is closed: what is open is gone, and the first error counts
                await self._bridge.off_loop(self._roll_back_quietly)
        finally:
            if error is not None:
                batch.tell(others, error)
            self._release(batch)

    def _roll_back_quietly(self) -> None:
        with suppress(SqliteError):
            if self.in_transaction:
                self._raw("ROLLBACK")

    def _release(self, batch: Batch) -> None:
        leased, self._leased = self._leased, False
        changed = batch.schema_changed
        self._reset()
        if leased:
            self._bridge.tell(lambda: self._host.release(self, batch.done, schema_changed=changed))

    def _give_up(self) -> None:
        """The transaction is over and has left nothing."""
        leased, self._leased = self._leased, False
        if self._schema_changed:
            self._forget_schema()
        self._reset()
        if leased:
            self._bridge.tell(lambda: self._host.release(self))

    def _reset(self) -> None:
        self._schema_changed = False
        self.keeping.asked.clear()
        self._savepoints.clear()
