"""Consumer groups on an embedded database: a real node, without a network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import frozen

import vdb
from vdb.errors import (
    ConsumerExists,
    DeliveryLate,
    InvalidArgument,
    NodeStopped,
    Timeout,
    UnknownConsumer,
    UnknownEventType,
)
from vdb.events import EventRegistry
from vdb.selection import EventFilter
from vdb.types import Position


@vdb.event("embedded-consumer-booked", subject="patient")
@frozen(kw_only=True)
class Booked:
    patient: str
    number: int


@vdb.event("embedded-consumer-cancelled")
@frozen(kw_only=True)
class Cancelled:
    number: int


@pytest.fixture
def database() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:") as opened:
        yield opened


def book(database: vdb.EmbeddedDatabase, stream: str, *numbers: int) -> None:
    database.append(stream, [Booked(patient=f"p{number % 3}", number=number) for number in numbers], create="phi")


def test_events_are_delivered_in_their_order_and_acked(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 0, 1, 2)
    book(database, "appointment-2", 3, 4)
    consumer = database.create_consumer("reminders")
    with consumer.member() as member:
        seen = [delivery.event.number for delivery in take(member, 5)]
        assert seen == [0, 1, 2, 3, 4]
        assert member.fetch(wait=0) == []
        assert member.fetch(wait=0.05) == []
    info = consumer.info()
    assert (info.name, info.group, info.acked, info.delivered) == ("reminders", "ap-southeast-2", 5, 5)
    assert (info.in_flight, info.waiting, info.dead_letters, info.members) == (0, 0, 0, ())
    assert info.position == info.head


def take(member: Any, count: int) -> list[Any]:
    """So many deliveries by iterating, each acked."""
    found = []
    for delivery in member:
        delivery.ack()
        found.append(delivery)
        if len(found) == count:
            break
    return found


def test_the_filter_is_by_prefix_and_type(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 1)
    book(database, "visit-1", 2)
    database.append("appointment-1", [Cancelled(number=3)])
    database.publish("appointment-1", b"raw")
    book(database, "appointment-2", 4)
    consumer = database.create_consumer("reminders", prefixes=["appointment-"], types=[Booked])
    assert consumer.info().settings.filter == EventFilter(
        prefixes=("appointment-",), types=("embedded-consumer-booked",)
    )
    with consumer.member() as member:
        assert [each.event.number for each in member.fetch()] == [1, 4]
    raw = database.create_consumer("raw", types=[""])
    with raw.member() as member:
        assert [each.event for each in member.fetch()] == [b"raw"]


def test_where_a_group_starts(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 0, 1)
    third = database.append("appointment-1", [Booked(patient="p", number=2)])
    book(database, "appointment-1", 3)
    starts = {
        "last": "last",
        "position": Position(third.position.group, third.position.number - 1),
        "time": vdb_time(third.time),
    }
    consumers = {name: database.create_consumer(name, start=start) for name, start in starts.items()}
    consumers["offset"] = database.create_consumer("offset", stream="appointment-1", start=3)
    book(database, "appointment-1", 4)
    expected = {"last": [4], "position": [2, 3, 4], "time": [2, 3, 4], "offset": [3, 4]}
    for name, consumer in consumers.items():
        with consumer.member() as member:
            assert [each.event.number for each in member.fetch(wait=1)] == expected[name], name


def vdb_time(micros: int) -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def test_what_comes_back_and_what_is_given_up(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 0, 1, 2)
    consumer = database.create_consumer("reminders", max_deliver=2, backoff=(0, 0))
    with consumer.member() as member:
        zero, one, two = member.fetch()
        zero.nak()
        one.nak(delay=0)
        two.term("no such patient", confirm=True)
        again = []
        while len(again) < 2:
            again += member.fetch(wait=1)
        assert [(each.event.number, each.attempt) for each in again] == [(0, 2), (1, 2)]
        again[0].nak(confirm=True)
        again[1].ack(confirm=True)
        assert member.fetch(wait=0.05) == []
    letters = consumer.dead_letters()
    assert [(letter.offset, letter.attempts, letter.reason) for letter in letters] == [
        (0, 2, ""),
        (2, 1, "no such patient"),
    ]
    assert letters[1].recorded().event == Booked(patient="p2", number=2)
    assert letters[1].stream == "appointment-1"
    with vdb.context(actor="dr.lee"):
        assert consumer.replay([letters[1]], reason="found") == 1
    assert consumer.drop(reason="not needed", actor="ops") == 1
    assert consumer.dead_letters() == []
    numbers = [(letter.position.number,) for letter in letters]
    assert [(one.actor, one.event) for one in database.read_events("$consumers")] == [
        ("dr.lee", vdb.DeadLettersReplayed(consumer="reminders", positions=numbers[1], reason="found")),
        ("ops", vdb.DeadLettersDropped(consumer="reminders", positions=numbers[0], reason="not needed")),
    ]
    with consumer.member() as member:
        (two,) = member.fetch()
        assert (two.event.number, two.attempt) == (2, 1)
        two.ack()
    assert consumer.info().acked == 2


def test_deadlines_and_what_comes_too_late(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 0, 1)
    consumer = database.create_consumer("reminders", ack_deadline=0.2)
    with consumer.member() as member, consumer.member() as other:
        zero, one = member.fetch()
        one.extend(60)
        (again,) = other.fetch(wait=30)
        assert (again.event.number, again.attempt) == (0, 2)
        with pytest.raises(DeliveryLate, match="what was delivered from ap-southeast-2:"):
            zero.ack(confirm=True)
        one.ack(confirm=True)
        again.extend(60)
        again.ack(confirm=True)
    assert consumer.info().acked == 2


def test_one_delivery_of_a_subject_at_a_time(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", *range(9))
    consumer = database.create_consumer("reminders", ordered_by="subject")
    seen = []
    with consumer.member() as member:
        while len(seen) < 9:
            found = member.fetch(wait=1)
            patients = [each.event.patient for each in found]
            assert sorted(patients) == ["p0", "p1", "p2"]
            seen += [each.event.number for each in found]
            member.ack(found, confirm=True)
    for rest in range(3):
        assert [number for number in seen if number % 3 == rest] == [rest, rest + 3, rest + 6]


def test_a_fetch_waits_for_what_is_appended(database: vdb.EmbeddedDatabase) -> None:
    book(database, "appointment-1", 0)
    consumer = database.create_consumer("reminders", start="last")
    with consumer.member() as member:
        later = threading.Timer(0.2, book, (database, "appointment-1", 1))
        later.start()
        (found,) = member.fetch(wait=30)
        assert found.event.number == 1
        later.join()


def test_made_again_listed_and_deleted(database: vdb.EmbeddedDatabase) -> None:
    assert database.list_consumers() == []
    book(database, "appointment-1", 0)
    database.create_consumer("reminders", max_deliver=3)
    consumer = database.create_consumer("reminders", max_deliver=3)
    with pytest.raises(ConsumerExists, match="reminders"):
        database.create_consumer("reminders", max_deliver=4)
    database.create_consumer("global-one", group="global")
    assert sorted((info.name, info.group) for info in database.list_consumers()) == [
        ("global-one", "global"),
        ("reminders", "ap-southeast-2"),
    ]
    assert [info.name for info in database.list_consumers(group="global")] == ["global-one"]
    assert consumer.delete()
    assert not consumer.delete()
    with pytest.raises(UnknownConsumer, match="reminders"):
        consumer.info()
    with pytest.raises(UnknownConsumer, match="reminders"):
        consumer.member().__enter__()
    with pytest.raises(UnknownConsumer, match="nobody"):
        database.consumer("nobody").dead_letters()


def test_unknown_types_keep_their_place_or_are_ignored(database: vdb.EmbeddedDatabase) -> None:
    elsewhere = EventRegistry()

    @elsewhere.event("embedded-consumer-unknown")
    @frozen(kw_only=True)
    class Unknown:
        number: int

    payload = elsewhere.encode(Unknown(number=1), event_id=b"u" * 16, time=1)
    database.create_stream("appointment-1")
    database.publish("appointment-1", payload, schema_id=1)
    book(database, "appointment-1", 2)
    consumer = database.create_consumer("reminders")
    with consumer.member() as member:
        unknown, known = member.fetch()
        with pytest.raises(UnknownEventType, match="unknown event type 'embedded-consumer-unknown' version 1"):
            _ = unknown.event
        known.ack()
    with consumer.member(ignore_unknown=True) as member:
        assert member.fetch(wait=0) == []
    assert consumer.info().acked == 2


def test_a_group_keeps_its_place_over_a_restart(tmp_path: Path) -> None:
    key = vdb.RootKeys(b"k" * 32)
    with vdb.open(tmp_path, key) as database:
        book(database, "appointment-1", *range(6))
        consumer = database.create_consumer("reminders")
        with consumer.member() as member:
            assert [each.event.number for each in take(member, 2)] == [0, 1]
        lost = consumer.member("worker-1")
        lost.__enter__()
        assert [each.event.number for each in lost.fetch(2)] == [2, 3]
    with vdb.open(tmp_path, key) as database:
        consumer = database.consumer("reminders")
        assert (consumer.info().in_flight, consumer.info().acked) == (2, 2)
        with consumer.member("worker-1") as member:
            found = member.fetch()
            assert [each.event.number for each in found if each.attempt > 1][:2] == [2, 3]
            assert sorted(each.event.number for each in found) == [2, 3, 4, 5]


def test_closing_ends_members(tmp_path: Path) -> None:
    database = vdb.open(tmp_path, vdb.RootKeys(b"k" * 32))
    book(database, "appointment-1", 0)
    consumer = database.create_consumer("reminders")
    member = consumer.member()
    member.__enter__()
    (zero,) = member.fetch()
    database.close()
    with pytest.raises(NodeStopped, match="the database was closed"):
        zero.ack()
    with pytest.raises(NodeStopped, match="the database was closed"):
        member.fetch()


def test_a_call_that_takes_too_long_says_so(database: vdb.EmbeddedDatabase) -> None:
    with pytest.raises(Timeout, match="no answer to create_consumer within 0 s; it may have happened"):
        database.create_consumer("reminders", timeout=0)
    consumer = database.create_consumer("reminders")
    with pytest.raises(InvalidArgument, match="a timeout is 0 seconds or more; found -1"):
        consumer.info(timeout=-1)


def test_from_trio(database: vdb.EmbeddedDatabase) -> None:
    seen: list[int] = []

    async def main() -> None:
        consumer = await database.aio.create_consumer("reminders")
        with trio.move_on_after(60):
            async with trio.open_nursery() as nursery:

                async def work() -> None:
                    async with consumer.member() as member:
                        async for delivery in member:
                            seen.append(delivery.event.number)
                            await delivery.ack()

                nursery.start_soon(work)
                nursery.start_soon(work)
                for number in range(50):
                    await database.aio.append("appointment-1", [Booked(patient="p", number=number)], create="phi")
                while (await consumer.info()).acked < 50:  # noqa: ASYNC110
                    await trio.sleep(0.02)
                nursery.cancel_scope.cancel()
        info = await consumer.info()
        assert (info.acked, info.in_flight) == (50, 0)

    trio.run(main)
    assert sorted(seen) == list(range(50))


def test_from_asyncio(database: vdb.EmbeddedDatabase) -> None:
    async def main() -> None:
        await database.aio.append("appointment-1", [Booked(patient="p", number=n) for n in range(5)], create="phi")
        consumer = await database.aio.create_consumer("reminders")
        async with consumer.member() as member:
            found = []
            async for delivery in member:
                found.append(delivery.event.number)
                await delivery.ack(confirm=True)
                if len(found) == 5:
                    break
            assert found == list(range(5))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(member), 0.1)
        assert (await consumer.info()).acked == 5
        assert [info.name for info in await database.aio.list_consumers()] == ["reminders"]
        assert await consumer.dead_letters() == []
        assert await consumer.drop() == 0
        assert await consumer.delete()

    asyncio.run(main())
