"""Reading by filter against a plain list: a node with small limits, so that a read takes many pieces and segments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

import vdb
from vdb.crypto.root import RootKeys
from vdb.errors import InvalidArgument, UnknownEventType, UnknownStream
from vdb.limits import Limits
from vdb.types import GroupId, Position
from vdb.wire.event import EventEnvelope, encode_envelope

SMALL = Limits(
    message_size_max=32 * 1024, wal_slots=96, checkpoint_interval=16, segment_size=16384, read_bytes_max=4096
)
STREAMS = ("appointment-1", "appointment-2", "patient-1", "patient-10", "p")
REGION = "ap-southeast-2"


@vdb.event("read-test-booked", subject="who")
@frozen(kw_only=True)
class Booked:
    who: str
    number: int
    padding: str = ""


@vdb.event("read-test-cancelled")
@frozen(kw_only=True)
class Cancelled:
    number: int


@frozen
class Fact:
    """What the model knows of an event."""

    stream: str
    offset: int
    position: Position
    time: int
    type: str
    event: Any


Log = list[Fact]


def fill(database: vdb.EmbeddedDatabase, draw: random.Random, appends: int, log: Log) -> None:
    """Appends of all kinds, another tenant's in between."""
    other = type(database.aio)(database.aio._gateway, stamps=database.aio.stamps, tenant=2)
    next_offset = dict.fromkeys(STREAMS, 0)
    number = 0
    for step in range(appends):
        name = draw.choice(STREAMS)
        if step % 11 == 5:
            database.loop.call(lambda: _other(other, draw.randbytes(draw.choice([10, 700]))))
        kind = draw.randrange(4)
        events: list[Any] = []
        for _ in range(draw.choice([1, 1, 2, 5, 30])):
            number += 1
            if kind == 0:
                events.append(draw.randbytes(8))
            elif draw.random() < 0.3:
                events.append(Cancelled(number=number))
            else:
                padding = "x" * draw.choice([0, 0, 0, 50, 1500])
                events.append(Booked(who=draw.choice("abc"), number=number, padding=padding))
        published = database.publish(name, events) if kind == 0 else database.append(name, events)
        first = published.position.number - len(events)
        for index, event in enumerate(events):
            log.append(
                Fact(
                    name,
                    next_offset[name] + index,
                    Position(published.position.group, first + index),
                    published.time,
                    {Booked: "read-test-booked", Cancelled: "read-test-cancelled", bytes: ""}[type(event)],
                    event,
                )
            )
        next_offset[name] += len(events)


async def _other(face: Any, payload: bytes) -> None:
    await face.create_stream("appointment-1", if_not_exists=True)
    await face.publish("appointment-1", payload)


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[vdb.EmbeddedDatabase, Log]]:
    log: Log = []
    with vdb.open(":memory:", limits=SMALL) as database:
        for name in STREAMS:
            database.create_stream(name)
        database.create_stream("empty")
        database.create_database("clinic")
        fill(database, random.Random(7), 220, log)
        with database.sql("clinic") as session:
            session.execute("CREATE TABLE t (a)")
        yield database, log


def facts(events: Any) -> Log:
    return [Fact(one.stream, one.offset, one.position, one.time, one.type, one.event) for one in events]


def model(log: Log, place: tuple[str, Any] | None, *, backward: bool, wants: Any, max_events: int | None) -> Log:
    found = [fact for fact in log if wants(fact)]
    if place is not None:
        kind, value = place
        key = {"offset": lambda fact: fact.offset, "position": lambda fact: fact.position.number}.get(
            kind, lambda fact: fact.time
        )
        found = [fact for fact in found if (key(fact) >= value) != backward]
    if backward:
        found.reverse()
    return found if max_events is None else found[:max_events]


