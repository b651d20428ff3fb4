"""SQL databases on a node: what a session commits is in the log, and what is in the log is in the file."""

from __future__ import annotations

import pytest
import trio

from vdb.changes import Attribution
from vdb.errors import DatabaseLocked, ModeViolation, SqlRefused, UnknownDatabase
from vdb.node.preparing.request import PlainAppend
from vdb.projections.store import IntegrityError, SqliteError
from vdb.sql.meta import read_place


async def test_rows_are_there_after_a_restart(start, clinic, opened, query) -> None:
    async with start() as node:
        async with opened(await clinic(node)) as session:
            await session.execute("CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT)")
            result = await session.execute("INSERT INTO patients (name) VALUES (?), (?)", ("Ada", "Ben"))
            assert (result.rowcount, result.lastrowid) == (2, 2)
    async with start() as node:
        async with opened(await node.service.databases.open(1, "clinic")) as session:
            assert await query(session, "SELECT * FROM patients") == [(1, "Ada"), (2, "Ben")]


async def test_a_file_that_is_gone_is_built_from_the_log(start, clinic, opened, query, tmp_path) -> None:
    async with start() as node:
        async with opened(await clinic(node)) as session:
            await session.execute("CREATE TABLE t (a, b TEXT UNIQUE)")
            for number in range(10):
                await session.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (number, str(number % 4)))
            await session.execute("BEGIN")
            await session.execute("UPDATE t SET a = a * 2")
            await session.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
            await session.execute("DELETE FROM t WHERE b = '0'")
            await session.execute("COMMIT")
            before = await query(session, "SELECT rowid, * FROM t ORDER BY rowid")
    for file in (tmp_path / "data" / "projections" / "t_1").glob("clinic.db*"):
        file.unlink()
    async with start() as node:
        async with opened(await node.service.databases.open(1, "clinic")) as session:
            assert await query(session, "SELECT rowid, * FROM t ORDER BY rowid") == before
            assert len(before) == 3


async def test_what_is_rolled_back_leaves_nothing_in_the_log(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a)")
            applied = database.applied
            await session.execute("BEGIN")
            await session.execute("INSERT INTO t VALUES (1)")
            await session.execute("SAVEPOINT s")
            await session.execute("INSERT INTO t VALUES (2)")
            await session.execute("ROLLBACK TO s")
            await session.execute("ROLLBACK")
            assert database.applied == applied
            await session.execute("SAVEPOINT outer")
            await session.execute("INSERT INTO t VALUES (3)")
            await session.execute("RELEASE outer")
            assert not session.in_transaction
            assert database.applied > applied
            assert await query(session, "SELECT a FROM t") == [(3,)]
            assert read_place(session.db).next_offset == database.applied


async def test_a_statement_that_changes_nothing_isnt_logged(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a)")
            applied = database.applied
            assert (await session.execute("DELETE FROM t")).rowcount == 0
            await session.execute("BEGIN IMMEDIATE")
            await session.execute("COMMIT")
            assert database.applied == applied


async def test_deferred_keys_are_checked_before_the_log_hears_of_it(start, clinic, opened) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("PRAGMA foreign_keys = ON")
            await session.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
            await session.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
            applied = database.applied
            await session.execute("BEGIN")
            await session.execute("INSERT INTO c VALUES (1)")
            with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
                await session.execute("COMMIT")
            assert session.in_transaction
            assert database.applied == applied
            await session.execute("INSERT INTO p VALUES (1)")
            await session.execute("COMMIT")
            with pytest.raises(IntegrityError, match="FOREIGN KEY constraint failed"):
                await session.execute("INSERT INTO c VALUES (2)")


