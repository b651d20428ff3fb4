"""A bridge that notices damage: whoever meets a page that can't be read tells the node, which builds the file anew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from vdb.errors import DatabaseDamaged
from vdb.projections.store import SqliteError, storage_error
from vdb.sql.host import Bridge, Host

T = TypeVar("T")


class NoticingBridge:
    """Implements `vdb.sql.host.Bridge` over another one. SQLite's errors pass unchanged."""

    def __init__(self, bridge: Bridge, host: Host) -> None:
        self._bridge = bridge
        self._host = host

    async def on_loop(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._bridge.on_loop(work)

    def tell(self, work: Callable[[], None]) -> None:
        self._bridge.tell(work)

    async def off_loop(self, work: Callable[[], T]) -> T:
        try:
            return await self._bridge.off_loop(work)
        except SqliteError as error:
            if isinstance(storage_error(error, ""), DatabaseDamaged):
                self._bridge.tell(self._host.on_damage)
            raise
