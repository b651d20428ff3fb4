"""The File port over a descriptor of the operating system.

Reads are served inline when the page cache has all of them (preadv with RWF_NOWAIT), else by a thread. Writes go to the
page cache, inline when they are small. Where syncs run is the pace's choice. Once a sync has failed, what it should
have made durable may be gone from the cache, so every later sync of the disk fails too.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING

import trio

from vdb.errors import DiskFailed
from vdb.ports import Buffer
from vdb.world.guard import disk_error

if TYPE_CHECKING:
    from vdb.world.disk import RealDisk

INLINE_WRITE_MAX = 256 * 1024
"""Bytes. A copy into the page cache of this size takes some 50 µs; a larger one goes to a thread."""

_NOWAIT: int = getattr(os, "RWF_NOWAIT", 0)
_NOT_CACHED = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class RealFile:
    """The File port. `path` is for messages."""

    def __init__(self, disk: RealDisk, path: str, descriptor: int) -> None:
        self._disk = disk
        self.path = path
        self._descriptor = descriptor
        self._closed = False
        self._calls = 0
        self._unsynced = 0
        """Bytes that were written since the last sync."""

    async def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        with self._use(f"reading {size} bytes at {offset}") as descriptor:
            await trio.lowlevel.checkpoint()
            cached = _read_cached(descriptor, offset, size)
            if cached is not None:
                return cached
            return await self._disk.pace.run_in_thread(partial(_read_all, descriptor, offset, size))

    async def write_at(self, offset: int, data: Buffer) -> None:
        assert offset >= 0
        with self._use(f"writing {len(data)} bytes at {offset}") as descriptor:
            work = partial(_write_all, descriptor, offset, data)
            self._unsynced += len(data)
            if len(data) <= INLINE_WRITE_MAX:
                await self._disk.pace.run_quick(work, len(data))
            else:
                await trio.lowlevel.checkpoint()
                await self._disk.pace.run_in_thread(work)

    async def sync(self) -> None:
        with self._use("syncing") as descriptor:
            self._disk.check_syncs()
            size, self._unsynced = self._unsynced, 0
            try:
                await self._disk.pace.run_sync(partial(os.fdatasync, descriptor), size)
            except OSError as error:
                self._disk.sync_failed = True
                reason = os.strerror(error.errno or errno.EIO)
                raise DiskFailed(f"the sync of {self.path} failed ({reason}): what was written may be gone") from error
            self._disk.check_syncs()

    async def drop_cache(self) -> None:
        with self._use("dropping the cache") as descriptor:
            await self._disk.pace.run(partial(os.posix_fadvise, descriptor, 0, 0, os.POSIX_FADV_DONTNEED))

    async def truncate(self, size: int) -> None:
        with self._use(f"setting the length to {size} bytes") as descriptor:
            await self._disk.pace.run(partial(os.ftruncate, descriptor, size))

    async def allocate(self, size: int) -> None:
        with self._use(f"allocating {size} bytes") as descriptor:
            await trio.lowlevel.checkpoint()
            await self._disk.pace.run_in_thread(partial(_allocate, descriptor, size))

    async def size(self) -> int:
        with self._use("asking the size") as descriptor:
            await trio.lowlevel.checkpoint()
            return os.fstat(descriptor).st_size

    async def close(self) -> None:
        self._disk.guard.check()
        self.close_now()
        await trio.lowlevel.checkpoint()

    def close_now(self) -> None:
        """Close without a checkpoint; harmless twice. The descriptor goes when the last call under way has ended."""
        if not self._closed:
            self._closed = True
            self._disk.forget(self)
            self._close_when_idle()

    def _close_when_idle(self) -> None:
        """A descriptor that a thread still uses must not be closed: its number could be another file's by then."""
        if self._closed and self._calls == 0:
            os.close(self._descriptor)

    def _use(self, doing: str) -> _Use:
        """The descriptor, for the time of one call."""
        return _Use(self, doing)

    def begin(self) -> int:
        """A call begins: the descriptor stays open until `end`."""
        self._disk.guard.check()
        if self._closed:
            raise trio.ClosedResourceError(f"{self.path} is closed")
        self._calls += 1
        return self._descriptor

    def end(self) -> None:
        """The call has ended."""
        self._calls -= 1
        self._close_when_idle()


class _Use:
    """One call of a file, as a context manager: gives the descriptor, and the system's errors in our words."""

    __slots__ = ("_doing", "_file")

    def __init__(self, file: RealFile, doing: str) -> None:
        self._file = file
        self._doing = doing

    def __enter__(self) -> int:
        return self._file.begin()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._file.end()
        if isinstance(error, OSError):
            raise disk_error(error, f"{self._doing} of {self._file.path}") from error


def _read_cached(descriptor: int, offset: int, size: int) -> bytes | None:
    """The bytes up to the end of the file, if all of them are in the page cache."""
    if not _NOWAIT:
        return None
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], offset, _NOWAIT)
    except OSError as error:
        if error.errno in _NOT_CACHED:
            return None
        raise
    if count == size:
        return bytes(buffer)
    at_end = offset + count >= os.fstat(descriptor).st_size
    return bytes(memoryview(buffer)[:count]) if at_end else None


def _read_all(descriptor: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes; fewer only at the end of the file."""
    pieces: list[bytes] = []
    while size > 0:
        piece = os.pread(descriptor, size, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _write_all(descriptor: int, offset: int, data: Buffer) -> None:
    view = memoryview(data).cast("B")
    while view:
        count = os.pwrite(descriptor, view, offset)
        offset += count
        view = view[count:]


def _allocate(descriptor: int, size: int) -> None:
    """Reserve blocks; where the file system can't, set the length."""
    if size <= os.fstat(descriptor).st_size:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(descriptor, size)
