"""The Database port over SQLCipher, in worker threads.

One writer connection, which one call at a time may use; up to READERS_MAX reading connections, made when needed and
used again. SQLite lets readers go on beside the writer (WAL). Files are made with mode 0600; their -wal and -shm files
inherit it.

SQLite says of a file that it can't open only that, so a missing descriptor is found by asking for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio

from vdb.errors import DiskFailed
from vdb.ports import Connection
from vdb.projections.store import (
    SqliteError,
    close_sqlcipher,
    in_transaction,
    interrupt,
    open_sqlcipher,
    storage_error,
)
from vdb.world.guard import ForkGuard, disk_errors
from vdb.world.using import Using

T = TypeVar("T")

BUSY_MS = 2000
"""How long a connection waits for another one that recovers or ends the write-ahead file: a matter of a few pages."""
_open = partial(open_sqlcipher, busy_ms=BUSY_MS)

READERS_MAX = 4

WORKERS_MAX = 16
"""Threads that may work for the sessions of one database at once."""

CONNECTING_MAX = 4
"""Connections for sessions of one database that may be opened at once."""


_left: list[Connection] = []
"""Connections that can't be closed, since a thread is at work on them: the last one to close touches files by name."""


class RealDatabase:
    """The Database port. Call `open` first."""

    def __init__(self, location: Path, key: bytes, guard: ForkGuard) -> None:
        self._location = location
        self._key = key
        self._guard = guard
        self._closed = False
        self._writer: Connection | None = None
        self._turn = trio.Lock()
        self._idle_readers: list[Connection] = []
        self._reading = trio.CapacityLimiter(READERS_MAX)
        self._sessions: dict[Connection, Using | None] = {}
        self._working = trio.CapacityLimiter(WORKERS_MAX)
        self._connecting = trio.CapacityLimiter(CONNECTING_MAX)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def open(self) -> None:
        """Open or create the file; WrongKey when the key isn't its own."""
        await trio.lowlevel.checkpoint()
        os.close(os.open(self._location, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with _files_left(str(self._location)):
            self._writer = await trio.to_thread.run_sync(_open, str(self._location), self._key)

    async def run(self, work: Callable[[Connection], T]) -> T:
        self._check()
        async with self._turn:
            self._check()
            assert self._writer is not None
            with _files_left(str(self._location)):
                return await trio.to_thread.run_sync(partial(work_on, self._writer, work, str(self._location)))

    async def read(self, work: Callable[[Connection], T]) -> T:
        self._check()
        async with self._reading:
            self._check()
            reader = self._idle_readers.pop() if self._idle_readers else None
            if reader is None:
                with _files_left(str(self._location)):
                    reader = await trio.to_thread.run_sync(
                        partial(_open, str(self._location), self._key, read_only=True)
                    )
            try:
                with _files_left(str(self._location)):
                    return await trio.to_thread.run_sync(partial(work_on, reader, work, str(self._location)))
            finally:
                self._give_back(reader)

    async def connect(self, *, using: Using | None = None, **options: Any) -> Connection:
        """As the port says. `using`: of the threads that use it without `work`."""
        self._check()

        def open_if_open() -> Connection:
            self._check()  # the file may be gone after `close`, or be another one
            connection = _open(str(self._location), self._key, **options)
            self._sessions[connection] = using  # before `close`, which waits for this thread, goes through them
            return connection

        with _files_left(str(self._location)):
            return await trio.to_thread.run_sync(open_if_open, limiter=self._connecting)

    async def work(self, work: Callable[[], T]) -> T:
        self._check()

        def work_if_open() -> T:
            self._check()  # whoever waited for a thread may have waited for `close`
            return work()

        return await trio.to_thread.run_sync(work_if_open, limiter=self._working)

    async def disconnect(self, connection: Connection) -> None:
        def close_if_open() -> None:
            if connection in self._sessions:  # else `close` has closed it, and its file may be another one by now
                del self._sessions[connection]
                close_sqlcipher(connection)

        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(close_if_open, limiter=self._working)

    async def close(self) -> None:
        self._guard.check()
        if self._closed:
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            for worker in range(WORKERS_MAX):
                await self._working.acquire_on_behalf_of((self, worker))
            for opening in range(CONNECTING_MAX):
                await self._connecting.acquire_on_behalf_of((self, opening))
            while self._sessions:
                connection, using = self._sessions.popitem()
                if using is None or await using.retire(partial(interrupt, connection)):
                    close_sqlcipher(connection)
                else:
                    _left.append(connection)
                if using is not None:
                    using.closed()
            for reader in range(READERS_MAX):  # wait for those that read: SQLite's last close touches the file
                await self._reading.acquire_on_behalf_of((self, reader))
            async with self._turn:
                while self._idle_readers:
                    close_sqlcipher(self._idle_readers.pop())
                if self._writer is not None:
                    await trio.to_thread.run_sync(close_sqlcipher, self._writer)
            for worker in range(WORKERS_MAX):  # who still waits finds that it is closed
                self._working.release_on_behalf_of((self, worker))
            for opening in range(CONNECTING_MAX):
                self._connecting.release_on_behalf_of((self, opening))
            for reader in range(READERS_MAX):
                self._reading.release_on_behalf_of((self, reader))

    def _give_back(self, reader: Connection) -> None:
        if self._closed:
            close_sqlcipher(reader)
        else:
            self._idle_readers.append(reader)

    def _check(self) -> None:
        self._guard.check()
        if self._closed:
            raise trio.ClosedResourceError(f"{self._location.name} is closed")


@contextmanager
def _files_left(path: str) -> Iterator[None]:
    """Turn DiskFailed into TooManyOpenFiles where that is its cause."""
    try:
        yield
    except DiskFailed:
        with disk_errors(path):
            os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        raise


def work_on(connection: Connection, work: Callable[[Connection], T], path: str) -> T:
    """Call `work`; a transaction that it leaves open is rolled back, and a bug if it didn't raise.

    Failures of the disk become DiskFull, DiskFailed and DatabaseDamaged; other errors of SQLite pass as they are.
    """
    try:
        result = work(connection)
    except BaseException as error:
        if in_transaction(connection):
            connection.execute("ROLLBACK")
        meaning = storage_error(error, path) if isinstance(error, SqliteError) else None
        if meaning is not None:
            raise meaning from error
        raise
    left_open = in_transaction(connection)
    if left_open:
        connection.execute("ROLLBACK")
    assert not left_open, "the work left a transaction open"
    return result
