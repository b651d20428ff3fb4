"""A SQL session of a client: statements and transactions at whatever node is the primary, or reads at any.

    async with client.sql("clinic", actor="dr-lee") as session:
        await session.execute("INSERT INTO patients (name) VALUES (?)", ("Ada",))
        async with session.transaction():
            rows = await session.execute("SELECT id FROM patients WHERE name = :name", {"name": "Ada"})
            ...

Rules
- One call at a time: others wait.
- Outside of a transaction a statement is sent again, to another node if need be, until it is certain that it was
  executed once.
- A transaction lives in one session at one node. If that is lost, so is the transaction: TransactionEnded, nothing of
  it remains.
- Each transaction has an id that this side chose. If the answer to its commit is lost, its outcome is asked for: it was
  committed, or nothing of it remains and never will. IndefiniteError is raised only while nobody can tell.
- A statement that was committed and whose answer was lost gives no rows and no counts (`rowcount` -1); if it returns
  rows, that is IndefiniteError as well, saying where it was committed.
- A session of the past stays at one moment of it: whichever node it goes on at, it reads the same.
- What was set by PRAGMA is set again wherever the session goes on. TEMP objects live and die with the node's session.
- A caller that is cancelled, or runs out of time, has lost the session's transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar

import anyio
from attrs import evolve

from vdb.changes import Attribution
from vdb.client.sql_line import SqlLine, SqlSource
from vdb.client.sql_past import SqlPast
from vdb.client.sql_rows import SqlRows
from vdb.errors import (
    ConnectionLost,
    DefiniteError,
    IndefiniteError,
    InvalidArgument,
    NotPrimary,
    NotReady,
    Overloaded,
    PrimaryLost,
    SqlFailed,
    Timeout,
    TooLarge,
    TransactionEnded,
    Unreachable,
)
from vdb.events.event_context import current_context
from vdb.marks import mark
from vdb.sql.answers import STAYS_OPEN, Parameters, SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.sql.keywords import first_keyword, has_returning, tokens
from vdb.sql.refusals import PragmaUse, pragma_use
from vdb.types import Consistency, Position, ReadLevel

T = TypeVar("T")

PAUSE_SECONDS = 0.05
"""Before a call is sent again to a node that had too much to do."""

_READS = ("SELECT", "VALUES", "EXPLAIN")
_ENDS = ("COMMIT", "END", "RELEASE")
_INTERRUPT = 9
_LOST = "the connection to the node was lost, and with it the transaction: nothing of it remains"


class RemoteSession(SqlPast):
    """See the module's docstring. Opened by its first call, or on entering it."""

    def __init__(
        self,
        source: SqlSource,
        *,
        attribution: Attribution,
        level: ReadLevel,
        timeout: float,
        name: str,
        as_of: str = "",
    ) -> None:
        self.name = name
        """The database's."""
        self.level = level
        """What reads outside of transactions may miss; may be set between two calls."""
        self.timeout = timeout
        """Seconds that a call may take unless it says otherwise."""
        self.in_transaction = False
        """Whether a transaction is open, as far as this side knows."""
        self.position: Position | None = None
        """Before which the last transaction lies that this session has committed."""
        self.total_changes = 0
        """Rows that were changed, through the present session at the node."""
        self._source = source
        self._attribution = attribution
        self._said = attribution
        self._line: SqlLine | None = None
        self._as_of = as_of
        self._primary = level is Consistency.LINEARIZABLE and not as_of
        self._turn = anyio.Lock()
        self._transaction = b""
        self._offset = 0
        self._since = 0
        self._closed = False
        self._settings: dict[str, str] = {}
        """PRAGMAs that were set, by name: a session that replaces a lost one begins with them."""
        self._given_up: list[tuple[SqlLine, int]] = []
        """Results that nobody has any more, still open at the node."""
        self._scope: anyio.CancelScope | None = None
        """Of the call under way."""
        self._interrupted = False

    @property
    def attribution(self) -> Attribution:
        """On whose behalf transactions are made; may be set before one is committed."""
        return self._attribution

    @attribution.setter
    def attribution(self, attribution: Attribution) -> None:
        self._attribution = attribution

    # What callers do -------------------------------------------------------------------------------------------

    async def execute(
        self, sql: str, parameters: Parameters = (), *, max_rows: int = 0, timeout: float | None = None
    ) -> SqlRows:
        """Run one statement. `max_rows`: how many rows come with the answer; 0: as many as fit."""
        statement, word = SqlStatement(sql=sql, parameters=parameters), first_keyword(sql)
        seconds = self._seconds(timeout)

        async def work(line: SqlLine, call: SqlCall) -> SqlRows:
            answer = await line.execute(call, statement, max_rows, timeout=seconds)
            self._learn(answer)
            if word == "PRAGMA":
                self._remember(sql)
            return SqlRows(self, answer, line)

        def recovered(outcome: SqlOutcome) -> SqlRows:
            if has_returning(sql):
                raise ConnectionLost(f"the statement was committed at {outcome.position}, and its rows were lost")
            return SqlRows(self, SqlAnswer(), None)

        return await self._call(work, recovered, seconds, reads=word in _READS, ends=word in _ENDS)

    async def executemany(self, sql: str, parameters: Sequence[Parameters], *, timeout: float | None = None) -> SqlRows:
        """Run one statement for each of several parameters; outside of a transaction they are one."""
        seconds = self._seconds(timeout)
        sets = list(parameters)

        async def work(line: SqlLine, call: SqlCall) -> SqlRows:
            answer = await line.executemany(call, sql, sets, timeout=seconds)
            self._learn(answer)
            return SqlRows(self, answer, line)

        return await self._call(work, lambda _: SqlRows(self, SqlAnswer(), None), seconds)

    async def batch(
        self, statements: Sequence[SqlStatement | str], *, max_rows: int = 0, timeout: float | None = None
    ) -> list[SqlRows]:
        """Run several statements in one call; outside of a transaction they are one, all or none.

        Each gives at most `max_rows` rows (0: as many as fit an answer).
        """
        seconds = self._seconds(timeout)
        wanted = [one if isinstance(one, SqlStatement) else SqlStatement(sql=one) for one in statements]

        async def work(line: SqlLine, call: SqlCall) -> list[SqlRows]:
            answers = await line.batch(call, wanted, max_rows, timeout=seconds)
            if answers:
                self._learn(answers[-1])
            return [SqlRows(self, answer, line) for answer in answers[: len(wanted)]]

        def recovered(outcome: SqlOutcome) -> list[SqlRows]:
            if any(has_returning(one.sql) or first_keyword(one.sql) in _READS for one in wanted):
                raise ConnectionLost(f"the batch was committed at {outcome.position}, and its rows were lost")
            return [SqlRows(self, SqlAnswer(), None) for _ in wanted]

        return await self._call(work, recovered, seconds)

    async def commit(self, *, timeout: float | None = None) -> None:
        """Commit what is open; nothing may be. Returns when the log has it."""
        seconds = self._seconds(timeout)

        async def work(line: SqlLine, call: SqlCall) -> None:
            self._learn(await line.commit(call, timeout=seconds))

        if self.in_transaction:
            await self._call(work, lambda _: None, seconds, ends=True)

    async def rollback(self, *, timeout: float | None = None) -> None:
        """Roll back what is open; nothing may be."""
        seconds = self._seconds(timeout)

        async def work(line: SqlLine, call: SqlCall) -> None:
            self._learn(await line.rollback(call, timeout=seconds))

        if not self.in_transaction:
            return
        try:
            await self._call(work, lambda _: None, seconds)
        except TransactionEnded:
            return

    async def migrate_next(self, files: Mapping[str, str], *, timeout: float | None = None) -> str | None:
        """Apply the first migration that the database hasn't yet; its name, or empty where the answer was lost.

        None: it has all of them.
        """
        seconds = self._seconds(timeout)

        async def work(line: SqlLine, call: SqlCall) -> str | None:
            answer = await line.migrate(call, files, timeout=seconds)
            self._learn(answer)
            return str(answer.rows[0][0]) if answer.rows else None

        return await self._call(work, lambda _: "", seconds)

    @asynccontextmanager
    async def transaction(self, mode: str = "IMMEDIATE") -> AsyncIterator[RemoteSession]:
        """For `async with`: a transaction that is committed at the end of the block, or rolled back by an error."""
        await self.execute(f"BEGIN {mode}")
        try:
            yield self
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.rollback()
            raise
        await self.commit()

    def interrupt(self) -> None:
        """Stop the call under way: it fails as SQLite's "interrupted", and its transaction is over."""
        if self._scope is not None:
            self._interrupted = True
            self._scope.cancel()

    async def close(self, *, timeout: float | None = None) -> None:
        """Roll back what is open, and end. Closing twice is harmless."""
        self._closed = True
        line, self._line = self._line, None
        self.in_transaction = False
        if line is not None:
            await line.close(timeout=self._seconds(timeout))

    async def __aenter__(self) -> RemoteSession:
        async with self._turn:
            await self._ready(self.timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        line, self._line, self._closed = self._line, None, True
        if line is not None:
            line.drop()

    # Calls -----------------------------------------------------------------------------------------------------

    async def _call(
        self,
        work: Callable[[SqlLine, SqlCall], Awaitable[T]],
        recovered: Callable[[SqlOutcome], T],
        seconds: float,
        *,
        reads: bool = False,
        ends: bool = False,
    ) -> T:
        """One call, however often it must be sent. `recovered`: its result where only its outcome is known.

        `reads`: it changes nothing. `ends`: it may commit the transaction that is open.
        """
        async with self._turn:
            deadline = anyio.current_time() + seconds
            last = "no answer has come"
            self._interrupted = False
            try:
                with anyio.CancelScope(deadline=deadline) as self._scope:
                    while True:
                        try:
                            return await self._try(
                                work, recovered, deadline, asks=ends or not (reads or self.in_transaction)
                            )
                        except _Again as again:
                            last = again.reason
            except BaseException as error:
                if not isinstance(error, Exception):
                    self._forget()
                raise
            finally:
                self._scope = None
            self._forget()
            if self._interrupted:
                raise SqlFailed("interrupted", "OperationalError", _INTERRUPT)
            raise Timeout(f"database {self.name!r}: no answer within {seconds:g} s; last: {last}")

    async def _try(
        self,
        work: Callable[[SqlLine, SqlCall], Awaitable[T]],
        recovered: Callable[[SqlOutcome], T],
        deadline: float,
        *,
        asks: bool,
    ) -> T:
        """`asks`: if the answer is lost, what became of the transaction must be found out."""
        within = self.in_transaction
        line = await self._ready(deadline - anyio.current_time())
        if not within:
            self._transaction, self._since = line.new_id(), self._offset
        try:
            result = await work(line, self._sql_call(within))
        except SqlFailed as error:
            self.in_transaction = error.in_transaction
            raise
        except TooLarge:
            self.in_transaction = within and not asks  # what can't be logged is rolled back by its commit
            raise
        except STAYS_OPEN:
            raise
        except (NotPrimary, NotReady) as error:
            self._line, self.in_transaction, self._primary = None, False, True
            if within:
                line.drop()
                raise TransactionEnded(
                    f"the transaction's node can't go on with it, nothing of it remains: {error}"
                ) from None
            await line.refused(error)
            raise _Again(str(error)) from None
        except (ConnectionLost, PrimaryLost) as error:
            self._line, self.in_transaction = None, False
            line.drop()
            if asks:
                outcome = await self._ask(error, deadline)
                if outcome.committed:
                    mark("client.sql_recovered")
                    self.position = outcome.position
                    return recovered(outcome)
                mark("client.sql_not_committed")
            if within:
                raise TransactionEnded(_LOST) from None
            raise _Again(str(error)) from None
        except Overloaded as error:
            self.in_transaction = False
            if within:
                raise
            await anyio.sleep(PAUSE_SECONDS)
            raise _Again(str(error)) from None
        except TransactionEnded as error:
            self.in_transaction = False
            if within:
                raise
            self._line = None
            line.drop()
            await anyio.sleep(PAUSE_SECONDS)
            raise _Again(str(error)) from None
        except Exception:
            self._forget()
            raise
        return result

    async def _ask(self, lost: ConnectionLost | PrimaryLost, deadline: float) -> SqlOutcome:
        """What became of the transaction. The error that brought us here, if nobody can tell."""
        seconds = deadline - anyio.current_time()
        try:
            return await self._source.outcome(self._transaction, self._since, timeout=max(seconds, 0.1))
        except (IndefiniteError, Unreachable) as error:
            raise type(lost)(f"{lost}; and what became of the transaction isn't known yet: {error}") from None

    async def _ready(self, seconds: float) -> SqlLine:
        if self._closed:
            raise InvalidArgument("this SQL session is closed")
        if self._line is None:
            if self.in_transaction:
                raise AssertionError("a transaction lives on a line")
            self._line = await self._set_up(
                await self._source.open(
                    self._speaking(),
                    self.level,
                    primary=self._primary,
                    timeout=max(seconds, 0.1),
                    as_of=self._as_of,
                ),
                seconds,
            )
            if self._as_of:
                self._as_of = str(self._line.next_offset)  # wherever it goes on, it is the same state
            self._said = self._speaking()
            self._offset = self._line.next_offset
            self.total_changes = 0
        while self._given_up:
            line, cursor = self._given_up.pop()
            if line is self._line:
                line.give_up(cursor)
        return self._line

    async def _set_up(self, line: SqlLine, seconds: float) -> SqlLine:
        """A new session at a node, with what was set in the one before."""
        try:
            for sql in self._settings.values():
                await line.execute(SqlCall(level=Consistency.STALE), SqlStatement(sql=sql), 0, timeout=seconds)
        except BaseException:
            line.drop()
            raise
        return line

    def _remember(self, sql: str) -> None:
        """Keep a setting of the session, for the next one."""
        name, argument = read_pragma(sql)
        if pragma_use(name, argument) is PragmaUse.SET:
            self._settings.pop(name, None)
            self._settings[name] = sql

    def _speaking(self) -> Attribution:
        """On whose behalf the next call is made: of whom the code around says, where the session says nobody."""
        own, around = self._attribution, current_context().actor
        return evolve(own, actor=around) if around and not own.actor else own

    def _sql_call(self, within: bool) -> SqlCall:
        speaking = self._speaking()
        changed, self._said = speaking != self._said, speaking
        return SqlCall(
            transaction=self._transaction,
            within=within,
            level=self.level,
            attribution=speaking if changed else None,
        )

    def _learn(self, answer: SqlAnswer) -> None:
        self.in_transaction = answer.in_transaction
        self._offset = answer.next_offset
        self.total_changes = answer.total_changes
        if answer.position is not None:
            self.position = answer.position

    def _forget(self) -> None:
        """Nobody knows where the session at the node stands: give it up."""
        line, self._line = self._line, None
        self.in_transaction = False
        if line is not None:
            line.drop()

    # -- for results

    async def _fetch(self, line: SqlLine, cursor: int) -> SqlAnswer:
        async with self._turn:
            if line is not self._line:
                raise TransactionEnded("the session that had the rows was lost: run the statement again")
            try:
                with anyio.fail_after(self.timeout):
                    return await line.fetch(cursor, 0, timeout=self.timeout)
            except TimeoutError:
                self._forget()
                raise Timeout(f"no more rows within {self.timeout:g} s") from None
            except SqlFailed as error:
                self.in_transaction = error.in_transaction
                raise
            except (ConnectionLost, PrimaryLost):
                self._forget()
                raise TransactionEnded("the session that had the rows was lost: run the statement again") from None
            except DefiniteError:
                raise
            except BaseException:
                self._forget()
                raise

    async def _close_cursor(self, line: SqlLine, cursor: int) -> None:
        async with self._turn:
            if line is not self._line:
                return
            try:
                await line.close_cursor(cursor, timeout=self.timeout)
            except (ConnectionLost, PrimaryLost):
                return

    def _seconds(self, timeout: float | None) -> float:
        seconds = self.timeout if timeout is None else timeout
        if seconds < 0:
            raise InvalidArgument(f"a timeout is 0 seconds or more; found {seconds}")
        return seconds


def read_pragma(sql: str) -> tuple[str, str | None]:
    """Name and argument of a PRAGMA statement, as far as its words say it."""
    words = [token for token in tokens(sql) if token.text != ";"][1:]
    if len(words) > 2 and words[1].text == ".":
        words = words[2:]
    name = words[0].name.lower() if words else ""
    return name, words[2].name if len(words) > 2 and words[1].text in ("=", "(") else None


class _Again(Exception):
    """The call had no effect: send it again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
