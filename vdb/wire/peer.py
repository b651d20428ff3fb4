"""Frames between nodes (`schemas/peer.capnp`): what a connection's bytes are, and what its frames mean.

The messages that each op needs are laid and read by hand: pycapnp takes several times as long for them, and a node
sends and gets some for each peer and op. A usual frame is one segment, pointers forward, in the order of the schema:

    0    root                8
    8    replica u8, to u8, union u16, view u32
    16   four u64, in the order of the group's fields
    48   pointers: group, and two of the union's
    72   group               32
    104  what the second pointer leads to, padded to words

Whatever is otherwise is left to pycapnp. A prepare is header and body as the log holds them: no Python object is made
for a request in it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from vdb.errors import ProtocolError, WireError
from vdb.limits import RECORD_SIZE_MAX
from vdb.ports import Buffer
from vdb.vsr.header import decode_prepare
from vdb.vsr.message import CommitMessage, CommitOk, Message, PrepareMessage, PrepareOk
from vdb.wire.framing import WORD, FrameSplitter, encode_frame
from vdb.wire.peer_link import LinkFrame, link_frame_from
from vdb.wire.peer_messages import message_from_frame, message_to_frame
from vdb.wire.schema import CapnpError, peer

FRAME_SIZE_MAX = RECORD_SIZE_MAX + 64 * 1024
"""Bytes of a frame: a prepare or a chunk of the largest size that limits allow, and what is around it."""
HELLO_SIZE_MAX = 1024
"""Bytes of a frame before the other end has said who it is."""
SEGMENTS_MAX = 64

_TRAVERSAL_WORDS = 4 * FRAME_SIZE_MAX // WORD

_HEAD = struct.Struct("<IIQBxHI4Q3Q32s")
_CONTENT = struct.Struct("<QBxHI4Q3Q32s")
_HEAD_WORDS = _CONTENT.size // WORD
_ROOT = 5 << 32 | 3 << 48
_BYTES = 1 | 2 << 32
"""A list of bytes in the word behind the pointer."""
_GROUP = _BYTES | 2 << 2 | 32 << 35
_SECOND = _BYTES | 5 << 2
"""Two words of pointers further, and behind the group."""
_CHECKSUM = _SECOND | 32 << 35
_SECOND_MASK = (1 << 35) - 1
_PREPARE, _PREPARE_OK, _COMMIT, _COMMIT_OK = 1, 2, 3, 4


def new_splitter(size_max: int = FRAME_SIZE_MAX) -> FrameSplitter:
    """Cuts a connection's bytes into frames."""
    return FrameSplitter(size_max=size_max, segments_max=SEGMENTS_MAX)


def encode_message(group: bytes, message: Message) -> bytes:
    """The message as it travels; `group` is the SHA-256 that its headers hold."""
    assert len(group) == 32
    kind = type(message)
    if kind is PrepareMessage:
        return _encode_prepare(group, message)  # type: ignore[arg-type]
    if kind is PrepareOk:
        return _encode_prepare_ok(group, message)  # type: ignore[arg-type]
    if kind is CommitMessage:
        return _encode_commit(group, message)  # type: ignore[arg-type]
    if kind is CommitOk:
        return _encode_commit_ok(group, message)  # type: ignore[arg-type]
    frame = encode_frame(message_to_frame(group, message).to_segments())
    assert len(frame) <= FRAME_SIZE_MAX, f"a {kind.__name__} of {len(frame)} bytes: expected {FRAME_SIZE_MAX} or less"
    return frame


def decode_message(segments: Sequence[Buffer]) -> tuple[bytes, Message]:
    """Group and message of a frame, in segments as a splitter cuts them; ProtocolError for anything else."""
    found = decode_frame(segments)
    if type(found) is not tuple:
        raise ProtocolError(f"a message was expected, not {type(found).__name__}")
    return found


