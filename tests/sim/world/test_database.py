"""What a simulated power loss may do to databases, and their deterministic SQL functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.runner import run
from sim.world import DiskFaults, SimUniverse, absorb_crash
from vdb.ports import Connection, World
from vdb.types import Region

InUniverse = Callable[..., None]
REGION = Region("us-east-1")
KEY = bytes(32)


def insert(connection: Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.execute("INSERT INTO u VALUES (1)")
    connection.execute("COMMIT")


def counts(connection: Connection) -> Any:
    return connection.execute("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)").fetchone()


async def scalar(world: World, sql: str) -> Any:
    database = await world.disk.open_database("functions.db", KEY)
    value = await database.run(lambda c: c.execute(sql).fetchone()[0])
    await database.close()
    return value


def test_a_crash_takes_back_commits_from_the_end_and_never_half_of_one(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = universe.node("n0", REGION, disk_faults=DiskFaults(lose_unsynced=0.7))
        database = await node.boot().disk.open_database("x.db", KEY)
        await database.run(lambda c: c.execute("CREATE TABLE t (a)"))
        await database.run(lambda c: c.execute("CREATE TABLE u (a)"))
        await database.close()
        rows, losses = 0, 0
        for _ in range(40):
            if node.running:
                node.crash()
            database = await node.boot().disk.open_database("x.db", KEY)
            found = await database.read(counts)
            assert found[0] == found[1]
            assert found[0] <= rows
            losses += found[0] < rows
            assert (await database.read(lambda c: c.execute("PRAGMA integrity_check").fetchone()))[0] == "ok"
            rows = found[0]
            for _ in range(10):
                await database.run(insert)
                rows += 1
        assert losses > 0
        assert universe.faults["disk.lost_unsynced"] > 0

    in_universe(body)


def test_the_node_may_crash_before_and_after_each_run(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        node = universe.node("n0", REGION)
        database = await node.boot().disk.open_database("x.db", KEY)
        await database.run(lambda c: c.execute("CREATE TABLE t (a)"))
        await database.run(lambda c: c.execute("CREATE TABLE u (a)"))
        for kind, expected in (("db.run", (0, 0)), ("db.ran", (1, 1))):

            def crash(found: str, at: str = kind) -> None:
                if found == at:
                    node.crash()

            node.on_port_call = crash
            with absorb_crash():
                await database.run(insert)
            assert not node.running
            node.on_port_call = lambda found: None
            database = await node.boot().disk.open_database("x.db", KEY)
            assert await database.read(counts) == expected

    in_universe(body)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT current_timestamp", "2030-01-01 00:00:00"),
        ("SELECT current_date", "2030-01-01"),
        ("SELECT current_time", "00:00:00"),
        ("SELECT datetime('now', '+1 day', 'localtime')", "2030-01-02 00:00:00"),
        ("SELECT date()", "2030-01-01"),
        ("SELECT strftime('%Y')", "2030"),
        ("SELECT strftime('%H:%M', 'NOW')", "00:00"),
        ("SELECT unixepoch('now')", 1893456000),
        ("SELECT date('2024-02-28', '+1 day')", "2024-02-29"),
        ("SELECT timediff('now', '2029-12-31')", "+0000-00-01 00:00:00.000"),
        ("SELECT datetime('nonsense')", None),
        ("SELECT length(randomblob(8))", 8),
    ],
)
def test_sql_time_is_the_time_of_the_run(in_universe: InUniverse, sql: str, expected: object) -> None:
    async def body(universe: SimUniverse) -> None:
        value = await scalar(universe.node("n0", REGION).boot(), sql)
        assert value == expected

    in_universe(body)


def test_sql_randomness_comes_from_the_seed() -> None:
    async def main() -> Any:
        universe = SimUniverse(5)
        try:
            return await scalar(universe.node("n0", REGION).boot(), "SELECT random() || hex(randomblob(4))")
        finally:
            universe.close()

    assert run(5, main) == run(5, main)


def test_an_op_has_a_time_of_its_own(in_universe: InUniverse) -> None:
    async def body(universe: SimUniverse) -> None:
        database: Any = await universe.node("n0", REGION).boot().disk.open_database("x.db", KEY)
        database.op_time_us = 86_400_000_000
        assert await database.run(lambda c: c.execute("SELECT datetime()").fetchone()[0]) == "1970-01-02 00:00:00"
        await database.run(lambda c: c.execute("CREATE TABLE t (a, b DEFAULT CURRENT_TIMESTAMP)"))
        await database.run(lambda c: c.execute("INSERT INTO t (a) VALUES (1)"))
        assert await database.read(lambda c: c.execute("SELECT b FROM t").fetchone()[0]) == "1970-01-02 00:00:00"

    in_universe(body)


def test_closing_the_universe_removes_the_files() -> None:
    async def main() -> str:
        universe = SimUniverse(1)
        node = universe.node("n0", REGION)
        await node.boot().disk.open_database("x.db", KEY)
        location = node.scratch.location("x.db")
        assert Path(location).exists()  # noqa: ASYNC240
        assert "x.db" in node.scratch.files()
        universe.close()
        return location

    assert not Path(run(1, main)).exists()
