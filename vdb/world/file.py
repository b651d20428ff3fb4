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
from vdb.world.guard import disk_errors

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
        self._path = path
        self._descriptor: int | None = descriptor

    async def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        descriptor = self._check()
        await trio.lowlevel.checkpoint()
        cached = _read_cached(descriptor, offset, size)
        if cached is not None:
            return cached
        with disk_errors(f"reading {size} bytes at {offset} of {self._path}"):
            return await self._disk.pace.run_in_thread(partial(_read_all, descriptor, offset, size))

    async def write_at(self, offset: int, data: Buffer) -> None:
        assert offset >= 0
        work = partial(_write_all, self._check(), offset, data)
        with disk_errors(f"writing {len(data)} bytes at {offset} of {self._path}"):
            if len(data) <= INLINE_WRITE_MAX:
                await self._disk.pace.run_quick(work)
            else:
                await trio.lowlevel.checkpoint()
                await self._disk.pace.run_in_thread(work)

    async def sync(self) -> None:
        descriptor = self._check()
        self._disk.check_syncs()
        try:
            await self._disk.pace.run(partial(os.fdatasync, descriptor))
        except OSError as error:
            self._disk.sync_failed = True
            reason = os.strerror(error.errno or errno.EIO)
            raise DiskFailed(f"the sync of {self._path} failed ({reason}): what was written may be gone") from error
        self._disk.check_syncs()

    async def truncate(self, size: int) -> None:
        with disk_errors(f"truncating {self._path} to {size} bytes"):
            await self._disk.pace.run(partial(os.ftruncate, self._check(), size))

    async def allocate(self, size: int) -> None:
        with disk_errors(f"allocating {size} bytes for {self._path}"):
            await trio.lowlevel.checkpoint()
            await self._disk.pace.run_in_thread(partial(_allocate, self._check(), size))

    async def size(self) -> int:
        descriptor = self._check()
        await trio.lowlevel.checkpoint()
        with disk_errors(self._path):
            return os.fstat(descriptor).st_size

    async def close(self) -> None:
        self._disk.guard.check()
        self.close_now()
        await trio.lowlevel.checkpoint()

    def close_now(self) -> None:
        """Close without a checkpoint; harmless twice."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.forget(self)
            os.close(descriptor)

    def _check(self) -> int:
        self._disk.guard.check()
        if self._descriptor is None:
            raise trio.ClosedResourceError(f"{self._path} is closed")
        return self._descriptor


def _read_cached(descriptor: int, offset: int, size: int) -> bytes | None:
    """The bytes, if all of them are in the page cache and before the end of the file."""
    if not _NOWAIT:
        return None
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], offset, _NOWAIT)
    except OSError as error:
        if error.errno in _NOT_CACHED:
            return None
        raise
    return bytes(buffer) if count == size else None


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