async def test_one_writer_at_a_time_and_readers_dont_wait(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as first, opened(database, lock_timeout=0.05) as second:
            await first.execute("CREATE TABLE t (a)")
            await first.execute("BEGIN IMMEDIATE")
            await first.execute("INSERT INTO t VALUES (1)")
            assert await query(second, "SELECT a FROM t") == []
            with pytest.raises(DatabaseLocked, match="database is locked"):
                await second.execute("INSERT INTO t VALUES (2)")
            await first.execute("COMMIT")
            await second.execute("INSERT INTO t VALUES (2)")
            assert await query(second, "SELECT a FROM t") == [(1,), (2,)]


async def test_an_old_snapshot_doesnt_become_a_write(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as first, opened(database) as second:
            await first.execute("CREATE TABLE t (a)")
            await second.execute("BEGIN")
            assert await query(second, "SELECT a FROM t") == []
            await first.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(SqliteError, match="database is locked"):
                await second.execute("INSERT INTO t VALUES (2)")
            await second.execute("ROLLBACK")
            await second.execute("INSERT INTO t VALUES (2)")


async def test_statements_of_many_sessions_share_appends(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as setup:
            await setup.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b NOT NULL)")
            errors: list[str] = []

            async def write(number: int) -> None:
                async with opened(database) as session:
                    for turn in range(5):
                        try:
                            value = None if turn == 2 else number
                            result = await session.execute("INSERT INTO t VALUES (?, ?)", (number * 10 + turn, value))
                            assert (result.rowcount, result.lastrowid) == (1, number * 10 + turn)
                            assert await query(session, "SELECT last_insert_rowid()") == [(number * 10 + turn,)]
                        except IntegrityError as error:
                            errors.append(str(error))

            ops = node.groups[database.reader.group.name].applied
            async with trio.open_nursery() as nursery:
                for number in range(16):
                    nursery.start_soon(write, number)
            assert len(errors) == 16
            assert await query(setup, "SELECT count(*) FROM t") == [(64,)]
            assert node.groups[database.reader.group.name].applied - ops < 40


async def test_a_statement_that_ends_the_transaction_of_a_batch_leaves_the_others(start, clinic, opened, query) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as setup:
            await setup.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
            await setup.execute("INSERT INTO t VALUES (0, 0)")

            async def write(number: int) -> None:
                async with opened(database) as session:
                    if number % 3 == 0:
                        with pytest.raises(IntegrityError):
                            await session.execute("INSERT OR ROLLBACK INTO t VALUES (0, 1)")
                    else:
                        await session.execute("INSERT INTO t VALUES (?, ?)", (number, number))

            async with trio.open_nursery() as nursery:
                for number in range(12):
                    nursery.start_soon(write, number)
            expected = [(0, 0), *((number, number) for number in range(12) if number % 3)]
            assert await query(setup, "SELECT * FROM t ORDER BY a") == expected
        applied = database.applied
    async with start() as node:
        assert (await node.service.databases.open(1, "clinic")).applied == applied


async def test_who_did_it_is_in_the_log(start, clinic, opened) -> None:
    from vdb.node.crud.following import read_transactions

    async with start() as node:
        database = await clinic(node)
        doctor = Attribution(actor="dr.lee", purpose="treatment", metadata={"request": "7"})
        async with opened(database, attribution=doctor) as session:
            await session.execute("CREATE TABLE t (a)")
            await session.execute("INSERT INTO t VALUES (1)")
        found = [
            one
            async for some in read_transactions(database.reader, database.tenant, database.stream, 0, database.applied)
            for one in some
        ]
        assert [one.transaction.attribution for one in found] == [doctor, doctor]


async def test_a_databases_stream_takes_no_other_writes(start, clinic, opened) -> None:
    from vdb.kernel.command import INTERNAL

    async with start() as node:
        await clinic(node)
        with pytest.raises(ModeViolation, match="belong to SQL databases"):
            await node.service.append(INTERNAL, 1, [PlainAppend(stream="$sql/clinic")])
        with pytest.raises(ModeViolation):
            await node.service.create_stream(INTERNAL, 1, "$sql/other", 1, "ap-southeast-2")
        with pytest.raises(UnknownDatabase, match="no SQL database 'other'"):
            await node.service.databases.open(1, "other")


async def test_internal_tables_are_refused(start, clinic, opened) -> None:
    async with start() as node:
        async with opened(await clinic(node)) as session:
            for sql in ("UPDATE projection_meta SET position = 0", "DROP TABLE projection_meta"):
                with pytest.raises((SqlRefused, SqliteError)):
                    await session.execute(sql)
