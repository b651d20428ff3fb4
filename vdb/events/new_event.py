"""What is to be appended: events, alone or with what their envelopes are to say, and the runs that they become.

Rules
- What a `NewEvent` says counts most, then the context (`vdb.context`), then the class (its subject), then defaults:
  an event id of its own, the time of the call, and itself as its correlation.
- Consecutive events of one subject are one run: they are sealed together, under the subject's key.
- Events of one call happened at one time, unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from vdb.errors import InvalidArgument
from vdb.events.event_context import AnyId, EventContext, current_context, id_bytes
from vdb.events.registry import REGISTRY, EventRegistry
from vdb.events.times import time_us

NewId = Callable[[], bytes]
"""Draws 16 bytes that nobody has drawn before."""


def _id(value: AnyId | None) -> bytes | None:
    return None if value is None else id_bytes(value, "an event's id")


def _time(value: datetime | int | None) -> int | None:
    return None if value is None else time_us(value, "an event's time")


@frozen
class NewEvent:
    """An event and what its envelope is to say; None: what context, class and defaults say."""

    event: Any = field(repr=False)
    """An instance of a registered class."""
    event_id: bytes | None = field(default=None, converter=_id, kw_only=True)
    """The same id appended again to the same stream is the same event: see `append`."""
    subject: str | None = field(default=None, kw_only=True, repr=False)
    actor: str | None = field(default=None, kw_only=True, repr=False)
    time: int | None = field(default=None, converter=_time, kw_only=True)
    """When it happened: a datetime with a zone, or microseconds UTC."""
    correlation_id: bytes | None = field(default=None, converter=_id, kw_only=True)
    causation_id: bytes | None = field(default=None, converter=_id, kw_only=True)


@frozen(kw_only=True)
class EncodedRun:
    """Consecutive envelopes of one subject."""

    subject: str = field(repr=False)
    payloads: tuple[bytes, ...] = field(repr=False)
    event_ids: tuple[bytes, ...]


def encode_runs(
    events: Iterable[Any], *, new_id: NewId, now: int, registry: EventRegistry = REGISTRY
) -> tuple[EncodedRun, ...]:
    """The runs of these events (instances of registered classes, or `NewEvent`s). `now` is microseconds UTC.

    UnknownEventType, InvalidEvent: with the place of the event among them.
    """
    here = current_context()
    encoded = [_encode(event, here, new_id, now, registry) for event in events]
    runs: list[EncodedRun] = []
    start = 0
    for at in range(1, len(encoded) + 1):
        if at == len(encoded) or encoded[at][0] != encoded[start][0]:
            runs.append(_run(encoded[start:at]))
            start = at
    return tuple(runs)


def _run(encoded: Sequence[tuple[str, bytes, bytes]]) -> EncodedRun:
    return EncodedRun(
        subject=encoded[0][0],
        payloads=tuple(payload for _, payload, _ in encoded),
        event_ids=tuple(event_id for _, _, event_id in encoded),
    )


def _encode(
    given: Any, here: EventContext, new_id: NewId, now: int, registry: EventRegistry
) -> tuple[str, bytes, bytes]:
    """Subject, envelope and id."""
    new = given if isinstance(given, NewEvent) else NewEvent(given)
    if isinstance(new.event, bytes | bytearray | memoryview | NewEvent):
        raise InvalidArgument(
            f"an event is an instance of a registered class; found {type(new.event).__name__} "
            "(`publish` takes payloads)"
        )
    event_id = new_id() if new.event_id is None else new.event_id
    subject = registry.type_of(type(new.event)).subject_of(new.event) if new.subject is None else new.subject
    correlation = here.correlation_id if new.correlation_id is None else new.correlation_id
    payload = registry.encode(
        new.event,
        event_id=event_id,
        time=now if new.time is None else new.time,
        actor=here.actor if new.actor is None else new.actor,
        subject=subject,
        correlation_id=correlation or event_id,
        causation_id=here.causation_id if new.causation_id is None else new.causation_id,
    )
    return subject, payload, event_id
