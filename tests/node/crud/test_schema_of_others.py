"""A session whose triggers were made for a schema that another session has changed since."""

from __future__ import annotations

import pytest

from vdb.projections.store import SqliteError


async def test_a_column_that_another_session_renamed(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as first, opened(database) as second:
            await first.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, v)")
            await second.execute("INSERT INTO t VALUES (1, 1)")
            await first.execute("ALTER TABLE t RENAME COLUMN v TO w")
            await second.execute("INSERT INTO t (a, w) VALUES (2, 2)")
            await first.execute("ALTER TABLE t RENAME COLUMN w TO x")
            await second.execute("BEGIN IMMEDIATE")
            await second.execute("UPDATE t SET x = x + 1")
            await second.execute("ROLLBACK")
            await second.execute("UPDATE t SET x = x + 1 WHERE a = 2")
            assert await query(first, "SELECT * FROM t") == [(1, 1), (2, 3)]
    async with start() as node:
        again = await node.service.databases.open(1, "clinic")
        assert again.applied == database.applied


async def test_a_guard_that_a_rollback_took_away(start, clinic, opened, query) -> None:
    async with start() as node, opened(await clinic(node)) as session:
        await session.execute("PRAGMA foreign_keys = ON")
        await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, up REFERENCES t ON UPDATE CASCADE, b UNIQUE)")
        await session.execute("INSERT INTO t VALUES (1, 1, 1)")
        await session.execute("BEGIN")
        await session.execute("UPDATE OR REPLACE t SET a = a + 1")
        await session.execute("ROLLBACK")
        with pytest.raises(SqliteError, match="no such table: u"):
            await session.execute("INSERT INTO u VALUES (1)")
        await session.execute("INSERT INTO t VALUES (3, 1, 3)")
        assert await query(session, "SELECT a FROM t") == [(1,), (3,)]


async def test_a_table_that_another_session_dropped(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as first, opened(database) as second:
            await first.execute("CREATE TABLE t (a)")
            await first.execute("CREATE TABLE u (a)")
            await second.execute("INSERT INTO t VALUES (1)")
            await first.execute("DROP TABLE t")
            await second.execute("ALTER TABLE u RENAME COLUMN a TO b")
            await first.execute("CREATE TABLE t (a, c)")
            await second.execute("INSERT INTO t VALUES (1, 2)")
            await second.execute("INSERT INTO u (b) VALUES (3)")
            assert await query(first, "SELECT t.*, u.* FROM t, u") == [(1, 2, 3)]
            await first.execute("DROP TABLE t")
            await second.execute("BEGIN IMMEDIATE")
            await second.execute("ALTER TABLE u ADD COLUMN c")
            await second.execute("ROLLBACK")
            await second.execute("ALTER TABLE u ADD COLUMN d")
            await second.execute("INSERT INTO u VALUES (4, 5)")
        applied = database.applied
    async with start() as node:
        assert (await node.service.databases.open(1, "clinic")).applied == applied
