"""What a member asks the primary to record in an audit log, and the answer, as bytes (`schemas/peer.capnp`).

    entries    number u64, tenant u64, then each entry: length u32, JSON
    recorded   number u64, status u8 (0: it isn't), tenant u64, index u64, first entry u64, position u64

All numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import Any

from vdb.errors import ProtocolError
from vdb.limits import AUDIT_ENTRIES_FORWARDED_MAX
from vdb.types import TENANT_MAX
from vdb.vsr.message import RecordedMessage, RecordMessage

_ENTRIES = struct.Struct(">QQ")
_LENGTH = struct.Struct(">I")
_RECORDED = struct.Struct(">QBQQQQ")


def fill_record(frame: Any, message: RecordMessage) -> None:
    head = _ENTRIES.pack(message.number, message.tenant)
    frame.entries = head + b"".join([_LENGTH.pack(len(entry)) + entry for entry in message.entries])


def read_record(frame: Any, replica: int) -> RecordMessage:
    data = frame.entries
    if len(data) < _ENTRIES.size:
        raise ProtocolError("entries for an audit log are malformed")
    number, tenant = _ENTRIES.unpack_from(data)
    entries: list[bytes] = []
    at = _ENTRIES.size
    while at + _LENGTH.size <= len(data) and len(entries) < AUDIT_ENTRIES_FORWARDED_MAX:
        (size,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        entries.append(data[at : at + size])
        at += size
    if at != len(data) or not entries or tenant > TENANT_MAX:
        raise ProtocolError("entries for an audit log are malformed")
    return RecordMessage(number=number, tenant=tenant, entries=tuple(entries), replica=replica)


def fill_recorded(frame: Any, message: RecordedMessage) -> None:
    frame.recorded = _RECORDED.pack(
        message.number, message.done, message.tenant, message.index, message.first_entry, message.position
    )


def read_recorded(frame: Any, replica: int) -> RecordedMessage:
    data = frame.recorded
    if len(data) != _RECORDED.size:
        raise ProtocolError("the answer about entries of an audit log is malformed")
    number, done, tenant, index, first_entry, position = _RECORDED.unpack(data)
    if done > 1:
        raise ProtocolError("the answer about entries of an audit log is malformed")
    return RecordedMessage(
        number=number,
        done=bool(done),
        tenant=tenant,
        index=index,
        first_entry=first_entry,
        position=position,
        replica=replica,
    )
