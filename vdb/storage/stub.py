"""What takes the place of a pruned segment: its stub.

A stub has a frame for each of the segment's, in their order: position, the record's header and event ids in clear, and
SHA-256 of the sealed body, without the body (`vdb.crypto.record.prune_record`). So positions, offsets, leaves and
proofs stay what they were, and readers learn that there was a record, and no more.

Rules
- The records of the catalogue stay as they are: they name the tenant's streams.
- A stub is a pure function of its segment's frames. So all replicas have the same bytes, and who proposes the pruning
  says their length and checksum.
"""

from __future__ import annotations

from zlib import crc32

from vdb.crypto.record import prune_record
from vdb.kernel.streamid import CATALOGUE
from vdb.storage.segment import Frame, encode_header, frame_bytes


def is_kept(frame: Frame) -> bool:
    """Whether a record stays whole."""
    return frame.stream == CATALOGUE


class StubMaker:
    """The bytes of a stub, handed out piece by piece; `length` and `crc` are of those so far."""

    def __init__(self, *, segment: int, tenant: int, group_hash: bytes) -> None:
        self._waiting = [encode_header(segment=segment, tenant=tenant, group_hash=group_hash, pruned=True)]
        self.length = len(self._waiting[0])
        self.crc = crc32(self._waiting[0])

    def add(self, frame: Frame) -> None:
        """The segment's next frame."""
        record = bytes(frame.record) if is_kept(frame) else prune_record(frame.record)
        data = frame_bytes(frame.position, record)
        self.length += len(data)
        self.crc = crc32(data, self.crc)
        self._waiting.append(data)

    def take(self) -> bytes:
        """What is new since the last call."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data
