"""A checkpoint of another replica on its way in: staged beside the group's own files, then installed as a whole.

    groups/<group>/sync/target             which checkpoint, and its files: JSON, with a SHA-256 over the rest
    groups/<group>/sync/checkpoints/<name> files of the checkpoint
    groups/<group>/sync/log/t_<tenant>/... segments that the group lacks, or has less of

Rules
- The target is durable before anything is staged under it. After a crash it says what to go on with.
- A file is written from its start, in order, so what is there is a prefix, and fetching goes on at its end. What a
  crash has torn shows when the file is whole: its checksum is that of the target, or, for a segment, the CRC-32 that
  the rows of the staged checkpoint name. A file that fails is fetched again from the start. The check asks the medium,
  not the system's cache: an earlier life may have ended because a sync of this very file failed.
- A new target keeps what is staged: files are a function of the committed ops, and each is checked again. Files of keys
  that it doesn't name go at once, and so does all that is staged of a checkpoint which the group's own has overtaken:
  an erasure may have destroyed keys that are in them.
- Once all is here, synced and checked, the target is marked ready, with the list of files to move. From then on
  `install` is a matter of renaming, which a crash may interrupt anywhere and the next start finishes: files first,
  directories synced, superblock last. Segments of the group's own checkpoint stay a prefix of what replaces them, so
  until the superblock is written that checkpoint is whole as well.
- A segment that was pruned comes as its stub: the group's own one stays beside it until the group is opened.
- WAL, view and log_view aren't touched: what this replica promised, it keeps.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any
from zlib import crc32

import attrs
from attrs import field, frozen

from vdb.errors import DiskFailed, FileMissing
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage.checkpoint import KEYS, CheckpointStore
from vdb.storage.checkpoint_family import Tables
from vdb.storage.overwriting import remove_traceless
from vdb.storage.superblock import Superblock
from vdb.vsr.message import FileEntry

FOLDER = "sync"
TARGET = "target"
STEP_SIZE = 256 * 1024


@frozen(kw_only=True)
class Target:
    """The checkpoint that is wanted. `moves` are the paths to put in place, once it is ready."""

    op: int
    checkpoint_id: bytes
    configuration: bytes = field(repr=False)
    files: tuple[FileEntry, ...] = field(repr=False)
    ready: bool = False
    moves: tuple[str, ...] = field(default=(), repr=False)


class Staging:
    """The receiving side of state sync, for one group. One task uses it."""

    def __init__(self, disk: Disk, directory: str, group_hash: bytes, target: Target | None) -> None:
        self._disk = disk
        self._directory = directory
        self._folder = f"{directory}/{FOLDER}"
        self._group_hash = group_hash
        self._target = target

    @classmethod
    async def open(cls, disk: Disk, directory: str, *, group_hash: bytes) -> Staging:
        """With the target that an earlier life left, if it is whole."""
        return cls(disk, directory, group_hash, await read_target(disk, directory))

    @property
    def target(self) -> Target | None:
        return self._target

    def without_target(self) -> Staging:
        """The same files, and no target: the next one is written over it."""
        return Staging(self._disk, self._directory, self._group_hash, None)

    async def begin(self, target: Target) -> None:
        """Make this the target, durably."""
        await self._disk.make_directory(f"{self._folder}/checkpoints")
        names = {entry.path.rpartition("/")[2]: None for entry in target.files}
        for name in await self._disk.list(f"{self._folder}/checkpoints"):
            if name.startswith(KEYS) and name not in names:
                mark("staging.keys_of_another_target")
                await remove_traceless(self._disk, f"{self._folder}/checkpoints/{name}", overwrite=True)
        await _write_target(self._disk, self._directory, target)
        self._target = target

    async def length(self, path: str) -> int:
        """How many bytes of a file are staged."""
        try:
            file = await self._disk.open(f"{self._folder}/{path}")
        except FileMissing:
            return 0
        try:
            return await file.size()
        finally:
            await file.close()

    async def append(self, path: str, offset: int, data: bytes) -> None:
        """Write the next bytes of a file, at its present end; at 0 what is there is dropped first."""
        full = f"{self._folder}/{path}"
        if offset == 0:
            await self._disk.make_directory(full.rpartition("/")[0])
        file = await self._disk.open(full, create=True)
        try:
            if offset == 0:
                await file.truncate(0)
            await file.write_at(offset, data)
        finally:
            await file.close()

    async def copy_own(self, path: str, length: int) -> None:
        """Stage the first bytes of the group's own file: what is missing behind them is all there is to fetch."""
        mark("staging.own_prefix")
        own = await self._disk.open(f"{self._directory}/{path}")
        try:
            for at in range(0, length, STEP_SIZE):
                await self.append(path, at, await own.read_at(at, min(STEP_SIZE, length - at)))
        finally:
            await own.close()

    async def check(self, path: str, size: int, checksum: bytes | int) -> bool:
        """Whether the staged file is what it must be, on the medium: SHA-256, or a segment's CRC-32."""
        full = f"{self._folder}/{path}"
        try:
            file = await self._disk.open(full)
        except FileMissing:
            return False
        try:
            if await file.size() < size:
                return False
            await file.truncate(size)
            await file.sync()
            await file.drop_cache()
            if not await _fits(file, size, checksum):
                mark("staging.damaged")
                await file.truncate(0)
                return False
        finally:
            await file.close()
        await self._disk.sync_directory(full.rpartition("/")[0])
        return True

    async def load_rows(self) -> Tables:
        """All rows of the staged checkpoint, whose files are whole. What an earlier target staged there is removed."""
        assert self._target is not None
        store = await CheckpointStore.open(self._disk, self._folder, group_hash=self._group_hash)
        return await store.load(self._target.op, self._target.checkpoint_id)

    async def finish(self, segments: list[str]) -> None:
        """All is here: checkpoint and these segments. From now on the next opening of the group installs it."""
        assert self._target is not None
        moves = (*segments, *(entry.path for entry in self._target.files))
        ready = attrs.evolve(self._target, ready=True, moves=moves)
        await _write_target(self._disk, self._directory, ready)
        self._target = ready


