"""The bridge of a session that runs in the node's own loop: SQLite is worked on through the port of databases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from vdb.errors import TransactionEnded
from vdb.marks import mark
from vdb.ports import Database

T = TypeVar("T")


class LoopBridge:
    """Implements `vdb.sql.host.Bridge`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on_loop(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    async def off_loop(self, work: Callable[[], T]) -> T:
        # What SQLite does is brought to its end, so that whoever is cancelled knows where the connection stands.
        with trio.CancelScope(shield=True):
            try:
                return await self._database.work(work)
            except trio.ClosedResourceError:
                mark("sql.closed_under_session")
                raise TransactionEnded("the database's file was closed or is built anew: open a new session") from None
        raise AssertionError("a shield isn't cancelled")

    def tell(self, work: Callable[[], None]) -> None:
        work()
