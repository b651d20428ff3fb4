"""What the primary of a group has seen of the log behind a consumer group's cursor: the candidates, and their events.

Rules
- A window is a stretch of committed positions, `start` to `end`, of which all events that fit are known. What is
  committed never changes, so neither does what a window says; one that doesn't reach back to the cursor is begun anew.
- It looks ahead by what fetches ask for, within a bound of what it keeps. Events that were seen are kept, up to a bound
  of their bytes, for fetches that hand them out soon; others are read again.
- Where the filter names a stream its frames alone are read. The key of an event is a hash of its stream's id, or of
  the token of its subject.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from hashlib import sha256

import trio

from vdb.consumers import ConsumerSettings, OrderedBy
from vdb.crypto.record import NO_SUBJECT, decode_record
from vdb.errors import DamagedData
from vdb.kernel.consumer_command import Candidate
from vdb.limits import DELIVERIES_PER_FETCH_MAX
from vdb.marks import mark
from vdb.node.gate.event_places import LogPlaces, StreamPlaces, first_at_position
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.selecting import OpenedFrame, Selector
from vdb.selection import EventRecord
from vdb.storage.event_log import Frame
from vdb.types import TenantId

EVENTS_BYTES_MAX = 4 * 1024 * 1024
CANDIDATES_MAX = 4 * DELIVERIES_PER_FETCH_MAX
STRETCHES_MAX = 8
"""Reads of the log that one look ahead makes, at most: then whoever asked sees what there is."""


class LogWindow:
    """One per consumer group that is used, at its primary."""

    def __init__(self, reader: GroupReader, tenant: TenantId, settings: ConsumerSettings, created_at: int) -> None:
        self.created_at = created_at
        self.settings = settings
        self._reader = reader
        self._tenant = tenant
        self._selector = Selector(reader, tenant, settings.filter)
        self._start = 0
        self._end = 0
        self._candidates: list[Candidate] = []
        self._positions: list[int] = []
        """Of the candidates."""
        self._events: OrderedDict[int, EventRecord] = OrderedDict()
        self._bytes = 0
        self._destroyed = reader.group.keyring.destroyed
        self._turn = trio.Lock()

    @property
    def end(self) -> int:
        """The position up to which the log was seen."""
        return self._end

    def look(self, cursor: int, count_max: int) -> tuple[tuple[Candidate, ...], int] | None:
        """Up to so many candidates from the cursor on, and the position before which they are all; None: not seen."""
        if not self._start <= cursor <= self._end:
            return None
        first = bisect_left(self._positions, cursor)
        found = self._candidates[first : first + count_max]
        left = first + count_max
        return tuple(found), self._positions[left] if left < len(self._positions) else self._end

    def event(self, position: int) -> EventRecord | None:
        """A candidate's event, as far as it is still held."""
        self._forget_erased()
        return self._events.get(position)

    def _forget_erased(self) -> None:
        """What was opened before a key was destroyed may be what it sealed."""
        destroyed = self._reader.group.keyring.destroyed
        if self._destroyed != destroyed:
            mark("consumer.window_forgets_erased")
            self._destroyed = destroyed
            self._events.clear()
            self._bytes = 0

    async def look_ahead(self, cursor: int, wanted: int) -> None:
        """See so many candidates from the cursor on, or all that there are, or as many as one look takes."""
        async with self._turn:
            self._forget_below(cursor)
            for _ in range(STRETCHES_MAX):
                ready = len(self._positions) - bisect_left(self._positions, cursor)
                if ready >= min(wanted, CANDIDATES_MAX) or self._end >= self._reader.group.state.next_position:
                    return
                await self._read_on()
            mark("consumer.looked_far")

    async def read_back(self, position: int) -> EventRecord:
        """The event at a position of this tenant."""
        held = self.event(position)
        if held is not None:
            return held
        mark("consumer.read_back")
        for frame in await LogPlaces(self._reader, self._tenant).read(position, 1):
            if frame.position <= position < frame.position + frame.count:
                opened = await self._selector.open(frame)
                if opened.run is not None:
                    return opened.record(position - frame.position)
        raise DamagedData(f"the log of tenant {self._tenant} holds no event for its consumer at position {position}")

    def _forget_below(self, cursor: int) -> None:
        if not self._start <= cursor <= self._end:
            mark("consumer.window_begun_anew")
            self._start = self._end = cursor
            self._candidates, self._positions = [], []
            return
        passed = bisect_left(self._positions, cursor)
        if passed:
            del self._candidates[:passed], self._positions[:passed]
            self._start = cursor

    async def _read_on(self) -> None:
        """One read of the log from the window's end on."""
        head, size = self._reader.group.state.next_position, self._reader.group.limits.read_bytes_max
        places = self._selector.places()
        if places is None:
            self._end = head
            return
        start = self._end
        number = await first_at_position(places, start) if isinstance(places, StreamPlaces) else start
        frames = await places.read(number, size)
        for frame in frames:
            opened = await self._selector.open(frame)
            if opened.run is not None:
                self._take(frame, opened, start)
        end = frames[-1].position + frames[-1].count if frames else head
        ended = not frames or places.first_of(frames[-1]) + frames[-1].count >= places.end()
        # What was committed before the read is in it: a stream that has no more goes on behind the head.
        self._end = max(end, head) if ended else end

    def _take(self, frame: Frame, opened: OpenedFrame, start: int) -> None:
        """Remember the events of a frame that fit, from a position on."""
        key = self._key(frame)
        for index in range(max(0, start - frame.position), frame.count):
            if self._selector.fits(opened, index):
                position = frame.position + index
                self._positions.append(position)
                self._candidates.append((position, key))
                self._hold(position, opened.record(index))

    def _hold(self, position: int, event: EventRecord) -> None:
        self._forget_erased()
        if position in self._events:
            return
        self._events[position] = event
        self._bytes += len(event.payload)
        while self._bytes > EVENTS_BYTES_MAX and len(self._events) > 1:
            _, dropped = self._events.popitem(last=False)
            self._bytes -= len(dropped.payload)

    def _key(self, frame: Frame) -> int:
        order = self.settings.ordered_by
        if order is OrderedBy.NOTHING:
            return 0
        what = frame.stream.to_bytes(8, "big")
        if order is OrderedBy.SUBJECT:
            token = decode_record(frame.record).header.subject_token
            if token != NO_SUBJECT:
                what = token
        return int.from_bytes(sha256(what).digest()[:8], "big")
