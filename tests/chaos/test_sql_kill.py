"""kill -9 on a real node under SQL transactions: what was acknowledged is there, what ended isn't, all of it is whole.

VDB_CHAOS_KILLS says how often (5 unless told). In the end the database's file is deleted, and built again from the log.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from pathlib import Path

import trio

import vdb
from vdb.client.sql_session import RemoteSession
from vdb.errors import DatabaseLocked, IndefiniteError, TransactionEnded
from vdb.sql.answers import SqlStatement

KILLS = int(os.environ.get("VDB_CHAOS_KILLS", "5"))
WRITERS = 4
INSERT = "INSERT INTO entries (writer, serial, part, body) VALUES (?, ?, ?, ?)"
COUNT = "UPDATE writers SET done = done + 1 WHERE writer = ?"
TABLES = {
    "entries": "SELECT rowid, * FROM entries ORDER BY rowid",
    "writers": "SELECT * FROM writers ORDER BY writer",
    "sqlite_sequence": "SELECT * FROM sqlite_sequence ORDER BY name",
}


def parts_of(serial: int) -> int:
    return 1 + serial % 3


async def transact(session: RemoteSession, writer: int, serial: int) -> None:
    """One transaction in one of three forms: interactive, a batch, a single statement."""
    rows = [(writer, serial, part, os.urandom(part * 10)) for part in range(parts_of(serial))]
    if serial % 3 == 0:
        await session.execute(INSERT, rows[0])
        return
    if serial % 3 == 1:
        inserts = [SqlStatement(sql=INSERT, parameters=row) for row in rows]
        await session.batch([*inserts, SqlStatement(sql=COUNT, parameters=(writer,))])
        return
    await session.execute("BEGIN IMMEDIATE")
    await session.executemany(INSERT, rows)
    await session.execute(COUNT, (writer,))
    await session.commit()


async def test_transactions_are_whole_or_nothing_as_their_clients_were_told(node) -> None:
    told: dict[tuple[int, int], str] = {}
    done = trio.Event()

    async def write(writer: int) -> None:
        async with vdb.connect(node.address, connect_for=60) as client:
            serial = 0
            async with client.sql("clinic", lock_timeout=30, timeout=120) as session:
                while not done.is_set():
                    try:
                        await transact(session, writer, serial)
                    except (TransactionEnded, DatabaseLocked):
                        told[writer, serial] = "nothing"
                    except IndefiniteError:
                        told[writer, serial] = "unknown"
                    else:
                        told[writer, serial] = "committed"
                    serial += 1

    async def kill_again_and_again() -> None:
        draw = random.Random(1)
        for _ in range(KILLS):
            await trio.sleep(draw.uniform(0.02, 0.5))
            await trio.to_thread.run_sync(node.end, signal.SIGKILL)
            await trio.to_thread.run_sync(node.start)
        done.set()

    await trio.to_thread.run_sync(node.start)
    async with vdb.connect(node.address, connect_for=60) as client:
        await client.create_database("clinic")
        async with client.sql("clinic") as session:
            await session.batch(
                [
                    "CREATE TABLE entries (id INTEGER PRIMARY KEY AUTOINCREMENT, writer, serial, part, body BLOB)",
                    "CREATE TABLE writers (writer INTEGER PRIMARY KEY, done INTEGER)",
                    "CREATE UNIQUE INDEX once ON entries (writer, serial, part)",
                ]
            )
            await session.executemany("INSERT INTO writers VALUES (?, 0)", [(writer,) for writer in range(WRITERS)])
    async with trio.open_nursery() as nursery:
        for writer in range(WRITERS):
            nursery.start_soon(write, writer)
        nursery.start_soon(kill_again_and_again)

    found = await tables(node.address)
    check(found, told)
    await trio.to_thread.run_sync(node.end, signal.SIGKILL)
    for file in (Path(node.data_dir) / "projections" / "t_1").glob("clinic.db*"):
        file.unlink()
    await trio.to_thread.run_sync(node.start)
    assert await tables(node.address) == found, "a file that is built from the log isn't the one that was"


async def tables(address: str) -> dict[str, list[tuple[object, ...]]]:
    async with vdb.connect(address, connect_for=60) as client, client.sql("clinic", timeout=120) as session:
        return {name: await (await session.execute(query)).fetchall() for name, query in TABLES.items()}


def check(found: dict[str, list[tuple[object, ...]]], told: dict[tuple[int, int], str]) -> None:
    """What is there is what the clients were told."""
    parts: Counter[tuple[int, int]] = Counter((row[2], row[3]) for row in found["entries"])
    counted: Counter[int] = Counter()
    for key, outcome in told.items():
        whole = 1 if key[1] % 3 == 0 else parts_of(key[1])
        there = parts.pop(key, 0)
        assert there in (0, whole), f"transaction {key} is there by halves"
        assert outcome == "unknown" or (there > 0) == (outcome == "committed"), f"{key}: {outcome}, found {there} rows"
        counted[key[0]] += 1 if there and key[1] % 3 else 0
    assert not parts, "rows that nobody wrote"
    assert dict(found["writers"]) == {writer: counted[writer] for writer in range(WRITERS)}
    outcomes = Counter(told.values())
    assert outcomes["committed"] > 2 * KILLS, outcomes
