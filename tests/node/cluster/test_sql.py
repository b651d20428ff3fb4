"""SQL databases of three nodes, through clients: the primary writes, all have the rows, and a transaction whose node
is lost is there as a whole or not at all, as its client was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from sim.world import draws
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence
from vdb.client.client import Client
from vdb.errors import IndefiniteError, TransactionEnded, UnknownDatabase
from vdb.sql.answers import SqlStatement
from vdb.types import Consistency

ADDRESSES = ("n0:7140", "n1:7140", "n2:7140")


def client_of(cluster: Any, name: str = "c1", addresses: tuple[str, ...] = ADDRESSES, **settings: Any) -> Client:
    universe = cluster.universe
    fence = Fence(name, universe.clock, lambda kind: None)
    port = universe.network.port(name, fence)

    def connector(address: str) -> Callable[[], Any]:
        return lambda: port.connect(address)

    return Client(
        {address: connector(address) for address in addresses},
        entropy=SimEntropy(draws(universe.seed, f"{name}/entropy"), fence),
        learn=connector,
        **settings,
    )


async def rows_at(cluster: Any, number: int, sql: str = "SELECT * FROM t ORDER BY rowid") -> list[tuple[Any, ...]]:
    """What a node's own file has, once it has applied what the node knows as committed."""
    database = await cluster.machines[number].node.service.databases.open(1, "clinic")
    await database.catch_up(database.logged_offset)
    found: list[tuple[Any, ...]] = await database.file.read(lambda db: db.execute(sql).fetchall())
    return found


async def same_everywhere(cluster: Any, sql: str = "SELECT * FROM t ORDER BY rowid") -> list[tuple[Any, ...]]:
    await cluster.converge()
    found = [await rows_at(cluster, number, sql) for number in cluster.running()]
    assert all(rows == found[0] for rows in found), found
    return found[0]


async def prepare(cluster: Any, client: Client) -> None:
    await client.create_database("clinic", "non-phi")
    async with client.sql("clinic") as session:
        await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")


def test_what_the_primary_writes_every_node_has(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster) as client:
            assert await client.create_database("clinic") is True
            assert await client.create_database("clinic", if_not_exists=True) is False
            assert [one.name for one in await client.list_databases()] == ["clinic"]
            with pytest.raises(UnknownDatabase, match="no SQL database 'nope'"):
                await client.sql("nope").execute("SELECT 1")
            async with client.sql("clinic", actor="dr-lee") as session:
                await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
                inserted = await session.execute("INSERT INTO t (b) VALUES (?), (?)", ("x", None))
                assert (inserted.rowcount, inserted.lastrowid) == (2, 2)
                async with session.transaction():
                    await session.executemany("INSERT INTO t (b) VALUES (:b)", [{"b": 1.5}, {"b": b"\0"}])
                    await session.execute("DELETE FROM t WHERE a = 1")
                rows = await session.execute("SELECT * FROM t")
                assert rows.columns == ("a", "b")
                assert await rows.fetchall() == [(2, None), (3, 1.5), (4, b"\0")]
            assert await same_everywhere(cluster) == [(2, None), (3, 1.5), (4, b"\0")]

    in_cluster(body)


