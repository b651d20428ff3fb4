"""Reading by filter: events by stream, prefix and type, forward and backward, a bounded piece at a time.

Rules
- A piece is bounded by its events, by their bytes, and by what is looked at to find them: it may be empty though more
  follows. Its `next` is where the next piece begins, so nothing is left out and nothing comes twice.
- Forward, the event with the number `next` comes next; backward, the one before it. `next` thus parts what was looked
  at from what wasn't, either way.
- Records of streams that aren't meant stay sealed. SQL databases' logs hold no events. To tell an event's type its
  record is opened here: the log has types nowhere in clear. A payload that says it is an envelope, and isn't, has no
  type.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from vdb.crypto.record import header_size, schema_of
from vdb.errors import InvalidArgument, WireError
from vdb.events.erased import ERASED_TYPE
from vdb.limits import EVENT_ID_SIZE, EVENTS_PER_APPEND_MAX
from vdb.marks import mark
from vdb.node.gate.event_places import LogPlaces, Places, StreamPlaces, first_at_position, first_at_time
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.records import open_frame
from vdb.projections.source import OpenedRun
from vdb.selection import EventFilter, EventRecord, EventStart, Selected, StartKind
from vdb.storage.event_log import Frame
from vdb.types import Position, TenantId
from vdb.wire.event import ENVELOPE_SCHEMA, ERASED_SCHEMA, decode_batch, envelope_type
from vdb.wire.sql import SQL_SCHEMA

SCANS_MAX = 8
"""Stretches of `read_bytes_max` that one piece looks at."""
STEP_MIN = 64
STEP_MAX = 1 << 20
"""Numbers that a backward read goes down at a time."""


@frozen
class OpenedFrame:
    """A frame's events, of which records are made one by one: a read may want the last of many."""

    run: OpenedRun | None
    """None: none of its events is meant."""
    payloads: Sequence[bytes] = field(repr=False)

    def record(self, index: int) -> EventRecord:
        """One of its events."""
        run = self.run
        assert run is not None
        return EventRecord(
            stream=run.stream,
            offset=run.first_offset + index,
            position=Position(run.group, run.first_position + index),
            time=run.time,
            payload=self.payloads[index],
            event_id=run.event_ids[index * EVENT_ID_SIZE : (index + 1) * EVENT_ID_SIZE] or None,
            schema_id=run.schema_id,
            data_class=run.data_class,
            subject_token=run.subject_token,
            dek_id=run.dek_id,
        )


NOT_MEANT = OpenedFrame(None, ())


