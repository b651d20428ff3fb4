"""The tail of a log as bytes: what the superblock keeps of a vote, or of the log with which a view started.

Big-endian: number of entries 2; then for each: op 8, bits 1 (1 present, 2 nack, 4 header known), header 256 or nothing.
"""

from __future__ import annotations

import struct

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.ports import Buffer
from vdb.vsr.header import decode_header
from vdb.vsr.message import TailEntry

_COUNT = struct.Struct(">H")
_ENTRY = struct.Struct(">QB")
_PRESENT, _NACK, _KNOWN = 1, 2, 4


def tail_size(entries: int) -> int:
    """Bytes of so many entries, at most."""
    return _COUNT.size + entries * (_ENTRY.size + PREPARE_HEADER_SIZE)


def encode_tail(tail: tuple[TailEntry, ...]) -> bytes:
    parts = [_COUNT.pack(len(tail))]
    for entry in tail:
        bits = _PRESENT * entry.present | _NACK * entry.nack | _KNOWN * (entry.header is not None)
        parts.append(_ENTRY.pack(entry.op, bits))
        if entry.header is not None:
            parts.append(entry.header.encode())
    return b"".join(parts)


def decode_tail(data: Buffer) -> tuple[TailEntry, ...] | None:
    """The entries at the start of these bytes; None when they aren't a tail."""
    view = memoryview(data)
    if len(view) < _COUNT.size:
        return None
    (count,) = _COUNT.unpack_from(view)
    at = _COUNT.size
    tail = []
    for _ in range(count):
        if len(view) < at + _ENTRY.size:
            return None
        op, bits = _ENTRY.unpack_from(view, at)
        at += _ENTRY.size
        header = None
        if bits & _KNOWN:
            header = decode_header(view[at : at + PREPARE_HEADER_SIZE])
            at += PREPARE_HEADER_SIZE
            if header is None or header.op != op:
                return None
        tail.append(TailEntry(op=op, header=header, present=bool(bits & _PRESENT), nack=bool(bits & _NACK)))
    return tuple(tail)
