"""Appending typed events and folding them, on a real node: conditions, streams that are made, who said what."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import trio
from attrs import define, frozen

import vdb
from vdb.errors import (
    CrossGroup,
    EventIdTaken,
    InvalidArgument,
    InvalidEvent,
    TooLarge,
    UnknownEventType,
    UnknownStream,
    UnknownTenant,
    WrongExpectedOffset,
)


@vdb.event("append-test-admitted", subject="patient_id")
@frozen(kw_only=True)
class Admitted:
    patient_id: str
    ward: str = ""


@vdb.event("append-test-moved")
@frozen(kw_only=True)
class Moved:
    ward: str


@define
class Patient:
    ward: str = ""
    wards: list[str] = attrs.field(factory=list)

    @vdb.applies(Admitted, Moved)
    def placed(self, event: Admitted | Moved) -> None:
        if event.ward == "fire":
            raise RuntimeError("out")
        self.ward = event.ward
        self.wards.append(event.ward)


@pytest.fixture
def database() -> Iterator[vdb.EmbeddedDatabase]:
    with vdb.open(":memory:") as opened:
        yield opened


def test_a_stream_is_made_when_it_is_missing_and_asked_for(database: vdb.EmbeddedDatabase) -> None:
    event = Admitted(patient_id="p-7", ward="a")
    with pytest.raises(UnknownTenant):
        database.append("patient-7", [event])
    first = database.append("patient-7", [event, event], expected=vdb.EMPTY, create="phi")
    assert (first.stream, first.first_offset, first.next_offset) == ("patient-7", 0, 2)
    with pytest.raises(UnknownStream):
        database.append("patient-8", [event])
    with pytest.raises(WrongExpectedOffset):
        database.append("patient-7", [event], expected=vdb.EMPTY, create="phi")
    assert database.append("patient-7", [event], expected=2).next_offset == 3
    assert database.append("notes", [event], create=vdb.DataClass.NON_PHI).next_offset == 1
    assert {one.name: one.data_class.label for one in database.list_streams()} == {
        "patient-7": "phi",
        "notes": "non-phi",
    }
    with pytest.raises(InvalidArgument, match="a data class is 'phi', 'non-phi' or 'deidentified'; found 'secret'"):
        database.append("x", [event], create="secret")


def test_no_stream_is_made_for_a_condition_that_it_would_not_meet(database: vdb.EmbeddedDatabase) -> None:
    database.create_stream("other")
    for expected in (1, vdb.EXISTS):
        with pytest.raises(UnknownStream):
            database.append("patient-7", [Moved(ward="a")], expected=expected, create="phi")
    assert [one.name for one in database.list_streams()] == ["other"]
    assert database.append("patient-7", [Moved(ward="a")], expected=0, create="phi").next_offset == 1


def test_what_comes_again_is_answered_as_the_first_time(database: vdb.EmbeddedDatabase) -> None:
    events = [vdb.NewEvent(Moved(ward="a"), event_id=bytes([number]) * 16) for number in range(3)]
    first = database.append("p", events, expected=vdb.EMPTY, create="phi")
    assert database.append("p", events, expected=vdb.EMPTY) == first
    assert database.append([vdb.StreamEvents("p", events)]) == (first,)
    with pytest.raises(EventIdTaken):
        database.append("p", [*events, vdb.NewEvent(Moved(ward="b"))])
    assert [one.offset for one in database.read_events("p")] == [0, 1, 2]


def test_a_condition_creates_the_stream_that_is_to_be_empty(database: vdb.EmbeddedDatabase) -> None:
    taken = [vdb.StreamEvents("a", [Moved(ward="b")]), vdb.StreamEvents("bed-7", expected=vdb.EMPTY)]
    with pytest.raises(UnknownTenant):
        database.append(taken)
    assert [published.next_offset for published in database.append(taken, create="phi")] == [1, 0]
    database.append("bed-7", Moved(ward="c"))
    with pytest.raises(WrongExpectedOffset):
        database.append(taken, create="phi")


def test_several_streams_all_or_none(database: vdb.EmbeddedDatabase) -> None:
    moved = Moved(ward="b")
    one, two = database.append(
        [vdb.StreamEvents("a", [moved, moved]), vdb.StreamEvents("b", [moved], expected=vdb.EMPTY)], create="phi"
    )
    assert (one.stream, one.next_offset, two.stream, two.next_offset) == ("a", 2, "b", 1)
    assert one.position == two.position
    with pytest.raises(WrongExpectedOffset):
        database.append([vdb.StreamEvents("a", [moved]), vdb.StreamEvents("b", expected=5)])
    third = database.append([vdb.StreamEvents("a", [moved]), vdb.StreamEvents("b", expected=1)])
    assert [published.next_offset for published in third] == [3, 1]
    mixed = [
        vdb.StreamAppend(stream="a", runs=[vdb.EventRun(payloads=b"raw")]),
        vdb.StreamEvents("b", [vdb.NewEvent(moved)]),
    ]
    database.append(mixed)
    assert [one.event for one in database.read_events("a", from_offset=2)] == [moved, b"raw"]
    database.create_stream("far", "non-phi", "global")
    with pytest.raises(CrossGroup):
        database.append([vdb.StreamEvents("a", [moved]), vdb.StreamEvents("far", [moved])])


def test_who_says_what_goes_with_an_event(database: vdb.EmbeddedDatabase) -> None:
    event = Admitted(patient_id="p-7")
    with vdb.context(actor="dr.lee"):
        database.append("s", [event], create="phi")
    (first,) = database.read_events("s")
    assert (first.actor, first.subject, first.causation_id) == ("dr.lee", "p-7", b"")
    assert first.correlation_id == first.event_id
    assert abs(first.occurred - first.time) < timedelta(minutes=5) / timedelta(microseconds=1)

    def elsewhere() -> None:
        database.append("s", [event])

    with vdb.context(actor="nurse", caused_by=first):
        database.append("s", [event, vdb.NewEvent(event, actor="other", subject="q", event_id=bytes(16))])
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

        async def main() -> None:
            await database.aio.append("s", [event])

        trio.run(main)
    _, second, third, fourth, fifth = database.read_events("s")
    assert (second.actor, second.causation_id, second.correlation_id) == ("nurse", first.event_id, first.event_id)
    assert (third.actor, third.subject, third.event_id) == ("other", "q", bytes(16))
    assert (fourth.actor, fourth.causation_id) == ("", b"")
    assert (fifth.actor, fifth.causation_id) == ("nurse", first.event_id)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("s", [7]), UnknownEventType, r"events\[0\]: int isn't a registered event"),
        (("s", [Moved(ward=5)]), InvalidEvent, r"events\[0\]: .* Expected `str`, got `int` at \$.ward"),
        (("s", "text"), InvalidArgument, "the events of an append are a list; found str"),
        (("s", 7), InvalidArgument, "the events of an append are a list; found int"),
        (([],), InvalidArgument, "at least one stream; found none"),
        (([vdb.StreamEvents("s")], [Moved(ward="a")]), InvalidArgument, "stand in the StreamEvents"),
        (([vdb.StreamEvents("s"), vdb.StreamEvents("s")],), InvalidArgument, "each stream once"),
        (("s", [Moved(ward="a")] * 10_001), TooLarge, "at most 10000 events; found 10001"),
    ],
)
def test_what_can_not_be_appended_is_said(
    database: vdb.EmbeddedDatabase, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        database.append(*arguments)


def moment(published: vdb.Published) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=published.time)


def test_a_chart_that_is_looked_at_again_is_read_again() -> None:
    with vdb.open(":memory:", receipts=True) as database:
        for stream, data_class in (("chart", "phi"), ("ward", "non-phi")):
            placement = None if data_class == "phi" else "global"
            database.create_stream(stream, data_class, placement)
            database.append(stream, [Moved(ward=str(number)) for number in range(30)])
        for _ in range(3):
            for stream in ("chart", "ward"):
                assert len(database.aggregate(Patient, stream)[0].wards) == 30
        read = [entry for entry in database.audit_search(kinds=["read"]) if entry.object == "chart"]
        assert [entry.count for entry in read] == [30, 30, 30]


def test_aggregates_at_all_their_moments(database: vdb.EmbeddedDatabase) -> None:
    wards = [str(number) for number in range(50)]
    published = [database.append("p", [Moved(ward=ward)], create="phi") for ward in wards]

    def at(place: Any) -> tuple[list[str], int]:
        patient, next_offset = database.aggregate(Patient, "p", at=place)
        return patient.wards, next_offset

    for _ in range(2):  # the second time from snapshots
        assert at(None) == (wards, 50)
        for count in (0, 1, 17, 49, 50):
            assert at(count) == (wards[:count], count)
    for count in (1, 17, 50):
        assert at(published[count - 1].position) == (wards[:count], count)
        assert at(moment(published[count - 1])) == (wards[:count], count)
        assert at(moment(published[count - 1]) - timedelta(microseconds=1)) == (wards[: count - 1], count - 1)
    with pytest.raises(InvalidArgument, match="stream 'p' has 50 events: expected an offset up to that"):
        at(51)
    with pytest.raises(InvalidArgument, match="positions of two groups have no order"):
        at(vdb.Position.parse("global:3"))
    with pytest.raises(InvalidArgument, match="at an offset, a Position or a datetime; found str"):
        at("now")


def test_a_snapshot_is_nobodys_to_change(database: vdb.EmbeddedDatabase) -> None:
    database.append("p", [Moved(ward=str(number)) for number in range(30)], create="phi")
    patient, next_offset = database.aggregate(Patient, "p")
    patient.wards.clear()
    again, _ = database.aggregate(Patient, "p")
    assert len(again.wards) == 30
    again.wards.clear()
    database.append("p", [Moved(ward="last")], expected=next_offset)
    third, after = database.aggregate(Patient, "p")
    assert (len(third.wards), third.ward, after) == (31, "last", 31)

    async def main() -> Any:
        return await database.aio.aggregate(Patient, "p")

    assert trio.run(main) == (third, 31)


def test_an_aggregate_of_what_is_not_there(database: vdb.EmbeddedDatabase) -> None:
    with pytest.raises(UnknownTenant):
        database.aggregate(Patient, "p")
    assert database.aggregate(Patient, "p", missing_ok=True) == (Patient(), 0)
    database.create_stream("q")
    with pytest.raises(UnknownStream):
        database.aggregate(Patient, "p")
    assert database.aggregate(Patient, "p", missing_ok=True) == (Patient(), 0)
    assert database.aggregate(Patient, "q") == (Patient(), 0)


def test_what_a_method_raises_says_where(database: vdb.EmbeddedDatabase) -> None:
    database.append("p", [Moved(ward="a"), Moved(ward="fire")], create="phi")
    with pytest.raises(RuntimeError, match="out") as caught:
        database.aggregate(Patient, "p")
    assert caught.value.__notes__ == ["while Patient applied the event of stream 'p' at offset 1"]


def test_unknown_events_stop_an_aggregate_unless_it_ignores_them(database: vdb.EmbeddedDatabase) -> None:
    database.append("p", [Moved(ward=str(number)) for number in range(20)], create="phi")
    other = vdb.events.EventRegistry()
    other.event("append-test-unknown")(Moved)
    payload = other.encode(Moved(ward="x"), event_id=bytes(16), time=1)
    database.publish("p", payload, schema_id=1)
    database.append("p", [Moved(ward="last")])
    with pytest.raises(UnknownEventType, match=r"'append-test-unknown' .* at offset 20"):
        database.aggregate(Patient, "p")
    patient, next_offset = database.aggregate(Patient, "p", ignore_unknown=True)
    assert (patient.ward, next_offset) == ("last", 22)
    assert database.aggregate(Patient, "p", at=21, ignore_unknown=True)[1] == 21
    with pytest.raises(UnknownEventType):
        database.aggregate(Patient, "p")
    assert database.aggregate(Patient, "p", at=20)[1] == 20
