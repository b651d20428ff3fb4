"""Consumer groups at a node's gate, on a real directory."""

from __future__ import annotations

import pytest
import trio

from vdb.consumers import ConsumerSettings, OrderedBy, Settlement, Verdict
from vdb.errors import (
    ConsumerExists,
    InvalidArgument,
    TooLarge,
    UnknownConsumer,
)
from vdb.kernel.command import Origin
from vdb.node.gate.caller import EMBEDDED
from vdb.node.gate.guard import Guard
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.types import DataClass
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, decode_envelope, encode_batch, encode_envelope

NOBODY = Origin()
REGION = "ap-southeast-2"
CLIENT = b"c" * 16
ANNA, BEN = b"anna" * 4, b"ben." * 4
SECOND = 1_000_000
PLACE = (1, REGION, "mailer")


def ack(*positions: int, attempt: int = 1) -> list[Settlement]:
    return [Settlement(position=position, attempt=attempt, verdict=Verdict.ACK) for position in positions]


def one(verdict: Verdict, position: int, *, attempt: int = 1, delay_us: int = 0, reason: str = "") -> Settlement:
    return Settlement(position=position, attempt=attempt, verdict=verdict, delay_us=delay_us, reason=reason)


async def with_streams(service, *names: str) -> None:
    for name in names:
        await service.create_stream(NOBODY, 1, name, DataClass.PHI, REGION)


async def append(service, stream: str, *payloads: bytes, subject: str = "", schema_id: int = 0) -> None:
    run = PlainRun(subject=subject, count=len(payloads), batch=encode_batch(list(payloads)), schema_id=schema_id)
    await service.append(NOBODY, 1, [PlainAppend(stream=stream, runs=(run,))])


def typed(name: str) -> bytes:
    return encode_envelope(EventEnvelope(event_id=b"e" * 16, type=name, time=1, body=b"{}"))


async def create(service, **settings: object) -> bool:
    return await service.consumers.create(NOBODY, *PLACE, ConsumerSettings(**settings))


def payloads(deliveries) -> list[bytes]:
    return [delivery.event.payload for delivery in deliveries]