@settings(max_examples=60)
@given(data=st.data())
def test_reads_agree_with_a_list(filled: tuple[vdb.EmbeddedDatabase, Log], data: st.DataObject) -> None:
    database, log = filled
    backward = data.draw(st.booleans(), "backward")
    stream = data.draw(st.none() | st.sampled_from((*STREAMS, "empty")), "stream")
    prefixes = data.draw(
        st.sampled_from([(), ("patient-1",), ("patient-", "appointment-2"), ("zz",), ("p",)]), "prefix"
    )
    types = data.draw(st.sampled_from([(), (Booked,), (Cancelled, ""), ("nobody",), ("",)]), "types")
    kinds = ["position", "time"] + (["offset"] if stream else [])
    kind = data.draw(st.none() | st.sampled_from(kinds), "kind")
    place: tuple[str, Any] | None = None
    start: dict[str, Any] = {}
    if kind is not None:
        fact = data.draw(st.sampled_from(log), "fact")
        value = {"offset": fact.offset, "position": fact.position.number, "time": fact.time}[kind]
        value = max(0, value + data.draw(st.integers(-1, 1), "beside"))
        place = (kind, value)
        start = {f"from_{kind}": Position(GroupId(REGION), value) if kind == "position" else value}
    max_events = data.draw(st.none() | st.integers(0, 40), "max_events")
    names = [
        kind if isinstance(kind, str) else {Booked: "read-test-booked", Cancelled: "read-test-cancelled"}[kind]
        for kind in types
    ]

    def wants(fact: Fact) -> bool:
        return (
            (stream is None or fact.stream == stream)
            and (not prefixes or fact.stream.startswith(prefixes))
            and (not names or fact.type in names)
        )

    found = database.read_events(
        stream, prefixes=prefixes, types=types, backward=backward, max_events=max_events, **start
    )
    expected = model(log, place, backward=backward, wants=wants, max_events=max_events)
    assert facts(found) == expected


