"""The Database port of a simulated node: a real SQLCipher file, worked on inline, in virtual time.

The node may crash before and after each `run`. SQLite checkpoints only when the simulator says so, at drawn moments: so
it is known which frames of the write-ahead file a power loss can't take any more (those synced by a checkpoint).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from sim.world import sql_functions
from sim.world.fence import Fence
from sim.world.scratch import Scratch, count_committed, salts
from vdb.errors import DatabaseDamaged, WrongKey
from vdb.ports import Connection
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.world.database import work_on

T = TypeVar("T")

RUN_NS = 120_000
READ_NS = 40_000
CHECKPOINT_PROBABILITY = 0.1


class SimDatabase:
    """The Database port. `op_time_us` is what SQL takes for now; None: the node's wall clock."""

    def __init__(self, scratch: Scratch, path: str, key: bytes, fence: Fence) -> None:
        self.path = path
        self.op_time_us: int | None = None
        self._scratch = scratch
        self._fence = fence
        self._closed = False
        self._key = key
        self._sessions: list[Connection] = []
        self._synced: tuple[bytes, int] = (b"", 0)
        self._file = scratch.location(path)
        try:
            self._writer = open_sqlcipher(self._file, key)
        except (WrongKey, DatabaseDamaged) as error:
            raise type(error)(str(error).replace(self._file, path)) from None
        self._reader = open_sqlcipher(self._file, key, read_only=True)
        for connection in (self._writer, self._reader):
            sql_functions.install(connection, scratch.random, self._now_us)
        self._writer.execute("PRAGMA wal_autocheckpoint = 0")
        wal = self._wal()
        self._synced = (salts(wal), count_committed(wal))  # what was found is durable
        scratch.add(path)
        scratch.open_databases.append(self)

    async def run(self, work: Callable[[Connection], T]) -> T:
        await self._spend("db.run", RUN_NS)
        result = work_on(self._writer, work, self.path)
        if self._scratch.random.random() < CHECKPOINT_PROBABILITY:
            self._checkpoint()
        self._fence.reach("db.ran")
        return result

    async def read(self, work: Callable[[Connection], T]) -> T:
        await self._spend("db.read", READ_NS)
        return work_on(self._reader, work, self.path)

    async def connect(self, **options: Any) -> Connection:
        await self._spend("db.connect", READ_NS)
        connection = open_sqlcipher(self._file, self._key, **options)
        sql_functions.install(connection, self._scratch.random, self._now_us)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._sessions.append(connection)
        return connection

    async def work(self, work: Callable[[], T]) -> T:
        await self._spend("db.work", READ_NS)
        result = work()
        if self._scratch.random.random() < CHECKPOINT_PROBABILITY / 4:
            self._checkpoint()
        self._fence.reach("db.worked")
        return result

    async def disconnect(self, connection: Connection) -> None:
        if connection in self._sessions:
            self._sessions.remove(connection)
            close_sqlcipher(connection)

    async def close(self) -> None:
        self._fence.check()
        self.close_connections()
        if self in self._scratch.open_databases:
            self._scratch.open_databases.remove(self)

    def close_connections(self) -> None:
        """Close at once; harmless twice."""
        if not self._closed:
            self._closed = True
            while self._sessions:
                close_sqlcipher(self._sessions.pop())
            close_sqlcipher(self._reader)
            close_sqlcipher(self._writer)

    def synced_frames(self, wal: bytes) -> int:
        """How many frames at the start of `wal` a power loss can't take."""
        turn, frames = self._synced
        return frames if turn == salts(wal) else 0

    def _checkpoint(self) -> None:
        busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if not busy:
            wal = self._wal()
            self._synced = (salts(wal), count_committed(wal))

    def _wal(self) -> bytes:
        file = Path(self._file + "-wal")
        return file.read_bytes() if file.exists() else b""

    async def _spend(self, kind: str, delay_ns: int) -> None:
        await self._fence.enter(kind)  # after a crash that is what happened, and not that the file is closed
        if self._closed:
            raise trio.ClosedResourceError(f"{self.path} is closed")
        await self._fence.sleep(delay_ns, shielded=True)
        if self._closed:
            raise trio.ClosedResourceError(f"{self.path} is closed")

    def _now_us(self) -> int:
        return self._scratch.now_us() if self.op_time_us is None else self.op_time_us
