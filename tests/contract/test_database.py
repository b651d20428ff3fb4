"""The contract of Database, on the real and on the simulated one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from vdb.errors import FileMissing, WrongKey
from vdb.ports import Connection, World
from vdb.projections.generations import remove_database
from vdb.projections.store import SqliteError

InWorld = Callable[[Callable[[World], Awaitable[None]]], None]
KEY = bytes(range(32))


def create(connection: Connection) -> None:
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT CURRENT_TIMESTAMP)")


def insert(connection: Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO t (a) VALUES (?)", [(1,), (2,)])
    connection.execute("COMMIT")


def count(connection: Connection) -> Any:
    return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_rows_are_written_and_read(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        await world.disk.make_directory("projections/t_1")
        database = await world.disk.open_database("projections/t_1/x.db", KEY)
        await database.run(create)
        await database.run(insert)
        assert await database.run(count) == 2
        assert await database.read(count) == 2
        assert await world.disk.exists("projections/t_1/x.db")
        assert "x.db" in await world.disk.list("projections/t_1")
        await database.close()
        await database.close()
        again = await world.disk.open_database("projections/t_1/x.db", KEY)
        assert await again.read(count) == 2
        await again.close()

    in_world(body)


def test_readers_see_the_last_commit_and_can_not_write(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)
        assert await database.read(count) == 0
        await database.run(insert)
        assert await database.read(count) == 2
        with pytest.raises(SqliteError, match="readonly"):
            await database.read(insert)

    in_world(body)


def test_a_wrong_key_is_refused(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)
        await database.close()
        with pytest.raises(WrongKey, match=r"x\.db: the key doesn't fit"):
            await world.disk.open_database("x.db", bytes(32))
        with pytest.raises(WrongKey, match="32 bytes"):
            await world.disk.open_database("x.db", b"short")

    in_world(body)


def test_a_missing_directory_is_missing(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        with pytest.raises(FileMissing):
            await world.disk.open_database("nowhere/x.db", KEY)

    in_world(body)


def test_work_that_raises_is_rolled_back_and_its_error_passes(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)

        def fail(connection: Connection) -> None:
            connection.execute("BEGIN")
            connection.execute("INSERT INTO t (a) VALUES (7)")
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await database.run(fail)
        assert await database.run(count) == 0

    in_world(body)


def test_work_may_not_leave_a_transaction_open(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        with pytest.raises(AssertionError, match="left a transaction open"):
            await database.run(lambda connection: connection.execute("BEGIN"))
        await database.run(create)

    in_world(body)


def test_runs_go_one_at_a_time(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(lambda c: c.execute("CREATE TABLE n (v INTEGER)"))
        await database.run(lambda c: c.execute("INSERT INTO n VALUES (0)"))

        def add(connection: Connection) -> None:
            connection.execute("BEGIN")
            value = connection.execute("SELECT v FROM n").fetchone()[0]
            connection.execute("UPDATE n SET v = ?", (value + 1,))
            connection.execute("COMMIT")

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(database.run, add)
        assert await database.read(lambda c: c.execute("SELECT v FROM n").fetchone()[0]) == 20

    in_world(body)


def test_reads_go_on_beside_writes(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)

        async def write() -> None:
            for n in range(0, 60, 2):
                await database.run(lambda c, n=n: c.execute("INSERT INTO t (a) VALUES (?), (?)", (n, n + 1)))

        async def read() -> None:
            for _ in range(30):
                assert await database.read(count) % 2 == 0

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            for _ in range(6):
                nursery.start_soon(read)
        assert await database.read(count) == 60

    in_world(body)


def test_a_database_is_renamed_and_removed_when_closed(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)
        await database.close()
        await world.disk.rename("x.db", "y.db")
        database = await world.disk.open_database("y.db", KEY)
        assert await database.read(count) == 0
        await database.close()
        await world.disk.remove("y.db")
        assert not await world.disk.exists("y.db")

    in_world(body)


def test_a_damaged_database_is_set_aside(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        path = "projections/x.db"
        await world.disk.make_directory("projections")
        with pytest.raises(FileMissing):
            await world.disk.set_database_aside(path)
        for life in range(2):
            database = await world.disk.open_database(path, bytes([life]) * 32)
            await database.run(create)
            await database.close()
            with pytest.raises(WrongKey):
                await world.disk.open_database(path, KEY)
            await world.disk.set_database_aside(path)
            assert await world.disk.list("projections") == ["x.db.damaged"]
        database = await world.disk.open_database(path, KEY)
        await database.run(create)
        await database.close()
        database = await world.disk.open_database(f"{path}.damaged", bytes([1]) * 32)
        assert await database.read(count) == 0
        await database.close()

    in_world(body)


def test_a_database_is_closed_once_nobody_reads(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.run(create)
        outcomes: list[str] = []

        async def read() -> None:
            try:
                outcomes.append(f"{await database.read(count)}")
            except trio.ClosedResourceError:
                outcomes.append("closed")

        async with trio.open_nursery() as nursery:
            for _ in range(12):
                nursery.start_soon(read)
            await trio.lowlevel.checkpoint()
            await database.close()
            await world.disk.set_database_aside("x.db")
            again = await world.disk.open_database("x.db", KEY)
            await again.run(create)
        assert len(outcomes) == 12
        assert set(outcomes) <= {"0", "closed"}
        await again.run(insert)
        assert await again.read(count) == 2
        await again.close()

    in_world(body)


def test_a_closed_database_is_closed(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)
        await database.close()
        with pytest.raises(trio.ClosedResourceError):
            await database.run(create)

    in_world(body)


def test_connections_have_the_house_settings(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        database = await world.disk.open_database("x.db", KEY)

        def settings(connection: Connection) -> list[Any]:
            names = ("journal_mode", "synchronous", "cell_size_check", "temp_store")
            return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        for call in (database.run, database.read):
            assert await call(settings) == ["wal", 1, 1, 2]

    in_world(body)


def test_no_session_opens_a_file_that_is_being_closed(in_world: InWorld) -> None:
    """Else it would open what came in its place, or the remains of what was moved away."""

    async def body(world: World) -> None:
        for _ in range(5):
            database = await world.disk.open_database("x.db", KEY)
            opened: list[Connection] = []
            closed = 0

            async def open_one(database: Any = database, opened: list[Connection] = opened) -> None:
                nonlocal closed
                try:
                    opened.append(await database.connect())
                except trio.ClosedResourceError:
                    closed += 1

            async with trio.open_nursery() as nursery:
                for _ in range(8):
                    nursery.start_soon(open_one)
                await trio.lowlevel.checkpoint()
                await database.close()
                await remove_database(world.disk, "x.db")
            assert len(opened) + closed == 8
            for connection in opened:
                with pytest.raises(SqliteError, match="closed"):
                    connection.execute("SELECT 1")

    in_world(body)
