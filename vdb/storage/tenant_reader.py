"""Reads of one tenant's event log: by position over all streams, and by offset within one.

A read takes one moment's view of the log (the tail, the cursor, the closed segments), and only then touches files: what
lies below the cursor never changes, but for a stub that takes a segment's place (`TenantLog.prunings`: who reads
meanwhile reads again). Every frame is checked against its CRC and against what the index says of it; DamagedData names
file and byte, and nothing of such a read is served.

Large reads fetch whole stretches of a segment in one call and hand out memoryviews over it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable

from attrs import field, frozen

from vdb.kernel.effect import AppendRecord
from vdb.storage.log_rows import ClosedSegment, Cursor, Stretch
from vdb.storage.segment import FRAME_OVERHEAD, Frame, damaged_frame, decode_frames, frame_of_effect
from vdb.storage.segment_index import ClosedIndex, FrameIndex
from vdb.storage.tenant_log import TenantLog

GAP_MAX = 16 * 1024
"""Bytes between two frames of a stream up to which both are fetched in one read."""
STRETCH_MAX = 1024 * 1024
"""Bytes of such a read."""


@frozen(kw_only=True)
class _View:
    """The log at one moment. `tail` holds the frames in memory that this read could return."""

    closed: tuple[ClosedSegment, ...]
    cursor: Cursor
    tail: list[Frame] = field(repr=False)

    def stretches(self, log: TenantLog, start: int = 0) -> list[Stretch]:
        """Those of closed segments from this one on, and of the open one."""
        found = [log.stretch_of(closed) for closed in self.closed[start:]]
        return [*found, log.open_stretch(self.cursor)] if self.cursor.length else found


@frozen
class _Place:
    """One frame of a stream in a segment: bytes start to end."""

    start: int
    end: int
    offset: int


def _take(records: Iterable[AppendRecord], max_bytes: int) -> list[Frame]:
    """Frames in order, at least one, as long as they fit."""
    frames: list[Frame] = []
    size = 0
    for effect in records:
        size += len(effect.record)
        if frames and size > max_bytes:
            break
        frames.append(frame_of_effect(effect))
    return frames


def _fill(frames: list[Frame], more: list[Frame], max_bytes: int) -> bool:
    """Move frames from `more` while they fit; False when the read is full."""
    size = sum(len(frame.record) for frame in frames)
    for frame in more:
        size += len(frame.record)
        if frames and size > max_bytes:
            return False
        frames.append(frame)
    return size < max_bytes


async def read_log(log: TenantLog, from_position: int, max_bytes: int) -> list[Frame]:
    """Frames in the order of their positions, from the one that holds `from_position`, or the next above it."""
    first = bisect_right(log.tail, from_position, key=lambda effect: effect.first_position)
    if first or from_position >= log.cursor.next_position:
        if first and log.tail[first - 1].first_position + log.tail[first - 1].count > from_position:
            first -= 1
        return _take(log.tail[first : first + 1 + max_bytes // FRAME_OVERHEAD], max_bytes)
    view = _View(closed=tuple(log.closed), cursor=log.cursor, tail=_take(log.tail, max_bytes))
    frames: list[Frame] = []
    start = bisect_right(view.closed, from_position, key=lambda closed: closed.next_position)
    for stretch in view.stretches(log, start):
        found, whole = await _read_stretch(log, stretch, from_position, max_bytes)
        if not _fill(frames, found, max_bytes) or not whole:
            return frames
    _fill(frames, view.tail, max_bytes)
    return frames


async def place_of(log: TenantLog, position: int) -> str:
    """The file that holds the record at this position, and the byte where its frame begins."""
    if log.tail and position >= log.tail[0].first_position:
        return "not in a file yet"
    at = bisect_right(log.closed, position, key=lambda closed: closed.next_position)
    stretch = log.stretch_of(log.closed[at]) if at < len(log.closed) else log.open_stretch(log.cursor)
    index = await _index_of(log, stretch.segment)
    return f"{stretch.path}: byte {index.start_of(index.frame_at(position))}"


async def _index_of(log: TenantLog, number: int) -> FrameIndex | ClosedIndex:
    """The index of a segment that was open or closed when the read began; it may have grown or closed since."""
    if log.cursor.segment == number:
        return await log.open_index()
    closed = log.find_closed(number)
    assert closed is not None
    return await log.closed_index(closed)


async def _read_stretch(
    log: TenantLog, stretch: Stretch, from_position: int, max_bytes: int
) -> tuple[list[Frame], bool]:
    """Frames of a stretch from `from_position`, in one read; and whether it reached the end.

    The frame that starts at or before the position may end before it; so the read covers the next one too.
    """
    path, length = stretch.path, stretch.length
    index = await _index_of(log, stretch.segment)
    first = index.frame_at(from_position)
    start = index.start_of(first)
    needed = min(index.start_of(min(first + 2, len(index))), length)
    end = min(max(start + max_bytes, needed), length)
    data = await log.read_range(stretch, start, end - start)
    frames: list[Frame] = []
    at = start
    for at, frame in decode_frames(path, data, start, log.tenant):
        if frames and frame.position < frames[-1].position + frames[-1].count:
            raise damaged_frame(path, at)
        if frame.position + frame.count > from_position:
            frames.append(frame)
        at += FRAME_OVERHEAD + len(frame.record)
    if at < needed or (end == length and at != length):
        raise damaged_frame(path, at)
    return frames, at == length


async def read_stream(log: TenantLog, stream: int, from_offset: int, max_bytes: int) -> list[Frame]:
    """Frames of one stream in order, from the one that holds `from_offset`."""
    waiting = log.tail_streams.get(stream, [])
    first = bisect_right(waiting, from_offset, key=lambda effect: effect.first_offset)
    if first:
        return _drop_before(_take(waiting[first - 1 :], max_bytes), from_offset)
    view = _View(closed=tuple(log.closed), cursor=log.cursor, tail=_take(waiting, max_bytes))
    frames: list[Frame] = []
    for stretch, places in await _find_places(log, view, stream, from_offset, max_bytes):
        found = _drop_before(await _read_places(log, stretch, stream, places), from_offset)
        if not _goes_on(frames, found) or not _fill(frames, found, max_bytes):
            return frames
    if _goes_on(frames, view.tail):
        _fill(frames, view.tail, max_bytes)
    return frames


def _goes_on(frames: list[Frame], more: list[Frame]) -> bool:
    """Whether `more` starts where `frames` end. A segment's places may stop before its last frame, because they count
    each frame's overhead too; what lies behind them must then wait for the next read."""
    return not frames or not more or more[0].offset == frames[-1].offset + frames[-1].count


