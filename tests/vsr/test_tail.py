"""What a superblock keeps of a vote or of a view's log: round trips, and bytes that are neither."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import DoViewChange, TailEntry
from vdb.vsr.tail import decode_log, decode_vote, encode_log, encode_vote, tail_size

U64 = st.integers(0, 2**64 - 1)


def a_header(op: int) -> PrepareHeader:
    return PrepareHeader.make(
        body=b"", parent=ZERO_CHECKSUM, checkpoint_id=ZERO_CHECKSUM, group=bytes(32), view=3, op=op, commit=0,
        timestamp=op, request_count=1,
    )  # fmt: skip


@st.composite
def votes(draw: st.DrawFn) -> DoViewChange:
    first = draw(st.integers(1, 1000))
    tail = tuple(
        TailEntry(
            op=op,
            header=a_header(op) if draw(st.booleans()) else None,
            present=draw(st.booleans()),
            nack=draw(st.booleans()),
        )
        for op in range(first, first + draw(st.integers(0, 5)))
    )
    return DoViewChange(
        view=draw(U64), log_view=draw(U64), commit=draw(U64), checkpoint_op=draw(U64), to=draw(st.integers(0, 255)),
        tail=tail, replica=4,
    )  # fmt: skip


@given(votes(), st.binary(max_size=40))
def test_a_vote_comes_back_as_it_was(vote: DoViewChange, rest: bytes) -> None:
    """Whatever stands behind it in the superblock's reserved bytes."""
    data = encode_vote(vote)
    assert len(data) <= tail_size(len(vote.tail))
    assert decode_vote(data + rest, replica=4) == vote
    assert decode_log(data) is None


@given(votes())
def test_a_vote_of_one_unsure_of_its_head_comes_back_as_such(vote: DoViewChange) -> None:
    unsure = evolve(vote, unsure=True)
    assert decode_vote(encode_vote(unsure), replica=4) == unsure
    assert decode_log(encode_vote(unsure)) is None


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 6))
def test_a_log_comes_back_as_it_was(view: int, commit: int, count: int) -> None:
    headers = tuple(a_header(op) for op in range(7, 7 + count))
    data = encode_log(view, commit, headers)
    assert decode_log(data) == (commit, headers)
    assert decode_vote(data, replica=4) is None


@given(st.binary(max_size=700))
def test_garbage_is_neither_and_raises_nothing(data: bytes) -> None:
    decode_vote(data, replica=0)
    decode_log(data)


@given(votes(), st.data())
def test_a_vote_that_was_cut_short_is_none(vote: DoViewChange, data: st.DataObject) -> None:
    encoded = encode_vote(vote)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert decode_vote(encoded[:cut], replica=4) is None


def test_a_damaged_header_makes_no_log() -> None:
    data = bytearray(encode_log(1, 0, (a_header(1),)))
    data[-PREPARE_HEADER_SIZE // 2] ^= 1
    assert decode_log(data) is None


def test_nothing_is_neither() -> None:
    assert decode_vote(b"", replica=0) is None
    assert decode_log(b"") is None
    assert decode_log(bytes(100)) is None
