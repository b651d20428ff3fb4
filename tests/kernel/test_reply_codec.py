import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RefusalCode
from vdb.kernel.reply import (
    Appended,
    AppendedStream,
    AuditAppended,
    ConsumerCreated,
    ConsumerDeleted,
    ConsumerFetched,
    ConsumerLeft,
    ConsumerSettled,
    KeyPut,
    LettersSettled,
    PartKept,
    Reconfigured,
    Refusal,
    Reply,
    SessionOpened,
    StreamCreated,
    Voided,
)
from vdb.kernel.reply_codec import decode_reply, encode_reply

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
streams = st.lists(st.builds(AppendedStream, u64, u64, u64), max_size=4).map(tuple)
replies = st.one_of(
    st.builds(StreamCreated, u64, st.booleans()),
    st.builds(Appended, streams, u64, u64, u64),
    st.builds(SessionOpened, u64),
    st.builds(KeyPut, st.binary(min_size=16, max_size=16)),
    st.builds(PartKept, u64, st.integers(0, 2**32 - 1)),
    st.builds(Voided, u64),
    st.builds(Reconfigured, u64),
    st.builds(AuditAppended, u64, u64, u64, u64),
    st.builds(ConsumerCreated, st.booleans()),
    st.builds(ConsumerFetched, u64, st.lists(st.tuples(u64, u32), max_size=4).map(tuple)),
    st.builds(ConsumerSettled, st.lists(u64, max_size=4).map(tuple)),
    st.builds(ConsumerLeft, u32),
    st.builds(ConsumerDeleted, st.booleans()),
    st.builds(LettersSettled, u32),
    st.builds(Refusal, st.sampled_from(RefusalCode), st.text()),
)


@given(replies)
def test_round_trip(reply: Reply) -> None:
    assert decode_reply(encode_reply(reply)) == reply


def test_an_append_to_one_stream_takes_49_bytes() -> None:
    assert len(encode_reply(Appended((AppendedStream(1, 2, 3),), 4, 5, 6))) == 49


def test_an_unknown_tag_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="found 99"):
        decode_reply(b"\x63")
