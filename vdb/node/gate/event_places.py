"""A tenant's frames of one group, by the number that a read goes by: offsets of one stream, or positions of the log.

Rules
- Numbers rise from frame to frame. Those of a stream have no gaps; between two of the log lie those of other tenants.
- What is found by time or position is found by bisection: a frame's time and position rise with its number.
- Nothing here opens a record: a frame's place and its header are enough.
- A read that left out a frame of a stream is asserted not to be, as in `vdb.node.gate.reader`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vdb.crypto.record import decode_record
from vdb.node.gate.reader import GroupReader, check_offsets, check_positions
from vdb.storage.event_log import Frame
from vdb.types import StreamId, TenantId


class Places(Protocol):
    """Frames by their numbers."""

    def end(self) -> int:
        """The number behind the last one that is committed. It never falls."""

    def first_of(self, frame: Frame) -> int:
        """The number of a frame's first event."""

    async def read(self, start: int, max_bytes: int) -> list[Frame]:
        """Frames in order, from the one that holds `start` or the next above it; at least one, if there is one."""


class LogPlaces:
    """All events of a tenant in a group, by position."""

    def __init__(self, reader: GroupReader, tenant: TenantId) -> None:
        self._reader = reader
        self._tenant = tenant

    def end(self) -> int:
        return self._reader.group.state.next_position

    def first_of(self, frame: Frame) -> int:
        return frame.position

    async def read(self, start: int, max_bytes: int) -> list[Frame]:
        if not self._reader.has_tenant(self._tenant):
            return []
        frames = await self._reader.group.storage.event_log.read_log(self._tenant, start, max_bytes)
        check_positions(frames, start)
        return frames


class StreamPlaces:
    """The events of one stream, by offset."""

    def __init__(self, reader: GroupReader, tenant: TenantId, stream: StreamId) -> None:
        self._reader = reader
        self._tenant = tenant
        self._stream = stream

    def end(self) -> int:
        found = self._reader.group.state.stream(self._tenant, self._stream)
        assert found is not None, "a stream never goes away"
        return found.next_offset

    def first_of(self, frame: Frame) -> int:
        return frame.offset

    async def read(self, start: int, max_bytes: int) -> list[Frame]:
        if start >= self.end():
            return []
        frames = await self._reader.group.storage.event_log.read_stream(self._tenant, self._stream, start, max_bytes)
        check_offsets(frames, start)
        return frames


async def first_at_time(places: Places, time_us: int) -> int:
    """The number of the first event that was appended at this time or later; where none was, the end as this began."""
    end = places.end()
    found = await _first_frame(places, end, lambda frame: decode_record(frame.record).header.time >= time_us)
    return end if found is None else places.first_of(found)


async def first_at_position(places: Places, position: int) -> int:
    """The number of the first event at this position of the group's log or beyond.

    Where there is none, the end when this began: what came meanwhile lies beyond.
    """
    end = places.end()
    found = await _first_frame(places, end, lambda frame: frame.position + frame.count > position)
    if found is None:
        return end
    return places.first_of(found) + max(0, position - found.position)


async def _first_frame(places: Places, end: int, holds: Callable[[Frame], bool]) -> Frame | None:
    """The first frame below the end for which this holds. It holds for all that come after, too."""
    low, high = 0, end
    found: Frame | None = None
    while low < high:
        middle = (low + high) // 2
        frames = await places.read(middle, 1)
        if not frames or places.first_of(frames[0]) >= high:
            high = middle
        elif holds(frames[0]):
            found = frames[0]
            high = min(middle, places.first_of(found))
        else:
            low = places.first_of(frames[0]) + frames[0].count
    return found
