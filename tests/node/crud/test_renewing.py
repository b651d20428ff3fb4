"""What was erased isn't left in the file of a database that was just being opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from vdb.changes import Layout, Operation, RowChange, Transaction
from vdb.errors import DiskFull, NotReady
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases
from vdb.types import TenantId
from vdb.wire.sql import encode_transaction


async def test_files_are_renewed_once_those_that_are_being_opened_are_open(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = trio.Event(), trio.Event()
    real_open = CrudDatabase.open

    async def open_slowly(database: CrudDatabase) -> None:
        await real_open(database)
        opening.set()
        await go_on.wait()

    renewed: dict[str, int] = {}

    async with start() as node, trio.open_nursery() as nursery:
        databases = node.service.databases
        await databases.create(1, "clinic")
        monkeypatch.setattr(CrudDatabase, "open", open_slowly)
        nursery.start_soon(databases.open, 1, "clinic")
        await opening.wait()

        async def renew() -> None:
            renewed.update(await databases.renew(TenantId(1)))

        nursery.start_soon(renew)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not renewed
        go_on.set()
    assert list(renewed) == ["clinic"]


async def test_it_waits_until_the_databases_of_an_earlier_life_are_open(
    start: Any, clinic: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as node:
        await clinic(node)
    go_on, real_open = trio.Event(), CrudDatabases._open_files

    async def open_later(databases: CrudDatabases) -> None:
        await go_on.wait()
        await real_open(databases)

    monkeypatch.setattr(CrudDatabases, "_open_files", open_later)
    renewed: dict[str, int] = {}

    async with start() as node, trio.open_nursery() as nursery:

        async def renew() -> None:
            renewed.update(await node.service.databases.renew(TenantId(1)))

        nursery.start_soon(renew)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not renewed
        go_on.set()
    assert list(renewed) == ["clinic"]


async def test_files_of_a_database_that_did_not_open_are_removed(
    start: Any, clinic: Any, opened: Any, query: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a)")
        await node.service.databases.travel.as_of(database, offset=0)
        assert len(files(tmp_path)) > 1
    real_open = CrudDatabase.open

    async def fail(_database: CrudDatabase) -> None:
        raise DiskFull("no space left on the disk")

    monkeypatch.setattr(CrudDatabase, "open", fail)
    async with start() as node:
        assert await node.service.databases.renew(TenantId(1)) == {}
        assert files(tmp_path) == []
        monkeypatch.setattr(CrudDatabase, "open", real_open)
        async with opened(await clinic(node)) as session:
            assert await query(session, "SELECT count(*) FROM t") == [(0,)]


async def test_no_session_opens_while_the_file_is_built_anew(start: Any, clinic: Any, opened: Any) -> None:
    """A client asks again after a pause, then: it would ask again at once whoever had stopped."""
    async with start() as node:
        database = await clinic(node)
        file = database.file
        connecting, go_on, real_connect = trio.Event(), trio.Event(), file.connect

        async def connect(**options: Any) -> Any:
            found = await real_connect(**options)
            connecting.set()
            await go_on.wait()
            return found

        file.connect = connect
        async with trio.open_nursery() as nursery:

            async def open_one() -> None:
                with pytest.raises(NotReady, match="the file of database 'clinic' is closed, or built anew: try again"):
                    await database.session()

            nursery.start_soon(open_one)
            await connecting.wait()
            await database.close()
            with pytest.raises(NotReady, match="try again"):
                await database.session()
            go_on.set()
        await database.renew()
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a)")


def files(folder: Path) -> list[Path]:
    return [
        path for name in ("projections", "restore_points") for path in (folder / "data" / name).rglob("clinic*/*.db")
    ] + list((folder / "data" / "projections").rglob("clinic.db*"))


async def test_a_file_with_erased_rows_in_the_way_of_others_is_built_anew_as_often_as_it_takes(
    start: Any, clinic: Any, opened: Any, query: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a backup that hasn't got to it yet, while the primary's file is rid of the rows."""
    async with start() as node:
        database = await clinic(node)
        async with opened(database) as session:
            await session.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        for number in range(2):
            # Rows that the log hasn't: as those of a subject whose keys are destroyed.
            await database.file.run(lambda db, number=number: db.execute("INSERT INTO t VALUES (?)", (100 + number,)))
            key = database._key
            monkeypatch.setattr(database._keys, "is_destroyed", lambda found, key=key: found == key)
            monkeypatch.setattr(database._keys, "id_of", lambda *_of, number=number: f"{number:02x}")
            await write(database, 100 + number)
            async with opened(database) as session:
                assert await query(session, "SELECT a FROM t") == [(100 + each,) for each in range(number + 1)]


async def write(database: CrudDatabase, number: int) -> None:
    """A row by another node."""
    table = Layout(table="t", columns=("a",), key=("a",))
    change = RowChange(layout=0, operation=Operation.INSERT, rowid_after=number, after=(number,))
    payloads = encode_transaction(Transaction(id=bytes(15) + bytes([number]), layouts=(table,), steps=(change,)))
    database._view = database.view
    logged = await database.append(payloads)
    with trio.fail_after(10):
        await database.catch_up(logged.next_offset)
