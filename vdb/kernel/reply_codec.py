"""Stored replies as bytes: what the REPLIES table holds, so that a retry gets the first answer.

Layout (big-endian): tag u8, then

    1 StreamCreated   stream u64, created u8
    2 Appended        first_position u64, next_position u64, timestamp u64, then each stream u64, first u64, next u64
    3 SessionOpened   session u64
    4 KeyPut          dek_id
    5 Refusal         length of the code u8, code (ASCII), message (UTF-8)
    6 PartKept        transaction u64, number u32
    7 Voided          transaction u64
    8 Reconfigured    epoch u64
    9 to 14           replies of consumer groups (`vdb.kernel.consumer_reply_codec`)
    32 to 36          replies to what governs access (`vdb.kernel.governance_reply_codec`)
    40 KeysRewrapped  count u32
    41 PeriodStarted  period u32
    48 Numbered       number u64
    50 AuditAppended  tenant u64, index u64, first_entry u64, position u64

Only the state's own rows are decoded here, which were encoded here: a malformed one is a broken invariant.
"""

from __future__ import annotations

import struct
from typing import assert_never

from vdb.errors import RefusalCode
from vdb.kernel.consumer_reply_codec import decode_consumer_reply, encode_consumer_reply
from vdb.kernel.governance_reply_codec import GOVERNANCE_TAGS, decode_governance_reply, encode_governance_reply
from vdb.kernel.reply import (
    Appended,
    AppendedStream,
    AuditAppended,
    ConsumerReply,
    GovernanceReply,
    KeyPut,
    KeysRewrapped,
    Numbered,
    PartKept,
    PeriodStarted,
    Reconfigured,
    Refusal,
    Reply,
    SessionOpened,
    StreamCreated,
    Voided,
)
from vdb.types import StreamId, TenantId

_STREAM_CREATED, _APPENDED, _SESSION_OPENED, _KEY_PUT, _REFUSAL, _PART_KEPT, _VOIDED, _RECONFIGURED = range(1, 9)

_REWRAPPED, _PERIOD = 40, 41
_NUMBERED = 48
_AUDIT_APPENDED = 50

_CREATED = struct.Struct(">BQB")
_APPENDED_ONE = struct.Struct(">BQQQQQQ")
_APPENDED_HEAD = struct.Struct(">BQQQ")
_APPENDED_STREAM = struct.Struct(">QQQ")
_OPENED = struct.Struct(">BQ")
_KEPT = struct.Struct(">BQI")
_VOID = struct.Struct(">BQ")
_EPOCH = struct.Struct(">BQ")
_NUMBER = struct.Struct(">BQ")
_COUNT = struct.Struct(">BI")
_AUDIT = struct.Struct(">BQQQQ")


def encode_reply(reply: Reply) -> bytes:
    if isinstance(reply, Appended):
        return _encode_appended(reply)
    if isinstance(reply, StreamCreated):
        return _CREATED.pack(_STREAM_CREATED, reply.stream, reply.created)
    if isinstance(reply, SessionOpened):
        return _OPENED.pack(_SESSION_OPENED, reply.session)
    if isinstance(reply, KeyPut):
        return bytes((_KEY_PUT,)) + reply.dek_id
    if isinstance(reply, Refusal):
        code = reply.code.value.encode("ascii")
        return bytes((_REFUSAL, len(code))) + code + reply.message.encode()
    if isinstance(reply, PartKept):
        return _KEPT.pack(_PART_KEPT, reply.transaction, reply.number)
    if isinstance(reply, Voided):
        return _VOID.pack(_VOIDED, reply.transaction)
    if isinstance(reply, Reconfigured):
        return _EPOCH.pack(_RECONFIGURED, reply.epoch)
    if isinstance(reply, KeysRewrapped):
        return _COUNT.pack(_REWRAPPED, reply.count)
    if isinstance(reply, PeriodStarted):
        return _COUNT.pack(_PERIOD, reply.period)
    if isinstance(reply, AuditAppended):
        return _AUDIT.pack(_AUDIT_APPENDED, reply.tenant, reply.index, reply.first_entry, reply.position)
    if isinstance(reply, Numbered):
        return _NUMBER.pack(_NUMBERED, reply.number)
    if isinstance(reply, ConsumerReply):
        return encode_consumer_reply(reply)
    if isinstance(reply, GovernanceReply):
        return encode_governance_reply(reply)
    assert_never(reply)


def _encode_appended(reply: Appended) -> bytes:
    if len(reply.streams) == 1:
        (one,) = reply.streams
        return _APPENDED_ONE.pack(
            _APPENDED,
            reply.first_position,
            reply.next_position,
            reply.timestamp,
            one.stream,
            one.first_offset,
            one.next_offset,
        )
    head = _APPENDED_HEAD.pack(_APPENDED, reply.first_position, reply.next_position, reply.timestamp)
    return head + b"".join(
        _APPENDED_STREAM.pack(stream.stream, stream.first_offset, stream.next_offset) for stream in reply.streams
    )


def decode_reply(data: bytes) -> Reply:
    tag = data[0]
    if tag == _APPENDED:
        _, first_position, next_position, timestamp = _APPENDED_HEAD.unpack_from(data)
        streams = tuple(
            AppendedStream(StreamId(stream), first_offset, next_offset)
            for stream, first_offset, next_offset in _APPENDED_STREAM.iter_unpack(data[_APPENDED_HEAD.size :])
        )
        return Appended(streams, first_position, next_position, timestamp)
    if tag == _STREAM_CREATED:
        _, stream, created = _CREATED.unpack(data)
        return StreamCreated(StreamId(stream), bool(created))
    if tag == _SESSION_OPENED:
        return SessionOpened(_OPENED.unpack(data)[1])
    if tag == _KEY_PUT:
        return KeyPut(data[1:])
    if tag == _PART_KEPT:
        return PartKept(*_KEPT.unpack(data)[1:])
    if tag == _VOIDED:
        return Voided(_VOID.unpack(data)[1])
    if tag == _RECONFIGURED:
        return Reconfigured(_EPOCH.unpack(data)[1])
    if tag == _REWRAPPED:
        return KeysRewrapped(_COUNT.unpack(data)[1])
    if tag == _PERIOD:
        return PeriodStarted(_COUNT.unpack(data)[1])
    if tag == _AUDIT_APPENDED:
        _, tenant, index, first_entry, position = _AUDIT.unpack(data)
        return AuditAppended(TenantId(tenant), index, first_entry, position)
    if tag == _NUMBERED:
        return Numbered(_NUMBER.unpack(data)[1])
    if tag in GOVERNANCE_TAGS:
        return decode_governance_reply(data)
    if tag > _RECONFIGURED:
        return decode_consumer_reply(data)
    assert tag == _REFUSAL, f"a stored reply has a tag from 1 on; found {tag}"
    end = 2 + data[1]
    return Refusal(RefusalCode(data[2:end].decode("ascii")), data[end:].decode())
