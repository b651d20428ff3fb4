"""Where the frames of a segment lie: by position, and by (stream, offset).

The index of a closed segment is a file beside it, `<segment>.idx`, that of a stub `<segment>.stub.idx`, big-endian:

    0    magic "VDBINDEX"   8
    8    format version     2
    10   zeros              2
    12   segment            4
    16   tenant             8
    24   group              32
    56   count of frames    4
    60   crc32              4    over bytes 0 to 59 and 64 to the end
    64   by position        16 each: position u64, byte offset of the frame u64
    ..   by stream          20 each: stream u64, stream offset u64, number of the frame u32; sorted

It is derived from the segment: a crash may leave it missing, short or torn, and then it is made again by a scan.
The index of the open segment is in memory alone (`FrameIndex`).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from zlib import crc32

import trio

FORMAT_VERSION = 1
HEADER_SIZE = 64
_MAGIC = b"VDBINDEX"
_HEADER = struct.Struct(">8sHHIQ32sII")
_BY_POSITION = struct.Struct(">QQ")
_BY_STREAM = struct.Struct(">QQI")
_SLICE = 4096
"""Entries between two chances for other tasks to run."""


def file_name(segment: int, *, pruned: bool = False) -> str:
    return f"{segment:06}.stub.idx" if pruned else f"{segment:06}.idx"


class FrameIndex:
    """The frames of one segment in memory, in order, growing at the end. Frame n ends where frame n + 1 starts."""

    def __init__(self, start: int) -> None:
        self.positions = array("Q")
        self.starts = array("Q", [start])
        self.streams = array("Q")
        self.offsets = array("Q")
        self._by_stream: dict[int, array[int]] | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def end(self) -> int:
        """Where the next frame will start."""
        return self.starts[-1]

    def start_of(self, number: int) -> int:
        """The byte offset of frame `number`; of the number after the last, the end."""
        return self.starts[number]

    def frame_at(self, position: int) -> int:
        """The number of the last frame that starts at or before `position`; 0 if there is none."""
        return max(bisect_right(self.positions, position) - 1, 0)

    def add(self, *, position: int, stream: int, offset: int, size: int) -> None:
        number = len(self.positions)
        self.positions.append(position)
        self.starts.append(self.starts[-1] + size)
        self.streams.append(stream)
        self.offsets.append(offset)
        if self._by_stream is not None:
            self._by_stream.setdefault(stream, array("I")).append(number)

    async def by_stream(self) -> dict[int, array[int]]:
        """The numbers of each stream's frames, in order. The first call sorts all frames; `add` keeps it so."""
        if self._by_stream is None:
            found: dict[int, array[int]] = {}
            done = 0
            while done < len(self.streams):
                if done:
                    await trio.lowlevel.checkpoint()
                upto = min(done + _SLICE, len(self.streams))
                for number in range(done, upto):
                    found.setdefault(self.streams[number], array("I")).append(number)
                done = upto
            self._by_stream = found
        return self._by_stream

    async def encode(self, *, segment: int, tenant: int, group_hash: bytes) -> bytes:
        """The bytes of the index file."""
        parts = []
        count = len(self)
        for first in range(0, count, _SLICE):
            numbers = range(first, min(first + _SLICE, count))
            parts.append(b"".join(_BY_POSITION.pack(self.positions[n], self.starts[n]) for n in numbers))
            await trio.lowlevel.checkpoint()
        by_stream = await self.by_stream()
        order = array("I")
        for stream in sorted(by_stream):
            order.extend(by_stream[stream])
        for first in range(0, count, _SLICE):
            some = order[first : first + _SLICE]
            parts.append(b"".join(_BY_STREAM.pack(self.streams[n], self.offsets[n], n) for n in some))
            await trio.lowlevel.checkpoint()
        body = b"".join(parts)
        head = _HEADER.pack(_MAGIC, FORMAT_VERSION, 0, segment, tenant, group_hash, count, 0)[:60]
        return head + crc32(body, crc32(head)).to_bytes(4, "big") + body


class ClosedIndex:
    """The index file of a closed segment, searched where it lies. `end` is the segment's length."""

    def __init__(self, data: bytes, count: int, end: int) -> None:
        self._data = data
        self._count = count
        self._end = end
        self._streams_at = HEADER_SIZE + count * _BY_POSITION.size

    @classmethod
    def decode(cls, data: bytes, *, segment: int, tenant: int, group_hash: bytes, end: int) -> ClosedIndex | None:
        """None when the file isn't the sound index of this segment."""
        if len(data) < HEADER_SIZE:
            return None
        magic, version, _zeros, found_segment, found_tenant, group, count, crc = _HEADER.unpack_from(data)
        named = (magic, version, found_segment, found_tenant, group)
        if named != (_MAGIC, FORMAT_VERSION, segment, tenant, group_hash):
            return None
        if len(data) != HEADER_SIZE + count * (_BY_POSITION.size + _BY_STREAM.size):
            return None
        if crc32(memoryview(data)[HEADER_SIZE:], crc32(memoryview(data)[:60])) != crc:
            return None
        return cls(data, count, end)

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes that it holds in memory."""
        return len(self._data)

    def start_of(self, number: int) -> int:
        """The byte offset of frame `number`; of the number after the last, the segment's end."""
        if number == self._count:
            return self._end
        start: int = _BY_POSITION.unpack_from(self._data, HEADER_SIZE + number * _BY_POSITION.size)[1]
        return start

    def frame_at(self, position: int) -> int:
        """The number of the last frame that starts at or before `position`; 0 if there is none."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if _BY_POSITION.unpack_from(self._data, HEADER_SIZE + middle * _BY_POSITION.size)[0] <= position:
                low = middle + 1
            else:
                high = middle
        return max(low - 1, 0)

    def first_entry(self, stream: int, offset: int) -> int:
        """The first entry by stream that is at or above (stream, offset)."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self.entry(middle)[:2] < (stream, offset):
                low = middle + 1
            else:
                high = middle
        return low

    def entry(self, at: int) -> tuple[int, int, int]:
        """(stream, offset, number of the frame) of an entry by stream."""
        return _BY_STREAM.unpack_from(self._data, self._streams_at + at * _BY_STREAM.size)