def _drop_before(frames: list[Frame], from_offset: int) -> list[Frame]:
    """Without a first frame that ends before `from_offset`."""
    if frames and frames[0].offset + frames[0].count <= from_offset:
        return frames[1:]
    return frames


async def _find_places(
    log: TenantLog, view: _View, stream: int, from_offset: int, max_bytes: int
) -> list[tuple[Stretch, list[_Place]]]:
    """Where the stream's frames lie, by segment in order, from the last one that starts at or before `from_offset`.

    Goes down from the newest segment, so that reading near a stream's head looks at few of them. What lies above a
    full answer is dropped on the way.
    """
    found: list[tuple[Stretch, list[_Place]]] = []
    for stretch in reversed(view.stretches(log)):
        length = stretch.length
        index = await _index_of(log, stretch.segment)
        if isinstance(index, ClosedIndex):
            places = _places_in_closed(index, stream, from_offset, length, max_bytes)
        else:
            numbers = (await index.by_stream()).get(stream, array("I"))
            places = _places_in_open(index, numbers, from_offset, length, max_bytes)
        if not places:
            continue
        if sum(place.end - place.start for place in places) >= max_bytes:
            found.clear()
        found.append((stretch, places))
        if places[0].offset <= from_offset:
            break
    return found[::-1]


def _places_in_open(
    index: FrameIndex, numbers: array[int], from_offset: int, length: int, max_bytes: int
) -> list[_Place]:
    first = max(bisect_right(numbers, from_offset, key=lambda number: index.offsets[number]) - 1, 0)
    places: list[_Place] = []
    size = 0
    for at in range(first, len(numbers)):
        number = numbers[at]
        if index.starts[number] >= length or (size > max_bytes and len(places) > 1):
            break
        places.append(_Place(index.starts[number], index.starts[number + 1], index.offsets[number]))
        size += places[-1].end - places[-1].start
    return places


def _places_in_closed(index: ClosedIndex, stream: int, from_offset: int, length: int, max_bytes: int) -> list[_Place]:
    at = index.first_entry(stream, from_offset + 1)
    if at > 0 and index.entry(at - 1)[0] == stream:
        at -= 1
    places: list[_Place] = []
    size = 0
    while at < len(index):
        found, offset, number = index.entry(at)
        start = index.start_of(number)
        if found != stream or start >= length or (size > max_bytes and len(places) > 1):
            break
        places.append(_Place(start, index.start_of(number + 1), offset))
        size += places[-1].end - places[-1].start
        at += 1
    return places


async def _read_places(log: TenantLog, stretch: Stretch, stream: int, places: list[_Place]) -> list[Frame]:
    """Fetch and check these frames; neighbours in one read."""
    path = stretch.path
    frames: list[Frame] = []
    done = 0
    while done < len(places):
        start, last = places[done].start, done
        while last + 1 < len(places) and _near(start, places[last], places[last + 1]):
            last += 1
        data = memoryview(await log.read_range(stretch, start, places[last].end - start))
        for place in places[done : last + 1]:
            part = data[place.start - start : place.end - start]
            _at, frame = next(decode_frames(path, part, place.start, log.tenant), (0, None))
            if frame is None or (frame.stream, frame.offset) != (stream, place.offset):
                raise damaged_frame(path, place.start)
            frames.append(frame)
        done = last + 1
    return frames


def _near(start: int, before: _Place, after: _Place) -> bool:
    """Whether one read for both is better than two."""
    return after.start - before.end <= GAP_MAX and after.end - start <= STRETCH_MAX
