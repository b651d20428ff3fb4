"""What was erased isn't left in the file of a database that was just being opened."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from vdb.node.crud.database import CrudDatabase
from vdb.types import TenantId


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
