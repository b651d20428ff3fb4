"""The DB-API for coroutines, under both loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import vdb
import vdb.dbapi
from vdb.dbapi import OperationalError, attributed
from vdb.dbapi.aio import AsyncConnection, connect

ENDLESS = "WITH RECURSIVE r (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT count(*) FROM r"


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def run(function: Callable[..., Any]) -> Any:
        return anyio.run(function, backend=request.param)

    return run


def test_statements_rows_and_transactions(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (a)")
            cursor = await connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(300)])
            assert (cursor.rowcount, connection.in_transaction) == (300, True)
            await connection.commit()
            async with connection.execute("SELECT a FROM t ORDER BY a") as rows:
                assert [row async for row in rows] == [(n,) for n in range(300)]
            await connection.execute("DELETE FROM t")
            await connection.rollback()
            assert await connection.execute_fetchall("SELECT count(*) FROM t") == [(300,)]
            one = await connection.execute("SELECT a FROM t ORDER BY a")
            assert (await one.fetchone(), await one.fetchmany(2)) == ((0,), [(1,), (2,)])
            with pytest.raises(OperationalError, match="no such table"):
                await connection.execute("SELECT * FROM missing")

    run(main)


def test_calls_of_several_tasks_take_turns(run: Callable[..., Any]) -> None:
    async def main() -> None:
        connection = await connect(":memory:", isolation_level=None)
        await connection.execute("CREATE TABLE t (a)")
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(connection.execute_fetchall, "INSERT INTO t VALUES (?)", (number,))
        assert await connection.execute_fetchall("SELECT count(*) FROM t") == [(10,)]
        await connection.close()
        await connection.close()
        with pytest.raises(vdb.dbapi.ProgrammingError, match="closed database"):
            await connection.execute("SELECT 1")

    run(main)


def test_a_cancelled_call_is_interrupted(run: Callable[..., Any]) -> None:
    async def main() -> None:
        async with connect(":memory:") as connection:
            with anyio.move_on_after(0.05) as scope:
                await connection.execute_fetchall(ENDLESS)
            assert scope.cancelled_caught
            assert await connection.execute_fetchall("SELECT 1") == [(1,)]

    run(main)


def test_writers_wait_for_each_other_without_blocking_the_loop(run: Callable[..., Any]) -> None:
    async def add(connection: AsyncConnection, number: int) -> None:
        await connection.execute("INSERT INTO t VALUES (?)", (number,))
        await anyio.sleep(0.001)
        await connection.commit()

    async def main() -> None:
        url = "file:writers?mode=memory&cache=shared"
        connections = [await connect(url, uri=True) for _ in range(6)]
        await connections[0].execute("CREATE TABLE t (a)")
        async with anyio.create_task_group() as group:
            for number, connection in enumerate(connections):
                group.start_soon(add, connection, number)
        assert await connections[0].execute_fetchall("SELECT count(*) FROM t") == [(6,)]
        for connection in connections:
            await connection.close()

    run(main)


def test_what_is_said_around_a_call_counts(run: Callable[..., Any]) -> None:
    async def main() -> str:
        async with connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (a)")
            with attributed(actor="dr-lee"):
                await connection.execute("INSERT INTO t VALUES (1)")
            session = connection.sync.backend.session  # type: ignore[union-attr]
            return str(session.attribution.actor)  # type: ignore[union-attr]

    assert run(main) == "dr-lee"


def test_what_is_told_of_the_past(run: Callable[..., Any], tmp_path: Path) -> None:
    key = vdb.RootKeys(bytes(range(32)))

    async def main() -> None:
        async with connect(tmp_path / "data", keys=key, isolation_level=None) as connection:
            connection.actor = "dr.lee"
            await connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
            for number in (1, 2):
                await connection.execute("INSERT OR REPLACE INTO t VALUES (7, ?)", (number,))
            versions = await connection.history("t", 7)
            assert [version.attribution.actor for version in versions] == ["dr.lee"] * len(versions)
            first, last = versions[0].next_offset, versions[-1].next_offset
            (table,) = await connection.diff(first, last)
            assert (table.table, len(table.rows)) == ("t", 1)
            (write,) = (await connection.explain("DELETE FROM t")).writes
            assert write.table == "t"
            await connection.restore("before", first)
        async with connect(tmp_path / "data", keys=key, name="before") as connection:
            assert await connection.execute_fetchall("SELECT a FROM t") == [(1,)]

    run(main)
