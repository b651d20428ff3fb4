"""Transactions of many rows, and of large ones: as one unit in the log, in parts and pieces."""

from __future__ import annotations

import pytest

from vdb.errors import TooLarge
from vdb.limits import EVENTS_PER_APPEND_MAX, Limits

LIMITS = Limits(message_size_max=256 * 1024, wal_slots=48, checkpoint_interval=32)
MANY = EVENTS_PER_APPEND_MAX + 1000
COUNT = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT ?) "


async def test_more_rows_than_a_client_may_append_events(start, clinic, opened, query, tmp_path) -> None:
    async with start(limits=LIMITS) as node:
        async with opened(await clinic(node)) as session:
            await session.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
            result = await session.execute(COUNT + "INSERT INTO t SELECT n FROM c", (MANY,))
            assert result.rowcount == MANY
    for file in (tmp_path / "data" / "projections" / "t_1").glob("clinic.db*"):
        file.unlink()
    async with start(limits=LIMITS) as node:
        async with opened(await node.service.databases.open(1, "clinic")) as session:
            assert await query(session, "SELECT count(*), max(n) FROM t") == [(MANY, MANY)]


async def test_values_larger_than_a_message_of_the_log(start, clinic, opened, query, tmp_path) -> None:
    size = 3 * LIMITS.message_size_max
    async with start(limits=LIMITS) as node:
        async with opened(await clinic(node)) as session:
            await session.execute("CREATE TABLE t (a, b)")
            await session.execute("INSERT INTO t VALUES (?, ?)", (bytes(size), "é" * size))
    for file in (tmp_path / "data" / "projections" / "t_1").glob("clinic.db*"):
        file.unlink()
    async with start(limits=LIMITS) as node:
        async with opened(await node.service.databases.open(1, "clinic")) as session:
            assert await query(session, "SELECT * FROM t") == [(bytes(size), "é" * size)]


async def test_what_is_too_large_is_refused_and_leaves_nothing(start, clinic, opened, query) -> None:
    async with start(limits=LIMITS) as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a)")
            applied = database.applied
            with pytest.raises(TooLarge, match="expected at most"):
                await session.execute("INSERT INTO t VALUES (zeroblob(?))", (LIMITS.transaction_size_max,))
            assert await query(session, "SELECT count(*) FROM t") == [(0,)]
            await session.execute("INSERT INTO t VALUES (1)")
            assert await query(session, "SELECT a FROM t") == [(1,)]
            assert database.applied == applied + 2
