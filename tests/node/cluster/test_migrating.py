"""Migrations on three nodes: each is applied once, whoever is the primary, and every node has what it made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from sim.world import draws
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence
from vdb.client.client import Client
from vdb.client.migrating import applied_migrations, migrate

ADDRESSES = ("n0:7140", "n1:7140", "n2:7140")
FILES = {
    "0001_patients.sql": "-- vdb: subject patients.id\nCREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);\n"
    "INSERT INTO patients VALUES ('p-1', 'Ada'), ('p-2', 'Bo');",
    "0002_visits.sql": "CREATE TABLE visits (id INTEGER PRIMARY KEY AUTOINCREMENT, patient REFERENCES patients);\n"
    "INSERT INTO visits (patient) SELECT id FROM patients;",
    "0003_name.sql": "ALTER TABLE patients RENAME COLUMN name TO full_name;\n"
    "CREATE INDEX by_name ON patients (full_name);",
}
NAMES = list(FILES)
EVERYTHING = (
    "SELECT name, sql FROM sqlite_master WHERE name <> 'projection_meta' ORDER BY type, name",
    "SELECT number, name, checksum FROM vdb_migrations ORDER BY number",
    "SELECT tbl, col FROM vdb_subject_columns",
    "SELECT * FROM patients ORDER BY id",
    "SELECT * FROM visits ORDER BY id",
)


def client_of(cluster: Any, name: str) -> Client:
    universe = cluster.universe
    fence = Fence(name, universe.clock, lambda kind: None)
    port = universe.network.port(name, fence)

    def connector(address: str) -> Callable[[], Any]:
        return lambda: port.connect(address)

    entropy = SimEntropy(draws(universe.seed, f"{name}/entropy"), fence)
    return Client({address: connector(address) for address in ADDRESSES}, entropy=entropy, learn=connector)


async def at(cluster: Any, number: int) -> list[Any]:
    """What a node's own file has."""
    database = await cluster.machines[number].node.service.databases.open(1, "clinic")
    await database.catch_up(database.logged_offset)
    return [await database.file.read(lambda db, sql=sql: db.execute(sql).fetchall()) for sql in EVERYTHING]


async def check_everywhere(cluster: Any) -> None:
    await cluster.converge()
    found = [await at(cluster, number) for number in cluster.running()]
    assert all(one == found[0] for one in found)
    assert [name for _, name, _ in found[0][1]] == NAMES
    assert found[0][3:] == [[("p-1", "Ada"), ("p-2", "Bo")], [(1, "p-1"), (2, "p-2")]]


def test_every_node_has_what_migrations_made(in_cluster: Callable[..., None]) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        async with client_of(cluster, "c1") as client:
            await client.create_database("clinic")
            async with client.sql("clinic") as session:
                assert await migrate(session, {name: FILES[name] for name in NAMES[:1]}) == NAMES[:1]
                assert await migrate(session, FILES) == NAMES[1:]
                cluster.group(await cluster.primary()).abdicate()
                assert await migrate(session, FILES) == []
                assert [one.name for one in await applied_migrations(session)] == NAMES
        await check_everywhere(cluster)

    in_cluster(body)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_at_once_while_the_primary_is_lost(in_cluster: Callable[..., None], seed: int) -> None:
    async def body(cluster: Any) -> None:
        await cluster.start(0, 1, 2)
        done: list[str] = []

        async def apply(name: str) -> None:
            async with client_of(cluster, name) as client, client.sql("clinic") as session:
                done.extend(await migrate(session, FILES))

        async with client_of(cluster, "c0") as client:
            await client.create_database("clinic")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(apply, "c1")
            nursery.start_soon(apply, "c2")
            await trio.sleep(0.01 * seed)
            await cluster.crash(await cluster.primary())
        assert sorted(set(done)) == NAMES
        await check_everywhere(cluster)

    in_cluster(body, seed=seed)
