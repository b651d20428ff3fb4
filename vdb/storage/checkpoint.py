"""Checkpoints: the replicated state at an op, as rows in files under `<directory>/checkpoints/`.

The bytes are specified in `checkpoint_files`; what is written, and why it costs no more than what changed, in
`checkpoint_family`. Key-store rows (table KEYS) have files of their own, `keys-*`, in the same checkpoint.

Order of a checkpoint: data files, each synced; then the manifest, synced; then the directory. The caller then names op
and id in the superblock, and `prune` removes what no longer counts. So a crash at any moment leaves the checkpoint
that the superblock names whole, and beside it files that nobody names, which `load` removes.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from vdb.errors import DamagedData, FileMissing
from vdb.kernel.tables import Table
from vdb.marks import mark
from vdb.ports import Disk
from vdb.storage.checkpoint_family import Changes, Draft, Family, Tables
from vdb.storage.checkpoint_files import (
    MANIFEST_MAGIC,
    Manifest,
    check_start,
    data_name,
    decode_manifest,
    encode_manifest,
    manifest_name,
)

STATE = "state"
KEYS = "keys"


class CheckpointStore:
    """The checkpoint files of one group. One call at a time: load once, then write and prune in turn."""

    def __init__(self, disk: Disk, directory: str, group_hash: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self._group_hash = group_hash
        self._families = [Family(name, disk, directory, group_hash) for name in (STATE, KEYS)]
        self._manifest: Manifest | None = None
        self._manifest_digest = b""

    @classmethod
    async def open(cls, disk: Disk, directory: str, *, group_hash: bytes) -> CheckpointStore:
        """Ready to `load`."""
        folder = f"{directory}/checkpoints"
        await disk.make_directory(folder)
        return cls(disk, folder, group_hash)

    @property
    def directory(self) -> str:
        return self._directory

    async def load(self, op: int, checkpoint_id: bytes) -> Tables:
        """All rows of the checkpoint, by table. Op 0: none. Removes files that it doesn't name.

        DamagedData names file and byte of what is missing or damaged; ForeignData, NewerFormat.
        """
        tables: Tables = {}
        if op > 0:
            manifest = await self._read_manifest(op, checkpoint_id)
            for family, named in zip(self._families, manifest.families, strict=True):
                assert family.name == named.name
                await family.load(named, tables)
            self._manifest, self._manifest_digest = manifest, checkpoint_id
        await self.prune(op)
        return tables

    async def write(self, op: int, changed: Changes) -> bytes:
        """Make the checkpoint at `op` durable: the one before it, with these rows set or removed. Returns its id.

        It counts once the superblock names it. DiskFull: nothing has changed, call it again.
        """
        assert self._manifest is None or op > self._manifest.op, "checkpoints go up"
        split: list[dict[int, Mapping[bytes, bytes | None]]] = [{}, {}]
        for table, rows in changed.items():
            split[table == Table.KEYS][table] = rows
        drafts: list[Draft | None] = []
        for family, part in zip(self._families, split, strict=True):
            drafts.append(await family.write(op, part))
        named = [
            draft.manifest if draft is not None else family.manifest()
            for family, draft in zip(self._families, drafts, strict=True)
        ]
        manifest = Manifest(op=op, families=tuple(named))
        data = encode_manifest(manifest, self._group_hash)
        await self._write_manifest(op, data)
        for family, draft in zip(self._families, drafts, strict=True):
            if draft is not None:
                await family.commit(draft)
        self._manifest, self._manifest_digest = manifest, sha256(data).digest()
        return self._manifest_digest

    async def prune(self, op: int) -> None:
        """Remove every file that the checkpoint at `op`, the one in the superblock, doesn't name."""
        assert op == (self._manifest.op if self._manifest is not None else 0)
        wanted = self._names()
        removed = False
        for name in await self._disk.list(self._directory):
            if name not in wanted:
                mark("checkpoint.pruned")
                await self._disk.remove(f"{self._directory}/{name}")
                removed = True
        if removed:
            await self._disk.sync_directory(self._directory)

    def files(self) -> list[tuple[str, int, bytes]]:
        """(path, size, SHA-256) of every file of the newest checkpoint; the size of the manifest is given as -1."""
        if self._manifest is None:
            return []
        found = [(f"{self._directory}/{manifest_name(self._manifest.op)}", -1, self._manifest_digest)]
        for family in self._manifest.families:
            for entry in family.files:
                path = f"{self._directory}/{data_name(family.name, entry.op)}"
                found.append((path, entry.size, entry.digest))
        return found

    def _names(self) -> dict[str, None]:
        return {path.rpartition("/")[2]: None for path, _size, _digest in self.files()}

    async def _read_manifest(self, op: int, checkpoint_id: bytes) -> Manifest:
        path = f"{self._directory}/{manifest_name(op)}"
        try:
            file = await self._disk.open(path)
        except FileMissing as error:
            raise DamagedData(f"{path}: the checkpoint that the superblock names is missing") from error
        data = await file.read_at(0, await file.size())
        await file.close()
        found = sha256(data).digest()
        if found != checkpoint_id:
            if len(data) >= 44 and data.strip(b"\0"):
                check_start(path, data, MANIFEST_MAGIC, self._group_hash, group_at=12)
            raise DamagedData(
                f"{path}: byte 0: expected the checkpoint {checkpoint_id.hex()[:16]}, found {found.hex()[:16]}: "
                "the manifest is damaged"
            )
        return decode_manifest(path, data, self._group_hash)

    async def _write_manifest(self, op: int, data: bytes) -> None:
        file = await self._disk.open(f"{self._directory}/{manifest_name(op)}", create=True)
        try:
            await file.truncate(0)
            await file.write_at(0, data)
            await file.sync()
        finally:
            await file.close()
        await self._disk.sync_directory(self._directory)
