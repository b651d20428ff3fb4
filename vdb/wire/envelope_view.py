"""A look at an event's envelope where it lies: fields are cut out when they are asked for, and not before.

Whoever applies a log's events needs of most envelopes the type and the body. A message of one segment whose root lies
first, as this version writes it, is read in place:

    0   u32 segments - 1 (0), u32 words of the segment
    8   root pointer: a struct of 2 words and 7 pointers, right behind
    16  u32 version, 4 bytes unused; i64 time
    32  pointers, each to a list of bytes: event id, type, actor, correlation id, causation id, subject, body

A pointer holds, from its lowest bit: 2 bits (1: a list), the signed offset in words from its own end (30 bits), 3 bits
(2: of bytes), the count (29 bits). A text's last byte is 0. 0 is an empty field.

Rules
- Anything else, other layouts and bytes that are no message, goes to `decode_envelope`, which reads every envelope and
  refuses what isn't one. So both ways give the same values.
- A field that nobody asks for isn't checked.
"""

from __future__ import annotations

import struct

from vdb.errors import WireError
from vdb.limits import EVENT_ID_SIZE
from vdb.wire.event import EventEnvelope, decode_envelope

_FIXED = struct.Struct("<IIQI4xq7Q")
_ROOT = 7 << 48 | 2 << 32
_POINTERS_AT = 32
_KIND_BITS = 7 << 32 | 3
_BYTES = 2 << 32 | 1
_OFFSET_BITS = 0xFFFFFFFC
_NEGATIVE = 0x80000000
_EVENT_ID, _TYPE, _ACTOR, _CORRELATION_ID, _CAUSATION_ID, _SUBJECT, _BODY = range(5, 12)
"""Where their pointers stand among the fields of `_FIXED`."""
_TYPE_AT = _POINTERS_AT + 8 * (_TYPE - _EVENT_ID + 1)
_BODY_AT = _POINTERS_AT + 8 * (_BODY - _EVENT_ID + 1)


_FEW = struct.Struct("<QQI20xQ32xQ")
"""The first word, the root pointer, the version, and the pointers to type and body."""


class EnvelopeView:
    """Has what an `EventEnvelope` has, by the same names. Reading a field raises WireError when its bytes don't do."""

    __slots__ = ("_data", "_fields", "body", "time", "type", "version")

    def __init__(self, data: bytes, fields: tuple[int, ...], type: str, body: bytes) -> None:
        self._data = data
        self._fields = fields
        self.version = fields[3]
        self.time = fields[4]
        self.type = type
        self.body = body

    @property
    def event_id(self) -> bytes:
        found = _cut(self._data, self._fields, _EVENT_ID)
        if found is None or len(found) != EVENT_ID_SIZE:
            return decode_envelope(self._data).event_id
        return found

    @property
    def correlation_id(self) -> bytes:
        found = _cut(self._data, self._fields, _CORRELATION_ID)
        return decode_envelope(self._data).correlation_id if found is None else found

    @property
    def causation_id(self) -> bytes:
        found = _cut(self._data, self._fields, _CAUSATION_ID)
        return decode_envelope(self._data).causation_id if found is None else found

    @property
    def actor(self) -> str:
        found = _cut(self._data, self._fields, _ACTOR)
        return decode_envelope(self._data).actor if found is None else _text(found)

    @property
    def subject(self) -> str:
        found = _cut(self._data, self._fields, _SUBJECT)
        return decode_envelope(self._data).subject if found is None else _text(found)


Envelope = EnvelopeView | EventEnvelope


def view_envelope(payload: bytes) -> Envelope:
    """The envelope in a payload whose schema id is 1; WireError when the bytes aren't one."""
    if len(payload) < _FIXED.size:
        return decode_envelope(payload)
    fields = _FIXED.unpack_from(payload)
    if fields[0] or fields[2] != _ROOT or 8 * fields[1] + 8 != len(payload):
        return decode_envelope(payload)
    type_, body = _cut(payload, fields, _TYPE), _cut(payload, fields, _BODY)
    if type_ is None or body is None:
        return decode_envelope(payload)
    return EnvelopeView(payload, fields, _text(type_), body)


def type_and_body(payload: bytes) -> tuple[bytes, int, bytes] | None:
    """Type, as its bytes and a final 0, version and body; None when it takes `view_envelope` to read the envelope."""
    size = len(payload)
    if size < _FIXED.size:
        return None
    first, root, version, type_, body = _FEW.unpack_from(payload)
    if first != (size - 8) >> 3 << 32 or root != _ROOT or (type_ | body) & _NEGATIVE:
        return None
    if type_ & _KIND_BITS != _BYTES or body & _KIND_BITS != _BYTES:
        return None
    type_at, body_at = _TYPE_AT + 2 * (type_ & _OFFSET_BITS), _BODY_AT + 2 * (body & _OFFSET_BITS)
    type_end, body_end = type_at + (type_ >> 35), body_at + (body >> 35)
    if type_end > size or body_end > size or size & 7:
        return None
    return payload[type_at:type_end], version, payload[body_at:body_end]


def _cut(data: bytes, fields: tuple[int, ...], number: int) -> bytes | None:
    """The bytes that a pointer points at; None when it isn't a plain one."""
    pointer = fields[number]
    if pointer == 0:
        return b""
    if pointer & _KIND_BITS != _BYTES or pointer & _NEGATIVE:
        return None
    # Offsets count words of 8 bytes from the pointer's end, and stand two bits up in it.
    start = _POINTERS_AT + 8 * (number - _EVENT_ID + 1) + 2 * (pointer & _OFFSET_BITS)
    end = start + (pointer >> 35)
    return data[start:end] if end <= len(data) else None


def _text(found: bytes) -> str:
    if not found:
        return ""
    if found[-1]:
        raise WireError("an event envelope: its bytes don't follow the encoding")
    try:
        return found[:-1].decode()
    except UnicodeDecodeError:
        raise WireError("an event envelope: its bytes don't follow the encoding") from None
