"""The bytes of the write-ahead log: one file `wal`, a ring of headers and then a ring of prepares.

    0                       ring of redundant headers: slot s at s * PREPARE_HEADER_SIZE, 16 to a sector
    wal_headers_size        ring of prepares: slot s at wal_headers_size + s * message_size_max

The op of a header lies in slot op mod wal_slots; a header in any other slot was misdirected and counts as damaged.
A slot of the second ring holds, from its start:

    prepare      header and body, `header.size` bytes (vdb.vsr.header)
    evidence     EVIDENCE_SIZE bytes: synced_op u64, SHA-256 over (checksum of the prepare, synced_op)
    zeros        to the next sector; bytes of older laps may follow

`synced_op` is the highest op whose prepare was synced on this disk before this write began. It is what lets a
recovery that has no peers tell a prepare that a crash tore from one that was acknowledged and rotted since: a
damaged prepare at or below any `synced_op` was whole once.

Formatting writes a reserved header (operation RESERVED, op = the slot's number) into each slot of both rings, and
nothing else: the file is sparse until its first lap, unless its blocks are reserved on request.

All writes start and end on sectors. A crash may leave: a slot of the second ring torn in any of its sectors; a sector
of the first ring old, new or damaged, with all its 16 headers. It can't leave a new header over a prepare that wasn't
synced before (see `wal`).
"""

from __future__ import annotations

import struct
from hashlib import sha256

from vdb.limits import PREPARE_HEADER_SIZE, SECTOR_SIZE, WAL_EVIDENCE_SIZE, Limits
from vdb.ports import Buffer
from vdb.vsr.header import MAGIC, VERSION, Operation, Prepare, PrepareHeader, decode_header, decode_prepare

FILE_NAME = "wal"
HEADERS_PER_SECTOR = SECTOR_SIZE // PREPARE_HEADER_SIZE
_EVIDENCE = struct.Struct(">Q32s")
_MAGIC_OFFSET = 160
_MAGIC_AND_VERSION = struct.Struct(">4sH")
assert _EVIDENCE.size == WAL_EVIDENCE_SIZE


def slot_for_op(limits: Limits, op: int) -> int:
    assert op >= 1
    return op % limits.wal_slots


def header_offset(slot: int) -> int:
    """Where the slot's redundant header lies in the file (and in an image of the ring of headers)."""
    return slot * PREPARE_HEADER_SIZE


def prepare_offset(limits: Limits, slot: int) -> int:
    """Where the slot's prepare starts in the file."""
    assert 0 <= slot < limits.wal_slots
    return limits.wal_headers_size + slot * limits.message_size_max


def sector_up(size: int) -> int:
    """`size` rounded up to whole sectors."""
    return -(-size // SECTOR_SIZE) * SECTOR_SIZE


def _seal_evidence(checksum: bytes, synced_op: int) -> bytes:
    return sha256(checksum + synced_op.to_bytes(8, "big")).digest()


def encode_slot(prepare: Prepare, synced_op: int) -> bytes:
    """What is written to the slot of the second ring: whole sectors."""
    header = prepare.header
    evidence = _EVIDENCE.pack(synced_op, _seal_evidence(header.checksum, synced_op))
    used = header.size + WAL_EVIDENCE_SIZE
    return b"".join((header.encode(), prepare.body, evidence, bytes(sector_up(used) - used)))


def encode_reserved(group_hash: bytes, slot: int) -> bytes:
    """The first sector of a slot that holds nothing."""
    return PrepareHeader.reserved(group=group_hash, slot=slot).encode().ljust(SECTOR_SIZE, b"\0")


def slot_size(first_sector: Buffer, limits: Limits) -> int:
    """How many bytes of the slot to read, judged by its first sector (which may be damaged): whole sectors."""
    header = decode_header(memoryview(first_sector)[:PREPARE_HEADER_SIZE])
    if header is None:
        return SECTOR_SIZE
    return sector_up(min(header.size + WAL_EVIDENCE_SIZE, limits.message_size_max))


def fits_slot(header: PrepareHeader, *, slot: int, wal_slots: int, group_hash: bytes) -> bool:
    """Whether this header may lie in this slot of this group's rings."""
    if header.group != group_hash:
        return False
    if header.operation is Operation.RESERVED:
        return header.op == slot
    return header.op >= 1 and header.op % wal_slots == slot


def decode_slot(data: Buffer) -> tuple[Prepare | None, int]:
    """The prepare in a slot's bytes (None: damaged) and its `synced_op` (0: none, or damaged)."""
    prepare = decode_prepare(data)
    if prepare is None or len(data) < prepare.header.size + WAL_EVIDENCE_SIZE:
        return prepare, 0
    synced_op, seal = _EVIDENCE.unpack_from(data, prepare.header.size)
    if _seal_evidence(prepare.header.checksum, synced_op) != seal:
        return prepare, 0
    return prepare, synced_op


def newer_version(header: Buffer) -> int | None:
    """The format version of a header that this program can't read because it is newer; None for any other."""
    magic, version = _MAGIC_AND_VERSION.unpack_from(header, _MAGIC_OFFSET)
    return version if magic == MAGIC and version > VERSION else None