class Selector:
    """One read's filter over a group's events of one tenant. Holds no more than the names of streams it has met."""

    def __init__(self, reader: GroupReader, tenant: TenantId, wanted: EventFilter) -> None:
        """UnknownStream is the caller's to raise: a stream that isn't there has no events."""
        self._reader = reader
        self._tenant = tenant
        self._wanted = wanted
        self._names: dict[int, str | None] = {}
        """Of the streams so far; None where it isn't meant."""
        self._read_bytes = reader.group.limits.read_bytes_max

    def places(self) -> Places | None:
        """What the read goes by: offsets where the filter names a stream. None: there is no such stream yet."""
        if not self._wanted.stream:
            return LogPlaces(self._reader, self._tenant)
        stream = self._reader.find(self._tenant, self._wanted.stream)
        return None if stream is None else StreamPlaces(self._reader, self._tenant, stream.stream)

    async def resolve(self, places: Places, start: EventStart, *, backward: bool) -> int:
        """The number that a start stands for. InvalidArgument: an offset where the filter doesn't name a stream."""
        match start.kind:
            case StartKind.EDGE:
                return places.end() if backward else 0
            case StartKind.END:
                return places.end()
            case StartKind.OFFSET:
                if not self._wanted.stream:
                    raise InvalidArgument("an offset counts the events of one stream: expected a filter that names it")
                return start.value
            case StartKind.POSITION:
                return await first_at_position(places, start.value) if self._wanted.stream else start.value
            case StartKind.TIME:
                return await first_at_time(places, start.value)

    async def forward(self, places: Places, start: int, max_events: int) -> Selected:
        """Events from the number `start` on, in order."""
        maximum = min(max_events, EVENTS_PER_APPEND_MAX)
        events: list[EventRecord] = []
        at, size = start, 0
        for _ in range(SCANS_MAX):
            head = places.end()
            frames = await places.read(at, self._read_bytes)
            if not frames:
                return self._piece(events, max(head, at), places, ended=True)
            for frame in frames:
                opened = await self.open(frame)
                first = places.first_of(frame)
                for index in range(max(0, start - first), len(opened.payloads)):
                    if not self.fits(opened, index):
                        continue
                    if len(events) >= maximum:
                        return self._piece(events, first + index, places)
                    events.append(opened.record(index))
                    size += len(opened.payloads[index])
                at = max(start, places.first_of(frame) + frame.count)
                if len(events) >= maximum or size >= self._read_bytes:
                    return self._piece(events, at, places)
        mark("selecting.much_looked_at_forward")
        return self._piece(events, at, places)

    async def backward(self, places: Places, start: int, max_events: int) -> Selected:
        """Events before the number `start`, the last one first."""
        maximum = min(max_events, EVENTS_PER_APPEND_MAX)
        events: list[EventRecord] = []
        below, size = min(start, places.end()), 0
        step = max(STEP_MIN, min(maximum, STEP_MAX))
        for _ in range(SCANS_MAX):
            if below == 0:
                break
            low = max(0, below - step)
            frames = await self._between(places, low, below)
            if frames is None:
                mark("selecting.smaller_step_back")
                step = max(1, step // 8)
                continue
            for frame in reversed(frames):
                opened = await self.open(frame)
                first = places.first_of(frame)
                for index in reversed(range(min(len(opened.payloads), below - first))):
                    if not self.fits(opened, index):
                        continue
                    if len(events) >= maximum or size >= self._read_bytes:
                        return self._piece(events, first + index + 1, places)
                    events.append(opened.record(index))
                    size += len(opened.payloads[index])
            below = min(low, places.first_of(frames[0])) if frames else low
            if not events:
                step = min(step * 4, STEP_MAX)
            elif len(events) >= maximum or size >= self._read_bytes:
                break
        return self._piece(events, below, places, ended=below == 0)

    def _piece(self, events: list[EventRecord], following: int, places: Places, *, ended: bool = False) -> Selected:
        return Selected(events=tuple(events), next=following, head=places.end(), ended=ended)

    async def _between(self, places: Places, low: int, below: int) -> list[Frame] | None:
        """All frames with a number from `low` to below `below`; None where that is more than should be held."""
        frames: list[Frame] = []
        at, size = low, 0
        while at < below:
            found = [frame for frame in await places.read(at, self._read_bytes) if places.first_of(frame) < below]
            if not found:
                break
            frames += found
            at = places.first_of(found[-1]) + found[-1].count
            size += sum(len(frame.record) for frame in found)
            if size > 2 * self._read_bytes and at < below and below - low > 1:
                return None
        return frames

    async def open(self, frame: Frame) -> OpenedFrame:
        """A frame's events; none where they aren't meant."""
        name = await self._name(frame)
        if name is None or not self._may_hold(schema_of(bytes(frame.record[: header_size(frame.record)]))):
            return NOT_MEANT
        group = self._reader.group
        run = open_frame(frame, tenant=self._tenant, group=group.name, stream_name=name, keyring=group.keyring)
        return OpenedFrame(run, decode_batch(run.batch))

    async def _name(self, frame: Frame) -> str | None:
        """The name of a frame's stream; None where it isn't meant, which the catalogue never is."""
        if frame.stream not in self._names:
            name = await self._reader.name_of(self._tenant, frame.stream)
            self._names[frame.stream] = name if name and self._wanted.fits_stream(name) else None
        return self._names[frame.stream]

    def _may_hold(self, schema_id: int) -> bool:
        """Whether a record of this schema can hold an event that is meant."""
        if schema_id == ENVELOPE_SCHEMA:
            return not self._wanted.types or self._wanted.types != ("",)
        if ERASED_TYPE in self._wanted.types:
            return schema_id != SQL_SCHEMA
        return schema_id != SQL_SCHEMA and self._wanted.fits_type("")

    def fits(self, opened: OpenedFrame, index: int) -> bool:
        """Whether an event of a frame that may hold some is of a type that is meant."""
        assert opened.run is not None
        if opened.run.schema_id == ERASED_SCHEMA:
            return self._wanted.fits_type(ERASED_TYPE)
        if not self._wanted.types or opened.run.schema_id != ENVELOPE_SCHEMA:
            return self._wanted.fits_type("")
        try:
            return self._wanted.fits_type(envelope_type(opened.payloads[index]))
        except WireError:
            mark("selecting.no_envelope")
            return False