async def _fits(file: File, size: int, checksum: bytes | int) -> bool:
    """Whether the file's first bytes have this checksum. What the disk can't read has not."""
    digest, crc = sha256(), 0
    try:
        for at in range(0, size, STEP_SIZE):
            data = await file.read_at(at, min(STEP_SIZE, size - at))
            if isinstance(checksum, bytes):
                digest.update(data)
            else:
                crc = crc32(data, crc)
    except DiskFailed:
        mark("staging.unreadable")
        return False
    return checksum in (digest.digest(), crc)


async def install(disk: Disk, directory: str) -> bool:
    """Put a ready checkpoint in place of the group's own. Called while nothing of the group is open. True if it did.

    One at the same op replaces files that are lost.

    DamagedData and its kin, of the superblock; DiskFull: call it again when there is room.
    """
    target = await read_target(disk, directory)
    if target is None or not target.ready:
        return False
    superblock = await Superblock.open(disk, directory)
    try:
        own = superblock.state
        wanted = target.op > own.checkpoint_op
        wanted |= (target.op, target.checkpoint_id) == (own.checkpoint_op, own.checkpoint_id)
        if wanted:
            mark("staging.installed")
            await _move(disk, directory, target.moves)
            await superblock.update(
                checkpoint_op=target.op,
                checkpoint_id=target.checkpoint_id,
                commit=target.op,
                configuration=target.configuration,
            )
    finally:
        await superblock.close()
    await clear(disk, directory)
    return wanted


async def clear_overtaken(disk: Disk, directory: str, checkpoint_op: int) -> None:
    """Remove what is staged of a checkpoint no newer than the group's own, at this op, or of none that is known.
    Called while nobody fetches."""
    target = await read_target(disk, directory)
    if target is None or target.op <= checkpoint_op:
        await clear(disk, directory)


async def clear(disk: Disk, directory: str) -> None:
    """Forget the target, then remove what was staged."""
    folder = f"{directory}/{FOLDER}"
    if await disk.exists(f"{folder}/{TARGET}"):
        await disk.remove(f"{folder}/{TARGET}")
        await disk.sync_directory(folder)
    logs = [f"{folder}/log/{name}" for name in await disk.list(f"{folder}/log")]
    for name in await disk.list(f"{folder}/checkpoints"):
        await remove_traceless(disk, f"{folder}/checkpoints/{name}", overwrite=name.startswith(KEYS))
    for parent in logs:
        for name in await disk.list(parent):
            await remove_traceless(disk, f"{parent}/{name}", overwrite=True)


async def _move(disk: Disk, directory: str, moves: tuple[str, ...]) -> None:
    """New names durable before the old ones go."""
    folders: dict[str, None] = {}
    for path in moves:
        if not await disk.exists(f"{directory}/{FOLDER}/{path}"):
            mark("staging.move_went_before")
            continue
        parent = path.rpartition("/")[0]
        if parent not in folders:
            await disk.make_directory(f"{directory}/{parent}")
        folders[parent] = None
        await disk.rename(f"{directory}/{FOLDER}/{path}", f"{directory}/{path}")
    for parent in folders:
        await disk.sync_directory(f"{directory}/{parent}")
    for parent in folders:
        await disk.sync_directory(f"{directory}/{FOLDER}/{parent}")


async def read_target(disk: Disk, directory: str) -> Target | None:
    """The target that is on disk; None when there is none, or none that is whole."""
    path = f"{directory}/{FOLDER}/{TARGET}"
    try:
        file = await disk.open(path)
    except FileMissing:
        return None
    try:
        return _decode(await file.read_at(0, await file.size()))
    finally:
        await file.close()


async def _write_target(disk: Disk, directory: str, target: Target) -> None:
    folder = f"{directory}/{FOLDER}"
    file = await disk.open(f"{folder}/{TARGET}.new", create=True)
    try:
        await file.truncate(0)
        await file.write_at(0, _encode(target))
        await file.sync()
    finally:
        await file.close()
    await disk.rename(f"{folder}/{TARGET}.new", f"{folder}/{TARGET}")
    await disk.sync_directory(folder)


def _encode(target: Target) -> bytes:
    fields = {
        "op": target.op,
        "checkpoint_id": target.checkpoint_id.hex(),
        "configuration": target.configuration.hex(),
        "files": [[entry.path, entry.size, entry.checksum.hex()] for entry in target.files],
        "ready": target.ready,
        "moves": list(target.moves),
    }
    return json.dumps({**fields, "checksum": _checksum(fields)}).encode()


def _decode(data: bytes) -> Target | None:
    try:
        fields = json.loads(data)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.pop("checksum", None) != _checksum(fields):
        mark("staging.target_damaged")
        return None
    return Target(
        op=fields["op"],
        checkpoint_id=bytes.fromhex(fields["checkpoint_id"]),
        configuration=bytes.fromhex(fields["configuration"]),
        files=tuple(
            FileEntry(path=path, size=size, checksum=bytes.fromhex(checksum))
            for path, size, checksum in fields["files"]
        ),
        ready=fields["ready"],
        moves=tuple(fields["moves"]),
    )


def _checksum(fields: dict[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
