"""One family of checkpoint files (`state` or `keys`): deltas, and base slots rewritten in rotation.

Each checkpoint in which rows of the family changed writes one file: the changed rows (the delta), and the *base* of the
next few slots, that is all their live rows. So many slots are taken that they hold about as many rows as the delta;
so a checkpoint writes about twice what changed, whatever lies idle, and a small state is rewritten whole each time.

A slot's rows are: its base, then the deltas of later files, in order. A file is needed while it holds the newest base
of a slot, or its delta is newer than some slot's base. Rotation ends both: after a whole turn, whose rows were about
as many as all live rows, nothing of a file is needed. So the files hold about live rows as bases and as many again as
deltas, plus superseded bases of the turn under way: recovery reads about three times the live rows.

Where the old base of a slot comes from: it is read back from its file. The deltas since then are kept in memory (the
`overlay`), sharing keys and values with the replicated state. So no one iterates over all rows, and no older delta is
read twice. With many more slots than fit a turn, the last slots of a turn may be fewer than the delta asks.

Everything here is a function of the rows that changed at each checkpoint, the choice of slots included: two replicas
write the same bytes. `write` changes nothing in memory, so that it can be called again; `commit` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

import trio
from attrs import define, field, frozen

from vdb.errors import DamagedData, DiskFailed, FileMissing
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage.checkpoint_files import (
    DATA_HEADER_SIZE,
    SECTION_OVERHEAD,
    SLOTS,
    DataFile,
    FamilyManifest,
    Kind,
    Section,
    check_data_header,
    damaged_section,
    data_name,
    decode_section,
    encode_data_header,
    encode_section,
    read_section_head,
    slot_for_row,
)
from vdb.storage.repair import REPAIR_RETRY_SECONDS, REPAIRS_MAX, Repair
from vdb.wire.snapshot import RowBlock, encode_rows

ROWS_PER_DELTA = 2048
ROWS_PER_BASE = 1024
"""Rows at which base sections end with the slot: a later rewrite of one slot reads no more than that in vain."""
BLOCK_BYTES = 1024 * 1024
"""Bytes of values at which a section ends as well: parts of transactions are large rows, and a section is encoded
without a suspension."""
SLOT_ROWS_MIN = 64
"""Rows to rewrite at least, however small the delta."""
ROW = 1024
"""Parts of a row in an estimate: a table of few rows counts for little in each of many slots."""
WRITE_SIZE = 256 * 1024
READ_SIZE = 1024 * 1024
SLICE = 2048
"""Rows between two chances for other tasks to run."""

Tables = dict[int, dict[bytes, bytes]]
Change = tuple[int, int, bytes, bytes | None]
"""(slot, table, key, value); a value of None: removed."""
Changes = Mapping[int, Mapping[bytes, bytes | None]]
Overlay = dict[int, dict[bytes, bytes | None]]


@frozen(kw_only=True)
class Draft:
    """A file that is written and synced, and what the family will be once its checkpoint counts."""

    file: DataFile
    sections: tuple[Section, ...] = field(repr=False)
    rewritten: range
    changes: list[Change] = field(repr=False)
    manifest: FamilyManifest = field(repr=False)


@define(eq=False)
class Family:
    """See the module's docstring."""

    name: str
    disk: Disk = field(repr=False)
    directory: str
    group_hash: bytes = field(repr=False)
    repair: Repair | None = field(default=None, repr=False)
    next_slot: int = 0
    files: dict[int, DataFile] = field(factory=dict, repr=False)
    sections: dict[int, tuple[Section, ...]] = field(factory=dict, repr=False)
    """Of the files, by op."""
    bases: list[int] = field(factory=lambda: [0] * SLOTS, repr=False)
    base_rows: list[int] = field(factory=lambda: [0] * SLOTS, repr=False)
    """An estimate by slot, in parts of ROW: a section's rows spread evenly over its slots."""
    overlay: list[Overlay] = field(factory=lambda: [{} for _ in range(SLOTS)], repr=False)
    overlay_rows: list[int] = field(factory=lambda: [0] * SLOTS, repr=False)

    def path(self, op: int) -> str:
        return f"{self.directory}/{data_name(self.name, op)}"

    def manifest(self) -> FamilyManifest:
        """As it is now."""
        files = tuple(self.files[op] for op in sorted(self.files))
        return FamilyManifest(name=self.name, next_slot=self.next_slot, files=files, bases=tuple(self.bases))

    # Writing ---------------------------------------------------------------------------------------------------

    async def write(self, op: int, changed: Changes, *, whole: bool = False) -> Draft | None:
        """Write and sync the file of this checkpoint; None when nothing changed. DiskFull: call it again.

        `whole`: all live rows, so that no older file is needed. It costs what all rows cost.
        """
        if not any(changed.values()):
            return None
        changes: list[Change] = []
        blocks = _Output(self, op)
        file = await self.disk.open(self.path(op), create=True)
        try:
            await file.truncate(0)
            await blocks.begin(file)
            for table in sorted(changed):
                await self._write_delta(blocks, table, changed[table], changes)
            rewritten = range(SLOTS) if whole else self._choose_slots(changes)
            await self._write_bases(blocks, rewritten, changes)
            await blocks.finish()
        finally:
            await file.close()
        entry = DataFile(op=op, size=blocks.size, digest=blocks.digest.digest())
        sections = tuple(blocks.sections)
        return Draft(
            file=entry,
            sections=sections,
            rewritten=rewritten,
            changes=changes,
            manifest=self._manifest_with(entry, rewritten),
        )

    async def commit(self, draft: Draft) -> None:
        """The checkpoint of this draft is the newest: take its file, slots and changes over. Can't fail."""
        op = draft.file.op
        for number, (slot, table, key, value) in enumerate(draft.changes):
            if slot not in draft.rewritten:
                self._overlay_row(slot, table, key, value)
            if number % SLICE == SLICE - 1:
                await trio.lowlevel.checkpoint()
        for slot in draft.rewritten:
            self.bases[slot] = op
            self.base_rows[slot] = 0
            self.overlay[slot] = {}
            self.overlay_rows[slot] = 0
        self._estimate(op, draft.sections)
        self.files[op] = draft.file
        self.sections[op] = draft.sections
        self.next_slot = draft.manifest.next_slot
        kept = {entry.op: entry for entry in draft.manifest.files}
        self.files = kept
        self.sections = {file_op: self.sections[file_op] for file_op in kept}

    def _manifest_with(self, entry: DataFile, rewritten: range) -> FamilyManifest:
        bases = [*self.bases[: rewritten.start], *([entry.op] * len(rewritten)), *self.bases[rewritten.stop :]]
        oldest = min(bases)
        files = [self.files[op] for op in sorted(self.files) if op >= oldest and op != entry.op]
        return FamilyManifest(
            name=self.name, next_slot=rewritten.stop % SLOTS, files=(*files, entry), bases=tuple(bases)
        )

    def _choose_slots(self, changes: list[Change]) -> range:
        """The next slots in rotation that hold as many rows as changed; at least one."""
        wanted = ROW * max(len(changes), SLOT_ROWS_MIN)
        rows, slot = 0, self.next_slot
        while slot < SLOTS and rows < wanted:
            rows += self.base_rows[slot] + ROW * self.overlay_rows[slot]
            slot += 1
        return range(self.next_slot, slot)

    async def _write_delta(
        self,
        blocks: _Output,
        table: int,
        rows: Mapping[bytes, bytes | None],
        changes: list[Change],
    ) -> None:
        for keys in _cut_rows(rows):
            set_keys: list[bytes] = []
            set_values: list[bytes] = []
            removed: list[bytes] = []
            for key in keys:
                value = rows[key]
                changes.append((slot_for_row(table, key), table, key, value))
                if value is None:
                    removed.append(key)
                    continue
                set_keys.append(key)
                set_values.append(value)
            block = encode_rows(table, set_keys, set_values, removed)
            await blocks.add(Kind.DELTA, 0, SLOTS - 1, len(set_keys) + len(removed), block)

    async def _write_bases(self, blocks: _Output, rewritten: range, changes: list[Change]) -> None:
        """All live rows of these slots: the old bases, the overlay, and what changes now."""
        live: dict[int, Tables] = {slot: {} for slot in rewritten}
        await self._read_bases(live)
        for slot in rewritten:
            for table, rows in self.overlay[slot].items():
                _merge(live[slot].setdefault(table, {}), rows)
        for number, (slot, table, key, value) in enumerate(changes):
            if slot in rewritten:
                _merge(live[slot].setdefault(table, {}), {key: value})
            if number % SLICE == SLICE - 1:
                await trio.lowlevel.checkpoint()
        for part in _cut_at_slots(rewritten, live):
            tables = sorted({table for slot in part for table in live[slot]})
            for table in tables:
                # Most slots are empty in a small state.
                filled = [live[slot][table] for slot in part if table in live[slot]]
                pairs = [(key, rows_of[key]) for rows_of in filled for key in sorted(rows_of)]
                keys = [key for key, _value in pairs]
                block = encode_rows(table, keys, [value for _key, value in pairs])
                await blocks.add(Kind.BASE, part.start, part.stop - 1, len(keys), block)

    async def _read_bases(self, live: dict[int, Tables]) -> None:
        """Put the rows of the present bases of these slots into `live`."""
        for op in sorted({self.bases[slot] for slot in live} - {0}):
            for attempt in range(REPAIRS_MAX + 1):
                try:
                    await self._read_base(op, live)
                    break
                except (DamagedData, DiskFailed):
                    if self.repair is None or attempt == REPAIRS_MAX:
                        raise
                    mark("checkpoint.base_damaged")
                    if not await self.repair(self.path(op)):
                        await trio.sleep(REPAIR_RETRY_SECONDS)

    async def _read_base(self, op: int, live: dict[int, Tables]) -> None:
        first, last = min(live), max(live)
        path = self.path(op)
        file = await _open_named(self.disk, path)
        try:
            for section in self.sections[op]:
                if section.kind is Kind.BASE and section.first_slot <= last and section.last_slot >= first:
                    data = await file.read_at(section.offset, section.size)
                    self._keep_base(op, decode_section(path, data, section), live)
                    await trio.lowlevel.checkpoint()
        finally:
            await file.close()

    def _keep_base(self, op: int, block: RowBlock, live: dict[int, Tables]) -> None:
        for key, value in zip(block.keys, block.values, strict=True):
            slot = slot_for_row(block.table, key)
            if slot in live and self.bases[slot] == op:
                live[slot].setdefault(block.table, {})[key] = value

    # Loading ---------------------------------------------------------------------------------------------------

    async def load(self, manifest: FamilyManifest, tables: Tables) -> None:
        """Become what the manifest says, and put all live rows into `tables`. DamagedData names file and byte."""
        self.next_slot = manifest.next_slot
        self.bases = list(manifest.bases)
        self.files = {entry.op: entry for entry in manifest.files}
        newest = max(self.bases)
        for entry in manifest.files:
            data = await self._read_file(entry)
            sections = []
            at = DATA_HEADER_SIZE
            while at < len(data):
                section = read_section_head(self.path(entry.op), data, at, at)
                block = decode_section(self.path(entry.op), data[at : at + section.size], section)
                sections.append(section)
                if section.kind is Kind.DELTA:
                    self._load_delta(entry.op, block, tables, newest)
                else:
                    self._load_base(entry.op, section, block, tables)
                at += section.size
                await trio.lowlevel.checkpoint()
            self.sections[entry.op] = tuple(sections)
            self._estimate(entry.op, self.sections[entry.op])

    async def _read_file(self, entry: DataFile) -> bytes:
        path = self.path(entry.op)
        file = await _open_named(self.disk, path)
        try:
            data = await read_whole(file, path, entry)
        finally:
            await file.close()
        check_data_header(path, data, self.name, entry.op, self.group_hash)
        return data

    def _load_base(self, op: int, section: Section, block: RowBlock, tables: Tables) -> None:
        """Rows of the slots whose newest base this is."""
        rows = tables.setdefault(block.table, {})
        slots = self.bases[section.first_slot : section.last_slot + 1]
        if min(slots) == op == max(slots):
            rows.update(zip(block.keys, block.values, strict=True))
            return
        for key, value in zip(block.keys, block.values, strict=True):
            if self.bases[slot_for_row(block.table, key)] == op:
                rows[key] = value

    def _load_delta(self, op: int, block: RowBlock, tables: Tables, newest: int) -> None:
        """Rows of the slots whose base is older than this delta; they stay in the overlay."""
        rows = tables.setdefault(block.table, {})
        values: list[bytes | None] = [*block.values, *([None] * len(block.removed))]
        for key, value in zip([*block.keys, *block.removed], values, strict=True):
            slot = slot_for_row(block.table, key)
            if op > newest or op > self.bases[slot]:
                self._overlay_row(slot, block.table, key, value)
                _merge(rows, {key: value})

    def _overlay_row(self, slot: int, table: int, key: bytes, value: bytes | None) -> None:
        rows = self.overlay[slot].setdefault(table, {})
        self.overlay_rows[slot] += key not in rows
        rows[key] = value

    def _estimate(self, op: int, sections: tuple[Section, ...]) -> None:
        for section in sections:
            if section.kind is Kind.BASE:
                share = ROW * section.rows // (section.last_slot - section.first_slot + 1)
                for slot in range(section.first_slot, section.last_slot + 1):
                    if self.bases[slot] == op:
                        self.base_rows[slot] += share


