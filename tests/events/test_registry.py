"""Registered events: every kind of field round trips, and errors name type and path but no value."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import InvalidArgument, InvalidEvent, UnknownEventType, WireError
from vdb.events import EventRegistry
from vdb.wire.event import EventEnvelope, decode_envelope

REGISTRY = EventRegistry()
EVENT_ID = bytes(range(16))
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen(kw_only=True)
class Dose:
    amount: Decimal
    unit: str = attrs.field(default="mg", validator=attrs.validators.max_len(8))


@REGISTRY.event("drug-given", version=2)
@attrs.frozen(kw_only=True)
class DrugGiven:
    drug: UUID
    at: Instant
    day: date
    doses: list[Dose]
    colour: Colour = Colour.RED
    note: str | None = None
    repeats: int = 0


def example(**changes: Any) -> DrugGiven:
    values: dict[str, Any] = {
        "drug": UUID(int=7),
        "at": datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=11))),
        "day": date(2026, 3, 1),
        "doses": [Dose(amount=Decimal("2.50"))],
    }
    return DrugGiven(**(values | changes))


def encode(event: Any) -> bytes:
    return REGISTRY.encode(event, event_id=EVENT_ID, time=5, actor="dr", subject="p-1")


@given(
    st.builds(
        DrugGiven,
        drug=st.uuids(),
        at=st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-4, minutes=-30))])),
        day=st.dates(),
        doses=st.lists(
            st.builds(
                Dose,
                amount=st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-999, max_value=999),
                unit=st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            ),
            max_size=3,
        ),
        colour=st.sampled_from(Colour),
        note=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        repeats=st.integers(-(2**63), 2**63 - 1),
    )
)
def test_events_round_trip(event: DrugGiven) -> None:
    assert REGISTRY.decode(encode(event)) == event


def test_the_envelope_holds_what_is_asked_for() -> None:
    envelope = decode_envelope(encode(example()))
    assert (envelope.type, envelope.version, envelope.time) == ("drug-given", 2, 5)
    assert (envelope.actor, envelope.subject, envelope.event_id) == ("dr", "p-1", EVENT_ID)
    assert REGISTRY.decode(envelope) == example()


def test_the_zone_is_kept() -> None:
    assert REGISTRY.decode(encode(example())).at.utcoffset() == timedelta(hours=11)


def test_equal_events_have_equal_bytes() -> None:
    assert encode(example()) == encode(example())


def test_unknown_fields_of_newer_writers_are_passed_over() -> None:
    body = b'{"new":1,' + REGISTRY.encode_body(example())[1:]
    assert REGISTRY.decode_body("drug-given", 2, body) == example()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeats": "Ada"}, "event 'drug-given' version 2: Expected `int`, got `str` at $.repeats"),
        ({"doses": [Dose(amount=Decimal(1)), 7]}, "Expected `object`, got `int` at $.doses[1]"),
        ({"at": datetime(2026, 3, 1)}, "Expected `datetime` with a timezone component at $.at"),
        ({"note": object()}, "event 'drug-given': a value in it can't be carried as JSON"),
    ],
)
def test_encoding_names_the_path_of_what_does_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        encode(example(**changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"red"', b'"Ada"', "a value is not allowed at $.colour"),
        (b'"mg"', b'"Ada Lovelace"', "a value is not allowed at $.doses[...]"),
        (b'"2.50"', b'"Ada"', "a value is not allowed at $.doses[...].amount"),
        (b'"day"', b'"Ada"', "Object missing required field `day` at $"),
        (b"{", b"Ada{", "its body isn't JSON"),
    ],
)
def test_decoding_names_the_path_and_no_value(old: bytes, new: bytes, message: str) -> None:
    body = REGISTRY.encode_body(example())
    assert old in body
    with pytest.raises(InvalidEvent) as caught:
        REGISTRY.decode_body("drug-given", 2, body.replace(old, new, 1))
    assert "drug-given" in str(caught.value)
    assert "Ada" not in str(caught.value)
    assert caught.value.__context__ is None or "Ada" not in str(caught.value.__cause__)
    if "doses" not in message:
        assert message in str(caught.value)


def test_unknown_types_are_named() -> None:
    with pytest.raises(UnknownEventType, match="unknown event type 'gone' version 1: the name isn't registered"):
        REGISTRY.decode(EventEnvelope(event_id=EVENT_ID, type="gone", time=0, body=b"{}"))
    with pytest.raises(UnknownEventType, match="unknown event type 'drug-given' version 9: known versions: 2"):
        REGISTRY.decode(EventEnvelope(event_id=EVENT_ID, type="drug-given", version=9, time=0, body=b"{}"))
    with pytest.raises(UnknownEventType, match="Dose isn't a registered event"):
        encode(Dose(amount=Decimal(1)))


def test_garbage_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        REGISTRY.decode(b"garbage!")


def test_a_name_and_version_are_given_once() -> None:
    registry = EventRegistry()
    registry.event("dose")(Dose)
    registry.event("dose")(Dose)
    with pytest.raises(InvalidArgument, match="event 'dose' version 1 is Dose already; found DrugGiven"):
        registry.event("dose")(DrugGiven)


@attrs.frozen
class Inner:
    _ward: str = "a"


@attrs.frozen
class Outer:
    beds: dict[str, Inner | None]


@attrs.frozen
class Derived:
    bed: str
    _words: int = attrs.field(init=False, default=0)


def test_a_private_field_would_be_lost() -> None:
    registry = EventRegistry()
    for cls in (Inner, Outer):
        with pytest.raises(InvalidArgument, match=r"Inner\._ward is private, and would be left out"):
            registry.event("private")(cls)
    registry.event("derived")(Derived)


def test_what_can_not_be_registered_is_said() -> None:
    registry = EventRegistry()
    with pytest.raises(InvalidArgument, match="Colour isn't an attrs class"):
        registry.event("colour")(Colour)
    with pytest.raises(InvalidArgument, match="an event's name has 1 to 128"):
        registry.event("two words")
    with pytest.raises(InvalidArgument, match="counts from 1; found 0"):
        registry.event("dose", version=0)
