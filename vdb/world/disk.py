"""The Disk port over a directory of the operating system.

The directory is made with mode 0700 and its files with 0600. What each method promises is in `vdb.ports`; where work
runs, inline or in a thread, in `vdb.world.pace`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import trio

from vdb.errors import DiskFailed
from vdb.world.database import RealDatabase
from vdb.world.file import RealFile
from vdb.world.guard import ForkGuard, disk_errors
from vdb.world.lock import LOCK_NAME, DirectoryLock
from vdb.world.pace import Pace
from vdb.world.paths import check_directory, check_path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class RealDisk:
    """The Disk port. `remove_at_close`: the directory is a throw-away one."""

    def __init__(self, directory: Path, *, remove_at_close: bool = False) -> None:
        with disk_errors(f"making the data directory {directory}"):
            directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self.guard = ForkGuard()
        self.pace = Pace()
        self.sync_failed = False
        self._directory = directory
        self._remove_at_close = remove_at_close
        self._lock = DirectoryLock(directory)
        self._files: dict[RealFile, None] = {}
        self._databases: list[RealDatabase] = []

    @classmethod
    def throwaway(cls) -> RealDisk:
        """A disk on a new temporary directory, which is removed at `close`."""
        return cls(Path(tempfile.mkdtemp(prefix="veritydb-")), remove_at_close=True)

    async def open(self, path: str, *, create: bool = False) -> RealFile:
        location = self._locate(path)
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        await trio.lowlevel.checkpoint()
        with disk_errors(path):
            file = RealFile(self, path, os.open(location, flags, FILE_MODE))
        self._files[file] = None
        return file

    async def exists(self, path: str) -> bool:
        location = self._locate(path)
        await trio.lowlevel.checkpoint()
        return location.exists()

    async def list(self, directory: str) -> list[str]:
        location = self._locate_directory(directory)
        await trio.lowlevel.checkpoint()
        with disk_errors(directory):
            names = os.listdir(location) if location.is_dir() else []
        return sorted(name for name in names if directory or name != LOCK_NAME)

    async def make_directory(self, path: str) -> None:
        location = self._locate(path)
        with disk_errors(path):
            await self.pace.run(partial(_make_directories, self._directory, location))

    async def rename(self, old: str, new: str) -> None:
        before, after = self._locate(old), self._locate(new)
        with disk_errors(f"renaming {old} to {new}"):
            await self.pace.run(partial(os.rename, before, after))

    async def remove(self, path: str) -> None:
        location = self._locate(path)
        with disk_errors(path):
            await self.pace.run(partial(os.unlink, location))

    async def sync_directory(self, path: str) -> None:
        location = self._locate_directory(path)
        self.check_syncs()
        with disk_errors(f"syncing the directory {path!r}"):
            await self.pace.run(partial(_sync_directory, location))

    async def lock(self) -> None:
        self.guard.check()
        await trio.lowlevel.checkpoint()
        with disk_errors(f"locking {self._directory}"):
            self._lock.take()

    def describe_holder(self, address: str) -> None:
        """Tell the lock's file where the node that holds it can be reached."""
        self.guard.check()
        self._lock.describe(address)

    async def open_database(self, path: str, key: bytes) -> RealDatabase:
        location = self._locate(path)
        database = RealDatabase(location, key, self.guard)
        with disk_errors(path):
            await database.open()
        self._databases = [each for each in self._databases if not each.is_closed]
        self._databases.append(database)
        return database

    async def set_database_aside(self, path: str) -> None:
        location = self._locate(path)
        self.check_syncs()
        with disk_errors(f"setting {path} aside"):
            await self.pace.run(partial(_set_aside, location))

    async def close(self) -> None:
        self.guard.check()
        with trio.CancelScope(shield=True):
            for database in self._databases:
                await database.close()
            self._databases.clear()
            for file in list(self._files):
                file.close_now()
            self._lock.release()
            if self._remove_at_close:
                await trio.to_thread.run_sync(partial(shutil.rmtree, self._directory, ignore_errors=True))

    def forget(self, file: RealFile) -> None:
        """A file has been closed."""
        self._files.pop(file, None)

    def check_syncs(self) -> None:
        """Raise DiskFailed once a sync of this disk has failed."""
        if self.sync_failed:
            raise DiskFailed(f"an earlier sync in {self._directory} failed: what was written may be gone")

    def _locate(self, path: str) -> Path:
        self.guard.check()
        return self._directory / check_path(path)

    def _locate_directory(self, path: str) -> Path:
        self.guard.check()
        return self._directory / check_directory(path)


def _sync_directory(location: Path) -> None:
    descriptor = os.open(location, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(location: Path) -> None:
    """The main file goes first: a write-ahead file that outlives it is dropped by SQLite, one that died before it
    would leave it half checkpointed and looking whole."""
    os.replace(location, f"{location}.damaged")
    _sync_directory(location.parent)
    for suffix in ("-wal", "-shm"):
        Path(f"{location}{suffix}").unlink(missing_ok=True)
    _sync_directory(location.parent)


def _make_directories(top: Path, location: Path) -> None:
    """Make what is missing between `top` and `location`, syncing the parent of each."""
    missing = []
    while location != top and not location.is_dir():
        missing.append(location)
        location = location.parent
    for directory in reversed(missing):
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        _sync_directory(directory.parent)
