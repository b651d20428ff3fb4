"""Statements that fail and leave something (OR FAIL): alone and in others' batches they leave what SQLite leaves."""

from __future__ import annotations

import pytest
import trio

from vdb.projections.store import IntegrityError


async def test_rows_before_the_one_that_failed_stay_also_in_a_batch(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as setup:
            await setup.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE)")

            async def write(number: int) -> None:
                async with opened(database) as session:
                    with pytest.raises(IntegrityError, match="UNIQUE"):
                        await session.execute(
                            "INSERT OR FAIL INTO t VALUES (?, ?), (?, ?)", (number, number, -1, number)
                        )

            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(write, number)
            rows = [(number, number) for number in range(8)]
            assert await query(setup, "SELECT * FROM t ORDER BY a") == rows
        applied = database.applied
    async with start() as node:
        again = await node.service.databases.open(1, "clinic")
        assert again.applied == applied


async def test_an_error_that_is_no_constraint_leaves_nothing(start, clinic, opened, query) -> None:
    async with start() as node, opened(await clinic(node)) as session:
        await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        with pytest.raises(IntegrityError, match="datatype mismatch"):
            await session.execute("INSERT OR FAIL INTO t VALUES (1), ('x')")
        assert await query(session, "SELECT * FROM t") == []
        await session.execute("CREATE TABLE s (a INTEGER PRIMARY KEY, r REAL, b BLOB) STRICT")
        await session.execute("INSERT INTO s VALUES (1, 1.5, NULL), (2, 2.5, x'00')")
        with pytest.raises(IntegrityError, match="cannot store BLOB"):
            await session.execute("UPDATE s SET r = b")
        assert await query(session, "SELECT a, r FROM s") == [(1, 1.5), (2, 2.5)]


async def test_a_broken_deferred_key_leaves_nothing(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("PRAGMA foreign_keys = ON")
            await session.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
            await session.execute("CREATE TABLE c (a UNIQUE, p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
            applied = database.applied
            with pytest.raises(IntegrityError, match="FOREIGN KEY"):
                await session.execute("INSERT INTO c VALUES (1, 1)")
            with pytest.raises(IntegrityError, match="UNIQUE"):
                await session.execute("INSERT OR FAIL INTO c VALUES (1, 1), (1, 1)")
            assert await query(session, "SELECT * FROM c") == []
            assert database.applied == applied
            assert not session.in_transaction


async def test_what_is_done_again_after_a_rollback_includes_rows_that_went(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as setup:
            await setup.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE NOT NULL)")
            await setup.execute("INSERT INTO t VALUES (0, 'x'), (100, 'y')")

            async def write(number: int) -> None:
                async with opened(database) as session:
                    await session.execute("SELECT * FROM t")
                    if number % 3 == 2:
                        with pytest.raises(IntegrityError):
                            await session.execute("INSERT OR ROLLBACK INTO t VALUES (500, NULL)")
                    else:
                        await session.execute("REPLACE INTO t VALUES (?, 'x')", (number,))
                        await session.execute("UPDATE t SET a = a + 1 WHERE b = 'y'")

            async with trio.open_nursery() as nursery:
                for number in range(12):
                    nursery.start_soon(write, number)
            assert await query(setup, "SELECT a FROM t WHERE b = 'y'") == [(108,)]
            assert await query(setup, "SELECT count(*) FROM t WHERE b = 'x'") == [(1,)]
        applied = database.applied
    async with start() as node:
        again = await node.service.databases.open(1, "clinic")
        assert again.applied == applied
