"""Every message between replicas to a `PeerFrame` of `schemas/peer.capnp` and back, through pycapnp.

`vdb.wire.peer` goes around this for the messages that each op needs; a test compares the two.

Rules
- A decoded message holds what its type says: checksums have 32 bytes, headers are whole, paths stay in the group's
  directory, counts are bounded. Anything else is a ProtocolError.
- Whether a message makes sense is the receiver's to judge.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from vdb.errors import ProtocolError
from vdb.limits import POLICY_BYTES_MAX, PREPARE_HEADER_SIZE, PRINCIPAL_BYTES_MAX
from vdb.vsr.configuration import CONFIGURATION_SIZE, Configuration, unpack_configuration
from vdb.vsr.header import PrepareHeader, decode_header, decode_prepare
from vdb.vsr.message import (
    Chunk,
    CommitMessage,
    CommitOk,
    DoViewChange,
    ErasedMessage,
    FileEntry,
    Headers,
    Manifest,
    Message,
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
)
from vdb.vsr.tail import decode_entries, encode_entries
from vdb.wire.audit_messages import fill_record, fill_recorded, read_record, read_recorded
from vdb.wire.schema import peer

CHECKSUM_SIZE = 32
_COUNT_SIZE = 2
_ERASED = struct.Struct(">QQB")
"""Tenant, erasure, and the size of the signature, which follows; then the statement."""
_ERASED_SIZE_MAX = 256 * 1024
_ROOT_KEYS = struct.Struct(">QB")
_KEY_ID_SIZE = 16
_GIVEN_MAX = 1024
_POLICY = struct.Struct(">QHH")
_POLICY_SIZE_MAX = _POLICY.size + POLICY_BYTES_MAX + PRINCIPAL_BYTES_MAX + 128
PATH_BYTES_MAX = 512
FILES_MAX = 65_536
"""Files of one manifest."""

Fill = Callable[[Any, Any], None]
Read = Callable[[Any, int], Message]

# Messages that are numbers and checksums ----------------------------------------------------------------------

_PLAIN: tuple[tuple[str, type, tuple[tuple[str, str], ...]], ...] = (
    ("prepareOk", PrepareOk, (("view", "view"), ("op", "op"), ("checksum", "checksum"))),
    (
        "commit",
        CommitMessage,
        (
            ("view", "view"),
            ("commit", "commit"),
            ("head", "head"),
            ("checkpointOp", "checkpoint_op"),
            ("round", "round"),
            ("checksum", "checksum"),
        ),
    ),
    (
        "commitOk",
        CommitOk,
        (("view", "view"), ("round", "round"), ("commit", "commit"), ("checkpointOp", "checkpoint_op")),
    ),
    ("ping", Ping, (("view", "view"), ("commit", "commit"), ("checkpointOp", "checkpoint_op"))),
    ("requestStartView", RequestStartView, (("view", "view"), ("nonce", "nonce"))),
    ("requestHeaders", RequestHeaders, (("first", "first"), ("last", "last"))),
    ("requestPrepare", RequestPrepare, (("op", "op"), ("checksum", "checksum"))),
    ("notMember", NotMember, (("epoch", "epoch"),)),
    ("requestManifest", RequestManifest, (("checkpointOp", "checkpoint_op"),)),
)


def _plain(name: str, kind: type, fields: tuple[tuple[str, str], ...]) -> tuple[Fill, Read]:
    def fill(frame: Any, message: Any) -> None:
        group = frame.init(name)
        for there, here in fields:
            setattr(group, there, getattr(message, here))

    def read(frame: Any, replica: int) -> Message:
        group = getattr(frame, name)
        values = {here: getattr(group, there) for there, here in fields}
        if "checksum" in values:
            check_checksum(values["checksum"])
        message: Message = kind(replica=replica, **values)
        return message

    return fill, read


# The others ---------------------------------------------------------------------------------------------------


def _fill_prepare(frame: Any, message: PrepareMessage) -> None:
    frame.prepare = message.prepare.header.encode() + message.prepare.body


def _read_prepare(frame: Any, replica: int) -> PrepareMessage:
    data = frame.prepare
    prepare = decode_prepare(data)
    if prepare is None or prepare.header.size != len(data):
        raise ProtocolError("a prepare is damaged")
    return PrepareMessage(prepare=prepare, replica=replica)


def _fill_start_view_change(frame: Any, message: StartViewChange) -> None:
    group = frame.init("startViewChange")
    group.view, group.configuration = message.view, message.configuration.pack()


def _read_start_view_change(frame: Any, replica: int) -> StartViewChange:
    group = frame.startViewChange
    return StartViewChange(view=group.view, configuration=_read_configuration(group.configuration), replica=replica)


def _fill_do_view_change(frame: Any, message: DoViewChange) -> None:
    group = frame.init("doViewChange")
    group.view, group.logView, group.to = message.view, message.log_view, message.to
    group.commit, group.checkpointOp = message.commit, message.checkpoint_op
    group.unsure = message.unsure
    group.tail = len(message.tail).to_bytes(_COUNT_SIZE, "big") + encode_entries(message.tail)


def _read_do_view_change(frame: Any, replica: int) -> DoViewChange:
    group = frame.doViewChange
    data = group.tail
    tail = decode_entries(memoryview(data)[_COUNT_SIZE:], int.from_bytes(data[:_COUNT_SIZE], "big"))
    if tail is None:
        raise ProtocolError("the tail of a log is damaged")
    return DoViewChange(
        view=group.view,
        log_view=group.logView,
        commit=group.commit,
        checkpoint_op=group.checkpointOp,
        to=group.to,
        tail=tail,
        unsure=group.unsure,
        replica=replica,
    )


def _fill_start_view(frame: Any, message: StartView) -> None:
    group = frame.init("startView")
    group.view, group.commit, group.checkpointOp = message.view, message.commit, message.checkpoint_op
    group.nonce, group.checkpointId = message.nonce, message.checkpoint_id
    group.tail = _encode_headers(message.tail)


def _read_start_view(frame: Any, replica: int) -> StartView:
    group = frame.startView
    return StartView(
        view=group.view,
        commit=group.commit,
        checkpoint_op=group.checkpointOp,
        checkpoint_id=check_checksum(group.checkpointId),
        tail=_decode_headers(group.tail),
        nonce=group.nonce,
        replica=replica,
    )


def _fill_headers(frame: Any, message: Headers) -> None:
    frame.headers = _encode_headers(message.headers)


def _read_headers(frame: Any, replica: int) -> Headers:
    return Headers(headers=_decode_headers(frame.headers), replica=replica)


def _fill_manifest(frame: Any, message: Manifest) -> None:
    group = frame.init("manifest")
    group.checkpointOp = message.checkpoint_op
    content = group.init("content")
    content.checkpointId, content.configuration = message.checkpoint_id, message.configuration.pack()
    content.view = message.view
    assert len(message.files) <= FILES_MAX, f"a checkpoint of {len(message.files)} files: expected {FILES_MAX} or less"
    for builder, entry in zip(content.init("files", len(message.files)), message.files, strict=True):
        builder.path, builder.size, builder.checksum = entry.path, entry.size, entry.checksum


def _read_manifest(frame: Any, replica: int) -> Manifest:
    content = frame.manifest.content
    configuration = _read_configuration(content.configuration)
    if len(content.files) > FILES_MAX:
        raise ProtocolError(f"a manifest of {len(content.files)} files is above the limit of {FILES_MAX}")
    return Manifest(
        checkpoint_op=frame.manifest.checkpointOp,
        checkpoint_id=check_checksum(content.checkpointId),
        files=tuple(
            FileEntry(path=_check_path(entry.path), size=entry.size, checksum=check_checksum(entry.checksum))
            for entry in content.files
        ),
        configuration=configuration,
        view=content.view,
        replica=replica,
    )


def _fill_request_chunk(frame: Any, message: RequestChunk) -> None:
    group = frame.init("requestChunk")
    group.checkpointOp, group.path = message.checkpoint_op, message.path
    group.offset, group.size = message.offset, message.size


def _read_request_chunk(frame: Any, replica: int) -> RequestChunk:
    group = frame.requestChunk
    return RequestChunk(
        checkpoint_op=group.checkpointOp,
        path=_check_path(group.path),
        offset=group.offset,
        size=group.size,
        replica=replica,
    )


def _fill_chunk(frame: Any, message: Chunk) -> None:
    group = frame.init("chunk")
    group.checkpointOp, group.offset = message.checkpoint_op, message.offset
    content = group.init("content")
    content.path, content.data, content.checksum = message.path, message.data, message.checksum


def _read_chunk(frame: Any, replica: int) -> Chunk:
    group = frame.chunk
    content = group.content
    return Chunk(
        checkpoint_op=group.checkpointOp,
        path=_check_path(content.path),
        offset=group.offset,
        data=content.data,
        checksum=check_checksum(content.checksum),
        replica=replica,
    )


def _fill_erased(frame: Any, message: ErasedMessage) -> None:
    head = _ERASED.pack(message.tenant, message.erasure, len(message.signature))
    frame.erased = head + message.signature + message.statement


def _read_erased(frame: Any, replica: int) -> ErasedMessage:
    data = frame.erased
    if not _ERASED.size <= len(data) <= _ERASED_SIZE_MAX:
        raise ProtocolError("a word on an erasure is malformed")
    tenant, erasure, size = _ERASED.unpack_from(data)
    end = _ERASED.size + size
    return ErasedMessage(
        tenant=tenant, erasure=erasure, signature=data[_ERASED.size : end], statement=data[end:], replica=replica
    )


def _fill_policy(frame: Any, message: PolicyMessage) -> None:
    version, by = message.version.encode(), message.by.encode()
    head = _POLICY.pack(message.serial, len(version), len(by))
    frame.policy = head + version + by + message.text.encode()


def _read_policy(frame: Any, replica: int) -> PolicyMessage:
    data = frame.policy
    if not _POLICY.size <= len(data) <= _POLICY_SIZE_MAX:
        raise ProtocolError("a policy is malformed")
    serial, version_size, by_size = _POLICY.unpack_from(data)
    by_at = _POLICY.size + version_size
    text_at = by_at + by_size
    try:
        version, by, text = data[_POLICY.size : by_at].decode(), data[by_at:text_at].decode(), data[text_at:].decode()
    except UnicodeDecodeError:
        raise ProtocolError("a policy is malformed") from None
    return PolicyMessage(serial=serial, version=version, by=by, text=text, replica=replica)


def _fill_root_keys(frame: Any, message: RootKeysMessage) -> None:
    frame.rootKeys = _ROOT_KEYS.pack(message.number, message.asks) + b"".join(message.given[:_GIVEN_MAX])


def _read_root_keys(frame: Any, replica: int) -> RootKeysMessage:
    data = frame.rootKeys
    size = len(data) - _ROOT_KEYS.size
    if size < 0 or size % _KEY_ID_SIZE or size > _GIVEN_MAX * _KEY_ID_SIZE or data[_ROOT_KEYS.size - 1] > 1:
        raise ProtocolError("a word on root keys is malformed")
    number, asks = _ROOT_KEYS.unpack_from(data)
    given = tuple(data[at : at + _KEY_ID_SIZE] for at in range(_ROOT_KEYS.size, len(data), _KEY_ID_SIZE))
    return RootKeysMessage(number=number, asks=bool(asks), given=given, replica=replica)


# Parts --------------------------------------------------------------------------------------------------------


def check_checksum(data: bytes) -> bytes:
    """The same bytes, if they are as many as a checksum has."""
    if len(data) != CHECKSUM_SIZE:
        raise ProtocolError(f"a checksum of {len(data)} bytes: expected {CHECKSUM_SIZE}")
    return data


def _read_configuration(packed: bytes) -> Configuration:
    configuration = unpack_configuration(packed) if len(packed) == CONFIGURATION_SIZE else None
    if configuration is None:
        raise ProtocolError("a configuration is malformed")
    return configuration


def _check_path(path: str) -> str:
    parts = path.split("/")
    if len(path.encode()) > PATH_BYTES_MAX or not all(parts) or "." in parts or ".." in parts or "\0" in path:
        raise ProtocolError("a path leads out of the group's directory")
    return path


def _encode_headers(headers: tuple[PrepareHeader, ...]) -> bytes:
    return b"".join([header.encode() for header in headers])


def _decode_headers(data: bytes) -> tuple[PrepareHeader, ...]:
    if len(data) % PREPARE_HEADER_SIZE:
        raise ProtocolError(f"headers of {len(data)} bytes: expected a multiple of {PREPARE_HEADER_SIZE}")
    view = memoryview(data)
    headers = []
    for at in range(0, len(data), PREPARE_HEADER_SIZE):
        header = decode_header(view[at : at + PREPARE_HEADER_SIZE])
        if header is None:
            raise ProtocolError("a header is damaged")
        headers.append(header)
    return tuple(headers)


# The table ----------------------------------------------------------------------------------------------------

_FILL: dict[type, Fill] = {
    PrepareMessage: _fill_prepare,
    StartViewChange: _fill_start_view_change,
    DoViewChange: _fill_do_view_change,
    StartView: _fill_start_view,
    Headers: _fill_headers,
    Manifest: _fill_manifest,
    RequestChunk: _fill_request_chunk,
    Chunk: _fill_chunk,
    ErasedMessage: _fill_erased,
    PolicyMessage: _fill_policy,
    RecordMessage: fill_record,
    RecordedMessage: fill_recorded,
    RootKeysMessage: _fill_root_keys,
}
_READ: dict[str, Read] = {
    "prepare": _read_prepare,
    "startViewChange": _read_start_view_change,
    "doViewChange": _read_do_view_change,
    "startView": _read_start_view,
    "headers": _read_headers,
    "manifest": _read_manifest,
    "requestChunk": _read_request_chunk,
    "chunk": _read_chunk,
    "erased": _read_erased,
    "policy": _read_policy,
    "entries": read_record,
    "recorded": read_recorded,
    "rootKeys": _read_root_keys,
}
for _name, _kind, _fields in _PLAIN:
    _FILL[_kind], _READ[_name] = _plain(_name, _kind, _fields)


def message_to_frame(group: bytes, message: Message) -> Any:
    """A builder of the frame."""
    frame: Any = peer.PeerFrame.new_message()
    frame.group, frame.replica = group, message.replica
    _FILL[type(message)](frame, message)
    return frame


def message_from_frame(frame: Any, which: str) -> tuple[bytes, Message] | None:
    """Group and message of a reader whose union says `which`; None for what isn't a message. May raise CapnpError."""
    read = _READ.get(which)
    if read is None:
        return None
    group = check_checksum(frame.group)
    message = read(frame, frame.replica)
    if type(message) is PrepareMessage and message.prepare.header.group != group:
        raise ProtocolError("a prepare of another group")
    return group, message
