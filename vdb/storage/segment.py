"""The bytes of a segment of the event log: `groups/<group>/log/t_<tenant>/<segment>.seg`, big-endian.

    0    magic "VDBSEGMT"   8
    8    format version     2
    10   zeros              2
    12   segment            4    from 1
    16   tenant             8
    24   group              32   as in the headers of prepares
    56   zeros              8
    64   frames, back to back

One frame:

    0    position           8    of the record's first event in the group's log
    8    length             4    of the payload
    12   payload                 an encoded record (`vdb.crypto.record`): its header starts with magic, tenant, stream,
                                 offset and count, which is all that is read of it here
    ..   crc32              4    over all before it

A segment is closed by the first frame that takes it to `limits.segment_size` or beyond, so segments are a pure
function of the committed ops. A crash may leave bytes behind the length that the last checkpoint recorded: they are cut
before the first write, and written again by the replay of the WAL. Bytes below that length were synced.

What takes a pruned segment's place is its stub, `<segment>.stub` (`vdb.storage.stub`): the same with the magic
"VDBSTUBS", and payloads of which only leaf and place are left.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from zlib import crc32

from attrs import field

from vdb.errors import DamagedData, ForeignData, NewerFormat
from vdb.kernel.effect import AppendRecord
from vdb.types import StreamId
from vdb.values import fast_frozen

MAGIC = b"VDBSEGMT"
STUB_MAGIC = b"VDBSTUBS"
FORMAT_VERSION = 1
HEADER_SIZE = 64
FRAME_PREFIX_SIZE = 12
FRAME_OVERHEAD = FRAME_PREFIX_SIZE + 4

_HEADER = struct.Struct(">8sHHIQ32s8s")
_PREFIX = struct.Struct(">QI")
_CRC = struct.Struct(">I")
_RECORD = struct.Struct(">4s2x8xQ8xQQI")
_RECORD_MAGIC = b"VDBR"
assert _HEADER.size == HEADER_SIZE


@fast_frozen
class Frame:
    """One record as it is read back. `record` stays valid as long as it is held; it lies over immutable bytes."""

    position: int
    stream: StreamId
    offset: int
    count: int
    record: memoryview = field(repr=False)


def file_name(segment: int, *, pruned: bool = False) -> str:
    return f"{segment:06}.stub" if pruned else f"{segment:06}.seg"


def encode_header(*, segment: int, tenant: int, group_hash: bytes, pruned: bool = False) -> bytes:
    magic = STUB_MAGIC if pruned else MAGIC
    return _HEADER.pack(magic, FORMAT_VERSION, 0, segment, tenant, group_hash, bytes(8))


def check_header(path: str, data: bytes, *, segment: int, tenant: int, group_hash: bytes, pruned: bool = False) -> None:
    """Refuse a file that isn't this segment, or its stub: ForeignData, NewerFormat or DamagedData."""
    expected = encode_header(segment=segment, tenant=tenant, group_hash=group_hash, pruned=pruned)
    if data[:HEADER_SIZE] == expected:
        return
    magic, version = data[:8], int.from_bytes(data[8:10], "big")
    if magic == expected[:8] and version > FORMAT_VERSION:
        raise NewerFormat(f"{path} has format version {version}; this program reads versions up to {FORMAT_VERSION}")
    if magic != expected[:8] and magic.strip(b"\0"):
        raise ForeignData(f"{path}: expected a VerityDB segment starting with {expected[:8]!r}, found {magic!r}")
    raise DamagedData(f"{path}: byte 0: the header isn't that of segment {segment} of tenant {tenant}", path=path)


def frame_of_effect(effect: AppendRecord) -> Frame:
    """The frame as a reader sees it, before it is on disk."""
    assert type(effect.record) is bytes
    return Frame(effect.first_position, effect.stream, effect.first_offset, effect.count, memoryview(effect.record))


def check_effect(effect: AppendRecord) -> None:
    """Assert that the record says of itself what the effect says of it: a reader sees the record alone."""
    magic, tenant, stream, offset, count = _RECORD.unpack_from(effect.record)
    assert magic == _RECORD_MAGIC, "the payload of a frame is an encoded record"
    assert (tenant, stream, offset, count) == (effect.tenant, effect.stream, effect.first_offset, effect.count)


def encode_frame(effect: AppendRecord) -> bytes:
    return frame_bytes(effect.first_position, effect.record)


def frame_bytes(position: int, record: bytes) -> bytes:
    """A frame with this payload."""
    prefix = _PREFIX.pack(position, len(record))
    crc = crc32(record, crc32(prefix))
    return b"".join((prefix, record, _CRC.pack(crc)))


def decode_frames(path: str, data: bytes | memoryview, start: int, tenant: int) -> Iterator[tuple[int, Frame]]:
    """The whole frames in `data`, each with its byte offset in the file; `data` was read from `start`.

    A frame cut short by the end of `data` ends the iteration. DamagedData names file and byte of a bad frame.
    """
    view = memoryview(data)
    at = 0
    while at + FRAME_OVERHEAD <= len(data):
        position, size = _PREFIX.unpack_from(data, at)
        end = at + FRAME_OVERHEAD + size
        if end > len(data):
            return
        (crc,) = _CRC.unpack_from(data, end - 4)
        if crc32(view[at : end - 4]) != crc or size < _RECORD.size:
            raise damaged_frame(path, start + at)
        record = view[at + FRAME_PREFIX_SIZE : end - 4]
        magic, owner, stream, offset, count = _RECORD.unpack_from(record)
        if magic != _RECORD_MAGIC or owner != tenant:
            raise damaged_frame(path, start + at)
        yield start + at, Frame(position, StreamId(stream), offset, count, record)
        at = end


def damaged_frame(path: str, at: int) -> DamagedData:
    message = f"{path}: byte {at}: the frame's checksum doesn't fit its bytes: the disk has damaged it"
    return DamagedData(message, path=path)