def decode_frame(segments: Sequence[Buffer]) -> tuple[bytes, Message] | LinkFrame:
    """What a frame says: group and message, or something about the link. ProtocolError for anything else."""
    if len(segments) == 1:
        usual = _decode_usual(segments[0])
        if usual is not None:
            return usual
    try:
        frame = peer.PeerFrame.from_segments(
            [bytes(segment) for segment in segments], traversal_limit_in_words=_TRAVERSAL_WORDS
        )
        which = str(frame.which())
        found = message_from_frame(frame, which) or link_frame_from(frame, which)
    except (CapnpError, ValueError, KeyError, RuntimeError) as error:
        raise ProtocolError(f"a frame is malformed: {type(error).__name__}") from error
    if found is None:
        raise ProtocolError(f"a frame says '{which}': nothing that this version knows")
    return found


def next_frame(splitter: FrameSplitter) -> list[bytearray] | None:
    """The next whole frame that the splitter holds, or None. ProtocolError for what can't be one."""
    try:
        return splitter.next_frame()
    except WireError as error:
        raise ProtocolError(str(error)) from error


# By hand ------------------------------------------------------------------------------------------------------


def _encode_prepare(group: bytes, message: PrepareMessage) -> bytes:
    prepare = message.prepare
    size = prepare.header.size
    padding = -size % WORD
    head = _HEAD.pack(
        0, _HEAD_WORDS + (size + padding) // WORD, _ROOT, message.replica, _PREPARE, 0, 0, 0, 0, 0,
        _GROUP, _SECOND | size << 35, 0, group,
    )  # fmt: skip
    return b"".join((head, prepare.header.encode(), prepare.body, bytes(padding)))


def _encode_prepare_ok(group: bytes, message: PrepareOk) -> bytes:
    head = _HEAD.pack(
        0, _HEAD_WORDS + 4, _ROOT, message.replica, _PREPARE_OK, message.view, message.op, 0, 0, 0,
        _GROUP, _CHECKSUM, 0, group,
    )  # fmt: skip
    return head + message.checksum


def _encode_commit(group: bytes, message: CommitMessage) -> bytes:
    head = _HEAD.pack(
        0, _HEAD_WORDS + 4, _ROOT, message.replica, _COMMIT, message.view,
        message.commit, message.head, message.checkpoint_op, message.round,
        _GROUP, _CHECKSUM, 0, group,
    )  # fmt: skip
    return head + message.checksum


def _encode_commit_ok(group: bytes, message: CommitOk) -> bytes:
    return _HEAD.pack(
        0, _HEAD_WORDS, _ROOT, message.replica, _COMMIT_OK, message.view,
        message.round, message.commit, message.checkpoint_op, 0,
        _GROUP, 0, 0, group,
    )  # fmt: skip


def _decode_usual(segment: Buffer) -> tuple[bytes, Message] | None:
    """Group and message of a frame in the usual shape; None for any other. ProtocolError for a damaged prepare."""
    if len(segment) < _CONTENT.size:
        return None
    (root, replica, which, view, one, two, three, four, first, second, third, group) = _CONTENT.unpack_from(segment)
    if root != _ROOT or first != _GROUP or third or not 1 <= which <= 4:
        return None
    if which == _COMMIT_OK:
        return group, CommitOk(view=view, round=one, commit=two, checkpoint_op=three, replica=replica)
    size = second >> 35
    if second & _SECOND_MASK != _SECOND or _CONTENT.size + size > len(segment):
        return None
    if which == _PREPARE:
        prepare = decode_prepare(memoryview(segment)[_CONTENT.size : _CONTENT.size + size])
        if prepare is None or prepare.header.size != size or prepare.header.group != group:
            raise ProtocolError("a prepare is damaged, or another group's")
        return group, PrepareMessage(prepare=prepare, replica=replica)
    if size != 32:
        return None
    checksum = bytes(segment[_CONTENT.size : _CONTENT.size + 32])
    if which == _PREPARE_OK:
        return group, PrepareOk(view=view, op=one, checksum=checksum, replica=replica)
    return group, CommitMessage(
        view=view, commit=one, head=two, checkpoint_op=three, round=four, checksum=checksum, replica=replica
    )