async def test_events_are_handed_out_once_and_gone_when_acked(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        assert await create(service)
        await append(service, "notes", *[b"%d" % number for number in range(5)])
        first = await consumers.fetch(*PLACE, ANNA, 3)
        second = await consumers.fetch(*PLACE, BEN, 3)
        assert payloads(first) == [b"0", b"1", b"2"]
        assert payloads(second) == [b"3", b"4"]
        assert [(one.event.stream, one.event.offset, one.attempt) for one in first][1] == ("notes", 1, 1)
        late = await consumers.settle(NOBODY, *PLACE, ANNA, ack(*[one.event.position.number for one in first + second]))
        assert late == [one.event.position.number for one in second]
        (info,) = await consumers.infos(*PLACE)
        assert (info.acked, info.delivered, info.in_flight, info.waiting, info.dead_letters) == (3, 5, 2, 0, 0)
        assert [(member.id, member.in_flight) for member in info.members] == [(BEN, 2)]
        assert info.name == "mailer"
        assert await consumers.fetch(*PLACE, ANNA, 3) == []


async def test_a_member_whose_answer_was_lost_is_told_again_what_is_out_with_it(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service)
        await append(service, "notes", *[b"%d" % number for number in range(5)])
        first = await consumers.fetch(*PLACE, ANNA, 2)
        lost = await consumers.fetch(*PLACE, ANNA, 2)
        held = [delivery.event.position.number for delivery in first]
        assert await consumers.fetch(*PLACE, ANNA, 9, 0, held) == lost
        assert await consumers.fetch(*PLACE, ANNA, 1, 0, held) == lost[:1]
        positions = [delivery.event.position.number for delivery in lost]
        assert payloads(await consumers.fetch(*PLACE, ANNA, 9, 0, held + positions)) == [b"4"]
        assert await consumers.fetch(*PLACE, BEN, 9, 0, []) == []
        await consumers.settle(NOBODY, *PLACE, ANNA, ack(*positions))
        (info,) = await consumers.infos(*PLACE)
        assert (info.acked, info.delivered, info.in_flight) == (2, 5, 3)


async def test_a_group_stands_where_it_stood_after_a_restart(start) -> None:
    async with start() as node:
        await with_streams(node.service, "notes")
        await create(node.service)
        await append(node.service, "notes", *[b"%d" % number for number in range(6)])
        taken = await node.service.consumers.fetch(*PLACE, ANNA, 3)
        for _ in range(20):  # past a checkpoint
            await append(node.service, "notes", b"more")
        before = node.groups[REGION].state.digest()
    async with start() as node:
        assert node.groups[REGION].state.digest() == before
        consumers = Guard(node.service, EMBEDDED).consumers
        positions = [one.event.position.number for one in taken]
        assert await consumers.settle(NOBODY, *PLACE, ANNA, ack(*positions)) == []
        assert payloads(await consumers.fetch(*PLACE, ANNA, 3)) == [b"3", b"4", b"5"]


async def test_a_filter_by_prefix_and_type(start) -> None:
    async with start() as node:
        service = node.service
        await with_streams(service, "patient-1", "patient-2", "other")
        await create(service, filter=EventFilter(prefixes=("patient-",), types=("admitted",)))
        await append(service, "other", typed("admitted"), schema_id=ENVELOPE_SCHEMA)
        await append(service, "patient-1", typed("admitted"), typed("moved"), schema_id=ENVELOPE_SCHEMA)
        await append(service, "patient-2", b"opaque")
        await append(service, "patient-2", typed("admitted"), schema_id=ENVELOPE_SCHEMA)
        found = await service.consumers.fetch(*PLACE, ANNA, 10)
        assert [(one.event.stream, one.event.offset) for one in found] == [("patient-1", 0), ("patient-2", 1)]


async def test_the_systems_own_streams_are_handed_out_where_they_are_asked_for(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service)
        await append(service, "notes", b"x")
        (delivery,) = await consumers.fetch(*PLACE, ANNA, 10)
        position = delivery.event.position.number
        await consumers.settle(NOBODY, *PLACE, ANNA, [one(Verdict.TERM, position)])
        await consumers.settle_dead_letters(NOBODY, *PLACE, [position], True, "dr.lee", "")
        assert await consumers.fetch(*PLACE, ANNA, 10) == []
        of_deeds = ConsumerSettings(filter=EventFilter(stream="$consumers"))
        await consumers.create(NOBODY, 1, REGION, "auditor", of_deeds)
        assert len(await consumers.fetch(1, REGION, "auditor", ANNA, 10)) == 1


@pytest.mark.parametrize(
    ("stream", "begin", "expected"),
    [
        ("", EventStart(StartKind.EDGE), [b"0", b"1", b"2", b"3", b"late"]),
        ("", EventStart(StartKind.END), [b"late"]),
        ("notes", EventStart(StartKind.OFFSET, 2), [b"2", b"3", b"late"]),
        ("notes", EventStart(StartKind.OFFSET, 4), [b"late"]),
        ("missing", EventStart(StartKind.END), []),
        ("missing", EventStart(StartKind.TIME, 1), []),
        ("", EventStart(StartKind.POSITION, 3), [b"2", b"3", b"late"]),
        ("", EventStart(StartKind.TIME, 1), [b"0", b"1", b"2", b"3", b"late"]),
        ("notes", EventStart(StartKind.TIME, 1), [b"0", b"1", b"2", b"3", b"late"]),
        ("notes", EventStart(StartKind.TIME, 2**60), [b"late"]),
    ],
)
async def test_where_it_starts(start, stream: str, begin: EventStart, expected: list[bytes]) -> None:
    async with start() as node:
        service = node.service
        await with_streams(service, "notes")
        await append(service, "notes", b"0", b"1")
        await append(service, "notes", b"2", b"3")
        await create(service, filter=EventFilter(stream=stream), start=begin)
        await append(service, "notes", b"late")
        assert payloads(await service.consumers.fetch(*PLACE, ANNA, 10)) == expected


async def test_an_offset_needs_a_stream_that_has_it(start) -> None:
    async with start() as node:
        await with_streams(node.service, "notes")
        with pytest.raises(InvalidArgument, match="expected a filter that names it"):
            await create(node.service, start=EventStart(StartKind.OFFSET, 0))
        with pytest.raises(InvalidArgument, match="the stream has 0 events: expected an offset up to that"):
            await create(node.service, start=EventStart(StartKind.OFFSET, 1), filter=EventFilter(stream="notes"))


async def test_a_fetch_waits_for_an_event(start) -> None:
    async with start() as node:
        service = node.service
        await with_streams(service, "notes")
        await create(service)
        found: list[bytes] = []

        async def wait() -> None:
            found.extend(payloads(await service.consumers.fetch(*PLACE, ANNA, 10, 60 * SECOND)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(0.02)
            await append(service, "notes", b"now")
        assert found == [b"now"]
        assert await service.consumers.fetch(*PLACE, ANNA, 10, 10_000) == []


async def test_a_fetch_waits_for_a_deadline_and_for_what_another_gives_back(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service, ack_us=50_000)
        await append(service, "notes", b"0", b"1")
        await consumers.fetch(*PLACE, ANNA, 1)
        await consumers.fetch(*PLACE, ANNA, 1)
        again = await consumers.fetch(*PLACE, BEN, 10, 60 * SECOND)
        assert [(one.event.payload, one.attempt) for one in again][:1] == [(b"0", 2)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: consumers.leave(NOBODY, *PLACE, BEN))
            third = await consumers.fetch(*PLACE, ANNA, 10, 60 * SECOND)
        assert third[0].attempt >= 2


async def test_members_that_fetch_at_once_get_different_events(start) -> None:
    async with start() as node:
        service = node.service
        await with_streams(service, "notes")
        await create(service)
        await append(service, "notes", *[b"%d" % number for number in range(100)])
        got: list[bytes] = []

        async def take(number: int) -> None:
            got.extend(payloads(await service.consumers.fetch(*PLACE, b"%016d" % number, 10)))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(take, number)
        assert sorted(got, key=int) == [b"%d" % number for number in range(100)]


async def test_an_order_by_subject_or_else_stream(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "a", "b")
        await create(service, ordered_by=OrderedBy.SUBJECT)
        await append(service, "a", b"lee 1", subject="lee")
        await append(service, "b", b"lee 2", subject="lee")
        await append(service, "a", b"a 1", b"a 2")
        await append(service, "b", b"b 1")
        first = await consumers.fetch(*PLACE, ANNA, 10)
        assert payloads(first) == [b"lee 1", b"a 1", b"b 1"]
        await consumers.settle(NOBODY, *PLACE, ANNA, ack(*[one.event.position.number for one in first]))
        assert payloads(await consumers.fetch(*PLACE, ANNA, 10)) == [b"lee 2", b"a 2"]


async def test_dead_letters_are_listed_replayed_and_dropped_and_the_deed_is_told(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service, max_deliver=1)
        await append(service, "notes", b"0", b"1", b"2")
        found = await consumers.fetch(*PLACE, ANNA, 10)
        positions = [one.event.position.number for one in found]
        reasons = [one(Verdict.TERM, positions[0], reason="no such patient"), one(Verdict.NAK, positions[1])]
        await consumers.settle(NOBODY, *PLACE, ANNA, [*reasons, one(Verdict.TERM, positions[2])])
        letters, more = await consumers.dead_letters(*PLACE, 0, 2)
        assert more
        assert [(one.position, one.stream, one.offset, one.attempts, one.reason) for one in letters] == [
            (positions[0], "notes", 0, 1, "no such patient"),
            (positions[1], "notes", 1, 1, ""),
        ]
        (last,), more = await consumers.dead_letters(*PLACE, positions[1] + 1, 2)
        assert (last.position, more) == (positions[2], False)
        assert await consumers.settle_dead_letters(NOBODY, *PLACE, [positions[0]], True, "dr.lee", "moved") == 1
        assert await consumers.settle_dead_letters(NOBODY, *PLACE, [], False, "dr.lee", "") == 2
        assert await consumers.settle_dead_letters(NOBODY, *PLACE, [], False, "dr.lee", "") == 0
        assert payloads(await consumers.fetch(*PLACE, ANNA, 10)) == [b"1", b"2"]
        deeds = await service.read(1, "$consumers", 0, max_events=10)
        told = [decode_envelope(payload) for run in deeds.runs for payload in _batch(run)]
        assert [(deed.type, deed.actor) for deed in told] == [
            ("consumer-dead-letters-dropped", "dr.lee"),
            ("consumer-dead-letters-replayed", "dr.lee"),
        ]
        assert told[0].body == b'{"consumer":"mailer","positions":[%d],"reason":"moved"}' % positions[0]


def _batch(run) -> list[bytes]:
    from vdb.wire.event import decode_batch

    return decode_batch(run.batch)


async def test_settlements_of_a_session_are_answered_once(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service)
        await append(service, "notes", b"0")
        (delivery,) = await consumers.fetch(*PLACE, ANNA, 1)
        session = await service.open_session(CLIENT, REGION)
        position = delivery.event.position.number
        assert await consumers.settle(Origin(CLIENT, session, 1), *PLACE, ANNA, ack(position)) == []
        assert await consumers.settle(Origin(CLIENT, session, 1), *PLACE, ANNA, ack(position)) == []
        assert await consumers.settle(Origin(CLIENT, session, 2), *PLACE, ANNA, ack(position)) == [position]
        too_long = [one(Verdict.TERM, position, reason="x" * 2000)]
        with pytest.raises(TooLarge, match="a reason has at most 1024 bytes; found 2000"):
            await consumers.settle(Origin(CLIENT, session, 3), *PLACE, ANNA, too_long)
        assert await consumers.leave(Origin(CLIENT, session, 4), *PLACE, ANNA) == 0


async def test_creating_it_again_and_deleting_it(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        assert await create(service)
        assert not await create(service)
        with pytest.raises(ConsumerExists, match="tenant 1 has a consumer 'mailer' in group"):
            await create(service, max_deliver=2)
        with pytest.raises(ConsumerExists):
            await create(service, filter=EventFilter(prefixes=("a",)))
        await with_streams(service, "mailer")  # a stream and a consumer may have one name
        assert [info.name for info in await consumers.infos(1, REGION, "")] == ["mailer"]
        assert await consumers.delete(NOBODY, *PLACE)
        assert not await consumers.delete(NOBODY, *PLACE)
        assert await consumers.infos(1, REGION, "") == []
        with pytest.raises(UnknownConsumer, match="tenant 1 has no consumer 'mailer' in group ap-southeast-2"):
            await consumers.infos(*PLACE)
        with pytest.raises(UnknownConsumer, match="tenant 1 has no consumer 'mailer' in group ap-southeast-2"):
            await consumers.fetch(*PLACE, ANNA, 1)
        with pytest.raises(UnknownConsumer, match="tenant 1 has no consumer 'mailer' in group ap-southeast-2"):
            await consumers.settle(NOBODY, *PLACE, ANNA, ack(1))


async def test_one_that_was_deleted_and_made_anew_starts_anew(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "a", "b")
        await create(service)
        await append(service, "a", b"a")
        await append(service, "b", b"b")
        assert payloads(await consumers.fetch(*PLACE, ANNA, 10)) == [b"a", b"b"]
        await consumers.delete(NOBODY, *PLACE)
        await create(service, filter=EventFilter(stream="b"))
        assert payloads(await consumers.fetch(*PLACE, ANNA, 10)) == [b"b"]


async def test_what_the_gate_refuses(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        with pytest.raises(InvalidArgument, match="a consumer's name can't be empty"):
            await consumers.create(NOBODY, 1, REGION, "", ConsumerSettings())
        with pytest.raises(TooLarge, match="a consumer's name has at most 512 bytes"):
            await consumers.create(NOBODY, 1, REGION, "x" * 513, ConsumerSettings())
        with pytest.raises(InvalidArgument, match="in_flight_max lies between 1 and 10000; found 0"):
            await create(service, in_flight_max=0)
        with pytest.raises(InvalidArgument, match="this node has no group 'mars'"):
            await consumers.create(NOBODY, 1, "mars", "mailer", ConsumerSettings())
        await create(service)
        with pytest.raises(InvalidArgument, match="a member's id has 16 bytes; found 3"):
            await consumers.fetch(*PLACE, b"abc", 1)
        with pytest.raises(InvalidArgument, match="a member's id has 16 bytes; found 3"):
            await consumers.settle(NOBODY, *PLACE, b"abc", [])
        with pytest.raises(TooLarge, match="1000 deliveries are settled at once; found 1001"):
            await consumers.settle(NOBODY, *PLACE, ANNA, ack(*range(1001)))
        with pytest.raises(InvalidArgument, match="out of range"):
            await consumers.settle(NOBODY, *PLACE, ANNA, ack(-1))
        with pytest.raises(InvalidArgument, match="names that begin with '\\$' are the system's own"):
            await with_streams(service, "$consumers")


async def test_an_answer_is_bounded_in_bytes(start) -> None:
    async with start() as node:
        service, consumers = node.service, Guard(node.service, EMBEDDED).consumers
        await with_streams(service, "notes")
        await create(service)
        for number in range(40):
            await append(service, "notes", b"%d" % (number % 10) * 40_000)
        got = 0
        sizes = []
        while got < 40:
            found = await consumers.fetch(*PLACE, ANNA, 100)
            sizes.append(sum(map(len, payloads(found))))
            got += len(found)
        assert len(sizes) > 1
        assert max(sizes) <= 1024 * 1024
