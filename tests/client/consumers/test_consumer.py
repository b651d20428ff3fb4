"""Consumer groups as objects: created, found, listed, deleted, and their dead letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.consumers import ConsumerSettings, OrderedBy
from vdb.errors import ConsumerExists, InvalidArgument, TooLarge, UnknownConsumer, UnknownEventType
from vdb.events.registry import REGISTRY
from vdb.selection import EventFilter, EventStart, StartKind
from vdb.types import Position


class NotRegistered:
    pass


def booked() -> type[Any]:
    return REGISTRY.lookup("consumer-test-booked", 1).cls


async def test_settings_arrive_as_they_were_given(running: Any, fake: Any) -> None:
    async with running() as client:
        await client.create_consumer(
            "reminders",
            prefixes=["visit-", "ward-"],
            types=(booked(), "noted"),
            start=Position.parse("ap-southeast-2:7"),
            ack_deadline=timedelta(minutes=1),
            max_in_flight=50,
            max_in_flight_member=5,
            ordered_by="subject",
            max_deliver=0,
            backoff=(0.5, timedelta(seconds=8)),
        )
        assert fake.groups["reminders"].settings == ConsumerSettings(
            filter=EventFilter(prefixes=("visit-", "ward-"), types=("consumer-test-booked", "noted")),
            start=EventStart(StartKind.POSITION, 7),
            ack_us=60_000_000,
            in_flight_max=50,
            member_in_flight_max=5,
            ordered_by=OrderedBy.SUBJECT,
            max_deliver=0,
            backoff_us=500_000,
            backoff_max_us=8_000_000,
        )


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("first", EventStart()),
        ("last", EventStart(StartKind.END)),
        (5, EventStart(StartKind.OFFSET, 5)),
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), EventStart(StartKind.TIME, 1_000_000)),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), EventStart(StartKind.TIME, 0)),
    ],
)
async def test_where_a_group_starts(running: Any, fake: Any, start: Any, expected: EventStart) -> None:
    async with running() as client:
        await client.create_consumer("reminders", stream="visits", start=start)
        assert fake.groups["reminders"].settings.start == expected
        assert fake.groups["reminders"].settings.filter == EventFilter(stream="visits")


WRONG = [
    ({"start": 5}, "start: an offset is of one stream: expected stream=NAME with it, found none"),
    ({"start": "now"}, "start: expected 'first', 'last', an offset, a Position or a datetime with a zone, found 'now'"),
    ({"start": 1.5}, "start: expected 'first', 'last', an offset, a Position or a datetime with a zone, found float"),
    (
        {"start": datetime(2026, 1, 1)},
        "start: expected a datetime with a zone, such as datetime.now(UTC); found a naive one",
    ),
    (
        {"start": Position.parse("global:1"), "group": "ap-southeast-2"},
        "start: expected a position of group ap-southeast-2, found global:1",
    ),
    ({"stream": "a", "prefixes": ["b"]}, "expected either one stream or prefixes, found both"),
    ({"prefixes": "visit-"}, "prefixes: expected several, such as ('visit-',), found one alone"),
    ({"prefixes": [""]}, "a prefix of streams has 1 to 512 bytes; found 0"),
    ({"prefixes": [7]}, "a prefix of streams is text: expected a str, found int"),
    ({"types": NotRegistered}, "types: expected several, such as (NotRegistered,), found one alone"),
    ({"types": [3]}, "a type of events is text: expected a str, found int"),
    ({"ack_deadline": 0}, "ack_deadline: expected more than 0 seconds, found 0"),
    ({"ack_deadline": "1 s"}, "ack_deadline: expected seconds or a timedelta, found str"),
    ({"ack_deadline": float("nan")}, "ack_deadline: expected 0 to 604800 seconds, found nan"),
    ({"ack_deadline": 604801}, "ack_deadline: expected 0 to 604800 seconds, found 604801"),
    ({"max_in_flight": 0}, "max_in_flight: expected at least 1 delivery, found 0"),
    ({"max_in_flight": 1.0}, "max_in_flight: expected an int from 0 to 4294967295, found float"),
    ({"max_in_flight_member": -1}, "max_in_flight_member: expected an int from 0 to 4294967295, found -1"),
    ({"max_deliver": -1}, "max_deliver: expected an int from 0 to 4294967295, found -1"),
    ({"ordered_by": "patient"}, "ordered_by: expected None, 'stream' or 'subject', found 'patient'"),
    ({"backoff": 1}, "backoff: expected (first, longest) in seconds, such as (1.0, 60.0)"),
    ({"backoff": (9, 3)}, "backoff: expected the first pause to be at most the longest, found (9, 3)"),
    ({"backoff": (True, 3)}, "backoff: expected seconds or a timedelta, found bool"),
    ({"group": ""}, "a group is a region's name or 'global'; found an empty one"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=[message.split(":")[0] for _, message in WRONG])
async def test_wrong_settings_are_named(running: Any, fake: Any, settings: dict[str, Any], message: str) -> None:
    async with running() as client:
        with pytest.raises(InvalidArgument) as caught:
            await client.create_consumer("reminders", **settings)
        assert str(caught.value) == message
        assert not fake.groups


async def test_a_class_that_isnt_registered_is_named(running: Any, fake: Any) -> None:
    async with running() as client:
        with pytest.raises(UnknownEventType, match="NotRegistered isn't a registered event"):
            await client.create_consumer("reminders", types=[NotRegistered])


async def test_names(running: Any, fake: Any) -> None:
    async with running() as client:
        with pytest.raises(InvalidArgument, match="a consumer's name has 1 to 512 bytes; found 0"):
            await client.create_consumer("")
        with pytest.raises(InvalidArgument, match="a consumer's name is text: expected a str, found NoneType"):
            client.consumer(None)
        assert repr(client.consumer("reminders")) == "Consumer('reminders')"


async def test_the_same_again_is_fine_and_another_isnt(running: Any, fake: Any) -> None:
    async with running() as client:
        await client.create_consumer("reminders", max_deliver=3)
        again = await client.create_consumer("reminders", max_deliver=3)
        assert again.name == "reminders"
        with pytest.raises(ConsumerExists, match="has a consumer 'reminders' already, with other settings"):
            await client.create_consumer("reminders", max_deliver=4)


async def test_listed_shown_and_deleted(running: Any, fake: Any) -> None:
    async with running() as client:
        assert await client.list_consumers() == []
        consumer = await client.create_consumer("reminders")
        await client.create_consumer("letters")
        fake.add("ada", "bob", "cyd")
        async with consumer.member() as member:
            first, _ = await member.fetch(2)
            await first.ack(confirm=True)
            info = await consumer.info()
            assert (info.name, info.group, info.position, info.head) == ("reminders", "ap-southeast-2", 2, 3)
            assert (info.in_flight, info.waiting, info.acked, info.delivered) == (1, 0, 1, 2)
            assert [one.in_flight for one in info.members] == [1]
        assert [info.name for info in await client.list_consumers()] == ["reminders", "letters"]
        assert [info.name for info in await client.list_consumers(group="ap-southeast-2")] == ["reminders", "letters"]
        assert await consumer.delete() is True
        assert await consumer.delete() is False
        with pytest.raises(UnknownConsumer, match="tenant 1 has no consumer 'reminders' in group ap-southeast-2"):
            await consumer.info()


async def with_dead_letters(client: Any, fake: Any) -> Any:
    consumer = await client.create_consumer("reminders", max_deliver=1)
    fake.add("ada", "bob", "cyd")
    fake.add_unknown("consumer-test-nobody-knows")
    async with consumer.member() as member:
        for delivery in await member.fetch():
            await delivery.term(f"reason {delivery.offset}")
    return consumer


async def test_dead_letters_are_listed_and_read(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await with_dead_letters(client, fake)
        letters = await consumer.dead_letters()
        assert [(str(each.position), each.offset, each.attempts, each.reason) for each in letters] == [
            (f"ap-southeast-2:{number}", number, 1, f"reason {number}") for number in range(4)
        ]
        recorded = await letters[1].recorded()
        assert (recorded.event.patient, recorded.time, recorded.position) == ("bob", 1001, letters[1].position)
        with pytest.raises(UnknownEventType, match="'consumer-test-nobody-knows' version 1: the name isn't registered"):
            await letters[3].recorded()
        assert await letters[3].recorded(ignore_unknown=True) is None


async def test_dead_letters_are_delivered_anew_or_dropped(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await with_dead_letters(client, fake)
        letters = await consumer.dead_letters()
        with vdb.context(actor="dr.lee"):
            assert await consumer.replay([letters[0]], reason="the gateway is back") == 1
        assert await consumer.drop([letters[1].position, 2], actor="ops", reason="no such patient") == 2
        assert await consumer.drop([]) == 0
        async with consumer.member() as member:
            (again,) = await member.fetch()
            assert (again.event.patient, again.attempt) == ("ada", 1)
            await again.ack()
        assert await consumer.drop() == 1
        assert fake.deeds == [
            ([0], False, "dr.lee", "the gateway is back"),
            ([1, 2], True, "ops", "no such patient"),
            ([], True, "", ""),
        ]
        with pytest.raises(InvalidArgument, match="the consumer lies in group ap-southeast-2: expected a position of"):
            await consumer.replay([Position.parse("global:1")])
        with pytest.raises(InvalidArgument, match="a dead letter is named by its position; found str"):
            await consumer.replay(["ap-southeast-2:1"])
        with pytest.raises(InvalidArgument, match="the number of a position: expected an int from 0 to"):
            await consumer.replay([-1])
        with pytest.raises(TooLarge, match="a reason has at most 1024 bytes; found 1025"):
            await consumer.replay(reason="x" * 1025)
        with pytest.raises(InvalidArgument, match="an actor is text: expected a str, found int"):
            await consumer.replay(actor=7)


@vdb.event("consumer-test-moved", version=2)
@frozen(kw_only=True)
class Moved:
    ward: str
    bed: int


@vdb.upcast("consumer-test-moved", 1)
def _(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "bed": 0}


async def test_deliveries_and_dead_letters_are_upcast(running: Any, fake: Any) -> None:
    async with running() as client:
        consumer = await client.create_consumer("reminders")
        fake.add_body("consumer-test-moved", 1, b'{"ward":"west"}')
        async with consumer.member() as member:
            (delivery,) = await member.fetch()
            assert delivery.event == Moved(ward="west", bed=0)
            assert delivery.recorded.version == 1
            await delivery.term("full")
        (letter,) = await consumer.dead_letters()
        recorded = await letter.recorded()
        assert recorded.event == Moved(ward="west", bed=0)
