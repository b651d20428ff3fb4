"""Opening a write-ahead log: read both rings, let `recovery` decide, put its decisions on disk.

The file is synced and read back from the medium before recovery decides anything: what a process wrote before it was
killed may lie in the system's cache alone, and after a failed sync the cache may hold, marked as written, what never
reached the disk. What the disk can't read then counts as damaged, sector by sector in the ring of headers, and recovery
decides whether it matters.
"""

from __future__ import annotations

from attrs import field, frozen

from vdb.errors import DamagedData, DiskFailed, ForeignData, NewerFormat
from vdb.limits import PREPARE_HEADER_SIZE, SECTOR_SIZE, Limits
from vdb.marks import mark
from vdb.ports import File
from vdb.storage.recovery import Decision, Recovery, SlotReading, recover
from vdb.storage.wal_layout import (
    decode_slot,
    encode_reserved,
    fits_slot,
    header_offset,
    newer_version,
    prepare_offset,
    slot_for_op,
    slot_size,
)
from vdb.vsr.header import PrepareHeader, decode_header


@frozen(kw_only=True)
class Rings:
    """What was found, and the ring of headers as it is on disk now."""

    recovery: Recovery
    image: bytearray = field(repr=False)
    with_peers: bool


async def recover_rings(
    file: File,
    path: str,
    *,
    limits: Limits,
    group_hash: bytes,
    with_peers: bool,
    checkpoint_op: int,
    log_view: int,
) -> Rings:
    """Raises what `Journal.open` does; the file is closed then."""
    try:
        await file.sync()
        await file.drop_cache()
        image = await _read_headers(file, limits)
        if len(image) < limits.wal_headers_size:
            raise DamagedData(f"{path}: expected {limits.wal_size} bytes, found {len(image)}: the file was cut")
        _check_format(path, image, group_hash, limits)
        slots = [await _read_prepare(file, slot, limits) for slot in range(limits.wal_slots)]
        readings = [_judge_slot(image, slot, data, limits, group_hash) for slot, data in enumerate(slots)]
        with_peers = with_peers or _name_peers(readings, checkpoint_op)
        recovery = recover(
            readings,
            checkpoint_op=checkpoint_op,
            with_peers=with_peers,
            log_view=log_view,
            pipeline_max=limits.pipeline_max,
        )
        lost = [slot for slot, data in enumerate(slots) if data is None]
        if not with_peers:
            _refuse(path, limits, checkpoint_op, readings, recovery, lost)
        await _rewrite(file, image, recovery, limits, group_hash, checkpoint_op)
    except BaseException:
        await file.close()
        raise
    return Rings(recovery=recovery, image=image, with_peers=with_peers)


def _name_peers(readings: list[SlotReading], checkpoint_op: int) -> bool:
    """Whether any header above the checkpoint was made in a group of several members."""
    headers = [header for reading in readings for header in (reading.header, reading.prepare)]
    return any(
        header is not None and header.op > checkpoint_op and len(header.configuration.members) > 1 for header in headers
    )


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


async def read_or_none(file: File, offset: int, size: int) -> bytes | None:
    """Bytes of the file; None when the disk can't read them."""
    try:
        return await file.read_at(offset, size)
    except DiskFailed:
        mark("wal.unreadable")
        return None


async def _read_headers(file: File, limits: Limits) -> bytearray:
    """The ring of headers; zeros, which no header is, stand for the sectors that can't be read."""
    whole = await read_or_none(file, 0, limits.wal_headers_size)
    if whole is not None:
        return bytearray(whole)
    image = bytearray()
    for start in range(0, limits.wal_headers_size, SECTOR_SIZE):
        size = min(SECTOR_SIZE, limits.wal_headers_size - start)
        data = await read_or_none(file, start, size)
        image += bytes(size) if data is None else data
    return image


async def _read_prepare(file: File, slot: int, limits: Limits) -> bytes | None:
    """What lies in a slot of the second ring, as far as its prepare goes; None when the disk can't read it."""
    offset = prepare_offset(limits, slot)
    data = await read_or_none(file, offset, SECTOR_SIZE)
    size = slot_size(data, limits) if data is not None and len(data) == SECTOR_SIZE else 0
    if data is None or size <= SECTOR_SIZE:
        return data
    rest = await read_or_none(file, offset + SECTOR_SIZE, size - SECTOR_SIZE)
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


async def _rewrite(
    file: File, image: bytearray, recovery: Recovery, limits: Limits, group_hash: bytes, checkpoint_op: int
) -> None:
    """Put recovery's decisions on disk: headers of what is kept, no valid ones but their own over what is faulty,
    reserved slots for what is cut. Synced.
    """
    before = bytes(image)
    cut = [entry.slot for entry in recovery.slots if entry.decision is Decision.CUT]
    for entry in recovery.slots:
        start = header_offset(entry.slot)
        header = entry.header or PrepareHeader.reserved(group=group_hash, slot=entry.slot)
        data = header.encode()
        if entry.decision is Decision.FAULTY:
            if entry.header is not None and entry.header.op > checkpoint_op:
                continue
            data = bytes(PREPARE_HEADER_SIZE)
        image[start : start + PREPARE_HEADER_SIZE] = data
    for slot in cut:
        await file.write_at(prepare_offset(limits, slot), encode_reserved(group_hash, slot))
    starts = range(0, len(image), SECTOR_SIZE)
    sectors = [start for start in starts if image[start : start + SECTOR_SIZE] != before[start : start + SECTOR_SIZE]]
    for start in sectors:
        mark("wal.headers_fixed")
        await file.write_at(start, bytes(image[start : start + SECTOR_SIZE]))
    if cut or sectors:
        await file.sync()


def _refuse(
    path: str, limits: Limits, checkpoint_op: int, readings: list[SlotReading], recovery: Recovery, lost: list[int]
) -> None:
    """Raise if a replica without peers must not start. `lost`: slots whose prepare can't be read."""
    if recovery.faulty:
        found = recovery.faulty[0]
        op, slot, reason = found.op, found.slot, f"isn't whole ({found.reason})"
    else:
        # Right above the head, with neither a sound header nor a prepare to read, no other slot need have witnessed
        # that the op was synced.
        op = (recovery.head.op if recovery.head is not None else checkpoint_op) + 1
        slot, reason = slot_for_op(limits, op), "is legible in neither ring"
        if slot not in lost or readings[slot].header is not None:
            return
    place = prepare_offset(limits, slot)
    problem = f"{path}: op {op} in slot {slot} (byte {place}) may have been acknowledged and {reason}; this replica"
    if slot in lost:
        raise DiskFailed(f"{problem} has no peer to repair from, and the disk fails to read the slot")
    raise DamagedData(f"{problem} has no peer to repair from: restore from a backup")