def test_backups_follow_a_database_that_nobody_opens_there(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with client.sql("clinic") as session:
                await session.execute("INSERT INTO t VALUES (1, 'x')")
        found = [cluster.machines[number].node.service.databases._open for number in range(3)]
        await cluster.wait_until(lambda: all(found))
        databases = [next(iter(one.values())) for one in found]
        await cluster.wait_until(lambda: len({database.applied for database in databases}) == 1)
        assert databases[0].applied > 0

    in_cluster(body)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_a_client_that_knows_a_backup_alone_finds_the_primary(in_cluster: Callable[..., None], wanted: int) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        while (primary := await cluster.primary()) != wanted:
            cluster.group(primary).abdicate()
            await cluster.wait_until(lambda held=primary: not cluster.group(held).is_serving)
        backup = next(number for number in (0, 1, 2) if number != primary)
        async with client_of(cluster, addresses=(ADDRESSES[backup],)) as client:
            await prepare(cluster, client)
            await cluster.converge()
            # A session that reads anywhere is at the backup, until it writes.
            async with client.sql("clinic", consistency="stale") as session:
                assert session._line._link.address == ADDRESSES[backup]
                assert await (await session.execute("SELECT count(*) FROM t")).fetchall() == [(0,)]
                assert session._line._link.address == ADDRESSES[backup]
                await session.execute("INSERT INTO t VALUES (1, 1)")
                assert session._line._link.address == ADDRESSES[primary]
                assert session.position is not None
                own = client.sql("clinic", at_least=session.position)
            client._router._routes.of(None).address = ADDRESSES[backup]
            async with own:
                assert own._line._link.address == ADDRESSES[backup]
                assert await (await own.execute("SELECT * FROM t")).fetchall() == [(1, 1)]

    in_cluster(body)


@pytest.mark.parametrize("way", ["crash", "abdicate"])
def test_a_transaction_ends_with_its_primary(in_cluster: Callable[..., None], way: str) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with client.sql("clinic") as session:
                await session.execute("INSERT INTO t VALUES (1, 'kept')")
                await session.execute("BEGIN")
                await session.execute("INSERT INTO t VALUES (2, 'lost')")
                primary = await cluster.primary()
                if way == "crash":
                    await cluster.crash(primary)
                else:
                    cluster.group(primary).abdicate()
                    await cluster.wait_until(lambda: not cluster.group(primary).is_serving)
                with pytest.raises(TransactionEnded, match="nothing of"):
                    await session.commit()
                assert not session.in_transaction
                await session.execute("INSERT INTO t VALUES (3, 'after')")
            if way == "crash":
                await cluster.start(primary)
            assert await same_everywhere(cluster) == [(1, "kept"), (3, "after")]

    in_cluster(body)


@pytest.mark.parametrize("delay_us", [0, 200, 400, 700, 1000, 1500, 2500, 5000])
@pytest.mark.parametrize("way", ["crash", "reset", "abdicate"])
def test_a_commit_on_its_way_is_whole_or_nothing_as_its_client_was_told(
    in_cluster: Callable[..., None], way: str, delay_us: int
) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        told: list[str] = []

        async def commit(session: Any) -> None:
            try:
                await session.commit()
            except TransactionEnded:
                told.append("ended")
            except IndefiniteError:
                told.append("unknown")
            else:
                told.append("committed")

        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with client.sql("clinic") as session:
                await session.execute("BEGIN")
                await session.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y")])
                primary = await cluster.primary()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(commit, session)
                    await trio.sleep(delay_us / 1e6)
                    if way == "crash":
                        await cluster.crash(primary)
                    elif way == "reset":
                        cluster.universe.network.reset("c1", f"n{primary}")
                    else:
                        cluster.group(primary).abdicate()
                count = (await (await session.execute("SELECT count(*) FROM t")).fetchone())[0]
            assert told[0] in ("ended", "committed")
            assert count == (2 if told == ["committed"] else 0)
            if way == "crash":
                await cluster.start(primary)
            assert len(await same_everywhere(cluster)) == count

    in_cluster(body, seed=delay_us + 1)


def test_statements_by_many_while_primaries_come_and_go_run_once(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        done: list[tuple[int, int]] = []
        over = trio.Event()

        async def write(number: int) -> None:
            async with client_of(cluster, f"c{number}") as client, client.sql("clinic", timeout=60) as session:
                for serial in range(12):
                    if serial % 3:
                        await session.execute("INSERT INTO t (b) VALUES (?)", (f"{number}.{serial}",))
                    else:
                        insert = SqlStatement(sql="INSERT INTO t (b) VALUES (?)", parameters=(f"{number}.{serial}",))
                        await session.batch([insert, "UPDATE t SET a = a WHERE a = 1"])
                    done.append((number, serial))

        async def disturb() -> None:
            while not over.is_set():
                await trio.sleep(0.3)
                primary = await cluster.primary()
                cluster.group(primary).abdicate()
                await trio.sleep(0.3)
                primary = await cluster.primary()
                await cluster.crash(primary)
                await trio.sleep(0.2)
                await cluster.start(primary)

        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(disturb)
                async with trio.open_nursery() as writers:
                    for number in range(4):
                        writers.start_soon(write, number)
                over.set()
            rows = await same_everywhere(cluster)
        assert sorted(row[1] for row in rows) == sorted(f"{number}.{serial}" for number, serial in done)
        assert len(done) == 48

    in_cluster(body)


def test_a_frozen_primary_is_left_and_a_long_call_is_given_up(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with client.sql("clinic", timeout=60) as session:
                await session.execute("INSERT INTO t VALUES (1, 1)")
                primary = await cluster.primary()
                for other in [f"n{number}" for number in range(3) if number != primary] + ["c1"]:
                    cluster.universe.network.half_open(f"n{primary}", other)
                await session.execute("INSERT INTO t VALUES (2, 2)")
                cluster.universe.network.heal()
                session.level = Consistency.LINEARIZABLE
                assert await (await session.execute("SELECT a FROM t")).fetchall() == [(1,), (2,)]
            assert await same_everywhere(cluster) == [(1, 1), (2, 2)]

    in_cluster(body)


def test_a_node_that_waits_for_a_quorum_can_be_stopped_and_its_client_goes_on(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        told: list[str] = []

        async def commit(session: Any) -> None:
            try:
                await session.commit()
            except TransactionEnded:
                told.append("ended")
            else:
                told.append("committed")

        async with client_of(cluster) as client:
            await prepare(cluster, client)
            async with client.sql("clinic", timeout=60) as session:
                await session.execute("BEGIN")
                await session.execute("INSERT INTO t VALUES (1, 'x')")
                primary = await cluster.primary()
                others = [number for number in range(3) if number != primary]
                for other in others:
                    await cluster.crash(other)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(commit, session)
                    await trio.sleep(0.2)
                    assert not told
                    with trio.fail_after(10):
                        await cluster.stop(primary)
                    await cluster.start(*others)
                count = (await (await session.execute("SELECT count(*) FROM t")).fetchone())[0]
            await cluster.start(primary)
            assert told == ["committed" if count else "ended"]
            assert len(await same_everywhere(cluster)) == count

    in_cluster(body)
