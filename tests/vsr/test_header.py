"""The 256 bytes of a prepare's header."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.vsr.header import Operation, PrepareHeader, decode_header, decode_prepare

HASH = st.binary(min_size=32, max_size=32)
U32 = st.integers(0, 2**31)


@st.composite
def headers(draw: st.DrawFn) -> tuple[PrepareHeader, bytes]:
    body = draw(st.binary(max_size=64))
    op = draw(st.integers(1, 2**60))
    header = PrepareHeader.make(
        body=body,
        parent=draw(HASH),
        checkpoint_id=draw(HASH),
        group=draw(HASH),
        view=draw(U32),
        op=op,
        commit=draw(st.integers(0, op - 1)),
        timestamp=draw(st.integers(0, 2**60)),
        request_count=draw(U32),
    )
    return header, body


@given(headers())
def test_what_is_encoded_is_decoded(made: tuple[PrepareHeader, bytes]) -> None:
    header, body = made
    encoded = header.encode()
    assert len(encoded) == PREPARE_HEADER_SIZE
    assert decode_header(encoded) == header
    prepare = decode_prepare(encoded + body + b"what follows in the slot")
    assert prepare is not None
    assert (prepare.header, prepare.body) == (header, body)


@given(headers(), st.integers(0, PREPARE_HEADER_SIZE - 1), st.integers(1, 255))
def test_every_changed_byte_is_seen(made: tuple[PrepareHeader, bytes], at: int, flip: int) -> None:
    encoded = bytearray(made[0].encode())
    encoded[at] ^= flip
    assert decode_header(encoded) is None


@given(headers(), st.data())
def test_a_changed_or_short_body_is_seen(made: tuple[PrepareHeader, bytes], data: st.DataObject) -> None:
    header, body = made
    if not body:
        return
    at = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(header.encode() + body)
    changed[PREPARE_HEADER_SIZE + at] ^= 1
    assert decode_prepare(changed) is None
    assert decode_prepare(header.encode() + body[:at]) is None


def test_a_reserved_header_names_its_slot() -> None:
    header = PrepareHeader.reserved(group=bytes(32), slot=7)
    decoded = decode_header(header.encode())
    assert decoded is not None
    assert (decoded.operation, decoded.op) == (Operation.RESERVED, 7)


def test_another_size_is_no_header() -> None:
    assert decode_header(bytes(PREPARE_HEADER_SIZE - 1)) is None
    assert decode_header(bytes(PREPARE_HEADER_SIZE)) is None
