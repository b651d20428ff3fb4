"""The folder where a simulated node's databases lie: real SQLCipher files, beside the platter.

Their bytes differ from run to run (random IVs), so nothing of them goes into a digest. `crash` does to them what a
power loss may do: the write-ahead file loses frames from its end, down to what SQLite had synced. It works on copies
made before the old connections close, since closing would checkpoint.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import quote

from sim.world.faults import DiskFaults
from vdb.errors import FileMissing
from vdb.world.paths import parent_of

if TYPE_CHECKING:
    from sim.world.database import SimDatabase

_WAL_HEADER = 32
_FRAME_HEADER = 24
_MEMORY = "/dev/shm"


class Scratch:
    """The databases of one node. `random` draws fates and SQL randomness; `now_us` is the default time of ops."""

    def __init__(self, owner: str, random: Random, counts: Counter[str], now_us: Callable[[], int]) -> None:
        self.random = random
        self.counts = counts
        self.now_us = now_us
        self.open_databases: list[SimDatabase] = []
        self.rotted: dict[str, None] = {}
        """Databases with a byte that rotted, unless they have been set aside since."""
        self._owner = owner
        self._root: Path | None = None
        self._generation = 0
        self._paths: dict[str, None] = {}

    def location(self, path: str) -> str:
        """Where the database at `path` really lies now."""
        return str(self._folder() / quote(path, safe=""))

    def add(self, path: str) -> None:
        """A database has been made."""
        self._paths[path] = None

    def exists(self, path: str) -> bool:
        return path in self._paths

    def paths(self) -> list[str]:
        """All databases, sorted."""
        return sorted(self._paths)

    def listing(self, directory: str) -> list[str]:
        """The names of databases right inside `directory`."""
        return [path.rpartition("/")[2] for path in self._paths if parent_of(path) == directory]

    def files(self) -> dict[str, bytes]:
        """The bytes of every database and write-ahead file, for checkers."""
        folder = self._folder()
        return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder)) if not name.endswith("-shm")}

    def rename(self, old: str, new: str) -> None:
        if old not in self._paths:
            raise FileMissing(f"no such file: {old}")
        for suffix in ("", "-wal", "-shm"):
            Path(self.location(new) + suffix).unlink(missing_ok=True)
            if os.path.exists(self.location(old) + suffix):
                os.rename(self.location(old) + suffix, self.location(new) + suffix)
        del self._paths[old]
        self._paths[new] = None

    def set_aside(self, path: str) -> None:
        """What `Disk.set_database_aside` does."""
        self.rename(path, f"{path}.damaged")
        self.rotted.pop(path, None)
        for suffix in ("-wal", "-shm"):
            Path(self.location(f"{path}.damaged") + suffix).unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        if path not in self._paths:
            raise FileMissing(f"no such file: {path}")
        for suffix in ("", "-wal", "-shm"):
            Path(self.location(path) + suffix).unlink(missing_ok=True)
        del self._paths[path]

    def rot(self, path: str, place: float) -> bool:
        """Flip a bit of the main file, at `place` of 1 of its length; False if nothing is in it yet."""
        file = Path(self.location(path))
        content = bytearray(file.read_bytes())
        if not content:
            return False
        content[int(place * len(content))] ^= 4
        file.write_bytes(content)
        self.rotted[path] = None
        self.counts["disk.database_rot"] += 1
        return True

    def crash(self, faults: DiskFaults) -> None:
        """Power is lost: go on with copies, cut as the power loss may have cut them."""
        old = self._folder()
        self._generation += 1
        new = self._folder()
        for path in self._paths:
            name = quote(path, safe="")
            if (old / name).exists():
                shutil.copyfile(old / name, new / name)
            if (old / f"{name}-wal").exists():
                wal = (old / f"{name}-wal").read_bytes()
                (new / f"{name}-wal").write_bytes(self._cut(wal, self._synced_frames(path, wal), faults))
        self.close_databases()
        shutil.rmtree(old)

    def close_databases(self) -> None:
        """Close every connection."""
        databases, self.open_databases = self.open_databases, []
        for database in databases:
            database.close_connections()

    def wipe(self) -> None:
        """The disk was replaced: no database is left."""
        for path in list(self._paths):
            self.remove(path)
        self.rotted.clear()

    def close(self) -> None:
        """Close every connection and remove the folder."""
        self.close_databases()
        if self._root is not None:
            shutil.rmtree(self._root)
            self._root = None
            self._paths.clear()

    def _cut(self, wal: bytes, synced: int, faults: DiskFaults) -> bytes:
        frames = count_frames(wal)
        if frames <= synced or self.random.random() >= faults.lose_unsynced:
            return wal
        kept = self.random.randrange(synced, frames)
        self.counts["disk.lost_unsynced"] += 1
        return wal[: _WAL_HEADER + kept * _frame_size(wal)]

    def _synced_frames(self, path: str, wal: bytes) -> int:
        marks = [d.synced_frames(wal) for d in self.open_databases if d.path == path]
        return max(marks) if marks else count_frames(wal)

    def _folder(self) -> Path:
        if self._root is None:
            memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
            self._root = Path(tempfile.mkdtemp(prefix=f"sim-{self._owner}-", dir=memory))
        folder = self._root / str(self._generation)
        folder.mkdir(exist_ok=True)
        return folder


def salts(wal: bytes) -> bytes:
    """What tells the frames of this turn of the write-ahead file from older ones."""
    return wal[16:24]


def count_frames(wal: bytes) -> int:
    """Frames of the current turn: those that carry the header's salts."""
    if len(wal) < _WAL_HEADER:
        return 0
    size, count = _frame_size(wal), 0
    while wal[_WAL_HEADER + count * size + 8 : _WAL_HEADER + count * size + 16] == salts(wal):
        count += 1
    return count


def count_committed(wal: bytes) -> int:
    """Frames up to the last one that ends a transaction: what follows will be overwritten."""
    size, count = _frame_size(wal) if len(wal) >= _WAL_HEADER else 0, count_frames(wal)
    while count and not any(wal[_WAL_HEADER + (count - 1) * size + 4 : _WAL_HEADER + (count - 1) * size + 8]):
        count -= 1
    return count


def _frame_size(wal: bytes) -> int:
    page_size: int = struct.unpack_from(">I", wal, 8)[0]
    return _FRAME_HEADER + page_size
