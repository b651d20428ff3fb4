"""Batches and envelopes round trip, other writers' are read, and arbitrary bytes raise WireError alone."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire import schema
from vdb.wire.event import EventEnvelope, decode_batch, decode_envelope, encode_batch, encode_envelope

PAYLOADS = st.lists(st.binary(max_size=40), max_size=30)
IDS = st.binary(min_size=16, max_size=16)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
ENVELOPES = st.builds(
    EventEnvelope,
    event_id=IDS,
    type=TEXTS,
    version=st.integers(0, 2**32 - 1),
    time=st.integers(-(2**63), 2**63 - 1),
    actor=TEXTS,
    correlation_id=st.just(b"") | IDS,
    causation_id=st.just(b"") | IDS,
    subject=TEXTS,
    body=st.binary(max_size=50),
)


@given(PAYLOADS)
def test_a_batch_round_trips(payloads: list[bytes]) -> None:
    assert decode_batch(encode_batch(payloads)) == payloads


@pytest.mark.parametrize("size", [3_000, 9_000, 100_000])
def test_batches_of_several_segments_are_read(size: int) -> None:
    """A C++ writer starts a new segment when the first is full: far pointers lead there."""
    payloads = [bytes([index]) * size for index in range(8)]
    with schema.verity.EventRun.from_bytes(
        schema.verity.EventRun.new_message(payloads=payloads).to_bytes(), traversal_limit_in_words=2**30
    ) as run:
        batch = schema.event.EventBatch.new_message()
        batch.payloads = run.payloads
        data = batch.to_bytes()
    assert struct.unpack_from("<I", data)[0] > 0, "expected several segments"
    assert decode_batch(data) == payloads


def test_an_empty_batch_of_another_writer_is_empty() -> None:
    assert decode_batch(schema.event.EventBatch.new_message().to_bytes()) == []


@given(ENVELOPES)
def test_an_envelope_round_trips(envelope: EventEnvelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(st.binary(max_size=200))
def test_garbage_raises_wire_error_alone(data: bytes) -> None:
    for decode in (decode_batch, decode_envelope):
        with contextlib.suppress(WireError):
            decode(data)


@given(PAYLOADS, st.data())
def test_damage_gives_wire_error_or_bytes(payloads: list[bytes], data: st.DataObject) -> None:
    batch = bytearray(encode_batch(payloads))
    for _ in range(3):
        batch[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode_batch(bytes(batch))
    except WireError:
        return
    assert sum(map(len, found)) <= len(batch)


def test_overlapping_payloads_are_refused() -> None:
    body = bytes(4096)
    count = 64
    pointers = [1 | ((count - index - 1) << 2) | (2 << 32) | (len(body) << 35) for index in range(count)]
    words = struct.pack("<QQ", 1 << 48, 1 | (6 << 32) | (count << 35)) + struct.pack(f"<{count}Q", *pointers) + body
    with pytest.raises(WireError, match="don't follow the encoding"):
        decode_batch(struct.pack("<II", 0, len(words) // 8) + words)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an event batch of 0 bytes"),
        (bytes(9), "an event batch of 9 bytes: expected a positive multiple of 8"),
        (struct.pack("<II", 0, 9), "don't follow the encoding"),
        (struct.pack("<II", 2**31, 9), "expected at most 512 segments, found more"),
        (struct.pack("<IIQ", 0, 1, 1), "don't follow the encoding"),
        (struct.pack("<IIQ", 0, 1, 1 << 48), "don't follow the encoding"),
        (struct.pack("<IIQQ", 0, 2, 1 << 48, 1 | 2 << 32), "don't follow the encoding"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        decode_batch(data)


def test_ids_of_envelopes_have_sixteen_bytes() -> None:
    with pytest.raises(WireError, match="event_id: expected 16 bytes, found 3"):
        encode_envelope(EventEnvelope(event_id=b"abc", type="t", time=0, body=b""))
    with pytest.raises(WireError, match="causation_id: expected 16 bytes, found 1"):
        encode_envelope(EventEnvelope(event_id=bytes(16), causation_id=b"x", type="t", time=0, body=b""))


def test_neither_body_nor_subject_is_in_the_repr() -> None:
    envelope = EventEnvelope(event_id=bytes(16), type="t", time=0, subject="Ada Lovelace", body=b"her notes")
    assert "Ada" not in repr(envelope)
    assert "notes" not in repr(envelope)
