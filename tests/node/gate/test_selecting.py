"""Pieces of a read by filter: how much one looks at, and that what the log leaves out is never passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from vdb.errors import InvalidArgument, UnknownStream
from vdb.kernel.command import Origin
from vdb.limits import Limits
from vdb.marks import COUNTS
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.selection import EventFilter, EventStart, Selected, StartKind
from vdb.storage.event_log import Frame
from vdb.types import DataClass
from vdb.wire.event import EventEnvelope, encode_batch, encode_envelope

REGION = "ap-southeast-2"
LIMITS = Limits(
    message_size_max=64 * 1024,
    wal_slots=24,
    checkpoint_interval=8,
    pipeline_max=3,
    segment_size=65536,
    sessions_max=4,
    read_bytes_max=4096,
)
Tamper = Callable[[list[Frame]], Sequence[Frame]]


async def create(node, name: str = "notes") -> None:
    await node.service.create_stream(Origin(), 1, name, DataClass.PHI, REGION)


async def append(node, *payloads: bytes, stream: str = "notes", schema_id: int = 0) -> None:
    run = PlainRun(count=len(payloads), batch=encode_batch(payloads), schema_id=schema_id)
    await node.service.append(Origin(), 1, [PlainAppend(stream=stream, runs=(run,))])


async def select(node, wanted: EventFilter | None = None, start: EventStart | None = None, **options) -> Selected:
    settings = {"max_events": 100} | options
    return await node.service.read_events(1, REGION, wanted or EventFilter(), start or EventStart(), **settings)


def offsets(selected: Selected) -> list[int]:
    return [event.offset for event in selected.events]


def typed(kind: str, size: int = 0) -> bytes:
    return encode_envelope(EventEnvelope(event_id=bytes(16), type=kind, time=1, body=bytes(size)))


async def test_a_piece_that_found_nothing_says_where_it_got_to(start) -> None:
    async with start(limits=LIMITS) as node:
        await create(node)
        for _ in range(20):
            await append(node, typed("common", 3000), schema_id=1)
        await append(node, typed("rare"), schema_id=1)
        wanted = EventFilter(types=("rare",), stream="notes")
        before = COUNTS["selecting.much_looked_at_forward"]
        first = await select(node, wanted)
        assert (first.events, first.ended, first.head) == ((), False, 21)
        assert 0 < first.next < 20
        assert COUNTS["selecting.much_looked_at_forward"] == before + 1
        found = first
        while not found.events:
            assert not found.ended
            found = await select(node, wanted, EventStart(StartKind.OFFSET, found.next))
        assert offsets(found) == [20]
        assert found.next == 21


async def test_backward_large_events_are_reached_in_smaller_steps(start) -> None:
    async with start(limits=LIMITS) as node:
        await create(node)
        for number in range(40):
            await append(node, bytes([number]) * 3000)
        before = COUNTS["selecting.smaller_step_back"]
        found: list[int] = []
        at = EventStart()
        while True:
            selected = await select(node, EventFilter(stream="notes"), at, backward=True)
            found += offsets(selected)
            assert sum(len(event.payload) for event in selected.events) <= 2 * LIMITS.read_bytes_max
            if selected.ended:
                break
            at = EventStart(StartKind.OFFSET, selected.next)
        assert found == list(reversed(range(40)))
        assert COUNTS["selecting.smaller_step_back"] > before


async def test_a_run_is_cut_where_the_piece_ends(start) -> None:
    async with start() as node:
        await create(node)
        await append(node, b"a", b"b", b"c", b"d")
        await append(node, b"e")
        forward = await select(node, EventFilter(stream="notes"), EventStart(StartKind.OFFSET, 1), max_events=2)
        assert ([event.payload for event in forward.events], forward.next, forward.ended) == ([b"b", b"c"], 3, False)
        backward = await select(
            node, EventFilter(stream="notes"), EventStart(StartKind.OFFSET, 3), max_events=2, backward=True
        )
        assert ([event.payload for event in backward.events], backward.next, backward.ended) == ([b"c", b"b"], 1, False)
        last = await select(node, start=EventStart(), max_events=1, backward=True)
        assert [event.payload for event in last.events] == [b"e"]
        at_the_end = await select(node, EventFilter(stream="notes"), EventStart(StartKind.END))
        assert (at_the_end.events, at_the_end.next, at_the_end.ended) == ((), 5, True)


async def test_beyond_the_end_there_is_nothing_yet(start) -> None:
    async with start() as node:
        await create(node)
        await append(node, b"a")
        for kind, value in ((StartKind.OFFSET, 9), (StartKind.POSITION, 99), (StartKind.TIME, 2**62)):
            selected = await select(node, EventFilter(stream="notes"), EventStart(kind, value))
            assert (selected.events, selected.ended) == ((), True)
            assert selected.next == (9 if kind is StartKind.OFFSET else 1)


async def test_streams_of_the_system_are_read_when_they_are_named(start) -> None:
    filters = EventFilter(), EventFilter(stream="$own"), EventFilter(prefixes=("$",)), EventFilter(prefixes=("o",))
    assert [one.fits_stream("$own") for one in filters] == [False, True, True, False]
    assert [one.fits_stream("own") for one in filters] == [True, False, False, True]
    both = EventFilter(stream="own", prefixes=("x",))
    assert not both.fits_stream("own")


async def test_what_is_not_there_is_said(start) -> None:
    async with start() as node:
        await create(node)
        with pytest.raises(UnknownStream, match="no stream 'gone'"):
            await select(node, EventFilter(stream="gone"))
        with pytest.raises(InvalidArgument, match="an offset counts the events of one stream"):
            await select(node, start=EventStart(StartKind.OFFSET, 3))
        with pytest.raises(InvalidArgument, match="this node has no group 'mars'"):
            await node.service.read_events(1, "mars", EventFilter(), EventStart(), max_events=1)
        other = await node.service.read_events(7, REGION, EventFilter(), EventStart(), max_events=1)
        assert (other.events, other.ended) == ((), True)


@pytest.mark.parametrize(
    ("tamper", "backward", "message"),
    [
        (lambda frames: frames[1:], False, "offset 0 was left out: the first frame is at 2"),
        (lambda frames: [frames[0], frames[2]], False, "a frame at offset 2 was left out: the next one is at 4"),
        (lambda frames: [frames[0], frames[0]], True, "a frame at offset 2 was left out: the next one is at 0"),
        (lambda frames: [], True, "no frame for offset 0 below the stream's end"),
    ],
)
async def test_a_gap_in_a_stream_is_a_bug(start, tamper: Tamper, backward: bool, message: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await select_tampered(start, tamper, backward)
    assert caught.group_contains(AssertionError, match=message)


async def select_tampered(start, tamper: Tamper, backward: bool) -> None:
    """Read a stream of three runs of two events, the log's answer tampered with."""
    async with start() as node:
        await create(node)
        for _ in range(3):
            await append(node, b"a", b"b")
        log = node.groups[REGION].event_log
        await node.service.get_stream(1, "notes")
        original = log.read_stream

        async def tampered(*arguments):
            return tamper(await original(*arguments))

        log.read_stream = tampered
        await select(node, EventFilter(stream="notes"), backward=backward)
