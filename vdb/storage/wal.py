"""The journal: the group's write-ahead log, written by one task. The bytes are specified in `wal_layout`.

Order of writes (the promises that recovery relies on)
1. A header reaches the ring of headers only after its prepare was synced. The image of that ring, from which whole
   sectors are written, holds the header of the lap before until then; so a neighbour's write never carries it early.
2. Prepares are written in the order in which they are submitted.
3. `on_durable` is called after prepare and header were both synced, in the order of submission. All that depends on
   an op being durable (an ack, a reply) hangs on that call.
4. A slot is overwritten only when its old op is at or below the released checkpoint.

The elevator. Each turn writes all prepares that wait and the headers of those synced in the turn before, then syncs
once. A lonely prepare takes two turns, under load there is one sync per prepare, and a prepare that arrives during a
turn travels in the next.

Failures. A failed write or sync (DiskFailed) ends `run` and this journal for good. A full disk doesn't: the turn is
repeated until there is room, nothing is acknowledged meanwhile, and `disk_full` lets the gate refuse new requests.

At open, the file is synced and read back from the medium before recovery decides anything: what a process wrote before
it was killed may lie in the system's cache alone, and after a failed sync the cache may hold, marked as written, what
never reached the disk. What the disk can't read then counts as damaged, sector by sector in the ring of headers, and
recovery decides whether it matters.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import frozen

from vdb.errors import DamagedData, DiskFailed, DiskFull, ForeignData, NewerFormat
from vdb.limits import PREPARE_HEADER_SIZE, SECTOR_SIZE, Limits
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage.recovery import Decision, Recovery, SlotReading, recover
from vdb.storage.wal_layout import (
    FILE_NAME,
    HEADERS_PER_SECTOR,
    decode_slot,
    encode_reserved,
    encode_slot,
    fits_slot,
    header_offset,
    newer_version,
    prepare_offset,
    slot_for_op,
    slot_size,
)
from vdb.vsr.header import Prepare, PrepareHeader, decode_header

DISK_FULL_RETRY_SECONDS = 0.25

OnDurable = Callable[[PrepareHeader], None]


@frozen(kw_only=True)
class SlotFault:
    """What the scrubber found in a slot. `offset` is a byte of the file."""

    offset: int
    message: str
    repaired: bool


@frozen
class _Pending:
    prepare: Prepare
    on_durable: OnDurable


class Journal:
    """The open WAL of one replica. Make it with `format` and `open`; exactly one task runs `run`."""

    def __init__(self, file: File, path: str, limits: Limits, image: bytearray, recovery: Recovery, op: int) -> None:
        self._file = file
        self._path = path
        self._limits = limits
        self._image = image
        self._recovery = recovery
        self._headers: list[PrepareHeader | None] = [entry.header for entry in recovery.slots]
        self._durable: list[bytes | None] = [
            entry.header.checksum if entry.header is not None and entry.decision in _KEPT else None
            for entry in recovery.slots
        ]
        self._released = op
        self._synced_op = recovery.head.op if recovery.head is not None else 0
        self._waiting: list[_Pending] = []
        self._sectors_due: list[int] = []
        self._in_memory: dict[int, Prepare] = {}
        self._wake = trio.Event()
        self._failed: DiskFailed | None = None
        self._disk_full: DiskFull | None = None

    @classmethod
    async def format(
        cls, disk: Disk, directory: str, limits: Limits, group_hash: bytes, *, reserve: bool = False
    ) -> None:
        """Make an empty WAL, over whatever an unfinished formatting left. `reserve` takes all its blocks at once."""
        file = await disk.open(f"{directory}/{FILE_NAME}", create=True)
        await file.truncate(0)
        await file.truncate(limits.wal_size)
        if reserve:
            await file.allocate(limits.wal_size)
        headers = bytearray(limits.wal_headers_size)
        for slot in range(limits.wal_slots):
            sector = encode_reserved(group_hash, slot)
            start = header_offset(slot)
            headers[start : start + PREPARE_HEADER_SIZE] = sector[:PREPARE_HEADER_SIZE]
            await file.write_at(prepare_offset(limits, slot), sector)
        await file.write_at(0, headers)
        await file.sync()
        await file.close()
        await disk.sync_directory(directory)

    @classmethod
    async def open(
        cls,
        disk: Disk,
        directory: str,
        *,
        limits: Limits,
        group_hash: bytes,
        with_peers: bool,
        checkpoint_op: int,
    ) -> Journal:
        """Recover the rings and open them for writing.

        DamagedData: there are no peers and an op that may have been acknowledged isn't whole (nothing was written);
        DiskFailed: because the disk can't read it, or a repair failed.
        ForeignData: another group's WAL. NewerFormat: a later version of VerityDB wrote it. FileMissing: there is none.
        """
        path = f"{directory}/{FILE_NAME}"
        file = await disk.open(path)
        await file.sync()
        await file.drop_cache()
        image = await _read_headers(file, limits)
        if len(image) < limits.wal_headers_size:
            raise DamagedData(f"{path}: expected {limits.wal_size} bytes, found {len(image)}: the file was cut")
        _check_format(path, image, group_hash, limits)
        slots = [await _read_prepare(file, slot, limits) for slot in range(limits.wal_slots)]
        readings = [_judge_slot(image, slot, data, limits, group_hash) for slot, data in enumerate(slots)]
        recovery = recover(
            readings, checkpoint_op=checkpoint_op, with_peers=with_peers, pipeline_max=limits.pipeline_max
        )
        lost = [slot for slot, data in enumerate(slots) if data is None]
        refusal = _refusal(path, limits, checkpoint_op, readings, recovery, lost) if not with_peers else None
        if refusal is not None:
            await file.close()
            raise refusal
        await _rewrite(file, image, recovery, limits, group_hash)
        return cls(file, path, limits, image, recovery, checkpoint_op)

    @property
    def recovery(self) -> Recovery:
        """What was found at open."""
        return self._recovery

    @property
    def disk_full(self) -> DiskFull | None:
        """Set while the disk has no room for the prepares that wait."""
        return self._disk_full

    @property
    def has_waiting(self) -> bool:
        """Whether a prepare waits for the next turn: requests that come now do best to join the one after it."""
        return bool(self._waiting)

    def submit(self, prepare: Prepare, on_durable: OnDurable) -> None:
        """Take a prepare for writing; its slot is dirty at once. Alone, ops are submitted in order."""
        header = prepare.header
        assert header.size <= self._limits.message_size_max
        assert header.size - PREPARE_HEADER_SIZE == len(prepare.body) <= self._limits.body_size_max
        if self._failed is not None:
            raise self._failed
        slot = slot_for_op(self._limits, header.op)
        old = self._headers[slot]
        assert old is None or old.op == header.op or old.op <= self._released, "op not yet in a durable checkpoint"
        assert header.op <= self._released + self._limits.wal_slots
        assert slot not in self._in_memory or self._in_memory[slot].header.op == header.op
        self._headers[slot] = header
        self._durable[slot] = None
        self._in_memory[slot] = prepare
        self._waiting.append(_Pending(prepare, on_durable))
        self._wake.set()

    async def run(self) -> None:
        """The writer. Runs until it is cancelled; raises DiskFailed when the disk fails."""
        synced: list[_Pending] = []
        while True:
            if not self._waiting and not synced and not self._sectors_due:
                self._wake = trio.Event()
                await self._wake.wait()
            batch, self._waiting = self._waiting, []
            try:
                await self._turn(batch, synced)
            except DiskFailed as error:
                self._failed = error
                raise
            for pending in synced:
                self._finish(pending)
            self._synced_op = max([self._synced_op, *(pending.prepare.header.op for pending in batch)])
            synced = batch

    def is_durable(self, op: int, checksum: bytes) -> bool:
        """Whether prepare and header of exactly this op are synced."""
        return self._durable[slot_for_op(self._limits, op)] == checksum and self.header(op) is not None

    def header(self, op: int) -> PrepareHeader | None:
        """The header of an op that the ring holds (perhaps not yet durably), or None."""
        found = self._headers[slot_for_op(self._limits, op)]
        return found if found is not None and found.op == op else None

    async def read(self, op: int) -> Prepare | None:
        """The prepare of an op; None when the ring doesn't hold it, or holds it damaged."""
        slot = slot_for_op(self._limits, op)
        pending = self._in_memory.get(slot)
        if pending is not None and pending.header.op == op:
            return pending
        expected = self.header(op)
        if expected is None:
            return None
        offset = prepare_offset(self._limits, slot)
        prepare, _synced_op = decode_slot(await self._file.read_at(offset, expected.size))
        if prepare is None or prepare.header.checksum != expected.checksum:
            mark("wal.read_damaged")
            return None
        return prepare

    def release(self, checkpoint_op: int) -> None:
        """Slots of ops at or below a durable checkpoint may be overwritten from now on."""
        assert checkpoint_op >= self._released
        self._released = checkpoint_op

    async def scrub_slot(self, slot: int) -> SlotFault | None:
        """Check one slot that is needed and at rest, in both rings. Returns what is wrong, or None.

        A damaged redundant header is rewritten from memory. What can't be read counts as damaged. A slot that changes
        meanwhile counts as sound.
        """
        header = self._headers[slot]
        if header is None or header.op <= self._released or self._durable[slot] != header.checksum:
            return None
        data = await _read(self._file, prepare_offset(self._limits, slot), header.size)
        prepare, _synced_op = decode_slot(data or b"")
        raw = await _read(self._file, header_offset(slot), PREPARE_HEADER_SIZE)
        if self._headers[slot] is not header or self._failed is not None:
            return None
        if prepare is None or prepare.header.checksum != header.checksum:
            message = f"op {header.op}: the prepare in slot {slot} is damaged"
            return SlotFault(offset=prepare_offset(self._limits, slot), message=message, repaired=False)
        if raw != header.encode():
            mark("wal.header_scrubbed")
            self._sectors_due.append(slot // HEADERS_PER_SECTOR)
            self._wake.set()
            message = f"op {header.op}: the redundant header in slot {slot} was damaged, and is rewritten"
            return SlotFault(offset=header_offset(slot), message=message, repaired=True)
        return None

    @property
    def path(self) -> str:
        return self._path

    @property
    def slots(self) -> int:
        return self._limits.wal_slots

    async def close(self) -> None:
        await self._file.close()

    async def _turn(self, batch: list[_Pending], synced: list[_Pending]) -> None:
        """Write the prepares of `batch` and the headers of `synced`, then sync; again while the disk is full."""
        sectors, self._sectors_due = self._sectors_due, []
        for pending in synced:
            header = pending.prepare.header
            if self.header(header.op) is header:
                sectors.append(self._put_header(header))
        while True:
            try:
                for pending in batch:
                    slot = slot_for_op(self._limits, pending.prepare.header.op)
                    data = encode_slot(pending.prepare, self._synced_op)
                    await self._file.write_at(prepare_offset(self._limits, slot), data)
                for sector in dict.fromkeys(sectors):
                    await self._write_header_sector(sector)
                await self._file.sync()
            except DiskFull as error:
                mark("wal.disk_full")
                self._disk_full = error
                await trio.sleep(DISK_FULL_RETRY_SECONDS)
            else:
                self._disk_full = None
                return

    def _put_header(self, header: PrepareHeader) -> int:
        """Put a header whose prepare is synced into the image; returns its sector."""
        slot = slot_for_op(self._limits, header.op)
        start = header_offset(slot)
        self._image[start : start + PREPARE_HEADER_SIZE] = header.encode()
        return slot // HEADERS_PER_SECTOR

    async def _write_header_sector(self, sector: int) -> None:
        start = sector * SECTOR_SIZE
        await self._file.write_at(start, bytes(self._image[start : start + SECTOR_SIZE]))

    def _finish(self, pending: _Pending) -> None:
        header = pending.prepare.header
        slot = slot_for_op(self._limits, header.op)
        if self._headers[slot] is not header:
            mark("wal.superseded")
            return
        self._durable[slot] = header.checksum
        self._in_memory.pop(slot, None)
        pending.on_durable(header)


_KEPT = (Decision.CLEAN, Decision.FIX)


def _check_format(path: str, image: bytearray, group_hash: bytes, limits: Limits) -> None:
    """Refuse a ring of headers in which another format or another group is all there is."""
    raw = [bytes(image[header_offset(slot) :][:PREPARE_HEADER_SIZE]) for slot in range(limits.wal_slots)]
    headers = [decode_header(data) for data in raw]
    if any(header is not None and header.group == group_hash for header in headers):
        return
    newer = [version for version in map(newer_version, raw) if version is not None]
    if len(newer) > limits.wal_slots // 2:
        raise NewerFormat(f"{path} has format version {newer[0]}: use the newer VerityDB that wrote it")
    if any(header is not None for header in headers):
        raise ForeignData(f"{path}: expected the log of group {group_hash.hex()[:16]}, found another group's")


async def _read(file: File, offset: int, size: int) -> bytes | None:
    """Bytes of the file; None when the disk can't read them."""
    try:
        return await file.read_at(offset, size)
    except DiskFailed:
        mark("wal.unreadable")
        return None


async def _read_headers(file: File, limits: Limits) -> bytearray:
    """The ring of headers; zeros, which no header is, stand for the sectors that can't be read."""
    whole = await _read(file, 0, limits.wal_headers_size)
    if whole is not None:
        return bytearray(whole)
    image = bytearray()
    for start in range(0, limits.wal_headers_size, SECTOR_SIZE):
        size = min(SECTOR_SIZE, limits.wal_headers_size - start)
        data = await _read(file, start, size)
        image += bytes(size) if data is None else data
    return image


async def _read_prepare(file: File, slot: int, limits: Limits) -> bytes | None:
    """What lies in a slot of the second ring, as far as its prepare goes; None when the disk can't read it."""
    offset = prepare_offset(limits, slot)
    data = await _read(file, offset, SECTOR_SIZE)
    size = slot_size(data, limits) if data is not None and len(data) == SECTOR_SIZE else 0
    if data is None or size <= SECTOR_SIZE:
        return data
    rest = await _read(file, offset + SECTOR_SIZE, size - SECTOR_SIZE)
    return None if rest is None else data + rest


def _judge_slot(image: bytearray, slot: int, data: bytes | None, limits: Limits, group_hash: bytes) -> SlotReading:
    start = header_offset(slot)
    header = decode_header(memoryview(image)[start : start + PREPARE_HEADER_SIZE])
    prepare, synced_op = decode_slot(data or b"")
    found = prepare.header if prepare is not None else None
    if header is not None and not fits_slot(header, slot=slot, wal_slots=limits.wal_slots, group_hash=group_hash):
        mark("wal.header_misdirected")
        header = None
    if found is not None and not fits_slot(found, slot=slot, wal_slots=limits.wal_slots, group_hash=group_hash):
        mark("wal.prepare_misdirected")
        found = None
    return SlotReading(header=header, prepare=found, synced_op=synced_op if found is not None else 0)


async def _rewrite(file: File, image: bytearray, recovery: Recovery, limits: Limits, group_hash: bytes) -> None:
    """Put recovery's decisions on disk: headers of what is kept, reserved slots for what is cut. Synced."""
    before = bytes(image)
    cut = [entry.slot for entry in recovery.slots if entry.decision is Decision.CUT]
    for entry in recovery.slots:
        if entry.decision is Decision.FAULTY:
            continue
        start = header_offset(entry.slot)
        header = entry.header or PrepareHeader.reserved(group=group_hash, slot=entry.slot)
        image[start : start + PREPARE_HEADER_SIZE] = header.encode()
    for slot in cut:
        await file.write_at(prepare_offset(limits, slot), encode_reserved(group_hash, slot))
    starts = range(0, len(image), SECTOR_SIZE)
    sectors = [start for start in starts if image[start : start + SECTOR_SIZE] != before[start : start + SECTOR_SIZE]]
    for start in sectors:
        mark("wal.headers_fixed")
        await file.write_at(start, bytes(image[start : start + SECTOR_SIZE]))
    if cut or sectors:
        await file.sync()


def _refusal(
    path: str, limits: Limits, checkpoint_op: int, readings: list[SlotReading], recovery: Recovery, lost: list[int]
) -> DamagedData | DiskFailed | None:
    """Why a replica without peers must not start; None if it may. `lost`: slots whose prepare can't be read."""
    if recovery.faulty:
        found = recovery.faulty[0]
        op, slot, reason = found.op, found.slot, f"isn't whole ({found.reason})"
    else:
        # Right above the head, with neither a sound header nor a prepare to read, no other slot need have witnessed
        # that the op was synced.
        op = (recovery.head.op if recovery.head is not None else checkpoint_op) + 1
        slot, reason = slot_for_op(limits, op), "is legible in neither ring"
        if slot not in lost or readings[slot].header is not None:
            return None
    place = prepare_offset(limits, slot)
    problem = f"{path}: op {op} in slot {slot} (byte {place}) may have been acknowledged and {reason}; this replica"
    if slot in lost:
        return DiskFailed(f"{problem} has no peer to repair from, and the disk fails to read the slot")
    return DamagedData(f"{problem} has no peer to repair from: restore from a backup")
