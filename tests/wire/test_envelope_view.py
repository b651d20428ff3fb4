"""A view reads what the decoder reads, of envelopes of every layout, and refuses what it refuses."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire.envelope_view import EnvelopeView, type_and_body, view_envelope
from vdb.wire.event import EventEnvelope, decode_envelope, encode_envelope

FIELDS = ("event_id", "type", "version", "time", "actor", "correlation_id", "causation_id", "subject", "body")
IDS = st.binary(min_size=16, max_size=16)
TEXTS = st.text(max_size=40).filter(lambda text: "\0" not in text)
ENVELOPES = st.builds(
    EventEnvelope,
    event_id=IDS,
    type=TEXTS,
    version=st.integers(0, 2**32 - 1),
    time=st.integers(-(2**63), 2**63 - 1),
    actor=TEXTS,
    correlation_id=st.one_of(st.just(b""), IDS),
    causation_id=st.one_of(st.just(b""), IDS),
    subject=TEXTS,
    body=st.binary(max_size=300),
)


def values(envelope: object) -> list[object]:
    return [getattr(envelope, name) for name in FIELDS]


@given(envelope=ENVELOPES)
def test_a_view_says_what_was_written(envelope: EventEnvelope) -> None:
    found = view_envelope(encode_envelope(envelope))
    assert isinstance(found, EnvelopeView)
    assert values(found) == values(envelope)


@given(envelope=ENVELOPES)
def test_type_and_body_alone_are_the_same(envelope: EventEnvelope) -> None:
    found = type_and_body(encode_envelope(envelope))
    if envelope.type and envelope.body:
        assert found == (envelope.type.encode() + b"\0", envelope.version, envelope.body)


@given(payload=st.binary(max_size=200))
def test_type_and_body_of_no_envelope_are_nothing(payload: bytes) -> None:
    assert type_and_body(payload) is None


def test_an_envelope_of_several_segments_is_decoded() -> None:
    envelope = EventEnvelope(event_id=bytes(16), type="t", time=1, actor="dr", body=bytes(100))
    plain = encode_envelope(envelope)
    payload = struct.pack("<IIII", 1, (len(plain) - 8) // 8, 0, 0) + plain[8:]  # the second one is empty
    assert type_and_body(payload) is None
    found = view_envelope(payload)
    assert isinstance(found, EventEnvelope)
    assert values(found) == values(envelope)


def test_a_large_envelope_is_read() -> None:
    envelope = EventEnvelope(event_id=bytes(16), type="t", time=1, body=bytes(100_000))
    assert values(view_envelope(encode_envelope(envelope))) == values(envelope)


@given(envelope=ENVELOPES, at=st.integers(0, 87), value=st.integers(0, 255))
def test_damaged_bytes_are_read_as_the_decoder_does_or_refused(envelope: EventEnvelope, at: int, value: int) -> None:
    damaged = bytearray(encode_envelope(envelope))
    damaged[at] = value
    payload = bytes(damaged)
    try:
        expected: list[object] | None = values(decode_envelope(payload))
    except WireError:
        expected = None
    try:
        found: list[object] | None = values(view_envelope(payload))
    except WireError:
        found = None
    assert found == expected or found is None or expected is None


@given(payload=st.binary(max_size=200))
def test_what_is_no_envelope_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        view_envelope(payload)


def test_a_text_that_is_not_utf8_is_refused() -> None:
    payload = bytearray(encode_envelope(EventEnvelope(event_id=bytes(16), type="t", time=1, actor="dr", body=b"{}")))
    payload[payload.index(b"dr")] = 0xFF
    found = view_envelope(bytes(payload))
    with pytest.raises(WireError, match="its bytes don't follow the encoding"):
        _ = found.actor


def test_a_pointer_beyond_the_end_is_not_followed() -> None:
    payload = bytearray(encode_envelope(EventEnvelope(event_id=bytes(16), type="t", time=1, body=b"{}")))
    struct.pack_into("<Q", payload, 32 + 8 * 5, (100 << 35) | (2 << 32) | (1 << 10) | 1)
    with pytest.raises(WireError):
        _ = view_envelope(bytes(payload)).subject
