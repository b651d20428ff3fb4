"""From a payload to an event: whatever an envelope says comes back, and what can't be read says where it lies."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import InvalidEvent, UnknownEventType, WireError
from vdb.events import EventRegistry, NewEvent, RecordedEvent, record_from
from vdb.events.new_event import EventEncoder
from vdb.types import DataClass, GroupId, Position

REGISTRY = EventRegistry()
PLACE = Position(GroupId("ap-southeast-2"), 42)


@frozen(kw_only=True)
class Dose:
    amount: Decimal
    unit: str = "mg"


@REGISTRY.event("given", version=3)
@frozen(kw_only=True)
class Given:
    patient: UUID
    at: datetime
    day: date
    doses: list[Dose] = attrs.field(factory=list)
    note: str | None = None
    codes: tuple[int, ...] = ()
    tags: dict[str, bool] = attrs.field(factory=dict)
    long: timedelta | None = None


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=10, minutes=30)), timezone(-timedelta(hours=3))])
DOSES = st.builds(Dose, amount=st.decimals(allow_nan=False, allow_infinity=False, places=4), unit=TEXT)
EVENTS = st.builds(
    Given,
    patient=st.uuids(),
    at=st.datetimes(timezones=ZONES),
    day=st.dates(),
    doses=st.lists(DOSES, max_size=3),
    note=st.none() | TEXT,
    codes=st.lists(st.integers(-(2**53), 2**53), max_size=3).map(tuple),
    tags=st.dictionaries(TEXT, st.booleans(), max_size=3),
    long=st.none() | st.timedeltas(timedelta(0), timedelta(days=9)),
)
IDS = st.binary(min_size=16, max_size=16)


def read(payload: bytes, schema_id: int = 1, **options: Any) -> RecordedEvent | None:
    return record_from(
        payload, schema_id, "patient-7", 3, PLACE, 99, b"i" * 16, DataClass.PHI, registry=REGISTRY, **options
    )


@given(
    event=EVENTS,
    event_id=IDS,
    subject=TEXT,
    actor=TEXT,
    time=st.integers(-(2**62), 2**62),
    correlation_id=IDS,
    causation_id=st.none() | IDS,
)
def test_what_is_written_is_read(event: Given, **said: Any) -> None:
    encoder = EventEncoder(new_id=bytes, now=0, registry=REGISTRY)
    (run,) = encoder.runs([NewEvent(event, **said)])
    found = read(run.payloads[0])
    assert found == RecordedEvent(
        event=event,
        type="given",
        version=3,
        stream="patient-7",
        offset=3,
        position=PLACE,
        time=99,
        occurred=said["time"],
        event_id=said["event_id"],
        actor=said["actor"],
        subject=said["subject"],
        correlation_id=said["correlation_id"],
        causation_id=said["causation_id"] or b"",
        data_class=DataClass.PHI,
    )
    assert run.event_ids == (said["event_id"],)


@given(st.binary(max_size=40), st.sampled_from([0, 3, 900]))
def test_opaque_payloads_come_as_they_are(payload: bytes, schema_id: int) -> None:
    found = read(payload, schema_id)
    assert found is not None
    assert (found.event, found.type, found.version, found.event_id) == (payload, "", 0, b"i" * 16)
    assert (found.time, found.occurred, found.actor, found.after.number) == (99, 99, "", 43)


def encode(registry: EventRegistry, event: Any) -> bytes:
    return registry.encode(event, event_id=bytes(16), time=1)


def test_an_unknown_type_says_where_it_lies_or_is_ignored() -> None:
    other = EventRegistry()
    other.event("gone")(Dose)
    payload = encode(other, Dose(amount=Decimal(1)))
    message = (
        "unknown event type 'gone' version 1: the name isn't registered; it lies in stream 'patient-7' at offset 3"
    )
    with pytest.raises(UnknownEventType, match=message):
        read(payload)
    assert read(payload, ignore_unknown=True) is None


def test_a_body_that_does_not_fit_is_an_error_even_where_unknown_types_are_ignored() -> None:
    other = EventRegistry()
    other.event("given", version=3)(Dose)
    with pytest.raises(InvalidEvent, match="event 'given' version 3: Object missing required field `patient`"):
        read(encode(other, Dose(amount=Decimal(1))), ignore_unknown=True)


def test_what_is_no_envelope_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="an event envelope"):
        read(b"garbage!", ignore_unknown=True)
