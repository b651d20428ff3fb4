"""A disk in memory with a page cache and an explicit crash, for the tests of storage.

`FakeDisk.crash(choose)` ends the incarnation: for each write that wasn't synced, in order, `choose` says what the
platter got. Names follow the same rule: a created, renamed or removed name that `sync_directory` didn't cover is kept
or lost. `stop_after` makes the disk raise `Crashed` in place of its n-th changing call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from vdb.errors import DiskFailed, DiskFull, FileMissing

SECTOR = 4096


class Crashed(BaseException):
    """The node is dead from here on."""


class Inode:
    def __init__(self) -> None:
        self.cache = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []
        self.lying = False
        """A sync has failed: the cache has what it didn't write, and believes it to be written."""

    def apply(self, target: bytearray, offset: int, data: bytes | None) -> None:
        if data is None:
            del target[offset:]
            target.extend(bytes(offset - len(target)))
            return
        if len(target) < offset:
            target.extend(bytes(offset - len(target)))
        target[offset : offset + len(data)] = data


class FakeFile:
    def __init__(self, disk: FakeDisk, path: str, inode: Inode) -> None:
        self.disk = disk
        self.path = path
        self.inode = inode

    async def read_at(self, offset: int, size: int) -> bytes:
        await self.disk.step("read", self.path)
        self.disk.check_readable(self.path, offset, size)
        return bytes(self.inode.cache[offset : offset + size])

    async def write_at(self, offset: int, data: Any) -> None:
        await self.disk.step("write", self.path)
        data = bytes(data)
        if self.path in self.disk.lose_writes:
            return
        self.disk.check_room(self.path)
        self.disk.heal(self.path, offset, len(data))
        self.inode.apply(self.inode.cache, offset, data)
        self.inode.pending.append((offset, data))
        self.disk.written += len(data)

    async def sync(self) -> None:
        await self.disk.step("sync", self.path)
        if self.path in self.disk.fail_next_sync:
            self.disk.fail_next_sync.remove(self.path)
            self.inode.pending.clear()
            self.inode.lying = True
            raise DiskFailed(f"EIO: the sync of {self.path} failed")
        for offset, data in self.inode.pending:
            self.inode.apply(self.inode.durable, offset, data)
        self.inode.pending.clear()
        self.disk.syncs += 1

    async def drop_cache(self) -> None:
        await self.disk.step("read", self.path)
        if self.inode.lying:
            self.inode.lying = False
            self.inode.cache = bytearray(self.inode.durable)
            for offset, data in self.inode.pending:
                self.inode.apply(self.inode.cache, offset, data)

    async def truncate(self, size: int) -> None:
        await self.disk.step("truncate", self.path)
        self.inode.apply(self.inode.cache, size, None)
        self.inode.pending.append((size, None))

    async def allocate(self, size: int) -> None:
        if len(self.inode.cache) < size:
            await self.truncate(size)

    async def size(self) -> int:
        await self.disk.step("read", self.path)
        return len(self.inode.cache)

    async def close(self) -> None:
        pass


Choose = Callable[[str, int, int], str]


