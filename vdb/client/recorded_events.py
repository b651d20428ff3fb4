"""Iterating over typed events, a piece at a time: forward, backward, and from history into live.

Where the next piece begins comes from the node with each piece and is the only state, so nothing is left out and
nothing comes twice, whatever fails between two pieces. Like `EventIterator`, the iterator holds no connection and no
cancel scope, and may be driven from several tasks one after the other, or dropped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from vdb.client.follow import FOLLOW_WAIT_SECONDS
from vdb.errors import VerityError
from vdb.events.recorded import RecordedEvent, record_from
from vdb.events.registry import EventRegistry
from vdb.selection import EventRecord, EventStart, Selected, StartKind

Fetch = Callable[[EventStart, int, float], Awaitable[Selected]]
"""(start, at most so many events, seconds to wait for one) to a piece."""


@frozen(kw_only=True)
class ReadPlan:
    """What an iterator needs to know besides how to fetch."""

    start: EventStart
    goes_on: StartKind
    """What the node's `next` counts: offsets or positions."""
    backward: bool
    follow: bool
    max_events: int | None
    per_fetch: int
    registry: EventRegistry
    ignore_unknown: bool

    def means(self, record: EventRecord) -> bool:
        """Whether it isn't from before the start: of a place that lies ahead, a node knows no more than that. What is
        appended before it is reached, while the iterator follows, isn't meant."""
        if self.start.kind is StartKind.TIME:
            return record.time >= self.start.value
        if self.start.kind is StartKind.POSITION:
            return record.position.number >= self.start.value
        return True


class RecordedEvents:
    """Asynchronous iterator over `RecordedEvent`s; `next_batch` gives them as they arrive."""

    def __init__(self, fetch: Fetch, plan: ReadPlan) -> None:
        self._fetch = fetch
        self._plan = plan
        self._start = plan.start
        self._left = plan.max_events
        self._ended = False
        self._records: Sequence[EventRecord] = ()
        self._index = 0

    async def fetch_records(self) -> Sequence[EventRecord]:
        """The next piece that holds something, undecoded; empty at the end, which following never comes to."""
        plan = self._plan
        while not self._ended and self._left != 0:
            maximum = plan.per_fetch if self._left is None else min(self._left, plan.per_fetch)
            selected = await self._fetch(self._start, maximum, FOLLOW_WAIT_SECONDS if plan.follow else 0.0)
            self._start = EventStart(plan.goes_on, selected.next)
            self._ended = selected.ended and not plan.follow
            records = [one for one in selected.events if plan.backward or plan.means(one)]
            if records:
                return records
        return ()

    def decode(self, record: EventRecord) -> RecordedEvent | None:
        """The event of a record; None for one that is passed over. Counts towards `max_events`."""
        event = record_from(
            record.payload,
            record.schema_id,
            record.stream,
            record.offset,
            record.position,
            record.time,
            record.event_id,
            record.data_class,
            registry=self._plan.registry,
            ignore_unknown=self._plan.ignore_unknown,
        )
        if event is not None and self._left is not None:
            self._left -= 1
        return event

    async def next_batch(self) -> list[RecordedEvent]:
        """At least one event, or an empty list at the end (never when following)."""
        while not (events := self.take_all_held()) and (records := await self.fetch_records()):
            self.hold(records)
        return events

    def take_all_held(self) -> list[RecordedEvent]:
        """What was fetched and isn't taken yet, up to an event that can't be decoded: with that the next call begins,
        and raises."""
        events: list[RecordedEvent] = []
        try:
            while (event := self.take_held()) is not None:
                events.append(event)
        except VerityError:
            if not events:
                raise
        return events

    def take_held(self) -> RecordedEvent | None:
        """The next event of those that were fetched; None: fetch more, and `hold` it."""
        while self._index < len(self._records):
            event = self.decode(self._records[self._index])
            self._index += 1
            if event is not None:
                return event
        return None

    def hold(self, records: Sequence[EventRecord]) -> None:
        """Go on with these."""
        self._records, self._index = records, 0

    def __aiter__(self) -> RecordedEvents:
        return self

    async def __anext__(self) -> RecordedEvent:
        while True:
            event = self.take_held()
            if event is not None:
                return event
            records = await self.fetch_records()
            if not records:
                raise StopAsyncIteration
            self.hold(records)
