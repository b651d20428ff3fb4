"""What is laid by hand is what pycapnp lays, and what is read by hand is what pycapnp reads."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire import schema
from vdb.wire.envelope import read_usual, usual_envelope, usual_type
from vdb.wire.event import decode_envelope, envelope_type

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IDS = st.just(b"") | st.binary(min_size=16, max_size=16)
FIELDS = st.tuples(
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=16, max_size=16),
    TEXTS,
    TEXTS,
    IDS,
    IDS,
    TEXTS,
    st.binary(max_size=300),
)
NAMES = ("version", "time", "eventId", "type", "actor", "correlationId", "causationId", "subject", "body")
ORDER = ("eventId", "type", "version", "time", "actor", "correlationId", "causationId", "subject", "body")


def by_pycapnp(fields: tuple[Any, ...]) -> bytes:
    values = dict(zip(NAMES, fields, strict=True))
    encoded: bytes = schema.event.EventEnvelope.new_message(**{name: values[name] for name in ORDER}).to_bytes()
    return encoded


def by_hand(fields: tuple[Any, ...]) -> bytes:
    return usual_envelope(*(value.encode() if isinstance(value, str) else value for value in fields))


def read_by_pycapnp(data: bytes) -> tuple[Any, ...]:
    with schema.event.EventEnvelope.from_bytes(data, traversal_limit_in_words=len(data) // 8) as reader:
        return tuple(getattr(reader, name) for name in NAMES)


def read_by_hand(data: bytes) -> tuple[Any, ...] | None:
    usual = read_usual(data)
    if usual is None:
        return None
    version, time, (event_id, kind, actor, correlation_id, causation_id, subject, body) = usual
    texts = kind.decode(), actor.decode(), subject.decode()
    return version, time, event_id, texts[0], texts[1], correlation_id, causation_id, texts[2], body


@given(FIELDS)
def test_the_bytes_are_the_same(fields: tuple[Any, ...]) -> None:
    data = by_hand(fields)
    assert data == by_pycapnp(fields)
    assert read_by_hand(data) == fields == read_by_pycapnp(data)
    assert envelope_type(data) == fields[3]


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_large_ones_of_either_are_read_by_either(size: int) -> None:
    fields = (1, 2, bytes(16), "type", "", b"", b"", "subject", b"x" * size)
    by_another = by_pycapnp(fields)
    assert struct.unpack_from("<I", by_another)[0] > 0, "expected several segments"
    assert read_usual(by_another) is None
    assert usual_type(by_another) is None
    assert decode_envelope(by_another).body == fields[-1]
    assert envelope_type(by_another) == "type"
    assert read_by_pycapnp(by_hand(fields)) == read_by_hand(by_hand(fields)) == fields


@settings(max_examples=300)
@given(FIELDS, st.data())
def test_of_damaged_ones_by_hand_is_read_what_pycapnp_reads(fields: tuple[Any, ...], data: st.DataObject) -> None:
    message = bytearray(by_hand(fields))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, 100))] = data.draw(st.integers(0, 255))
    try:
        found = read_by_hand(bytes(message))
    except UnicodeDecodeError:
        return
    if found is not None:
        assert found == read_by_pycapnp(bytes(message))
        assert envelope_type(bytes(message)) == found[3]


@given(st.binary(max_size=120))
@example(b"")
@example(bytes(88))
def test_garbage_is_left_to_pycapnp(data: bytes) -> None:
    assert read_usual(data) is None
    assert usual_type(data) is None


def test_unset_fields_are_empty() -> None:
    data = schema.event.EventEnvelope.new_message(eventId=bytes(16), body=b"x").to_bytes()
    assert read_by_hand(data) == (0, 0, bytes(16), "", "", b"", b"", "", b"x")
    assert envelope_type(data) == ""


def test_texts_that_are_no_utf_8_are_wire_errors() -> None:
    data = usual_envelope(1, 1, bytes(16), b"\xff", b"", b"", b"", b"", b"")
    for read in (decode_envelope, envelope_type):
        with pytest.raises(WireError, match="don't follow the encoding"):
            read(data)
