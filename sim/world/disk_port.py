"""The Disk port of one incarnation of a simulated node.

Each call enters the fence (a crash point), takes its virtual time, and has its effect at the end of it, in one step. A
write whose call hasn't returned at a crash has the fate of an unsynced one. Calls can't be cancelled half way, as on
the real disk.
"""

from __future__ import annotations

import trio

from sim.world.database import SimDatabase
from sim.world.disk import SimDisk
from sim.world.fence import Fence
from sim.world.platter import Inode
from sim.world.scratch import Scratch
from vdb.errors import DataDirectoryInUse, FileMissing
from vdb.ports import Buffer, Database
from vdb.world.paths import check_directory, check_path


class SimFile:
    """The File port."""

    def __init__(self, disk: SimDisk, fence: Fence, path: str, inode: Inode) -> None:
        self._disk = disk
        self._fence = fence
        self._path = path
        self._inode = inode
        self._closed = False

    async def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0
        assert size >= 0
        await self._spend("disk.read", self._disk.faults.read_us, size)
        self._disk.check_read(self._path, self._inode, offset, size)
        return bytes(memoryview(self._inode.cached)[offset : offset + size])

    async def write_at(self, offset: int, data: Buffer) -> None:
        assert offset >= 0
        self._check_open()
        await self._fence.enter("disk.write")
        inode = self._inode
        change = inode.change(offset, bytes(data))
        self._disk.check_space(self._path, inode, offset + len(data))
        inode.in_flight.append(change)
        await self._fence.sleep(self._disk.delay_ns(self._disk.faults.write_us, len(data)), shielded=True)
        inode.in_flight.remove(change)
        self._disk.land_write(self._path, inode, inode.change(offset, change.data))

    async def sync(self) -> None:
        self._check_open()
        await self._fence.enter("disk.sync")
        sequence = self._inode.changes
        await self._fence.sleep(self._disk.delay_ns(self._disk.faults.sync_us), shielded=True)
        self._disk.sync(self._path, self._inode, sequence)

    async def drop_cache(self) -> None:
        await self._spend("disk.drop_cache", self._disk.faults.write_us)
        self._inode.drop_cache()

    async def truncate(self, size: int) -> None:
        await self._spend("disk.truncate", self._disk.faults.write_us)
        self._disk.check_space(self._path, self._inode, size)
        self._inode.land(self._inode.change(size, None))

    async def allocate(self, size: int) -> None:
        await self._spend("disk.allocate", self._disk.faults.write_us)
        self._disk.check_space(self._path, self._inode, size)
        if size > len(self._inode.cached):
            self._inode.land(self._inode.change(size, None))

    async def size(self) -> int:
        self._check_open()
        await self._fence.enter("disk.size")
        return len(self._inode.cached)

    async def close(self) -> None:
        self._fence.check()
        self._closed = True

    async def _spend(self, kind: str, base_us: int, size: int = 0) -> None:
        self._check_open()
        await self._fence.enter(kind)
        await self._fence.sleep(self._disk.delay_ns(base_us, size), shielded=True)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError(f"{self._path} is closed")


class SimDiskPort:
    """The Disk port. Databases lie in `scratch`, files on the platter of `disk`."""

    def __init__(self, disk: SimDisk, scratch: Scratch, fence: Fence) -> None:
        self._disk = disk
        self._platter = disk.platter
        self._scratch = scratch
        self._fence = fence

    async def open(self, path: str, *, create: bool = False) -> SimFile:
        check_path(path)
        await self._spend("disk.open")
        if create and path not in self._platter.names:
            self._platter.create(path)
        return SimFile(self._disk, self._fence, path, self._platter.find(path))

    async def exists(self, path: str) -> bool:
        check_path(path)
        await self._fence.enter("disk.exists")
        platter = self._platter
        return path in platter.names or path in platter.directories or self._scratch.exists(path)

    async def list(self, directory: str) -> list[str]:
        check_directory(directory)
        await self._fence.enter("disk.list")
        return sorted(self._platter.listing(directory) + self._scratch.listing(directory))

    async def make_directory(self, path: str) -> None:
        check_path(path)
        await self._spend("disk.make_directory")
        self._platter.make_directory(path)

    async def rename(self, old: str, new: str) -> None:
        check_path(old)
        check_path(new)
        await self._spend("disk.rename")
        if self._scratch.exists(old):
            self._scratch.rename(old, new)
        else:
            self._platter.rename(old, new)

    async def remove(self, path: str) -> None:
        check_path(path)
        await self._spend("disk.remove")
        if self._scratch.exists(path):
            self._scratch.remove(path)
        else:
            self._platter.remove(path)

    async def sync_directory(self, path: str) -> None:
        check_directory(path)
        await self._spend("disk.sync_directory", self._disk.faults.sync_us)
        self._platter.sync_directory(path)

    async def lock(self) -> None:
        await self._fence.enter("disk.lock")
        holder = self._disk.holder
        if holder is not None and holder is not self:
            raise DataDirectoryInUse(f"the disk of {self._disk.owner} is in use: `vdb start` is running there")
        self._disk.holder = self

    async def open_database(self, path: str, key: bytes) -> Database:
        check_path(path)
        await self._spend("disk.open_database")
        if path.rpartition("/")[0] not in self._platter.directories:
            raise FileMissing(f"no such directory: {path.rpartition('/')[0]}")
        return SimDatabase(self._scratch, path, key, self._fence)

    async def set_database_aside(self, path: str) -> None:
        check_path(path)
        await self._spend("disk.set_database_aside", self._disk.faults.sync_us)
        self._scratch.set_aside(path)
        self._fence.reach("disk.set_aside")

    async def close(self) -> None:
        self._fence.check()
        self._scratch.close_databases()
        if self._disk.holder is self:
            self._disk.holder = None

    async def _spend(self, kind: str, base_us: int | None = None) -> None:
        await self._fence.enter(kind)
        delay = self._disk.delay_ns(self._disk.faults.write_us if base_us is None else base_us)
        await self._fence.sleep(delay, shielded=True)
