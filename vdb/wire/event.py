"""Events as bytes (`schemas/event.capnp`): batches of payloads, and the envelope of a typed event.

Rules
- A batch is the plaintext of one sealed record. Batches that other Cap'n Proto writers made (the RPC layer copies
  lists inside C++) decode as well.
- Decoding arbitrary bytes raises WireError and nothing else; no message shows a payload.
- Pointers of a forged message may overlap: what is read is bounded by the size of the message (`traversal_limit`).
- Unset fields decode to 0 and "" as in Cap'n Proto, so that envelopes of older writers stay readable.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from attrs import field

from vdb.errors import WireError
from vdb.limits import EVENT_ID_SIZE
from vdb.ports import Buffer
from vdb.values import fast_frozen
from vdb.wire import schema
from vdb.wire.envelope import Fields, read_usual, usual_envelope, usual_type

OPAQUE_SCHEMA = 0
"""Schema id of payloads that only their writer understands."""

ENVELOPE_SCHEMA = 1
"""Schema id of payloads that are event envelopes."""

ERASED_SCHEMA = 2**32 - 1
"""Schema id that a read gives events whose key was destroyed; their payloads are empty. Nobody writes it."""

_EventBatch = schema.event.EventBatch
_EventEnvelope = schema.event.EventEnvelope
_SEGMENTS = struct.Struct("<I")
_SEGMENTS_MAX = 512


@fast_frozen(kw_only=True)
class EventEnvelope:
    """A typed event. Ids are 16 bytes; correlation and causation may be empty."""

    event_id: bytes
    type: str
    version: int = 1
    time: int
    """Microseconds UTC: when it happened, according to the writer."""
    actor: str = field(default="", repr=False)
    correlation_id: bytes = b""
    causation_id: bytes = b""
    subject: str = field(default="", repr=False)
    """Whose data this is, or empty."""
    body: bytes = field(repr=False)
    """JSON of the registered class."""


def encode_batch(payloads: Sequence[bytes]) -> bytes:
    """The EventBatch of these payloads, as one framed message."""
    encoded: bytes = _EventBatch.new_message(payloads=payloads).to_bytes()
    return encoded


def decode_batch(batch: Buffer) -> list[bytes]:
    """The payloads of an EventBatch; WireError when the bytes aren't one."""
    data = bytes(batch)
    limit = _check_frame(data, "an event batch")
    try:
        with _EventBatch.from_bytes(data, traversal_limit_in_words=limit) as reader:
            return list(reader.payloads)
    except schema.CapnpError:
        raise WireError("an event batch: its bytes don't follow the encoding") from None


def encode_envelope(envelope: EventEnvelope) -> bytes:
    """The envelope as one framed message. WireError for ids that aren't 16 bytes and numbers out of range."""
    for name, value, needed in (
        ("event_id", envelope.event_id, True),
        ("correlation_id", envelope.correlation_id, False),
        ("causation_id", envelope.causation_id, False),
    ):
        if len(value) != EVENT_ID_SIZE and (needed or value):
            raise WireError(f"an envelope's {name}: expected {EVENT_ID_SIZE} bytes, found {len(value)}")
    if not 0 <= envelope.version < 2**32 or not -(2**63) <= envelope.time < 2**63:
        raise WireError("an envelope's version or time is out of range")
    return usual_envelope(
        envelope.version,
        envelope.time,
        envelope.event_id,
        _utf8(envelope.type),
        _utf8(envelope.actor),
        envelope.correlation_id,
        envelope.causation_id,
        _utf8(envelope.subject),
        envelope.body,
    )


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise WireError("an envelope's text: expected what UTF-8 can hold, found a lone surrogate") from None


def decode_envelope(payload: Buffer) -> EventEnvelope:
    """The envelope in a payload whose schema id is 1; WireError when the bytes aren't one."""
    data = bytes(payload)
    usual = read_usual(data)
    envelope = _read_any(data) if usual is None else _from_usual(*usual)
    if len(envelope.event_id) != EVENT_ID_SIZE:
        raise WireError(f"an envelope's event id: expected {EVENT_ID_SIZE} bytes, found {len(envelope.event_id)}")
    return envelope


def _from_usual(version: int, time: int, fields: Fields) -> EventEnvelope:
    event_id, kind, actor, correlation_id, causation_id, subject, body = fields
    try:
        return EventEnvelope(
            event_id=event_id,
            type=kind.decode(),
            version=version,
            time=time,
            actor=actor.decode(),
            correlation_id=correlation_id,
            causation_id=causation_id,
            subject=subject.decode(),
            body=body,
        )
    except UnicodeDecodeError:
        raise WireError("an event envelope: its bytes don't follow the encoding") from None


def _read_any(data: bytes) -> EventEnvelope:
    limit = _check_frame(data, "an event envelope")
    try:
        with _EventEnvelope.from_bytes(data, traversal_limit_in_words=limit) as reader:
            return EventEnvelope(
                event_id=reader.eventId,
                type=reader.type,
                version=reader.version,
                time=reader.time,
                actor=reader.actor,
                correlation_id=reader.correlationId,
                causation_id=reader.causationId,
                subject=reader.subject,
                body=reader.body,
            )
    except (schema.CapnpError, UnicodeDecodeError):
        raise WireError("an event envelope: its bytes don't follow the encoding") from None


def envelope_type(payload: Buffer) -> str:
    """The type of an envelope, without a look at the rest; WireError when the bytes aren't one."""
    data = bytes(payload)
    usual = usual_type(data)
    try:
        if usual is not None:
            return usual.decode()
        limit = _check_frame(data, "an event envelope")
        with _EventEnvelope.from_bytes(data, traversal_limit_in_words=limit) as reader:
            found: str = reader.type
            return found
    except (schema.CapnpError, UnicodeDecodeError):
        raise WireError("an event envelope: its bytes don't follow the encoding") from None


def _check_frame(data: bytes, what: str) -> int:
    """Refuse what can't be a message; the words that reading it may touch."""
    if len(data) < 8 or len(data) % 8:
        raise WireError(f"{what} of {len(data)} bytes: expected a positive multiple of 8")
    if _SEGMENTS.unpack_from(data)[0] >= _SEGMENTS_MAX:
        # What was found isn't told: in bytes that are no message the number is a piece of the payload.
        raise WireError(f"{what}: expected at most {_SEGMENTS_MAX} segments, found more")
    return len(data) // 8
