"""Checkpoints: the replicated state at an op, as rows in files under `<directory>/checkpoints/`.

The bytes are specified in `checkpoint_files`; what is written, and why it costs no more than what changed, in
`checkpoint_family`. Key-store rows (table KEYS) have files of their own, `keys-*`, in the same checkpoint.

Order of a checkpoint: data files, each synced; then the manifest, synced; then the directory. The caller then names op
and id in the superblock, and `prune` removes what no longer counts, but for the files of checkpoints that are pinned
because another node copies them. So a crash at any moment leaves the checkpoint
that the superblock names whole, and beside it files that nobody names, which `load` removes.

A checkpoint in which a key was destroyed writes all key rows anew, so that no older file is needed; a file of keys is
overwritten before it is removed. So once that checkpoint was pruned, and nothing is pinned, no file has the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from attrs import field, frozen

from vdb.errors import DamagedData, FileMissing
from vdb.kernel.rows import is_destroyed_row
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
from vdb.storage.overwriting import remove_traceless
from vdb.storage.repair import Repair

STATE = "state"
KEYS = "keys"


@frozen
class NamedFile:
    """A file of a checkpoint: its name in the directory, its bytes, and SHA-256 over them."""

    name: str
    size: int
    digest: bytes = field(repr=False)


class CheckpointStore:
    """The checkpoint files of one group. One call at a time: load once, then write and prune in turn."""

    def __init__(self, disk: Disk, directory: str, group_hash: bytes) -> None:
        self._disk = disk
        self._directory = directory
        self._group_hash = group_hash
        self._families = [Family(name, disk, directory, group_hash) for name in (STATE, KEYS)]
        self._manifest: Manifest | None = None
        self._manifest_digest = b""
        self._durable: tuple[NamedFile, ...] = ()
        self._pins: dict[int, tuple[NamedFile, ...]] = {}

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
        destroyed = any(row is not None and is_destroyed_row(row) for row in changed.get(Table.KEYS, {}).values())
        drafts: list[Draft | None] = []
        for family, part in zip(self._families, split, strict=True):
            drafts.append(await family.write(op, part, whole=destroyed and family.name == KEYS))
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
        """Remove every file that neither the checkpoint at `op`, the one in the superblock, nor a pinned one names."""
        assert op == (self._manifest.op if self._manifest is not None else 0)
        self._durable = self._name_files()
        wanted = {named.name: None for files in (self._durable, *self._pins.values()) for named in files}
        removed = False
        for name in await self._disk.list(self._directory):
            if name not in wanted:
                mark("checkpoint.pruned")
                await remove_traceless(self._disk, f"{self._directory}/{name}", overwrite=name.startswith(KEYS))
                removed = True
        if removed:
            await self._disk.sync_directory(self._directory)

    @property
    def durable(self) -> tuple[NamedFile, ...]:
        """The files of the checkpoint that the superblock names."""
        return self._durable

    @property
    def pinned(self) -> Mapping[int, tuple[NamedFile, ...]]:
        """The files of each checkpoint that `prune` spares, by its op."""
        return self._pins

    def set_repair(self, repair: Repair) -> None:
        """From now on a damaged file is mended from other replicas before a checkpoint fails because of it."""
        for family in self._families:
            family.repair = repair

    def pin(self, op: int) -> None:
        """Keep the files of the durable checkpoint, which stands at `op`, until `unpin`: somebody copies them."""
        assert self._durable
        self._pins[op] = self._durable

    def unpin(self, op: int) -> None:
        """The next `prune` may remove them."""
        self._pins.pop(op, None)

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

    def _name_files(self) -> tuple[NamedFile, ...]:
        manifest = self._manifest
        if manifest is None:
            return ()
        size = len(encode_manifest(manifest, self._group_hash))
        found = [NamedFile(manifest_name(manifest.op), size, self._manifest_digest)]
        for family in manifest.families:
            found += [NamedFile(data_name(family.name, entry.op), entry.size, entry.digest) for entry in family.files]
        return tuple(found)

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
