"""The iterator over typed events, against pieces that are cut anywhere, are empty, or fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st

from vdb.client.follow import FOLLOW_WAIT_SECONDS
from vdb.client.recorded_events import ReadPlan, RecordedEvents
from vdb.errors import ConnectionLost, UnknownEventType
from vdb.events import EventRegistry
from vdb.selection import EventRecord, EventStart, Selected, StartKind
from vdb.types import DataClass, GroupId, Position

REGISTRY = EventRegistry()
OTHER = EventRegistry()


@REGISTRY.event("known")
@OTHER.event("unknown")
@frozen
class Counted:
    number: int


def record(number: int, *, known: bool = True) -> EventRecord:
    registry = REGISTRY if known else OTHER
    return EventRecord(
        stream="s",
        offset=number,
        position=Position(GroupId("r"), number),
        time=number * 10,
        payload=registry.encode(Counted(number), event_id=bytes(16), time=1),
        event_id=bytes(16),
        schema_id=1,
        data_class=DataClass.PHI,
    )


@define
class Source:
    """Events 0 to n - 1, in pieces of these sizes (0: nothing was found so far; -1: the call fails)."""

    records: Sequence[EventRecord]
    sizes: list[int]
    starts: list[EventStart] = field(factory=list)
    waits: list[float] = field(factory=list)

    async def fetch(self, start: EventStart, maximum: int, wait: float) -> Selected:
        self.starts.append(start)
        self.waits.append(wait)
        size = self.sizes.pop(0) if self.sizes else 3
        if size < 0:
            raise ConnectionLost("gone")
        at = 0 if start.kind is StartKind.EDGE else start.value
        events = tuple(self.records[at : at + min(size, maximum)])
        after = at + len(events)
        return Selected(events=events, next=after, head=len(self.records), ended=after == len(self.records))


def iterator(source: Source, **options: Any) -> RecordedEvents:
    plan: dict[str, Any] = {
        "start": EventStart(),
        "goes_on": StartKind.OFFSET,
        "backward": False,
        "follow": False,
        "max_events": None,
        "per_fetch": 1000,
        "registry": REGISTRY,
        "ignore_unknown": False,
    }
    return RecordedEvents(source.fetch, ReadPlan(**plan | options))


async def take(events: RecordedEvents) -> list[int]:
    """All of them, over each failure."""
    found: list[int] = []
    while True:
        try:
            async for one in events:
                found.append(one.offset)
        except ConnectionLost:
            continue
        return found


@given(st.integers(0, 30), st.lists(st.integers(-1, 4), max_size=12), st.none() | st.integers(0, 40))
async def test_every_event_comes_once_in_order(count: int, sizes: list[int], max_events: int | None) -> None:
    source = Source([record(number) for number in range(count)], sizes)
    assert await take(iterator(source, max_events=max_events)) == list(range(count))[:max_events]


@given(st.lists(st.booleans(), max_size=20), st.lists(st.integers(0, 4), max_size=12), st.none() | st.integers(0, 10))
async def test_what_is_passed_over_does_not_count(known: list[bool], sizes: list[int], max_events: int | None) -> None:
    records = [record(number, known=one) for number, one in enumerate(known)]
    expected = [number for number, one in enumerate(known) if one][:max_events]
    events = iterator(Source(records, list(sizes)), ignore_unknown=True, max_events=max_events)
    assert await take(events) == expected
    batches = iterator(Source(records, list(sizes)), ignore_unknown=True, max_events=max_events)
    found: list[int] = []
    while batch := await batches.next_batch():
        found += [one.offset for one in batch]
    assert found == expected


async def test_an_unknown_event_is_not_passed_by_asking_again() -> None:
    events = iterator(Source([record(0), record(1, known=False), record(2)], []))
    assert (await anext(events)).offset == 0
    for _ in range(2):
        with pytest.raises(UnknownEventType, match="at offset 1"):
            await anext(events)
    batches = iterator(Source([record(0), record(1, known=False), record(2)], []))
    assert [one.offset for one in await batches.next_batch()] == [0]
    for _ in range(2):
        with pytest.raises(UnknownEventType, match="at offset 1"):
            await batches.next_batch()


async def test_where_it_goes_on_is_what_the_node_said() -> None:
    source = Source([record(number) for number in range(5)], [2, 0, 2])
    assert await take(iterator(source, goes_on=StartKind.POSITION)) == [0, 1, 2, 3, 4]
    assert source.starts == [EventStart(), *(EventStart(StartKind.POSITION, value) for value in (2, 2, 4))]
    assert set(source.waits) == {0.0}


async def test_following_waits_and_never_ends() -> None:
    records = [record(number) for number in range(3)]
    source = Source(records, [2, 0, 0, 1, -1])
    events = iterator(source, follow=True)
    assert [(await anext(events)).offset for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ConnectionLost):
        await anext(events)
    records.append(record(3))
    assert [one.offset for one in await events.next_batch()] == [3]
    assert set(source.waits) == {FOLLOW_WAIT_SECONDS}


async def test_batches_begin_with_what_was_held() -> None:
    events = iterator(Source([record(number) for number in range(5)], [3]))
    assert (await anext(events)).offset == 0
    assert [one.offset for one in await events.next_batch()] == [1, 2]
    assert [one.offset for one in await events.next_batch()] == [3, 4]
    assert await events.next_batch() == []
    assert [one async for one in events] == []


async def test_what_came_before_a_time_ahead_is_passed_over() -> None:
    records = [record(number) for number in range(6)]
    source = Source(records, [])

    async def fetch(start: EventStart, maximum: int, wait: float) -> Selected:
        # Asked for a time that lies ahead, a node says that nothing is there yet, and where its log ends.
        if start.kind is StartKind.TIME:
            return Selected(events=(), next=2, head=2, ended=True)
        return await source.fetch(start, maximum, wait)

    plan = iterator(source, follow=True, start=EventStart(StartKind.TIME, 40))._plan
    events = RecordedEvents(fetch, plan)
    assert [(await anext(events)).offset for _ in range(2)] == [4, 5]