class FakeDisk:
    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.durable_names: dict[str, Inode] = {}
        self.stop_after: int | None = None
        self.stop_kinds: tuple[str, ...] = ("write", "sync", "truncate", "rename", "remove", "names")
        self.fail: dict[str, BaseException] = {}
        self.lose_writes: list[str] = []
        self.fail_next_sync: list[str] = []
        self.bad_sectors: list[tuple[str, int]] = []
        self.full = False
        self.dead = False
        self.changes = 0
        self.written = 0
        self.syncs = 0
        self.reads = 0

    async def step(self, kind: str, path: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.dead:
            raise Crashed
        if kind == "read":
            self.reads += 1
        if kind in self.stop_kinds:
            self.changes += 1
            if self.stop_after is not None and self.changes > self.stop_after:
                self.dead = True
                raise Crashed
        if f"{kind} {path}" in self.fail:
            raise self.fail[f"{kind} {path}"]

    def check_room(self, path: str) -> None:
        if self.full:
            raise DiskFull(f"{path}: no space left")

    def break_sector(self, path: str, offset: int) -> None:
        """Reads of the sector at this byte raise EIO until it is written."""
        self.bad_sectors.append((path, offset // SECTOR))

    def check_readable(self, path: str, offset: int, size: int) -> None:
        for bad_path, sector in self.bad_sectors:
            if bad_path == path and offset < (sector + 1) * SECTOR and sector * SECTOR < offset + size:
                raise DiskFailed(f"EIO: reading {size} bytes at {offset} of {path} failed")

    def heal(self, path: str, offset: int, size: int) -> None:
        written = range(-(-offset // SECTOR), (offset + size) // SECTOR)
        self.bad_sectors = [
            (name, sector) for name, sector in self.bad_sectors if name != path or sector not in written
        ]

    def fail_sync(self, path: str) -> None:
        self.fail[f"sync {path}"] = DiskFailed(f"{path}: fdatasync failed")

    def crash(self, choose: Choose = lambda _path, _index, _count: "drop", *, keep_names: bool = False) -> FakeDisk:
        """The disk after a power failure. `choose` returns keep, drop, left, right or garbage for each write."""
        fresh = FakeDisk()
        names = dict(self.names) if keep_names else dict(self.durable_names)
        for path, inode in names.items():
            platter = bytearray(inode.durable)
            for index, (offset, data) in enumerate(inode.pending):
                verdict = choose(path, index, len(inode.pending))
                if verdict == "drop":
                    continue
                if data is None or verdict == "keep":
                    inode.apply(platter, offset, data)
                    continue
                cut = -(-len(data) // SECTOR) // 2 * SECTOR
                if verdict == "left":
                    inode.apply(platter, offset, data[:cut])
                elif verdict == "right":
                    inode.apply(platter, offset + cut, data[cut:])
                else:
                    inode.apply(platter, offset, b"\xa5" * len(data))
            survivor = Inode()
            survivor.cache = platter
            survivor.durable = bytearray(platter)
            fresh.names[path] = fresh.durable_names[path] = survivor
        return fresh

    def data(self, path: str) -> bytearray:
        """The bytes of a file, to look at or to damage (durably)."""
        return self.names[path].cache

    def damage(self, path: str, offset: int, flip: int = 1) -> None:
        inode = self.names[path]
        inode.cache[offset] ^= flip
        inode.durable[offset] ^= flip

    async def open(self, path: str, *, create: bool = False) -> FakeFile:
        await self.step("read", path)
        if path not in self.names:
            if not create:
                raise FileMissing(path)
            self.names[path] = Inode()
        return FakeFile(self, path, self.names[path])

    async def exists(self, path: str) -> bool:
        await self.step("read", path)
        return path in self.names

    async def list(self, directory: str) -> list[str]:
        await self.step("read", directory)
        prefix = f"{directory}/" if directory else ""
        return sorted({name[len(prefix) :].split("/")[0] for name in self.names if name.startswith(prefix)})

    async def make_directory(self, path: str) -> None:
        await self.step("read", path)

    async def rename(self, old: str, new: str) -> None:
        await self.step("rename", new)
        self.names[new] = self.names.pop(old)

    async def remove(self, path: str) -> None:
        await self.step("remove", path)
        if path not in self.names:
            raise FileMissing(path)
        del self.names[path]

    async def sync_directory(self, path: str) -> None:
        await self.step("names", path)
        prefix = f"{path}/"
        kept = {name: inode for name, inode in self.durable_names.items() if not name.startswith(prefix)}
        self.durable_names = kept | {name: node for name, node in self.names.items() if name.startswith(prefix)}

    async def lock(self) -> None:
        await self.step("read", "")

    async def open_database(self, path: str, key: bytes) -> Any:
        raise NotImplementedError("storage opens no database")

    async def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def new_disk() -> type[FakeDisk]:
    """The class itself, so that Hypothesis can make a disk for each example."""
    return FakeDisk


@pytest.fixture(scope="session")
def crashed() -> type[BaseException]:
    return Crashed
