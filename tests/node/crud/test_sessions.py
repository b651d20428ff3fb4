"""Sessions of callers far away: their limits, their end, and what became of their transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from vdb.changes import NOBODY, Attribution, RawText
from vdb.errors import (
    DatabaseLocked,
    InvalidArgument,
    Overloaded,
    SqlFailed,
    SqlRefused,
    TooLarge,
    TransactionEnded,
    UnknownDatabase,
)
from vdb.kernel.command import INTERNAL
from vdb.limits import SQL_CURSORS_MAX, SQL_SESSIONS_MAX, SQL_STATEMENTS_PER_BATCH
from vdb.node.crud.server_session import ServerSession
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.sql.answers import SqlCall, SqlStatement
from vdb.types import Consistency, DataClass, Position
from vdb.wire.event import encode_batch

Connect = Callable[..., AbstractAsyncContextManager[ServerSession]]
CALL = SqlCall()
WITHIN = SqlCall(within=True)


@pytest.fixture
def connect(clinic: Callable[[Node], Any]) -> Connect:
    """`async with connect(node) as session`, of a database that is made if it is new."""

    @asynccontextmanager
    async def run(node: Node, *, lock_seconds: float = 5.0, **options: Any) -> AsyncIterator[ServerSession]:
        await clinic(node)
        options.setdefault("attribution", NOBODY)
        session = await node.service.sql.open(1, "clinic", lock_seconds=lock_seconds, **options)
        try:
            yield session
        finally:
            with trio.CancelScope(shield=True):
                await node.service.sql.close(session)

    return run


def sql(text: str, *parameters: Any) -> SqlStatement:
    return SqlStatement(sql=text, parameters=parameters)


async def count(session: ServerSession, table: str = "t") -> Any:
    answer = await session.execute(CALL, sql(f"SELECT count(*) FROM {table}"))
    return answer.rows[0][0]


async def test_answers_say_what_sqlite_would_and_how_the_session_stands(start, connect) -> None:
    async with start() as node, connect(node) as session:
        made = await session.execute(CALL, sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b)"))
        assert (made.columns, made.in_transaction) == (None, False)
        first = await session.execute(CALL, sql("INSERT INTO t (b) VALUES (?), (?)", 1, 2))
        assert (first.rowcount, first.lastrowid, first.total_changes) == (2, 2, 2)
        assert first.position is not None
        assert first.next_offset > made.next_offset
        begun = await session.execute(CALL, sql("BEGIN"))
        assert begun.in_transaction
        rows = await session.execute(WITHIN, sql("UPDATE t SET b = b + 1 RETURNING a, b"))
        assert (rows.columns, rows.rows, rows.cursor) == (("a", "b"), [(1, 2), (2, 3)], 0)
        assert rows.position == first.position
        done = await session.commit(WITHIN)
        assert not done.in_transaction
        assert first.position < done.position
        raw = await session.execute(CALL, sql("SELECT CAST(x'ff' AS TEXT), 'é'"))
        assert raw.rows == [(RawText(b"\xff"), "é")]


async def test_errors_of_sqlite_have_kind_code_and_state(start, connect) -> None:
    async with start() as node, connect(node) as session:
        await session.execute(CALL, sql("CREATE TABLE t (a UNIQUE)"))
        await session.execute(CALL, sql("BEGIN"))
        await session.execute(WITHIN, sql("INSERT INTO t VALUES (1)"))
        with pytest.raises(SqlFailed, match=r"UNIQUE constraint failed: t\.a") as caught:
            await session.execute(WITHIN, sql("INSERT INTO t VALUES (1)"))
        assert (caught.value.kind, caught.value.in_transaction) == ("IntegrityError", True)
        assert caught.value.sqlite_errorcode & 0xFF == 19
        with pytest.raises(SqlFailed, match="UNIQUE") as caught:
            await session.execute(WITHIN, sql("INSERT OR ROLLBACK INTO t VALUES (1)"))
        assert not caught.value.in_transaction
        with pytest.raises(TransactionEnded, match="a statement has ended it"):
            await session.execute(WITHIN, sql("INSERT INTO t VALUES (2)"))
        with pytest.raises(SqlFailed, match="no such table: nope"):
            await session.execute(CALL, sql("SELECT * FROM nope"))
        with pytest.raises(SqlFailed, match="one statement at a time") as caught:
            await session.execute(CALL, sql("SELECT 1; SELECT 2"))
        assert caught.value.kind == "Warning"
        with pytest.raises(SqlFailed, match="bindings"):
            await session.execute(CALL, sql("SELECT ?", 1, 2))
        with pytest.raises(SqlRefused, match="VACUUM is refused"):
            await session.execute(CALL, sql("VACUUM"))
        with pytest.raises(TooLarge, match="a statement has at most"):
            await session.execute(CALL, sql("SELECT 1 --" + "x" * 1_000_000))
        assert await count(session) == 0


async def test_rows_come_in_chunks_and_can_be_given_up(start, connect) -> None:
    async with start() as node, connect(node) as session:
        await session.execute(CALL, sql("CREATE TABLE t (a)"))
        await session.executemany(CALL, "INSERT INTO t VALUES (?)", [(number,) for number in range(25)])
        answer = await session.execute(CALL, sql("SELECT a FROM t ORDER BY a"), 10)
        rows = list(answer.rows)
        while answer.cursor:
            answer = await session.fetch(answer.cursor, 10)
            rows += answer.rows
        assert rows == [(number,) for number in range(25)]
        wide = await session.execute(CALL, sql("SELECT zeroblob(700000) FROM t"))
        assert len(wide.rows) == 2
        with pytest.raises(SqlFailed, match="string or blob too big") as caught:
            await session.execute(CALL, sql("SELECT zeroblob(16777216)"))
        assert (caught.value.kind, caught.value.sqlite_errorcode) == ("DataError", 18)
        await session.close_cursor(wide.cursor)
        await session.close_cursor(wide.cursor)
        with pytest.raises(TransactionEnded, match="no result"):
            await session.fetch(wide.cursor)
        for _ in range(SQL_CURSORS_MAX):
            await session.execute(CALL, sql("SELECT a FROM t"), 1)
        with pytest.raises(Overloaded, match="results to fetch from"):
            await session.execute(CALL, sql("SELECT a FROM t"), 1)


async def test_a_batch_is_one_transaction(start, connect) -> None:
    async with start() as node, connect(node) as session:
        answers = await session.batch(
            CALL, [sql("CREATE TABLE t (a UNIQUE)"), sql("INSERT INTO t VALUES (?)", 1), sql("SELECT a FROM t")]
        )
        assert [answer.rows for answer in answers[:3]] == [[], [], [(1,)]]
        with pytest.raises(SqlFailed, match="UNIQUE") as caught:
            await session.batch(CALL, [sql("INSERT INTO t VALUES (2)"), sql("INSERT INTO t VALUES (1)")])
        assert not caught.value.in_transaction
        assert await count(session) == 1
        with pytest.raises(InvalidArgument, match="begins or ends"):
            await session.batch(CALL, [sql("INSERT INTO t VALUES (2)"), sql("COMMIT")])
        assert await count(session) == 1
        with pytest.raises(TooLarge, match="at most 1000 statements"):
            await session.batch(CALL, [sql("SELECT 1")] * (SQL_STATEMENTS_PER_BATCH + 1))
        await session.execute(CALL, sql("BEGIN"))
        with pytest.raises(SqlFailed) as caught:
            await session.batch(WITHIN, [sql("INSERT INTO t VALUES (2)"), sql("INSERT INTO t VALUES (1)")])
        assert caught.value.in_transaction
        await session.commit(WITHIN)
        assert await count(session) == 2


async def test_what_is_idle_is_rolled_back_and_the_next_call_hears_it(start, connect) -> None:
    async with start() as node, connect(node, idle_seconds=0.05) as idle, connect(node, lock_seconds=30) as other:
        await idle.execute(CALL, sql("CREATE TABLE t (a)"))
        await idle.execute(CALL, sql("BEGIN IMMEDIATE"))
        await idle.execute(WITHIN, sql("INSERT INTO t VALUES (1)"))
        await other.execute(CALL, sql("INSERT INTO t VALUES (2)"))  # waits until the idle one is over
        with pytest.raises(TransactionEnded, match=r"idle for more than 0\.05 s"):
            await idle.execute(WITHIN, sql("INSERT INTO t VALUES (3)"))
        assert await count(idle) == 1
        await other.execute(CALL, sql("INSERT INTO t VALUES (4)"))
        rows = await idle.execute(CALL, sql("SELECT a FROM t"), 1)
        while idle.is_idle:  # noqa: ASYNC110
            await trio.sleep(0.01)
        with pytest.raises(TransactionEnded, match="no result"):
            await idle.fetch(rows.cursor)


async def test_a_transaction_that_holds_nothing_may_be_idle(start, connect) -> None:
    async with start() as node, connect(node, idle_seconds=0.01) as idle, connect(node) as other:
        await other.execute(CALL, sql("CREATE TABLE t (a)"))
        await idle.execute(CALL, sql("BEGIN"))
        await idle.execute(WITHIN, sql("SAVEPOINT s"))
        await trio.sleep(0.02)
        assert not idle.is_idle
        await other.execute(CALL, sql("INSERT INTO t VALUES (1)"))
        answer = await idle.execute(WITHIN, sql("SELECT count(*) FROM t"))
        assert answer.rows == [(1,)]
        assert idle.is_idle
        await idle.rollback(WITHIN)
        await idle.execute(CALL, sql("BEGIN"))
        assert not idle.is_idle


async def test_a_lock_is_waited_for_as_long_as_the_caller_says(start, connect) -> None:
    async with start() as node, connect(node) as one, connect(node, lock_seconds=0.01) as two:
        await one.execute(CALL, sql("CREATE TABLE t (a)"))
        await one.execute(CALL, sql("BEGIN IMMEDIATE"))
        with pytest.raises(DatabaseLocked, match="database is locked"):
            await two.execute(CALL, sql("INSERT INTO t VALUES (1)"))
        await one.rollback(WITHIN)
        await two.execute(CALL, sql("INSERT INTO t VALUES (1)"))


async def test_calls_run_in_the_order_in_which_they_lined_up(start, connect) -> None:
    async with start() as node, connect(node) as session:
        await session.execute(CALL, sql("CREATE TABLE t (a INTEGER PRIMARY KEY, b)"))
        places = [session.line_up() for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for number in reversed(range(20)):
                insert = sql("INSERT INTO t (b) VALUES (?)", number)
                nursery.start_soon(lambda insert=insert, at=number: session.execute(CALL, insert, place=places[at]))
        found = await session.execute(CALL, sql("SELECT b FROM t ORDER BY a"))
        assert found.rows == [(number,) for number in range(20)]


async def test_a_cancelled_call_takes_its_transaction_along(start, connect) -> None:
    async with start() as node, connect(node) as session, connect(node) as other:
        await session.execute(CALL, sql("CREATE TABLE t (a)"))
        await other.execute(CALL, sql("BEGIN IMMEDIATE"))
        await session.execute(CALL, sql("BEGIN"))
        with trio.move_on_after(0.05) as scope:
            await session.execute(WITHIN, sql("INSERT INTO t VALUES (1)"))
        assert scope.cancelled_caught
        assert not session.session.in_transaction
        await other.commit(WITHIN)
        await session.execute(CALL, sql("INSERT INTO t VALUES (2)"))
        assert await count(other) == 1


async def test_an_outcome_is_found_by_the_id_that_the_caller_chose(start, connect) -> None:
    async with start() as node, connect(node) as session:
        sessions = node.service.sql
        since = (await session.execute(CALL, sql("CREATE TABLE t (a)"))).next_offset
        done = await session.execute(SqlCall(transaction=b"1" * 16), sql("INSERT INTO t VALUES (1)"))
        outcome = await sessions.outcome(1, "clinic", b"1" * 16, since)
        assert (outcome.committed, outcome.position, outcome.next_offset) == (True, done.position, done.next_offset)
        await session.execute(SqlCall(transaction=b"2" * 16), sql("BEGIN"))
        named = SqlCall(transaction=b"2" * 16, within=True)
        await session.execute(named, sql("INSERT INTO t VALUES (2)"))
        assert not (await sessions.outcome(1, "clinic", b"2" * 16, since)).committed
        with pytest.raises(TransactionEnded, match="was told that it has none"):
            await session.commit(named)
        assert await count(session) == 1
        with pytest.raises(TransactionEnded):
            await session.execute(SqlCall(transaction=b"1" * 16), sql("INSERT INTO t VALUES (1)"))
        with pytest.raises(InvalidArgument, match="has 16 bytes"):
            await sessions.outcome(1, "clinic", b"2", since)
        with pytest.raises(InvalidArgument, match="up to the stream's end"):
            await sessions.outcome(1, "clinic", b"2" * 16, 1000)


async def test_an_outcome_waits_for_the_call_under_way(start, connect) -> None:
    async with start() as node, connect(node) as session, connect(node) as other:
        since = (await session.execute(CALL, sql("CREATE TABLE t (a)"))).next_offset
        await other.execute(CALL, sql("BEGIN IMMEDIATE"))
        found: list[bool] = []

        async def ask() -> None:
            found.append((await node.service.sql.outcome(1, "clinic", b"3" * 16, since)).committed)

        async with trio.open_nursery() as nursery:
            call = SqlCall(transaction=b"3" * 16)
            nursery.start_soon(lambda: session.execute(call, sql("INSERT INTO t VALUES (1)")))
            await trio.testing.wait_all_tasks_blocked(0.02)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert not found
            await other.rollback(WITHIN)
        assert found == [True]


async def test_on_whose_behalf_is_said_once_or_with_a_call(start, connect) -> None:
    async with start() as node, connect(node, attribution=Attribution(actor="ann")) as session:
        await session.execute(CALL, sql("CREATE TABLE t (a)"))
        await session.execute(SqlCall(attribution=Attribution(actor="ben")), sql("INSERT INTO t VALUES (1)"))
        assert session.session.attribution.actor == "ben"


async def test_reads_may_be_as_fresh_as_a_position_or_stale(start, connect) -> None:
    async with start() as node, connect(node) as session:
        await session.execute(CALL, sql("CREATE TABLE t (a)"))
        done = await session.execute(CALL, sql("INSERT INTO t VALUES (1)"))
        for level in (Consistency.STALE, done.position, Position(done.position.group, 0), Position("global", 7)):
            answer = await session.execute(SqlCall(level=level), sql("SELECT a FROM t"))
            assert answer.rows == [(1,)]


async def test_sessions_are_counted_and_databases_must_be_there(start, connect, monkeypatch) -> None:
    monkeypatch.setattr("vdb.node.crud.sessions.SQL_SESSIONS_MAX", 1)
    async with start() as node:
        with pytest.raises(UnknownDatabase, match="tenant 1 has no SQL database 'clinic'"):
            await node.service.sql.open(1, "clinic", attribution=NOBODY, lock_seconds=1)
        async with connect(node) as session:
            with pytest.raises(Overloaded, match="1 SQL sessions are open"):
                await node.service.sql.open(1, "clinic", attribution=NOBODY, lock_seconds=1)
        await session.close()
        with pytest.raises(TransactionEnded, match="the session was closed"):
            await session.execute(CALL, sql("SELECT 1"))
        async with connect(node):
            pass
    assert SQL_SESSIONS_MAX > 1


async def test_an_outcome_counts_what_still_waits_to_be_proposed(start, connect, small_limits) -> None:
    limits = evolve(small_limits, pipeline_max=1, requests_per_prepare_max=1)
    async with start(limits=limits) as node, connect(node) as session:
        since = (await session.execute(CALL, sql("CREATE TABLE t (a)"))).next_offset
        await node.service.create_stream(INTERNAL, 1, "busy", DataClass.PHI, "ap-southeast-2")
        run = PlainRun(count=1, batch=encode_batch([b"x"]))
        answers: list[Any] = []
        for _ in range(30):  # the log has much to do before it comes to the session's transaction
            node.service.writes.append(INTERNAL, 1, (PlainAppend(stream="busy", runs=(run,)),), answers.append)
        call = SqlCall(transaction=b"q" * 16)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: session.execute(call, sql("INSERT INTO t VALUES (1)")))
            await session.database.reader.group.wait_until(lambda: len(answers) > 3)
            nursery.cancel_scope.cancel()
        assert len(answers) < 30
        assert (await node.service.sql.outcome(1, "clinic", b"q" * 16, since)).committed
        assert await count(session) == 1
