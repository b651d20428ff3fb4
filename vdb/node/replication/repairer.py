"""Mends damaged files from other nodes, byte for byte, while everything goes on.

Rules
- What a file must be is said by this replica's own durable checkpoint: SHA-256 of a checkpoint's file, length and
  CRC-32 of a segment, or of a stub that the next one will name. All of the file is fetched and checked against that
  before a byte is written, so a source that is wrong does no harm; then only what differs is written, and synced. What
  is compared is what lies on the medium: the sync that failed in an earlier life may have been that of a repair.
- Sources take turns: each has the same bytes, if it has the file at all.
- One file at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from zlib import crc32

import trio
from attrs import field, frozen

from vdb.errors import DiskFailed, DiskFull
from vdb.marks import mark
from vdb.node import log
from vdb.node.replication.chunks import Chunks
from vdb.node.replication.group_storage import GroupStorage
from vdb.ports import File
from vdb.storage.sync_source import checkpoint_file_name, parse_segment

PATCH_BYTES_MAX = 64 * 1024 * 1024
"""Bytes of a file that may differ: they wait in memory until the file's checksum is known to fit."""


@frozen
class Expected:
    """What a file must be."""

    size: int
    checksum: bytes | int
    whole: bool
    """There is nothing behind these bytes."""


@frozen
class Patch:
    offset: int
    data: bytes = field(repr=False)


class Repairer:
    """One for each time that a group is opened. `sources` are the other members, whoever they are now."""

    def __init__(
        self, *, group: str, storage: GroupStorage, chunks: Chunks, sources: Callable[[], Sequence[int]]
    ) -> None:
        self._group = group
        self._storage = storage
        self._chunks = chunks
        self._sources = sources
        self._lock = trio.Lock()

    async def repair(self, path: str) -> bool:
        """Mend the file at this path of the disk; False when nobody can help, or it isn't one that can be mended."""
        async with self._lock:
            relative = path.removeprefix(f"{self._storage.directory}/")
            for source in self._sources():
                expected = self._expected(relative)
                if expected is None:
                    return False
                try:
                    if await self._mend(source, path, relative, expected):
                        mark("repairer.mended")
                        log.info("file.repaired", group=self._group, path=path, source=source)
                        return True
                except DiskFull:
                    mark("repairer.disk_full")
                    return False
            mark("repairer.nobody")
            return False

    def _expected(self, relative: str) -> Expected | None:
        name = checkpoint_file_name(relative)
        for named in self._storage.checkpoints.durable:
            if named.name == name:
                return Expected(named.size, named.digest, True)
        place = parse_segment(relative)
        if place is not None:
            tenant, number, pruned = place
            event_log = self._storage.event_log
            for stretch in event_log.durable_stretches(tenant):
                if (stretch.segment, stretch.pruned) == (number, pruned):
                    return Expected(stretch.length, stretch.crc, pruned)
            stub = event_log.expected_stub(tenant, number) if pruned else None
            if stub is not None:
                return Expected(stub.length, stub.crc, True)
        return None

    async def _mend(self, source: int, path: str, relative: str, expected: Expected) -> bool:
        file = await self._storage.disk.open(path, create=True)
        try:
            await file.sync()
            await file.drop_cache()
            patches = await self._compare(source, file, relative, expected)
            if patches is None or self._expected(relative) != expected:
                return False
            for patch in patches:
                await file.write_at(patch.offset, patch.data)
            if expected.whole and await file.size() > expected.size:
                await file.truncate(expected.size)
            await file.sync()
        finally:
            await file.close()
        await self._storage.disk.sync_directory(path.rpartition("/")[0])
        return True

    async def _compare(self, source: int, file: File, relative: str, expected: Expected) -> list[Patch] | None:
        """What is to be written; None when the source doesn't have the file as it must be."""
        digest, crc = sha256(), 0
        patches: list[Patch] = []
        op = self._storage.superblock.state.checkpoint_op
        for at in range(0, expected.size, self._chunks.chunk_size):
            size = min(self._chunks.chunk_size, expected.size - at)
            theirs = await self._chunks.fetch(source, op, relative, at, size)
            if theirs is None:
                return None
            digest.update(theirs)
            crc = crc32(theirs, crc)
            if await _read(file, at, size) != theirs:
                patches.append(Patch(at, theirs))
            if sum(len(patch.data) for patch in patches) > PATCH_BYTES_MAX:
                mark("repairer.too_much")
                return None
        if expected.checksum not in (digest.digest(), crc):
            mark("repairer.wrong_source")
            return None
        return patches


async def _read(file: File, offset: int, size: int) -> bytes:
    """Bytes of the file; none when the disk can't read them."""
    try:
        return await file.read_at(offset, size)
    except DiskFailed:
        mark("repairer.unreadable")
        return b""
