"""What a client's SQL session does about lost answers, other primaries and busy nodes: against lines that play them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio
import trio.testing

from vdb.changes import Attribution
from vdb.client.sql_session import RemoteSession, read_pragma
from vdb.errors import (
    ConnectionLost,
    DatabaseLocked,
    IndefiniteError,
    InvalidArgument,
    NotPrimary,
    NotReady,
    Overloaded,
    PrimaryLost,
    RemoteError,
    SqlFailed,
    SqlRefused,
    Timeout,
    TooLarge,
    TransactionEnded,
)
from vdb.sql.answers import SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.types import Consistency, GroupId, Position

WHERE = Position(GroupId("ap-southeast-2"), 7)
OPEN = SqlAnswer(in_transaction=True)


class Line:
    """Answers what the script says, or fails with it; an answer of its own where the script has ended."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.next_offset = 5
        self.dropped = False
        self.closed = False

    def new_id(self) -> bytes:
        self.source.ids += 1
        return self.source.ids.to_bytes(16)

    async def _next(self, what: str, call: SqlCall | None = None) -> Any:
        await trio.lowlevel.checkpoint()
        self.source.calls.append((what, call))
        step = self.source.script.pop(0) if self.source.script else SqlAnswer(next_offset=6)
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await trio.sleep_forever()
        return step

    async def execute(self, call: SqlCall, statement: SqlStatement, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._next(statement.sql, call)

    async def executemany(self, call: SqlCall, sql: str, parameters: Any, *, timeout: float) -> SqlAnswer:
        return await self._next(f"many {sql}", call)

    async def batch(self, call: SqlCall, statements: Any, max_rows: int, *, timeout: float) -> list[SqlAnswer]:
        return [await self._next("batch", call)] * len(statements)

    async def fetch(self, cursor: int, max_rows: int, *, timeout: float) -> SqlAnswer:
        return await self._next(f"fetch {cursor}")

    async def close_cursor(self, cursor: int, *, timeout: float) -> None:
        await self._next(f"close {cursor}")

    def give_up(self, cursor: int) -> None:
        self.source.calls.append((f"give up {cursor}", None))

    async def commit(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._next("COMMIT", call)

    async def rollback(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._next("ROLLBACK", call)

    async def refused(self, error: NotPrimary | NotReady) -> None:
        await trio.lowlevel.checkpoint()
        self.source.calls.append(("refused", None))

    def drop(self) -> None:
        self.dropped = True

    async def close(self, *, timeout: float) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


class Source:
    """Where the lines come from."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.outcomes: list[Any] = []
        self.lines: list[Line] = []
        self.primaries: list[bool] = []
        self.moments: list[str] = []
        self.asked: list[tuple[bytes, int]] = []
        self.calls: list[tuple[str, SqlCall | None]] = []
        self.ids = 0

    async def open(
        self, attribution: Attribution, level: Any, *, primary: bool, timeout: float, as_of: str = ""
    ) -> Line:
        await trio.lowlevel.checkpoint()
        self.lines.append(Line(self))
        self.primaries.append(primary)
        self.moments.append(as_of)
        return self.lines[-1]

    async def outcome(self, transaction: bytes, since_offset: int, *, timeout: float) -> SqlOutcome:
        await trio.lowlevel.checkpoint()
        self.asked.append((transaction, since_offset))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return SqlOutcome(committed=outcome, position=WHERE if outcome else None)

    @property
    def said(self) -> list[str]:
        return [what for what, _ in self.calls]


@pytest.fixture
def session_of() -> Callable[..., RemoteSession]:
    def make(source: Source, **options: Any) -> RemoteSession:
        options = {"attribution": Attribution(), "level": Consistency.LINEARIZABLE, "timeout": 30.0, **options}
        return RemoteSession(source, name="clinic", **options)

    return make


async def begun(session: RemoteSession, source: Source) -> None:
    source.script.insert(0, OPEN)
    await session.execute("BEGIN")
    assert session.in_transaction


@pytest.mark.parametrize("lost", [ConnectionLost("gone"), PrimaryLost("deposed")])
async def test_a_lost_statement_is_sent_again_once_it_is_certain_that_it_had_no_effect(session_of, lost) -> None:
    source = Source(lost)
    source.outcomes = [False]
    session = session_of(source)
    await session.execute("INSERT INTO t VALUES (1)")
    first, second = (call for _, call in source.calls)
    assert first.transaction != second.transaction
    assert source.asked == [(first.transaction, 5)]
    assert len(source.lines) == 2
    assert source.lines[0].dropped


async def test_a_lost_statement_that_was_committed_is_not_sent_again(session_of) -> None:
    source = Source(ConnectionLost("gone"))
    source.outcomes = [True]
    session = session_of(source)
    result = await session.execute("INSERT INTO t VALUES (1)")
    assert (result.rowcount, result.lastrowid, await result.fetchall()) == (-1, None, [])
    assert session.position == WHERE
    assert len(source.calls) == 1


async def test_rows_of_a_committed_statement_cannot_be_had_again(session_of) -> None:
    for run in (
        lambda session: session.execute("INSERT INTO t VALUES (1) RETURNING a"),
        lambda session: session.batch(["INSERT INTO t VALUES (1)", "SELECT 1"]),
    ):
        source = Source(ConnectionLost("gone"))
        source.outcomes = [True]
        with pytest.raises(IndefiniteError, match="was committed at ap-southeast-2:7, and its rows were lost"):
            await run(session_of(source))


async def test_a_read_is_asked_again_and_nobody_asks_for_its_outcome(session_of) -> None:
    source = Source(ConnectionLost("gone"), SqlAnswer(columns=("a",), rows=[(1,)]))
    assert await (await session_of(source).execute("SELECT a FROM t")).fetchall() == [(1,)]
    assert not source.asked


async def test_a_commit_whose_answer_is_lost_is_asked_for(session_of) -> None:
    for outcome in (True, False):
        source = Source()
        source.outcomes = [outcome]
        session = session_of(source)
        await begun(session, source)
        source.script = [ConnectionLost("gone")]
        if outcome:
            await session.commit()
            assert session.position == WHERE
        else:
            with pytest.raises(TransactionEnded, match="nothing of it remains"):
                await session.commit()
        assert not session.in_transaction
        calls = [call for _, call in source.calls]
        assert source.asked == [(calls[0].transaction, 5)]
        assert calls[0].transaction == calls[1].transaction


async def test_an_outcome_that_nobody_knows_is_indefinite(session_of) -> None:
    source = Source()
    source.outcomes = [Timeout("no primary")]
    session = session_of(source)
    await begun(session, source)
    source.script = [ConnectionLost("gone")]
    with pytest.raises(ConnectionLost, match="isn't known yet: no primary"):
        await session.commit()


async def test_a_statement_that_cannot_commit_ends_its_transaction_without_a_question(session_of) -> None:
    source = Source()
    session = session_of(source)
    await begun(session, source)
    source.script = [ConnectionLost("gone")]
    with pytest.raises(TransactionEnded):
        await session.execute("INSERT INTO t VALUES (1)")
    assert not source.asked
    await session.rollback()
    assert source.said == ["BEGIN", "INSERT INTO t VALUES (1)"]


@pytest.mark.parametrize("error", [NotPrimary("ask n1", "n1"), NotReady("soon"), TransactionEnded("of another view")])
async def test_another_node_is_asked_where_nothing_happened(session_of, error) -> None:
    source = Source(error)
    session = session_of(source, level=Consistency.STALE)
    await session.execute("INSERT INTO t VALUES (1)")
    assert len(source.lines) == 2
    assert not source.asked
    if not isinstance(error, TransactionEnded):
        assert source.primaries == [False, True], "a session that is refused goes to the primary"
    await begun(session, source)
    source.script = [error]
    with pytest.raises(TransactionEnded):
        await session.execute("INSERT INTO t VALUES (1)")
    assert not session.in_transaction


async def test_a_busy_node_is_asked_again_unless_a_transaction_was_open(session_of) -> None:
    source = Source(Overloaded("later"))
    session = session_of(source)
    await session.execute("INSERT INTO t VALUES (1)")
    assert len(source.lines) == 1
    await begun(session, source)
    source.script = [Overloaded("later")]
    with pytest.raises(Overloaded):
        await session.execute("INSERT INTO t VALUES (1)")
    assert not session.in_transaction


async def test_what_leaves_a_transaction_open_and_what_doesnt(session_of) -> None:
    for error, stays in (
        (SqlFailed("no", "OperationalError", 1, in_transaction=True), True),
        (SqlFailed("no", "OperationalError", 1, in_transaction=False), False),
        (SqlRefused("no"), True),
        (DatabaseLocked("no"), True),
        (TooLarge("no"), True),
        (TransactionEnded("no"), False),
        (RemoteError("internal error"), False),
    ):
        source = Source()
        session = session_of(source)
        await begun(session, source)
        source.script = [error]
        with pytest.raises(type(error)):
            await session.execute("INSERT INTO t VALUES (1)")
        assert session.in_transaction is stays
    source = Source()
    session = session_of(source)
    await begun(session, source)
    source.script = [TooLarge("a transaction has at most ...")]
    with pytest.raises(TooLarge):
        await session.commit()
    assert not session.in_transaction


async def test_calls_say_what_the_caller_believes_and_on_whose_behalf(session_of) -> None:
    source = Source()
    session = session_of(source)
    await begun(session, source)
    session.attribution = Attribution(actor="ben")
    source.script = [OPEN]
    await session.executemany("INSERT INTO t VALUES (?)", [(1,)])
    await session.commit()
    first, second, third = (call for _, call in source.calls)
    assert [call.within for call in (first, second, third)] == [False, True, True]
    assert [call.attribution for call in (first, second, third)] == [None, Attribution(actor="ben"), None]
    assert first.transaction == second.transaction == third.transaction


async def test_settings_are_made_again_where_the_session_goes_on(session_of) -> None:
    source = Source()
    session = session_of(source)
    await session.execute("PRAGMA foreign_keys = ON")
    await session.execute("PRAGMA table_info(t)")
    await session.execute("pragma FOREIGN_KEYS(0)")
    source.script = [ConnectionLost("gone")]
    await session.execute("SELECT 1")
    assert source.said[-2:] == ["pragma FOREIGN_KEYS(0)", "SELECT 1"]
    assert source.said.count("PRAGMA table_info(t)") == 1
    assert read_pragma("PRAGMA main.foreign_keys=1;") == ("foreign_keys", "1")
    assert read_pragma("PRAGMA foreign_keys") == ("foreign_keys", None)
    assert read_pragma("PRAGMA") == ("", None)


async def test_rows_are_fetched_as_they_are_needed(session_of) -> None:
    chunk = SqlAnswer(columns=("a",), rows=[(1,), (2,)], cursor=3)
    source = Source(chunk, SqlAnswer(rows=[(3,), (4,)], cursor=3), SqlAnswer(rows=[]))
    session = session_of(source)
    rows = await session.execute("SELECT a FROM t")
    assert await rows.fetchone() == (1,)
    assert rows.take(5) is None
    assert rows.take(1) == [(2,)]
    assert await rows.fetchmany(1) == [(3,)]
    assert await rows.fetchall() == [(4,)]
    assert await rows.fetchone() is None
    assert source.said == ["SELECT a FROM t", "fetch 3", "fetch 3"]
    source.script = [chunk, SqlAnswer(rows=[(3,)])]
    assert [row async for row in await session.execute("SELECT a FROM t")] == [(1,), (2,), (3,)]
    source.script = [chunk]
    await (await session.execute("SELECT a FROM t")).close()
    assert source.said[-1] == "close 3"
    source.script = [chunk]
    await session.execute("SELECT a FROM t")  # nobody has the rows any more
    await session.execute("SELECT 1")
    assert "give up 3" in source.said
    source.script = [chunk, ConnectionLost("gone")]
    rows = await session.execute("SELECT a FROM t")
    with pytest.raises(TransactionEnded, match="run the statement again"):
        await rows.fetchall()
    source.script = [chunk]
    rows = await session.execute("SELECT a FROM t")
    await session.close()
    with pytest.raises(TransactionEnded, match="run the statement again"):
        await rows.fetchall()


async def test_no_answer_in_time_takes_the_session_along(session_of) -> None:
    source = Source()
    session = session_of(source)
    await begun(session, source)
    source.script = ["hang"]
    with pytest.raises(Timeout, match=r"no answer within 0\.02 s"):
        await session.execute("INSERT INTO t VALUES (1)", timeout=0.02)
    assert not session.in_transaction
    assert source.lines[0].dropped
    source.script = ["hang"]
    with anyio.move_on_after(0.02):
        await session.execute("SELECT 1")
    assert source.lines[1].dropped
    with pytest.raises(InvalidArgument, match="0 seconds or more"):
        await session.execute("SELECT 1", timeout=-1)


async def test_a_call_can_be_interrupted(session_of) -> None:
    source = Source("hang")
    session = session_of(source)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(SqlFailed, match="interrupted") as caught:
                await session.execute("SELECT 1")
            assert caught.value.sqlite_errorcode == 9

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        session.interrupt()
    session.interrupt()
    await session.execute("SELECT 1")


async def test_a_block_commits_or_rolls_back_and_a_session_ends(session_of) -> None:
    source = Source(OPEN, OPEN)
    async with session_of(source) as session:
        async with session.transaction("DEFERRED"):
            await session.execute("INSERT INTO t VALUES (1)")
        source.script = [OPEN]
        with pytest.raises(ZeroDivisionError):
            async with session.transaction():
                _ = 1 / 0
    assert source.said == ["BEGIN DEFERRED", "INSERT INTO t VALUES (1)", "COMMIT", "BEGIN IMMEDIATE", "ROLLBACK"]
    assert source.lines[0].closed
    with pytest.raises(InvalidArgument, match="is closed"):
        await session.execute("SELECT 1")
    with pytest.raises(ZeroDivisionError):
        async with session_of(source):
            _ = 1 / 0
    assert source.lines[1].dropped


async def test_a_session_of_the_past_stays_at_its_moment(session_of) -> None:
    source = Source()
    session = session_of(source, as_of="2026-03-01T12:00:00Z")
    await session.execute("SELECT 1")
    source.script = [NotPrimary("elsewhere"), SqlAnswer()]
    await session.execute("SELECT 1")
    assert source.moments == ["2026-03-01T12:00:00Z", "5"]
    assert source.primaries == [False, True]
