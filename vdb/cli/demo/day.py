"""The day's events, and the clients that publish them.

Each client has the events of its own patients and sends them one batch after the other, so that a patient's events
stay in order. What the node acknowledged is written down: stream, offset and id of each event.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence

import trio
from attrs import define, field, frozen

from vdb.client.connect import connect
from vdb.client.values import EventRun, Published, StreamAppend
from vdb.notebar.events import APPOINTMENTS, NOTES, PATIENTS, PROVIDERS, REGISTRY
from vdb.notebar.generator import DayEvent, generate_day
from vdb.types import GLOBAL_GROUP, GroupId, Position
from vdb.wire.event import ENVELOPE_SCHEMA

CLIENTS = 8
BATCH_EVENTS_MAX = 25
STREAMS = (PATIENTS, APPOINTMENTS, NOTES, PROVIDERS)
RETRY_SECONDS = 60.0


@frozen
class PlannedEvent:
    """An event of the day, encoded."""

    day: DayEvent
    payload: bytes = field(repr=False)


@frozen
class Acknowledged:
    """The node said that this event is durable at this offset."""

    stream: str
    offset: int
    event: PlannedEvent


class SeededEntropy:
    """The Entropy port from a seed: the same day each time."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def below(self, bound: int) -> int:
        return self._random.randrange(bound)


def plan_day(seed: int) -> list[PlannedEvent]:
    """Some four thousand events in time order."""
    return [
        PlannedEvent(
            event,
            REGISTRY.encode(
                event.event, event_id=event.event_id, time=event.time, actor=event.actor, subject=event.subject
            ),
        )
        for event in generate_day(SeededEntropy(seed))
    ]


def share_out(events: Sequence[PlannedEvent]) -> list[list[list[PlannedEvent]]]:
    """For each client its batches: events of one stream each, in order."""
    batches: list[list[list[PlannedEvent]]] = [[] for _ in range(CLIENTS)]
    for event in events:
        mine = batches[zlib.crc32(event.day.subject.encode()) % CLIENTS]
        last = mine[-1] if mine else None
        if last and last[0].day.stream == event.day.stream and len(last) < BATCH_EVENTS_MAX:
            last.append(event)
        else:
            mine.append([event])
    return batches


@define
class Ledger:
    """What was acknowledged so far."""

    acknowledged: list[Acknowledged] = field(factory=list)
    positions: dict[GroupId, int] = field(factory=dict)
    on_progress: Callable[[int], None] = field(default=lambda _: None)

    def add(self, published: Published, batch: Sequence[PlannedEvent]) -> None:
        for index, event in enumerate(_in_runs(batch)):
            self.acknowledged.append(Acknowledged(published.stream, published.first_offset + index, event))
        group, number = published.position.group, published.position.number
        self.positions[group] = max(number, self.positions.get(group, 0))
        self.on_progress(len(self.acknowledged))

    def position_text(self) -> str:
        """What a projection must have applied to show everything acknowledged."""
        return " ".join(str(Position(group, number)) for group, number in self.positions.items())


async def create_streams(address: str, region: str) -> None:
    """The clinic's streams: three for PHI in the region, one global."""
    async with connect(address) as client:
        for stream in STREAMS:
            if stream == PROVIDERS:
                await client.create_stream(stream, "non-phi", GLOBAL_GROUP)
            else:
                await client.create_stream(stream, "phi", region)


async def publish_day(address: str, events: Sequence[PlannedEvent], ledger: Ledger) -> None:
    """All clients at once; returns when every event is acknowledged."""
    async with trio.open_nursery() as nursery:
        for batches in share_out(events):
            nursery.start_soon(_publish, address, batches, ledger)


async def _publish(address: str, batches: Sequence[Sequence[PlannedEvent]], ledger: Ledger) -> None:
    async with connect(address, retry_for=RETRY_SECONDS, connect_for=RETRY_SECONDS) as client:
        for batch in batches:
            (published,) = await client.append([StreamAppend(stream=batch[0].day.stream, runs=_runs(batch))])
            ledger.add(published, batch)


def _by_subject(batch: Sequence[PlannedEvent]) -> dict[str, list[PlannedEvent]]:
    groups: dict[str, list[PlannedEvent]] = {}
    for event in batch:
        groups.setdefault(event.day.subject, []).append(event)
    return groups


def _in_runs(batch: Sequence[PlannedEvent]) -> list[PlannedEvent]:
    """The batch in the order in which it is appended: patient by patient."""
    return [event for group in _by_subject(batch).values() for event in group]


def _runs(batch: Sequence[PlannedEvent]) -> tuple[EventRun, ...]:
    return tuple(
        EventRun(
            payloads=tuple(event.payload for event in group),
            subject=subject,
            event_ids=tuple(event.day.event_id for event in group),
            schema_id=ENVELOPE_SCHEMA,
        )
        for subject, group in _by_subject(batch).items()
    )
