"""Replies to commands of consumer groups as bytes, for the table of stored replies (`vdb.kernel.reply_codec`).

Layout (big-endian): tag u8, then

     9 ConsumerCreated   created u8
    10 ConsumerFetched   deadline u64, then for each delivery position u64, attempt u32
    11 ConsumerSettled   positions u64
    12 ConsumerLeft      returned u32
    13 ConsumerDeleted   deleted u8
    14 LettersSettled    count u32
"""

from __future__ import annotations

import struct
from typing import assert_never

from vdb.kernel.reply import (
    ConsumerCreated,
    ConsumerDeleted,
    ConsumerFetched,
    ConsumerLeft,
    ConsumerReply,
    ConsumerSettled,
    LettersSettled,
)

CREATED, FETCHED, SETTLED, LEFT, DELETED, LETTERS = range(9, 15)
_FLAG = struct.Struct(">BB")
_COUNT = struct.Struct(">BI")
_FETCHED = struct.Struct(">BQ")
_DELIVERY = struct.Struct(">QI")
_POSITION = struct.Struct(">Q")


def encode_consumer_reply(reply: ConsumerReply) -> bytes:
    if isinstance(reply, ConsumerSettled):
        return bytes((SETTLED,)) + b"".join([_POSITION.pack(position) for position in reply.late])
    if isinstance(reply, ConsumerFetched):
        packed = [_DELIVERY.pack(*delivery) for delivery in reply.deliveries]
        return _FETCHED.pack(FETCHED, reply.deadline) + b"".join(packed)
    if isinstance(reply, ConsumerCreated):
        return _FLAG.pack(CREATED, reply.created)
    if isinstance(reply, ConsumerLeft):
        return _COUNT.pack(LEFT, reply.returned)
    if isinstance(reply, ConsumerDeleted):
        return _FLAG.pack(DELETED, reply.deleted)
    if isinstance(reply, LettersSettled):
        return _COUNT.pack(LETTERS, reply.count)
    assert_never(reply)


def decode_consumer_reply(data: bytes) -> ConsumerReply:
    tag = data[0]
    if tag == SETTLED:
        return ConsumerSettled(tuple([position for (position,) in _POSITION.iter_unpack(data[1:])]))
    if tag == FETCHED:
        return ConsumerFetched(
            _FETCHED.unpack_from(data)[1],
            tuple([(position, attempt) for position, attempt in _DELIVERY.iter_unpack(data[_FETCHED.size :])]),
        )
    if tag == CREATED:
        return ConsumerCreated(bool(data[1]))
    if tag == LEFT:
        return ConsumerLeft(_COUNT.unpack(data)[1])
    if tag == DELETED:
        return ConsumerDeleted(bool(data[1]))
    assert tag == LETTERS, f"a stored reply of a consumer group has a tag from 9 to 14; found {tag}"
    return LettersSettled(_COUNT.unpack(data)[1])
