"""The splitter gives back what was framed, however it is cut, and keeps no more than its limits."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.wire.framing import FrameSplitter, encode_frame, frame_header

words = st.binary(max_size=6).map(lambda data: data * 8)
messages = st.lists(st.lists(words, min_size=1, max_size=5), max_size=5)


def splitter() -> FrameSplitter:
    return FrameSplitter(size_max=4096, segments_max=5)


@given(messages, st.data())
def test_round_trip_in_any_pieces(sent: list[list[bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(message) for message in sent)
    cutter, received = splitter(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        cutter.feed(stream[:size])
        stream = stream[size:]
        while (frame := cutter.next_frame()) is not None:
            received.append([bytes(segment) for segment in frame])
    assert received == sent
    assert cutter.pending == 0


@given(st.lists(st.binary(max_size=64), max_size=20))
def test_arbitrary_bytes_never_do_more_than_refuse(pieces: list[bytes]) -> None:
    cutter = splitter()
    with contextlib.suppress(WireError):
        for piece in pieces:
            cutter.feed(piece)
            while (frame := cutter.next_frame()) is not None:
                assert 1 <= len(frame) <= 5
                assert sum(map(len, frame)) <= 4096
            assert cutter.pending <= 4096 + 24 + 64


def test_header_is_padded_to_a_word() -> None:
    assert frame_header([16]) == struct.pack("<II", 0, 2)
    assert frame_header([16, 8]) == struct.pack("<IIII", 1, 2, 1, 0)
    assert frame_header([16, 8, 0]) == struct.pack("<IIII", 2, 2, 1, 0)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (struct.pack("<II", 0, 513), "a message of 4104 bytes is above the limit of 4096"),
        (struct.pack("<II", 0, 0xFFFFFFFF), "a message of 34359738360 bytes is above the limit of 4096"),
        (struct.pack("<II", 5, 0), "a message of 6 segments is above the limit of 5"),
        (struct.pack("<II", 0xFFFFFFFF, 0), "a message of 4294967296 segments is above the limit of 5"),
        (struct.pack("<IIII", 1, 512, 1, 0), "a message of 4104 bytes is above the limit of 4096"),
    ],
)
def test_limits_are_judged_by_the_header(header: bytes, message: str) -> None:
    cutter = splitter()
    cutter.feed(header)
    with pytest.raises(WireError, match=message):
        cutter.next_frame()


def test_the_largest_message_passes() -> None:
    cutter = splitter()
    cutter.feed(encode_frame([bytes(4096)]))
    assert cutter.next_frame() == [bytearray(4096)]


def test_a_segment_is_the_callers_own() -> None:
    cutter = splitter()
    cutter.feed(encode_frame([b"a" * 8]) * 2)
    first = cutter.next_frame()
    assert first is not None
    first[0][:] = b"b" * 8
    cutter.feed(b"")
    assert cutter.next_frame() == [bytearray(b"a" * 8)]
