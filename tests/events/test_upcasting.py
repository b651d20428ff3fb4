"""Old versions become new ones, step by step, wherever they are read; and what goes wrong is named without values."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from attrs import frozen

import vdb
from vdb.errors import InvalidArgument, InvalidEvent, UnknownEventType
from vdb.events import EventRegistry

Body = dict[str, Any]


@frozen(kw_only=True)
class Weighed:
    """Version 3."""

    patient_id: str
    grams: Decimal
    at: datetime
    by: str | None = None


def registry_of_three() -> EventRegistry:
    registry = EventRegistry()
    registry.event("weighed", 3)(Weighed)

    @registry.upcast("weighed", 1)
    def _(body: Body) -> Body:
        return {"patient_id": body["patient"], "kilograms": body["kilograms"], "at": body["at"]}

    @registry.upcast("weighed", 2)
    def _(body: Body) -> Body:
        body["grams"] = Decimal(body.pop("kilograms")) * 1000
        return body

    return registry


FIRST = b'{"patient": "p-7", "kilograms": "70.5", "at": "2026-03-01T09:30:00+11:00"}'
SECOND = b'{"patient_id": "p-7", "kilograms": "70.5", "at": "2026-03-01T09:30:00+11:00"}'


@pytest.mark.parametrize(("version", "body"), [(1, FIRST), (2, SECOND)])
def test_a_body_goes_through_all_steps_from_its_version_on(version: int, body: bytes) -> None:
    found = registry_of_three().decode_body("weighed", version, body)
    assert found == Weighed(patient_id="p-7", grams=Decimal("70500.0"), at=datetime(2026, 2, 28, 22, 30, tzinfo=UTC))


def test_the_newest_goes_through_none() -> None:
    registry = registry_of_three()
    event = Weighed(patient_id="p", grams=Decimal(1), at=datetime(2026, 1, 1, tzinfo=UTC))
    assert registry.decode_body("weighed", 3, registry.encode_body(event)) == event


def test_a_class_that_was_kept_gives_way_to_an_upcaster() -> None:
    registry = registry_of_three()

    @registry.event("weighed", 2)
    @frozen
    class Old:
        patient_id: str

    assert isinstance(registry.decode_body("weighed", 2, SECOND), Weighed)


def test_without_an_upcaster_the_class_of_the_version_reads_it() -> None:
    registry = EventRegistry()

    @registry.event("moved", 1)
    @frozen
    class Old:
        ward: str

    @registry.event("moved", 2)
    @frozen
    class New:
        ward: str
        bed: int

    assert registry.decode_body("moved", 1, b'{"ward":"a"}') == Old("a")


def test_a_gap_in_the_chain_is_an_unknown_type() -> None:
    registry = EventRegistry()
    registry.event("weighed", 4)(Weighed)
    registry.upcast("weighed", 1)(lambda body: body)
    registry.upcast("weighed", 3)(lambda body: body)
    with pytest.raises(UnknownEventType, match="unknown event type 'weighed' version 2: known versions: 4"):
        registry.decode_body("weighed", 1, FIRST)


def test_a_newer_version_than_is_known_is_an_unknown_type() -> None:
    with pytest.raises(UnknownEventType, match="unknown event type 'weighed' version 9: known versions: 3"):
        registry_of_three().decode_body("weighed", 9, SECOND)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"patient_id": "Ada"}', "event 'weighed': its upcaster from version 2 to 3 failed: KeyError"),
        (b"[]", "event 'weighed' version 2: expected an object at $"),
        (b"Ada", "event 'weighed' version 2: its body isn't JSON"),
        (SECOND.replace(b'"p-7"', b"7"), "event 'weighed' version 3: Expected `str`, got `int` at $.patient_id"),
    ],
)
def test_what_goes_wrong_is_named_without_values(body: bytes, message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        registry_of_three().decode_body("weighed", 2, body)
    assert message in str(caught.value)
    assert "Ada" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_an_upcaster_gives_a_dict_of_json() -> None:
    registry = EventRegistry()
    registry.event("weighed", 2)(Weighed)
    registry.upcast("weighed", 1)(lambda body: [body])
    with pytest.raises(InvalidEvent, match="from version 1 to 2 gave list: expected a dict"):
        registry.decode_body("weighed", 1, FIRST)
    other = EventRegistry()
    other.event("weighed", 2)(Weighed)
    other.upcast("weighed", 1)(lambda body: {"x": object()})
    with pytest.raises(InvalidEvent, match="its upcaster to version 2 made what can't be carried as JSON"):
        other.decode_body("weighed", 1, FIRST)


def test_a_step_is_given_once() -> None:
    registry = registry_of_three()
    with pytest.raises(InvalidArgument, match="event 'weighed' has an upcaster of version 1 already"):

        @registry.upcast("weighed", 1)
        def _(body: Body) -> Body:
            return body

    with pytest.raises(InvalidArgument, match="counts from 1; found 0"):
        registry.upcast("weighed", 0)
    with pytest.raises(InvalidArgument, match="an event's name has 1 to 128"):
        registry.upcast("two words", 1)


def test_the_same_lines_loaded_again_replace_themselves() -> None:
    registry = EventRegistry()
    for _ in range(2):

        @registry.upcast("weighed", 1)
        def step(body: Body) -> Body:
            return body

        @registry.event("moved")
        @frozen
        class Moved:
            ward: str


@vdb.event("upcast-test-noted", version=2, subject="patient_id")
@frozen(kw_only=True)
class Noted:
    patient_id: str
    text: str = ""


@vdb.upcast("upcast-test-noted", 1)
def _noted(body: Body) -> Body:
    return {"patient_id": body["patient"], "text": body.get("text", "")}


@frozen
class Notes:
    texts: tuple[str, ...] = ()

    @vdb.applies(Noted)
    def noted(self, event: Noted) -> Notes:
        return Notes((*self.texts, event.text))


def test_old_events_of_a_log_are_upcast_for_readers_and_aggregates() -> None:
    old = vdb.events.EventRegistry()

    @old.event("upcast-test-noted", 1)
    @frozen(kw_only=True)
    class OldNoted:
        patient: str
        text: str = ""

    with vdb.open(":memory:") as database:
        payload = old.encode(OldNoted(patient="p", text="first"), event_id=bytes(16), time=5)
        database.create_stream("notes")
        database.publish("notes", payload, schema_id=1)
        database.append("notes", [Noted(patient_id="p", text="second")])
        found = list(database.read_events("notes"))
        assert [one.event for one in found] == [
            Noted(patient_id="p", text="first"),
            Noted(patient_id="p", text="second"),
        ]
        assert [one.version for one in found] == [1, 2]
        assert database.aggregate(Notes, "notes") == (Notes(("first", "second")), 2)
        assert [one.event.text for one in database.read_events(types=Noted, backward=True)] == ["second", "first"]
