"""Envelopes of new events: what the event says, the context, the class, and the rest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from attrs import frozen

import vdb
from vdb.errors import InvalidArgument, InvalidEvent, UnknownEventType
from vdb.events import EventRegistry, NewEvent
from vdb.events.new_event import EncodedRun, EventEncoder
from vdb.wire.event import EventEnvelope, decode_envelope

REGISTRY = EventRegistry()


@REGISTRY.event("seen", version=2, subject="patient")
@frozen
class Seen:
    patient: str | None
    number: int = 0


@REGISTRY.event("heard", subject=lambda event: f"p-{event.number}")
@frozen
class Heard:
    number: int


@REGISTRY.event("tick")
@frozen
class Tick:
    pass


def encoder(now: int | None = 50) -> EventEncoder:
    numbers = count(1)
    return EventEncoder(new_id=lambda: next(numbers).to_bytes(16, "big"), now=now, registry=REGISTRY)


def encode(*events: Any, now: int | None = 50) -> tuple[EncodedRun, ...]:
    return encoder(now).runs(events)


def envelopes(runs: tuple[EncodedRun, ...]) -> list[EventEnvelope]:
    return [decode_envelope(payload) for run in runs for payload in run.payloads]


def number(value: int) -> bytes:
    return value.to_bytes(16, "big")


def test_defaults() -> None:
    (one,) = envelopes(encode(Seen("p")))
    assert (one.type, one.version, one.time, one.subject, one.actor) == ("seen", 2, 50, "p", "")
    assert (one.event_id, one.correlation_id, one.causation_id) == (number(1), number(1), b"")


def test_events_of_a_call_are_correlated_by_the_first() -> None:
    found = encoder()
    runs = (*found.runs([Tick(), Tick()]), *found.runs([Tick()]))
    assert [one.event_id for one in envelopes(runs)] == [number(1), number(2), number(3)]
    assert {one.correlation_id for one in envelopes(runs)} == {number(1)}


def test_the_context_counts_more_than_defaults_and_the_event_more_than_the_context() -> None:
    with vdb.context(actor="dr.lee", correlation_id=number(7), causation_id=number(8)):
        first, second = envelopes(
            encode(
                Seen("p"),
                NewEvent(
                    Seen("p"),
                    event_id=UUID(int=9),
                    subject="q",
                    actor="nurse",
                    time=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
                    correlation_id=number(10),
                    causation_id=number(11),
                ),
            )
        )
    assert (first.actor, first.correlation_id, first.causation_id) == ("dr.lee", number(7), number(8))
    assert (second.actor, second.subject, second.time) == ("nurse", "q", 1_000_000)
    assert (second.event_id, second.correlation_id, second.causation_id) == (number(9), number(10), number(11))


def test_runs_have_one_subject_each() -> None:
    runs = encode(Seen("a"), Seen("a"), Seen("b"), Heard(3), Tick(), NewEvent(Tick(), subject=""), Seen(None))
    assert [(run.subject, len(run.payloads), len(run.event_ids)) for run in runs] == [
        ("a", 2, 2),
        ("b", 1, 1),
        ("p-3", 1, 1),
        ("", 3, 3),
    ]
    assert encode() == ()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: encode(Tick(), b"x"), InvalidArgument, r"events\[1\]: .* registered class; found bytes \(`publish`"),
        (lambda: encode(NewEvent(NewEvent(Tick()))), InvalidArgument, "registered class; found NewEvent"),
        (lambda: encode(7), UnknownEventType, r"events\[0\]: int isn't a registered event"),
        (lambda: encode(Tick(), Seen("p", "Ada")), InvalidEvent, r"events\[1\]: event 'seen' .* at \$.number"),
        (lambda: encode(Tick(), now=None), InvalidArgument, "this client has no clock"),
        (lambda: NewEvent(Tick(), time=datetime(2026, 1, 1)), InvalidArgument, "an event's time: .* with a zone"),
        (lambda: NewEvent(Tick(), event_id=b"x"), InvalidArgument, "an event's id is 16 bytes"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert "Ada" not in str(caught.value)


def test_an_event_may_say_its_time_where_there_is_no_clock() -> None:
    (one,) = envelopes(encode(NewEvent(Tick(), time=7), now=None))
    assert one.time == 7


def test_a_subject_is_a_field_of_the_class() -> None:
    with pytest.raises(InvalidArgument, match="event 'x': its subject is a field of Tick; found 'who'"):
        EventRegistry().event("x", subject="who")(Tick)