class _Output:
    """Writes a data file in pieces, with its digest and the places of its sections."""

    def __init__(self, family: Family, op: int) -> None:
        self._header = encode_data_header(family.name, op, family.group_hash)
        self._file: File | None = None
        self._waiting = bytearray()
        self._written = 0
        self.digest = sha256()
        self.size = 0
        self.sections: list[Section] = []

    async def begin(self, file: File) -> None:
        self._file = file
        await self._put(self._header)

    async def add(self, kind: Kind, first_slot: int, last_slot: int, rows: int, block: bytes) -> None:
        data = encode_section(kind, first_slot, last_slot, rows, block)
        self.sections.append(
            Section(
                kind=kind,
                first_slot=first_slot,
                last_slot=last_slot,
                rows=rows,
                offset=self.size,
                size=SECTION_OVERHEAD + len(block),
            )
        )
        await self._put(data)
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        assert self._file is not None
        await self._flush()
        await self._file.sync()

    async def _put(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self._waiting += data
        if len(self._waiting) >= WRITE_SIZE:
            await self._flush()

    async def _flush(self) -> None:
        assert self._file is not None
        await self._file.write_at(self._written, bytes(self._waiting))
        self._written = self.size
        self._waiting.clear()


def _merge(rows: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value


def _cut_rows(rows: Mapping[bytes, bytes | None]) -> Iterator[list[bytes]]:
    """The keys in order, in parts of ROWS_PER_DELTA rows or of about BLOCK_BYTES."""
    part: list[bytes] = []
    size = 0
    for key in sorted(rows):
        part.append(key)
        size += len(rows[key] or b"")
        if len(part) == ROWS_PER_DELTA or size >= BLOCK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _cut_at_slots(slots: range, live: Mapping[int, Tables]) -> Iterator[range]:
    """The slots in parts of about ROWS_PER_BASE rows, or of about BLOCK_BYTES."""
    start, rows, size = slots.start, 0, 0
    for slot in slots:
        if tables := live[slot]:
            rows += sum(map(len, tables.values()))
            size += sum(len(value) for table in tables.values() for value in table.values())
        if rows >= ROWS_PER_BASE or size >= BLOCK_BYTES or slot == slots[-1]:
            yield range(start, slot + 1)
            start, rows, size = slot + 1, 0, 0


async def _open_named(disk: Disk, path: str) -> File:
    try:
        return await disk.open(path)
    except FileMissing as error:
        raise DamagedData(f"{path}: a file that the checkpoint names is missing") from error


async def read_whole(file: File, path: str, entry: DataFile) -> bytes:
    """A file's bytes, of exactly the size and digest that the manifest gives; DamagedData otherwise."""
    found = await file.size()
    if found != entry.size:
        raise DamagedData(f"{path}: expected {entry.size} bytes, found {found}")
    digest = sha256()
    parts = []
    for at in range(0, entry.size, READ_SIZE):
        parts.append(await file.read_at(at, min(READ_SIZE, entry.size - at)))
        digest.update(parts[-1])
        await trio.lowlevel.checkpoint()
    data = b"".join(parts)
    if digest.digest() != entry.digest:
        raise _locate_damage(path, data)
    return data


def _locate_damage(path: str, data: bytes) -> DamagedData:
    """The first damaged section, for the message."""
    at = DATA_HEADER_SIZE
    try:
        while at < len(data):
            section = read_section_head(path, data, at, at)
            decode_section(path, data[at : at + section.size], section)
            at += section.size
    except DamagedData as error:
        return error
    return damaged_section(path, 0)
