"""Frames between nodes: every message there and back, and nothing but ProtocolError for whatever else arrives."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.errors import ProtocolError
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import Operation, Prepare, PrepareHeader
from vdb.vsr.message import (
    Chunk,
    CommitMessage,
    CommitOk,
    CoreMessage,
    DoViewChange,
    ErasedMessage,
    FileEntry,
    Headers,
    Manifest,
    NotMember,
    Ping,
    PolicyMessage,
    PrepareMessage,
    PrepareOk,
    RecordedMessage,
    RecordMessage,
    RequestChunk,
    RequestHeaders,
    RequestManifest,
    RequestPrepare,
    RequestStartView,
    RootKeysMessage,
    StartView,
    StartViewChange,
    SyncMessage,
    TailEntry,
    WordMessage,
)
from vdb.wire import peer_messages
from vdb.wire.framing import encode_frame
from vdb.wire.peer import (
    FRAME_SIZE_MAX,
    HELLO_SIZE_MAX,
    decode_frame,
    decode_message,
    encode_message,
    new_splitter,
    next_frame,
)
from vdb.wire.peer_link import ALIVE, Echo, Hello, Probe, Refusal, RefusalReason, encode_link_frame
from vdb.wire.schema import peer

GROUP = b"g" * 32
CONFIGURATION = Configuration(epoch=7, base_view=3, base_index=1, voters=(0, 2, 5), learners=(9,))


def header(op: int = 3, body: bytes = b"", **changes: Any) -> PrepareHeader:
    fields = {
        "parent": b"p" * 32, "checkpoint_id": b"i" * 32, "group": GROUP, "view": 4, "commit": op - 1,
        "timestamp": 1_000_000, "request_count": 2, "configuration": CONFIGURATION,
    }  # fmt: skip
    return PrepareHeader.make(op=op, body=body, **{**fields, **changes})


def prepare(body: bytes, **changes: Any) -> Prepare:
    return Prepare(header(body=body, **changes), body)


LARGEST = 2**64 - 1
MESSAGES = (
    PrepareMessage(prepare=prepare(b""), replica=0),
    PrepareMessage(prepare=prepare(b"requests"), replica=1),
    PrepareMessage(prepare=prepare(b"r" * 1021, operation=Operation.RECONFIGURATION), replica=254),
    PrepareOk(view=2**32 - 1, op=LARGEST, checksum=b"c" * 32, replica=254),
    CommitMessage(view=1, commit=2, checksum=b"c" * 32, head=3, checkpoint_op=4, round=5, replica=6),
    CommitMessage(view=0, commit=LARGEST, head=LARGEST, checkpoint_op=LARGEST, round=LARGEST, replica=0),
    CommitOk(view=1, round=2, commit=3, checkpoint_op=4, replica=5),
    CommitOk(view=2**32 - 1, round=LARGEST, commit=LARGEST, checkpoint_op=LARGEST, replica=254),
    Ping(view=1, commit=2, checkpoint_op=3, replica=4),
    StartViewChange(view=9, replica=1),
    StartViewChange(
        view=9,
        replica=1,
        configuration=Configuration(epoch=7, base_view=8, base_index=1, voters=(0, 4), learners=(2,)),
    ),
    DoViewChange(view=9, log_view=8, commit=7, checkpoint_op=6, to=254, tail=(), replica=3),
    DoViewChange(view=9, log_view=8, commit=7, checkpoint_op=6, to=0, tail=(), unsure=True, replica=1),
    DoViewChange(
        view=9,
        log_view=8,
        commit=7,
        checkpoint_op=6,
        to=2,
        tail=(
            TailEntry(op=7, header=header(7), present=True),
            TailEntry(op=8, header=header(8), nack=True),
            TailEntry(op=9, header=None, nack=True),
            TailEntry(op=10, header=None),
        ),
        replica=3,
    ),
    StartView(view=9, commit=7, checkpoint_op=6, checkpoint_id=b"i" * 32, tail=(), replica=2),
    StartView(
        view=9,
        commit=7,
        checkpoint_op=6,
        checkpoint_id=b"i" * 32,
        tail=(header(7), header(8)),
        nonce=LARGEST,
        replica=2,
    ),
    RequestStartView(view=9, nonce=77, replica=2),
    RequestHeaders(first=1, last=LARGEST, replica=2),
    Headers(headers=(), replica=2),
    Headers(headers=tuple(header(op) for op in range(1, 200)), replica=2),
    RequestPrepare(op=5, checksum=b"c" * 32, replica=2),
    NotMember(epoch=12, replica=2),
    RequestManifest(checkpoint_op=128, replica=2),
    Manifest(
        checkpoint_op=128,
        checkpoint_id=b"i" * 32,
        files=(
            FileEntry(path="checkpoints/128/rows", size=LARGEST, checksum=b"a" * 32),
            FileEntry(path="log/00000001", size=0, checksum=b"b" * 32),
        ),
        configuration=CONFIGURATION,
        view=2**32 - 1,
        replica=2,
    ),
    RequestChunk(checkpoint_op=128, path="log/00000001", offset=LARGEST, size=2**32 - 1, replica=2),
    Chunk(checkpoint_op=128, path="log/00000001", offset=9, data=b"d" * 100_003, checksum=b"c" * 32, replica=2),
    Chunk(checkpoint_op=128, path="log/ü", offset=9, data=b"", checksum=b"c" * 32, replica=2),
    ErasedMessage(tenant=7, erasure=LARGEST, statement=b"{}", signature=b"s" * 64, replica=2),
    PolicyMessage(serial=LARGEST, version="sha256:" + "0" * 64, by="kim", text='name = "ü"', replica=2),
    RecordMessage(number=LARGEST, tenant=2**63 - 1, entries=(b"{}", b"", b"x" * 100), replica=2),
    RecordedMessage(
        number=LARGEST, done=True, tenant=7, index=LARGEST, first_entry=LARGEST, position=LARGEST, replica=2
    ),
    RootKeysMessage(number=LARGEST, asks=True, given=(), replica=2),
    RootKeysMessage(number=0, asks=False, given=(b"1" * 16, b"2" * 16), replica=2),
    RecordedMessage(number=1, done=False, tenant=0, index=0, first_entry=0, position=0, replica=2),
)
LINK_FRAMES = (
    Hello(node=254, to=1, cluster=b"c" * 16, disk=b"d" * 16),
    Hello(node=0, to=254, cluster=b"c" * 16, disk=b"d" * 16, version=65535),
    *(Refusal(reason) for reason in RefusalReason),
    Probe(LARGEST),
    Echo(1, -5),
    ALIVE,
)


def cut(data: bytes) -> list[bytearray]:
    """The one frame in these bytes."""
    splitter = new_splitter()
    splitter.feed(data)
    segments = next_frame(splitter)
    assert segments is not None
    assert splitter.pending == 0
    return segments


def through_pycapnp(message: Any) -> bytes:
    return encode_frame(peer_messages.message_to_frame(GROUP, message).to_segments())


def kind_of(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("message", MESSAGES, ids=kind_of)
def test_a_message_comes_back(message: Any) -> None:
    assert decode_message(cut(encode_message(GROUP, message))) == (GROUP, message)


def test_every_message_is_here() -> None:
    kinds = [*get_args(CoreMessage), *get_args(SyncMessage), *get_args(WordMessage)]
    assert sorted({kind_of(message) for message in MESSAGES}) == sorted(kind.__name__ for kind in kinds)


@pytest.mark.parametrize("message", MESSAGES, ids=kind_of)
def test_by_hand_and_by_pycapnp_are_the_same(message: Any) -> None:
    assert encode_message(GROUP, message) == through_pycapnp(message)
    # In two segments nothing is usual, so pycapnp reads it.
    frame = peer.PeerFrame.from_segments(cut(encode_message(GROUP, message)))
    assert peer_messages.message_from_frame(frame, str(frame.which())) == (GROUP, message)


@pytest.mark.parametrize("value", LINK_FRAMES, ids=kind_of)
def test_what_is_said_of_the_link_comes_back(value: Any) -> None:
    data = encode_link_frame(value)
    assert len(data) <= HELLO_SIZE_MAX
    assert decode_frame(cut(data)) == value
    with pytest.raises(ProtocolError, match=f"a message was expected, not {kind_of(value)}"):
        decode_message(cut(data))


@given(body=st.binary(max_size=300), replica=st.integers(0, 254), op=st.integers(1, 2**60))
def test_prepares_of_any_size(body: bytes, replica: int, op: int) -> None:
    message = PrepareMessage(prepare=prepare(body, op=op), replica=replica)
    data = encode_message(GROUP, message)
    assert data == through_pycapnp(message)
    assert decode_message(cut(data)) == (GROUP, message)


def test_a_body_is_copied_out_of_what_was_received() -> None:
    segments = cut(encode_message(GROUP, PrepareMessage(prepare=prepare(b"requests"), replica=1)))
    _, message = decode_message(segments)
    segments[0][:] = bytes(len(segments[0]))
    assert isinstance(message, PrepareMessage)
    assert type(message.prepare.body) is bytes
    assert message.prepare.body == b"requests"


# Bytes of others ----------------------------------------------------------------------------------------------


def decode_anything(segments: Sequence[bytes | bytearray]) -> object:
    """What was decoded; None for a ProtocolError. Any other error fails the test."""
    try:
        return decode_frame(segments)
    except ProtocolError:
        return None


@settings(max_examples=300)
@given(segments=st.lists(st.binary(max_size=200).map(lambda data: data + bytes(-len(data) % 8)), max_size=3))
def test_arbitrary_bytes(segments: list[bytes]) -> None:
    decode_anything(segments)


@settings(max_examples=400)
@given(
    which=st.integers(0, len(MESSAGES) + len(LINK_FRAMES) - 1),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_frames_with_other_bytes_somewhere(which: int, flips: list[tuple[int, int]]) -> None:
    whole = [encode_message(GROUP, each) for each in MESSAGES] + [encode_link_frame(each) for each in LINK_FRAMES]
    segment = cut(whole[which])[0]
    for at, value in flips:
        # The first words decide what the rest is: most changes go there.
        segment[at % min(len(segment), 160)] = value
    decode_anything([segment])


@given(which=st.integers(0, len(MESSAGES) - 1), words=st.integers(0, 60))
def test_frames_that_are_cut_short(which: int, words: int) -> None:
    segment = cut(encode_message(GROUP, MESSAGES[which]))[0]
    short = segment[: words * 8]
    if len(short) < len(segment):
        assert decode_anything([short]) != (GROUP, MESSAGES[which]) or not any(segment[len(short) :])


@settings(max_examples=200)
@given(data=st.binary(max_size=100))
def test_a_stream_of_arbitrary_bytes(data: bytes) -> None:
    splitter = new_splitter(HELLO_SIZE_MAX)
    splitter.feed(data)
    try:
        while (segments := next_frame(splitter)) is not None:
            decode_anything(segments)
    except ProtocolError:
        pass


def test_a_frame_that_is_too_large_is_refused_by_its_header() -> None:
    splitter = new_splitter()
    splitter.feed(struct.pack("<II", 0, FRAME_SIZE_MAX // 8 + 1))
    with pytest.raises(ProtocolError, match=f"above the limit of {FRAME_SIZE_MAX}"):
        next_frame(splitter)


def test_a_chunk_that_nobody_would_take_is_not_sent() -> None:
    chunk = Chunk(checkpoint_op=1, path="x", offset=0, data=bytes(FRAME_SIZE_MAX), checksum=b"c" * 32, replica=0)
    with pytest.raises(AssertionError, match=f"a Chunk of [0-9]+ bytes: expected {FRAME_SIZE_MAX} or less"):
        encode_message(GROUP, chunk)


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_prepare_is_checked(by_hand: bool) -> None:
    message = PrepareMessage(prepare=prepare(b"requests"), replica=1)
    for at, group in ((300, GROUP), (110, GROUP), (0, b"o" * 32)):
        data = bytearray(cut(encode_message(group, message))[0])
        if at:
            data[104 + at - 100] ^= 1
        segments = [bytes(data)] if by_hand else [bytes(data), bytes(8)]
        with pytest.raises(ProtocolError, match="a prepare"):
            decode_frame(segments)


@pytest.mark.parametrize("path", ["", "/log", "log/../../node", "log//x", "./log", "log/", "..", "log\0x", "p" * 513])
def test_a_path_stays_in_the_groups_directory(path: str) -> None:
    for message in (
        RequestChunk(checkpoint_op=1, path=path, offset=0, size=1, replica=0),
        Chunk(checkpoint_op=1, path=path, offset=0, data=b"", checksum=b"c" * 32, replica=0),
        Manifest(
            checkpoint_op=1,
            checkpoint_id=b"i" * 32,
            files=(FileEntry(path=path, size=1, checksum=b"c" * 32),),
            configuration=CONFIGURATION,
            view=1,
            replica=0,
        ),
    ):
        with pytest.raises(ProtocolError, match="leads out of the group's directory"):
            decode_frame(cut(encode_message(GROUP, message)))


def frame_with(fill: Any) -> list[bytes]:
    frame: Any = peer.PeerFrame.new_message()
    frame.group = GROUP
    fill(frame)
    return [bytes(segment) for segment in frame.to_segments()]


def test_malformed_parts_are_named() -> None:
    def short_checksum(frame: Any) -> None:
        frame.init("requestPrepare").checksum = b"c" * 31

    def short_group(frame: Any) -> None:
        frame.group = b"g" * 31
        frame.init("requestHeaders")

    def odd_headers(frame: Any) -> None:
        frame.headers = bytes(255)

    def zero_headers(frame: Any) -> None:
        frame.headers = bytes(256)

    def no_configuration(frame: Any) -> None:
        frame.init("manifest").init("content")

    def bad_tail(frame: Any) -> None:
        frame.init("doViewChange").tail = b"\x00\x01"

    def short_disk(frame: Any) -> None:
        frame.init("hello").cluster = b"c" * 16

    def nothing(frame: Any) -> None:
        frame.nothing = None

    for fill, message in (
        (short_checksum, "a checksum of 31 bytes: expected 32"),
        (short_group, "a checksum of 31 bytes: expected 32"),
        (odd_headers, "headers of 255 bytes: expected a multiple of 256"),
        (zero_headers, "a header is damaged"),
        (no_configuration, "a configuration is malformed"),
        (bad_tail, "the tail of a log is damaged"),
        (short_disk, "a hello is malformed"),
        (nothing, "a frame says 'nothing'"),
    ):
        with pytest.raises(ProtocolError, match=message):
            decode_frame(frame_with(fill))


def test_a_manifest_of_too_many_files_is_refused_before_they_are_read() -> None:
    def fill(frame: Any) -> None:
        content = frame.init("manifest").init("content")
        content.configuration = CONFIGURATION.pack()
        content.checkpointId = b"i" * 32
        content.init("files", peer_messages.FILES_MAX + 1)

    with pytest.raises(ProtocolError, match=f"above the limit of {peer_messages.FILES_MAX}"):
        decode_frame(frame_with(fill))