def test_what_is_read_one_way_and_the_other_from_a_place_is_everything(
    filled: tuple[vdb.EmbeddedDatabase, Log],
) -> None:
    database, log = filled
    place = log[len(log) // 2].position
    after = facts(database.read_events(from_position=place))
    before = facts(database.read_events(from_position=place, backward=True))
    assert before[::-1] + after == log
    assert after[0].position == place


def test_from_a_datetime_and_of_a_type(filled: tuple[vdb.EmbeddedDatabase, Log]) -> None:
    database, log = filled
    fact = log[100]
    moment = datetime.fromtimestamp(fact.time // 1_000_000, UTC).replace(microsecond=fact.time % 1_000_000)
    found = facts(database.read_events(types=Cancelled, from_time=moment, max_events=5))
    assert found == [one for one in log if one.time >= fact.time and one.type == "read-test-cancelled"][:5]


def test_positions_as_text_and_batches(filled: tuple[vdb.EmbeddedDatabase, Log]) -> None:
    database, log = filled
    events = database.read_events("p", from_position=str(log[300].position))
    found: Log = []
    while batch := events.next_batch():
        found += facts(batch)
    assert found == [fact for fact in log[300:] if fact.stream == "p"]
    assert next(iter(database.read_events("p", from_position=log[300].position))).after.number == (
        found[0].position.number + 1
    )


def test_sql_databases_hold_no_events(
    filled: tuple[vdb.EmbeddedDatabase, Log],
) -> None:
    database, log = filled
    assert {one.stream for one in database.read_events()} == {fact.stream for fact in log}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"from_offset": 3}, "from_offset counts the events of one stream: expected a stream"),
        ({"stream": "p", "from_offset": 3, "from_time": 5}, "begins at one place; found from_offset and from_time"),
        ({"follow": True, "backward": True}, "expected either follow or backward, found both"),
        ({"from_time": datetime(2026, 1, 1)}, "from_time: expected a datetime with a zone"),
        ({"from_time": 1.5}, "expected a datetime or microseconds UTC, found float"),
        ({"from_position": "here"}, "a position reads GROUP:NUMBER"),
        ({"from_position": "global:3", "group": REGION}, "group ap-southeast-2 has no position global:3"),
        ({"prefixes": "patient-"}, "prefixes are a list; one alone is given as prefix"),
        ({"types": [7]}, "a type of events is a class or its name; found int"),
        ({"types": int}, "int isn't a registered event"),
        ({"stream": ""}, "a stream's name isn't empty"),
        ({"max_events": -1}, "max_events: expected an int from 0"),
        ({"stream": "p", "from_position": "global:3"}, "stream 'p' lies in group ap-southeast-2; found a position of"),
        ({"group": "mars"}, "no group 'mars'"),
        ({"consistency": "stale", "at_least": "global:3"}, "either stale or at least at a position"),
    ],
)
def test_what_can_not_be_read_is_said(
    filled: tuple[vdb.EmbeddedDatabase, Log], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((InvalidArgument, UnknownEventType), match=message):
        list(filled[0].read_events(**arguments))


def test_a_stream_that_is_not_there_is_unknown(filled: tuple[vdb.EmbeddedDatabase, Log]) -> None:
    with pytest.raises(UnknownStream, match="no stream 'nope'"):
        list(filled[0].read_events("nope"))
    assert list(filled[0].read_events("empty")) == []
    assert list(filled[0].read_events(group="global")) == []


def envelope(kind: str, version: int = 1) -> bytes:
    return encode_envelope(EventEnvelope(event_id=bytes(16), type=kind, version=version, time=9, body=b"{}"))


def test_unknown_types_stop_a_reader_unless_it_ignores_them() -> None:
    with vdb.open(":memory:") as database:
        database.append("s", [Cancelled(number=1)], create="phi")
        database.publish("s", [envelope("nobody-knows"), envelope("nobody-knows")], schema_id=1)
        database.append("s", [Cancelled(number=2), Cancelled(number=3)])
        events = database.read_events("s")
        assert next(events).event == Cancelled(number=1)
        message = "unknown event type 'nobody-knows' version 1: the name isn't registered; it lies in stream 's' at"
        for _ in range(2):  # it doesn't get past it
            with pytest.raises(UnknownEventType, match=f"{message} offset 1"):
                next(events)
        found = database.read_events("s", ignore_unknown=True, max_events=2)
        assert [one.offset for one in found] == [0, 3]
        assert [one.offset for one in database.read_events(ignore_unknown=True, backward=True)] == [4, 3, 0]
        assert [one.offset for one in database.read_events("s", types=Cancelled)] == [0, 3, 4]
        batches = database.read_events("s", ignore_unknown=True)
        assert [one.offset for one in batches.next_batch()] == [0, 3, 4]


def test_what_says_it_is_an_envelope_and_is_not_has_no_type() -> None:
    with vdb.open(":memory:") as database:
        database.create_stream("s")
        database.publish("s", [b"garbage!", envelope("read-test-cancelled")], schema_id=1)
        assert [one.offset for one in database.read_events("s", types="other")] == []
        with pytest.raises(vdb.VerityError, match="an event envelope"):
            list(database.read_events("s"))


def test_a_directory_that_is_opened_again_reads_the_same(tmp_path: Path) -> None:
    log: Log = []
    key = RootKeys(bytes(32))
    with vdb.open(tmp_path, key, limits=SMALL) as database:
        for name in STREAMS:
            database.create_stream(name)
        fill(database, random.Random(3), 60, log)
        before = facts(database.read_events())
    with vdb.open(tmp_path, key, limits=SMALL) as database:
        assert facts(database.read_events()) == before == log
        assert facts(database.read_events(backward=True, types=Booked)) == [
            fact for fact in reversed(log) if fact.type == "read-test-booked"
        ]
        place = log[len(log) // 2]
        assert facts(database.read_events(from_time=place.time)) == [fact for fact in log if fact.time >= place.time]
