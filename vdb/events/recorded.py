"""From what a log holds to an event: the one door for readers, projections, consumers, dead letters and replays.

An event is decoded by the registry, upcast to the newest version, wherever it comes from. A payload that is no
envelope comes as it is, as bytes of the type "".
"""

from __future__ import annotations

from typing import Any

from attrs import field

from vdb.errors import UnknownEventType
from vdb.events.erased import ERASED, ERASED_TYPE
from vdb.events.registry import REGISTRY, EventRegistry
from vdb.types import DataClass, Position
from vdb.values import fast_frozen
from vdb.wire.envelope_view import Envelope
from vdb.wire.event import ENVELOPE_SCHEMA, ERASED_SCHEMA, decode_envelope

NO_ID = b""


@fast_frozen(kw_only=True)
class RecordedEvent:
    """One event of the log. Times are microseconds UTC; ids are 16 bytes, or empty."""

    event: Any = field(repr=False)
    """An instance of the newest class that there is a way to; the bytes of an opaque payload; `Erased`."""
    type: str
    """The registered name; "" for an opaque payload."""
    version: int
    """That it was written with; 0 for an opaque payload."""
    stream: str
    offset: int
    position: Position
    """Of the event itself. `after` is where reading goes on."""
    time: int
    """When it was appended, according to the log."""
    occurred: int
    """When it happened, according to the writer; `time` for an opaque payload."""
    event_id: bytes
    actor: str = field(repr=False)
    subject: str = field(repr=False)
    """Whose data it is, as the envelope says; empty: the stream's own, or an opaque payload."""
    correlation_id: bytes
    causation_id: bytes
    data_class: DataClass

    @property
    def after(self) -> Position:
        """Just behind the event: what `wait_for` takes, and what `from_position` goes on from."""
        return Position(self.position.group, self.position.number + 1)


def record_from(
    payload: bytes,
    schema_id: int,
    stream: str,
    offset: int,
    position: Position,
    time: int,
    event_id: bytes | None,
    data_class: DataClass,
    *,
    registry: EventRegistry = REGISTRY,
    ignore_unknown: bool = False,
) -> RecordedEvent | None:
    """The event in a payload; None for one of an unknown type, where these are to be ignored.

    UnknownEventType names type, stream and offset; InvalidEvent the path of what doesn't fit; WireError: a payload
    that says it is an envelope, and isn't.
    """
    if schema_id != ENVELOPE_SCHEMA:
        erased = schema_id == ERASED_SCHEMA
        return RecordedEvent(
            event=ERASED if erased else payload,
            type=ERASED_TYPE if erased else "",
            version=0,
            stream=stream,
            offset=offset,
            position=position,
            time=time,
            occurred=time,
            event_id=event_id or NO_ID,
            actor="",
            subject="",
            correlation_id=NO_ID,
            causation_id=NO_ID,
            data_class=data_class,
        )
    envelope = decode_envelope(payload)
    try:
        event = registry.decode_body(envelope.type, envelope.version, envelope.body)
    except UnknownEventType as error:
        if ignore_unknown:
            return None
        raise UnknownEventType(f"{error}; it lies in stream {stream!r} at offset {offset}") from None
    return recorded(envelope, event, stream, offset, position, time, data_class)


def recorded(
    envelope: Envelope,
    event: Any,
    stream: str,
    offset: int,
    position: Position,
    time: int,
    data_class: DataClass,
) -> RecordedEvent:
    """The record of an event that was decoded already."""
    return RecordedEvent(
        event=event,
        type=envelope.type,
        version=envelope.version,
        stream=stream,
        offset=offset,
        position=position,
        time=time,
        occurred=envelope.time,
        event_id=envelope.event_id,
        actor=envelope.actor,
        subject=envelope.subject,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        data_class=data_class,
    )
