"""The segments that a checkpoint names in its rows, as what must be there of each file."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

from attrs import frozen

from vdb.errors import DiskFailed, FileMissing
from vdb.ports import Disk
from vdb.storage.log_rows import ClosedSegment, Cursor, decode_segment_key
from vdb.storage.sync_source import segment_path
from vdb.storage.tables import StorageTable

STEP_SIZE = 256 * 1024


@frozen
class Piece:
    """A segment's first `length` bytes, with their CRC-32. The path is relative to the group's directory."""

    path: str
    length: int
    crc: int


def named_segments(rows: Mapping[int, Mapping[bytes, bytes]]) -> list[Piece]:
    """The segments that these rows of a checkpoint name: closed ones, and what it covers of open ones."""
    pieces = []
    for key, row in sorted(rows.get(StorageTable.SEGMENTS, {}).items()):
        tenant, number = decode_segment_key(key)
        closed = ClosedSegment.decode(number, row)
        pieces.append(Piece(segment_path(tenant, number, pruned=closed.pruned), closed.length, closed.crc))
    for key, row in sorted(rows.get(StorageTable.EVENT_LOGS, {}).items()):
        cursor = Cursor.decode(row)
        if cursor.length:
            path = segment_path(int.from_bytes(key, "big"), cursor.segment)
            pieces.append(Piece(path, cursor.length, cursor.crc))
    return pieces


async def has_piece(disk: Disk, directory: str, piece: Piece) -> bool:
    """Whether these bytes lie under the directory, on the medium. What can't be read, or synced, isn't there."""
    try:
        file = await disk.open(f"{directory}/{piece.path}")
        try:
            await file.sync()
            await file.drop_cache()
            crc = 0
            for at in range(0, piece.length, STEP_SIZE):
                crc = crc32(await file.read_at(at, min(STEP_SIZE, piece.length - at)), crc)
            return crc == piece.crc and await file.size() >= piece.length
        finally:
            await file.close()
    except (DiskFailed, FileMissing):
        return False
