"""What a checkpoint says of a tenant's event log: rows of EVENT_LOGS and SEGMENTS as values, and their packed form."""

from __future__ import annotations

import struct

from attrs import frozen

_CURSOR = struct.Struct(">IQIQQQ")
_CLOSED = struct.Struct(">QQQIQ")
_PRUNED = b"\1"
_TENANT_KEY = struct.Struct(">Q")
_SEGMENT_KEY = struct.Struct(">QI")


@frozen(kw_only=True)
class Cursor:
    """A row of EVENT_LOGS: the open segment and how far it goes. `length` 0: its file doesn't exist yet."""

    segment: int = 1
    length: int = 0
    crc: int = 0
    """CRC-32 of the open segment's first `length` bytes."""
    first_position: int = 0
    """Of the open segment's first record; 0 while it has none."""
    next_position: int = 0
    """One above the last event's position."""
    records: int = 0
    """Records of the tenant in all segments."""

    def encode(self) -> bytes:
        return _CURSOR.pack(self.segment, self.length, self.crc, self.first_position, self.next_position, self.records)

    @classmethod
    def decode(cls, data: bytes) -> Cursor:
        number, length, crc, first_position, next_position, records = _CURSOR.unpack(data)
        return cls(
            segment=number,
            length=length,
            crc=crc,
            first_position=first_position,
            next_position=next_position,
            records=records,
        )


@frozen(kw_only=True)
class ClosedSegment:
    """A row of SEGMENTS. `records` counts the tenant's records up to this segment's end."""

    segment: int
    first_position: int
    next_position: int
    length: int
    """Of its file, which is its stub's where it was pruned."""
    crc: int
    records: int
    pruned: bool = False

    def encode(self) -> bytes:
        row = _CLOSED.pack(self.first_position, self.next_position, self.length, self.crc, self.records)
        return row + _PRUNED if self.pruned else row

    @classmethod
    def decode(cls, number: int, data: bytes) -> ClosedSegment:
        first_position, next_position, length, crc, records = _CLOSED.unpack_from(data)
        return cls(
            segment=number,
            first_position=first_position,
            next_position=next_position,
            length=length,
            crc=crc,
            records=records,
            pruned=data[_CLOSED.size :] == _PRUNED,
        )


@frozen
class Stretch:
    """The first `length` bytes of a segment's file, and their CRC-32."""

    segment: int
    path: str
    length: int
    crc: int
    pruned: bool = False
    """The file is the segment's stub."""


def tenant_key(tenant: int) -> bytes:
    return _TENANT_KEY.pack(tenant)


def segment_key(tenant: int, number: int) -> bytes:
    return _SEGMENT_KEY.pack(tenant, number)


def decode_segment_key(key: bytes) -> tuple[int, int]:
    """(tenant, segment)."""
    tenant, number = _SEGMENT_KEY.unpack(key)
    return tenant, number
