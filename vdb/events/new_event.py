"""What is to be appended: events, alone or with what their envelopes are to say, and the runs that they become.

Rules
- What a `NewEvent` says counts most, then the context (`vdb.context`), then the class (its subject), then defaults:
  an event id of its own and the time of the call.
- Consecutive events of one subject are one run: they are sealed together, under the subject's key.
- Events of one call happened at one time, unless they say otherwise, and are correlated by the first one's id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from attrs import field, frozen

from vdb.errors import InvalidArgument, InvalidEvent, UnknownEventType
from vdb.events.event_context import AnyId, current_context, id_bytes
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


_NOTHING = NewEvent(None)
"""Says nothing: for events that come without a NewEvent of their own."""


@frozen(kw_only=True)
class EncodedRun:
    """Consecutive envelopes of one subject."""

    subject: str = field(repr=False)
    payloads: tuple[bytes, ...] = field(repr=False)
    event_ids: tuple[bytes, ...]


class EventEncoder:
    """Encodes the events of one call, which share a time and, unless something else says, a correlation: the id of the
    first of them."""

    def __init__(self, *, new_id: NewId, now: int | None, registry: EventRegistry = REGISTRY) -> None:
        """`now`: microseconds UTC; None: each event must say when it happened."""
        self._new_id = new_id
        self._now = now
        self._registry = registry
        self._here = current_context()
        self._first_id = b""

    def runs(self, events: Iterable[Any]) -> tuple[EncodedRun, ...]:
        """The runs of these events: instances of registered classes, or `NewEvent`s.

        UnknownEventType, InvalidEvent, InvalidArgument say which of them.
        """
        encoded = []
        for at, event in enumerate(events):
            try:
                encoded.append(self._encode(event))
            except (UnknownEventType, InvalidEvent, InvalidArgument) as error:
                raise type(error)(f"events[{at}]: {error}") from None
        runs: list[EncodedRun] = []
        start = 0
        for at in range(1, len(encoded) + 1):
            if at == len(encoded) or encoded[at][0] != encoded[start][0]:
                runs.append(_run(encoded[start:at]))
                start = at
        return tuple(runs)

    def _encode(self, given: Any) -> tuple[str, bytes, bytes]:
        """Subject, envelope and id."""
        new = given if isinstance(given, NewEvent) else _NOTHING
        event = new.event if new is not _NOTHING else given
        if isinstance(event, bytes | bytearray | memoryview | NewEvent):
            raise InvalidArgument(
                f"an event is an instance of a registered class; found {type(event).__name__} "
                "(`publish` takes payloads)"
            )
        entry = self._registry.type_of(type(event))
        time = self._now if new.time is None else new.time
        if time is None:
            raise InvalidArgument("an event's time: expected a NewEvent that says it, for this client has no clock")
        event_id = self._new_id() if new.event_id is None else new.event_id
        self._first_id = self._first_id or event_id
        here = self._here
        subject = entry.subject_of(event) if new.subject is None else new.subject
        correlation = here.correlation_id if new.correlation_id is None else new.correlation_id
        payload = self._registry.encode(
            event,
            event_id=event_id,
            time=time,
            actor=here.actor if new.actor is None else new.actor,
            subject=subject,
            correlation_id=correlation or self._first_id,
            causation_id=here.causation_id if new.causation_id is None else new.causation_id,
        )
        return subject, payload, event_id


def _run(encoded: Sequence[tuple[str, bytes, bytes]]) -> EncodedRun:
    return EncodedRun(
        subject=encoded[0][0],
        payloads=tuple(payload for _, payload, _ in encoded),
        event_ids=tuple(event_id for _, _, event_id in encoded),
    )
