"""Replies to commands of governance as bytes, for the table of stored replies (`vdb.kernel.reply_codec`).

Layout (big-endian): tag u8, then

    32 PolicyPut      serial u64, version (UTF-8)
    33 GrantOpened    grant u64, until u64
    34 GrantReviewed  grant u64, until u64
    35 ConsentPut     changed u8
    36 Attested       stream u64
"""

from __future__ import annotations

import struct
from typing import assert_never

from vdb.kernel.reply import Attested, ConsentPut, GovernanceReply, GrantOpened, GrantReviewed, PolicyPut
from vdb.types import StreamId

GOVERNANCE_TAGS = range(32, 37)
_POLICY, _OPENED, _REVIEWED, _CONSENT, _ATTESTED = GOVERNANCE_TAGS
_ONE = struct.Struct(">BQ")
_TWO = struct.Struct(">BQQ")
_FLAG = struct.Struct(">BB")


def encode_governance_reply(reply: GovernanceReply) -> bytes:
    if isinstance(reply, PolicyPut):
        return _ONE.pack(_POLICY, reply.serial) + reply.version.encode()
    if isinstance(reply, GrantOpened):
        return _TWO.pack(_OPENED, reply.grant, reply.until)
    if isinstance(reply, GrantReviewed):
        return _TWO.pack(_REVIEWED, reply.grant, reply.until)
    if isinstance(reply, ConsentPut):
        return _FLAG.pack(_CONSENT, reply.changed)
    if isinstance(reply, Attested):
        return _ONE.pack(_ATTESTED, reply.stream)
    assert_never(reply)


def decode_governance_reply(data: bytes) -> GovernanceReply:
    tag = data[0]
    if tag == _POLICY:
        return PolicyPut(_ONE.unpack_from(data)[1], data[_ONE.size :].decode())
    if tag == _OPENED:
        return GrantOpened(*_TWO.unpack(data)[1:])
    if tag == _REVIEWED:
        return GrantReviewed(*_TWO.unpack(data)[1:])
    if tag == _CONSENT:
        return ConsentPut(bool(data[1]))
    assert tag == _ATTESTED, f"a stored reply of governance has a tag from 32 to 36; found {tag}"
    return Attested(StreamId(_ONE.unpack(data)[1]))
