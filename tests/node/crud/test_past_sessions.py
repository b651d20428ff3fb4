"""Sessions of callers far away on a database as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio

from vdb.changes import NOBODY
from vdb.errors import InvalidArgument, NotPrimary, SqlFailed, SqlRefused, StreamExists, UnknownDatabase
from vdb.node.crud.server_session import ServerSession
from vdb.node.node import Node
from vdb.sql import crossing
from vdb.sql.answers import SqlCall, SqlStatement
from vdb.sql.moment import Moment, parse_moment
from vdb.types import Consistency

Connect = Callable[..., AbstractAsyncContextManager[ServerSession]]
CALL = SqlCall()


@pytest.fixture
def connect(clinic: Callable[[Node], Any]) -> Connect:
    """`async with connect(node, moment) as session`; without a moment in the present."""

    @asynccontextmanager
    async def run(node: Node, moment: Any = None, **options: Any) -> AsyncIterator[ServerSession]:
        await clinic(node)
        found = None if moment is None else parse_moment(moment)
        session = await node.service.sql.open(
            1, "clinic", attribution=NOBODY, lock_seconds=1.0, moment=found, **options
        )
        try:
            yield session
        finally:
            with trio.CancelScope(shield=True):
                await node.service.sql.close(session)

    return run


def sql(text: str, *parameters: Any) -> SqlStatement:
    return SqlStatement(sql=text, parameters=parameters)


async def fill(session: ServerSession) -> list[int]:
    """Make three states; where each ends."""
    ends = []
    for text in (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, b)",
        "INSERT INTO t VALUES (1, 'one')",
        "UPDATE t SET b = 'two'",
    ):
        ends.append((await session.execute(CALL, sql(text))).next_offset)
    return ends


async def test_it_reads_what_there_was_and_writes_nothing(start, connect) -> None:
    async with start() as node, connect(node) as present:
        ends = await fill(present)
        position = (await present.execute(CALL, sql("INSERT INTO t VALUES (2, 'x')"))).position
        for moment, expected in ((ends[1], "one"), (ends[2], "two"), (position, "two"), ("2200-01-01", "two")):
            async with connect(node, moment) as past:
                answer = await past.execute(CALL, sql("SELECT b FROM t WHERE id = 1"))
                assert answer.rows == [(expected,)]
                assert answer.next_offset == past.next_offset
        async with connect(node, ends[1]) as past:
            assert past.next_offset == ends[1]
            for text in ("DELETE FROM t", "BEGIN IMMEDIATE", "CREATE TABLE u (a)"):
                with pytest.raises(SqlRefused, match=f"as it was at offset {ends[1]}: it can be read, and not written"):
                    await past.execute(CALL, sql(text))
            with pytest.raises(SqlRefused, match="not written"):
                await past.migrate(CALL, {"0001_x.sql": "CREATE TABLE x (a);"})
            begun = await past.execute(CALL, sql("BEGIN"))
            assert begun.in_transaction
            with pytest.raises(SqlRefused, match="not written"):
                await past.execute(SqlCall(within=True), sql("DELETE FROM t"))
            assert not (await past.commit(SqlCall(within=True))).in_transaction
            answers = await past.batch(CALL, [sql("SELECT count(*) FROM t"), sql("SELECT 1")])
            assert [answer.rows for answer in answers[:2]] == [[(1,)], [(1,)]]
            with pytest.raises(SqlFailed, match="no such table: nope"):
                await past.execute(CALL, sql("SELECT * FROM nope"))
        assert (await present.execute(CALL, sql("SELECT count(*) FROM t"))).rows == [(2,)]


async def test_moments_that_never_were(start, connect) -> None:
    async with start() as node, connect(node) as present:
        await fill(present)
        with pytest.raises(InvalidArgument, match="expected an offset up to that, found 99"):
            async with connect(node, 99):
                pass
        with pytest.raises(UnknownDatabase):
            await node.service.sql.open(1, "other", attribution=NOBODY, lock_seconds=1.0, moment=Moment(offset=0))


async def test_copies_are_given_back_with_their_session(start, connect, clinic) -> None:
    async with start() as node, connect(node) as present:
        ends = await fill(present)
        travel = node.service.databases.travel
        async with connect(node, ends[1]) as past:
            answer = await past.execute(CALL, sql("SELECT 1 UNION ALL SELECT 2"), 1)
            assert answer.cursor
            assert travel._of(present.database).in_use
        assert not travel._of(present.database).in_use


async def test_what_is_settled_is_read_at_any_node_and_what_isnt_at_the_primary(start, connect, monkeypatch) -> None:
    async with start() as node, connect(node) as present:
        ends = await fill(present)
        inner = node.service.get_stream

        async def backup(tenant: int, name: str, *, level: Any, **options: Any) -> Any:
            if level is Consistency.LINEARIZABLE:
                raise NotPrimary("this node is a backup")
            return await inner(tenant, name, level=level, **options)

        monkeypatch.setattr(node.service, "get_stream", backup)
        sessions = node.service.sql
        settled = {"attribution": NOBODY, "lock_seconds": 1.0}
        for moment in (Moment(offset=ends[2]), Moment(timestamp=0)):
            past = await sessions.open(1, "clinic", moment=moment, **settled)
            await sessions.close(past)
        for moment in (Moment(offset=99), Moment(timestamp=2**52)):
            with pytest.raises(NotPrimary):
                await sessions.open(1, "clinic", moment=moment, **settled)
        past = await sessions.open(1, "clinic", moment=Moment(timestamp=2**52), level=Consistency.STALE, **settled)
        assert past.next_offset == ends[2]
        await sessions.close(past)


async def test_questions_are_answered_a_page_at_a_time(start, connect, monkeypatch) -> None:
    monkeypatch.setattr(crossing, "SQL_CHUNK_BYTES", 1000)
    async with start() as node, connect(node) as present:
        ends = await fill(present)
        for number in range(9):
            await present.execute(CALL, sql("UPDATE t SET b = ?", "x" * 300 + str(number)))
        last = present.next_offset
        found, end, more = [], 0, True
        while more:
            page = await present.history(CALL, "t", [1], len(found), end)
            found, end, more = [*found, *page.versions], page.to_offset, page.more
            assert 1 <= len(page.versions) < 5
            await present.execute(CALL, sql("UPDATE t SET b = 'later'"))  # isn't told
        assert end == last
        assert found == await node.service.databases.travel.history(present.database, "t", 1, to_offset=last)
        assert len(found) == 11
        await present.execute(
            CALL, sql("INSERT INTO t SELECT value, zeroblob(300) FROM json_each(?)", str(list(range(2, 10))))
        )
        rows, more, first, second = [], True, parse_moment(ends[1]), Moment()
        while more:
            differs = await present.diff(CALL, first, second, len(rows))
            rows, more = [*rows, *differs.rows], differs.more
            first, second = Moment(offset=differs.first), Moment(offset=differs.second)
            assert 1 <= len(differs.rows) < 5
        assert [row.after["id"] for _, row in rows] == list(range(1, 10))
        async with connect(node, ends[0]) as past:
            assert len((await past.history(CALL, "t", [1])).versions) > 2
            assert (await past.explain(CALL, "DELETE FROM t")).verdict.kind.name == "WRITE"


async def test_a_restore_is_a_new_database(start, connect) -> None:
    async with start() as node, connect(node) as present:
        ends = await fill(present)
        await present.restore(CALL, "then", Moment(offset=ends[1]))
        then = await node.service.sql.open(1, "then", attribution=NOBODY, lock_seconds=1.0)
        assert (await then.execute(CALL, sql("SELECT * FROM t"))).rows == [(1, "one")]
        await node.service.sql.close(then)
        with pytest.raises(StreamExists):
            await present.restore(CALL, "then", Moment())
        await present.execute(CALL, sql("BEGIN"))
        with pytest.raises(InvalidArgument, match="no part of a transaction"):
            await present.restore(CALL, "again", Moment())
        explanation = await present.explain(SqlCall(within=True), "UPDATE t SET b = 1")
        assert [write.table for write in explanation.writes] == ["t"]
        with pytest.raises(SqlFailed, match="syntax error"):
            await present.explain(SqlCall(within=True), "UPDAT")
        await present.commit(SqlCall(within=True))
