"""The superblock: the root of all that a replica has on disk. Its bytes are specified in `superblock_layout`.

Rules
- The file comes into being whole: it is written beside its place, synced and renamed. A directory without it was never
  formatted to the end, and may be formatted again.
- An update writes the copies one after the other, each synced and read back before the next. So a crash leaves a
  prefix of new copies, at most one torn copy, and old copies. An update has happened when SUPERBLOCK_WRITE_QUORUM
  copies read back right; with fewer it is DiskFailed, as is an error of the disk on any copy.
- Opening needs SUPERBLOCK_OPEN_QUORUM equal copies and takes the highest such sequence: copies 0 and 1 new, 2 and 3 old
  gives the new one; copy 0 new and the rest old gives the old one. Any acknowledged update has three copies, so
  one damaged copy can't bring back its predecessor.
- Where no two are equal, an update was cut short: one copy new, one torn, one old, and the fourth was damaged. A new
  copy names the state before it by checksum, so it and the old one vouch for each other: the new one is taken.
- A copy that the disk can't read counts as damaged.
- Copies that differ from the one taken are rewritten at open, before anything new is written, so that a later
  update starts from four equal copies.
- After DiskFailed this object refuses every further update: what the disk holds isn't known any more.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import trio

from vdb.errors import DamagedData, DiskFailed, ForeignData, NewerFormat, OlderFormat
from vdb.limits import SUPERBLOCK_COPIES, SUPERBLOCK_OPEN_QUORUM, SUPERBLOCK_WRITE_QUORUM
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage.superblock_layout import (
    COPY_SIZE,
    FORMAT_VERSION,
    MAGIC,
    SuperblockState,
    check_successor,
    decode_copy,
    encode_copy,
    read_prefix,
    state_checksum,
)

__all__ = ["FILE_NAME", "Superblock", "SuperblockState", "repair_copies"]

FILE_NAME = "superblock"


class Superblock:
    """The open superblock of one replica. `state` is what is durable."""

    def __init__(self, file: File, path: str, state: SuperblockState) -> None:
        self._file = file
        self._path = path
        self._state = state
        self._lock = trio.Lock()
        self._failed: DiskFailed | None = None

    @property
    def state(self) -> SuperblockState:
        return self._state

    @property
    def path(self) -> str:
        return self._path

    @classmethod
    async def format(cls, disk: Disk, directory: str, state: SuperblockState) -> Superblock:
        """Write the first superblock. The last step of formatting: all else must be durable before."""
        assert state.sequence == 1
        path = f"{directory}/{FILE_NAME}"
        draft = f"{path}.new"
        file = await disk.open(draft, create=True)
        await file.truncate(0)
        for copy in range(SUPERBLOCK_COPIES):
            await file.write_at(copy * COPY_SIZE, encode_copy(state, copy))
        await file.sync()
        await file.close()
        await disk.rename(draft, path)
        await disk.sync_directory(directory)
        return await cls.open(disk, directory)

    @classmethod
    async def open(cls, disk: Disk, directory: str) -> Superblock:
        """Read, judge and repair the copies.

        FileMissing: never formatted. DamagedData: no two copies can be read and vouch for each other. ForeignData:
        another program's file. NewerFormat, OlderFormat: another version of VerityDB wrote it. DiskFailed: a copy
        can't be repaired.
        """
        path = f"{directory}/{FILE_NAME}"
        file = await disk.open(path)
        await file.sync()
        await file.drop_cache()
        copies = [await _read_copy(file, copy) for copy in range(SUPERBLOCK_COPIES)]
        state = _choose(copies)
        if state is None:
            await file.close()
            raise _refusal(path, copies)
        await repair_copies(file, path, state, copies)
        return cls(file, path, state)

    async def update(self, **changes: Any) -> SuperblockState:
        """Make a new state durable: the old one with these fields changed. Updates run one at a time.

        A commit number below the known one is no change: a view change and a checkpoint may overtake each other.
        """
        async with self._lock:
            if self._failed is not None:
                raise self._failed
            if "commit" in changes:
                changes["commit"] = max(changes["commit"], self._state.commit)
            changed = attrs.evolve(
                self._state, **changes, sequence=self._state.sequence + 1, parent=state_checksum(self._state)
            )
            check_successor(self._state, changed)
            try:
                await self._write_copies(changed)
            except DiskFailed as error:
                self._failed = error
                raise
            self._state = changed
            return changed

    async def scrub_step(self, copy: int) -> bool:
        """Read one copy, rewrite it if it is damaged or can't be read; True when it was sound.

        Waits for an update under way. DiskFull: it isn't repaired. DiskFailed: the repair failed, which is final.
        """
        assert 0 <= copy < SUPERBLOCK_COPIES
        async with self._lock:
            expected = encode_copy(self._state, copy)
            if self._failed is not None or await _read_copy(self._file, copy) == expected:
                return True
            mark("superblock.scrubbed")
            try:
                await self._file.write_at(copy * COPY_SIZE, expected)
                await self._file.sync()
            except DiskFailed as error:
                self._failed = error
                raise
            return False

    async def close(self) -> None:
        await self._file.close()

    async def _write_copies(self, state: SuperblockState) -> None:
        good = 0
        for copy in range(SUPERBLOCK_COPIES):
            data = encode_copy(state, copy)
            await self._file.write_at(copy * COPY_SIZE, data)
            await self._file.sync()
            if await self._file.read_at(copy * COPY_SIZE, COPY_SIZE) == data:
                good += 1
            else:
                mark("superblock.copy_read_back_wrong")
        if good < SUPERBLOCK_WRITE_QUORUM:
            raise DiskFailed(
                f"{self._path}: expected at least {SUPERBLOCK_WRITE_QUORUM} of {SUPERBLOCK_COPIES} copies to read back "
                f"as written, found {good}"
            )


async def _read_copy(file: File, copy: int) -> bytes:
    """A copy's bytes; none when the disk can't read them."""
    try:
        return await file.read_at(copy * COPY_SIZE, COPY_SIZE)
    except DiskFailed:
        mark("superblock.copy_unreadable")
        return b""


async def repair_copies(file: File, path: str, state: SuperblockState, copies: list[bytes]) -> None:
    """Rewrite the copies that differ from `state`, one after the other, each synced."""
    for copy, found in enumerate(copies):
        expected = encode_copy(state, copy)
        if found != expected:
            mark("superblock.copy_repaired")
            await file.write_at(copy * COPY_SIZE, expected)
            await file.sync()
            if await file.read_at(copy * COPY_SIZE, COPY_SIZE) != expected:
                raise DiskFailed(f"{path}: copy {copy} can't be repaired: it doesn't read back as written")


def _choose(copies: list[bytes]) -> SuperblockState | None:
    """The highest state that an open quorum of copies agrees on; else the highest that follows another one."""
    states = [decode_copy(data, copy) for copy, data in enumerate(copies)]
    votes = Counter(state for state in states if state is not None)
    agreed = [state for state, count in votes.items() if count >= SUPERBLOCK_OPEN_QUORUM]
    return max(agreed or _chained(list(votes)), key=lambda state: state.sequence, default=None)


def _chained(states: list[SuperblockState]) -> list[SuperblockState]:
    """Those that follow another of them."""
    earlier = [state_checksum(state) for state in states]
    found = [state for state in states if state.parent in earlier]
    if found:
        mark("superblock.cut_short_and_damaged")
    return found


def _refusal(path: str, copies: list[bytes]) -> DamagedData | ForeignData | NewerFormat | OlderFormat:
    prefixes = [read_prefix(data) for data in copies]
    others = Counter(version for magic, version in prefixes if magic == MAGIC and version != FORMAT_VERSION)
    for version, count in others.items():
        if count >= SUPERBLOCK_OPEN_QUORUM and 0 < version < FORMAT_VERSION:
            return OlderFormat(
                f"{path} has format version {version}; this program reads {FORMAT_VERSION}: export the data with the "
                "VerityDB that wrote it, and import them into a new data directory"
            )
        if count >= SUPERBLOCK_OPEN_QUORUM and version > FORMAT_VERSION:
            return NewerFormat(
                f"{path} has format version {version}; this program reads versions up to {FORMAT_VERSION}: "
                "use the newer VerityDB that wrote it"
            )
    written = [magic for magic, _version in prefixes if magic.strip(b"\0")]
    if written and MAGIC not in written:
        return ForeignData(
            f"{path}: expected a VerityDB superblock starting with {MAGIC!r}, found {written[0]!r}: "
            "this is another program's file, or it was overwritten; restore it or choose another data directory"
        )
    return DamagedData(
        f"{path}: expected at least {SUPERBLOCK_OPEN_QUORUM} of {SUPERBLOCK_COPIES} copies to agree, found none: "
        "the disk has lost the root of this group; restore from a backup"
    )
