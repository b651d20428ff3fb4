"""Rows of ERASURES, HOLDS and RETENTION as values, and their packed form.

ERASURES has rows of four kinds, told apart by the length of their keys:

    tenant u64                            u64: the number of the tenant's last erasure
    tenant u64, erasure u64               Erasure: time u64, completed u64 (0: pending), subject 32,
                                          count u16, for each key dek_id 16, SHA-256 of the wrapped key 32 and
                                          subject token 32, then
                                          members as length u8 and a byte each, basis and principal as length u16 and
                                          UTF-8, then what is sealed
    tenant u64, erasure u64, node u8      Ack: time u64, signature as length u8 and bytes, then the statement
    tenant u64, lookup 32                 u64: the erasure by which the subject of this lookup was erased

HOLDS: tenant u64: the last hold's number. tenant u64, hold u64: placed u64, released u64 (0: it holds), subject as
length u8 and bytes, why it was released as length u16 and sealed bytes, then the hold itself, sealed.

RETENTION: tenant u64: how often its rules were changed. tenant u64, lookup 32: data class u8, days u32, set u64, then
the name or pattern, sealed.

Times are microseconds UTC.
"""

from __future__ import annotations

import struct

from attrs import field, frozen

from vdb.kernel.rows import DEK_ID_SIZE, LOOKUP_SIZE, TOKEN_SIZE
from vdb.types import DataClass, TenantId

_U64 = struct.Struct(">Q")
_TWO = struct.Struct(">QQ")
_ACK_KEY = struct.Struct(">QQB")
_ERASURE = struct.Struct(">QQ32sH")
_KEY = struct.Struct(">16s32s32s")
_ACK = struct.Struct(">QB")
_HOLD = struct.Struct(">QQB")
_RETENTION = struct.Struct(">BIQ")
_LENGTH = struct.Struct(">H")
assert _KEY.size == DEK_ID_SIZE + 32 + TOKEN_SIZE

counter_key = _U64.pack
"""(tenant)"""
numbered_key = _TWO.pack
"""(tenant, erasure or hold)"""
ack_key = _ACK_KEY.pack
"""(tenant, erasure, node)"""
ERASURE_KEY_SIZE = _TWO.size
ACK_KEY_SIZE = _ACK_KEY.size


def erased_key(tenant: TenantId, lookup: bytes) -> bytes:
    return _U64.pack(tenant) + lookup


@frozen
class DestroyedKey:
    dek_id: bytes
    digest: bytes = field(repr=False)
    """SHA-256 of the wrapped key, as it was."""
    token: bytes = field(repr=False)
    """What stands for the subject in the headers of what the key has sealed; zeros: the key of a file of rows."""


@frozen(kw_only=True)
class Erasure:
    tenant: TenantId
    erasure: int
    """Its number among the tenant's in this group, from 1."""
    time: int
    completed: int
    """When the last node had acknowledged; 0: it is pending."""
    subject: bytes = field(repr=False)
    """Lookup; zeros: of no subject, but of what had expired."""
    keys: tuple[DestroyedKey, ...]
    members: tuple[int, ...]
    """Nodes that held the keys."""
    basis: str
    by: str
    sealed: bytes = field(repr=False)

    @property
    def token(self) -> bytes:
        """What stands for the subject in the headers of its records; empty: nothing was ever sealed for it."""
        return next((key.token for key in self.keys if any(key.token)), b"")

    def pack(self) -> bytes:
        assert len(self.subject) == LOOKUP_SIZE
        head = _ERASURE.pack(self.time, self.completed, self.subject, len(self.keys))
        keys = b"".join(_KEY.pack(key.dek_id, key.digest, key.token) for key in self.keys)
        members = bytes((len(self.members), *self.members))
        return head + keys + members + _text(self.basis) + _text(self.by) + self.sealed


@frozen(kw_only=True)
class Ack:
    node: int
    time: int
    statement: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def pack(self) -> bytes:
        return _ACK.pack(self.time, len(self.signature)) + self.signature + self.statement


@frozen(kw_only=True)
class Hold:
    tenant: TenantId
    hold: int
    placed: int
    released: int
    subject: bytes = field(repr=False)
    """Lookup; empty: of streams."""
    released_why: bytes = field(repr=False)
    sealed: bytes = field(repr=False)

    def pack(self) -> bytes:
        head = _HOLD.pack(self.placed, self.released, len(self.subject)) + self.subject
        return head + _LENGTH.pack(len(self.released_why)) + self.released_why + self.sealed


@frozen(kw_only=True)
class Retention:
    tenant: TenantId
    lookup: bytes = field(repr=False)
    data_class: DataClass
    days: int
    time: int
    sealed: bytes = field(repr=False)

    def pack(self) -> bytes:
        return _RETENTION.pack(self.data_class, self.days, self.time) + self.sealed


def unpack_erasure(key: bytes, row: bytes) -> Erasure:
    tenant, erasure = _TWO.unpack(key)
    time, completed, subject, count = _ERASURE.unpack_from(row)
    at = _ERASURE.size
    keys = tuple(DestroyedKey(*_KEY.unpack_from(row, at + _KEY.size * index)) for index in range(count))
    at += _KEY.size * count
    members = tuple(row[at + 1 : at + 1 + row[at]])
    basis, at = _read_text(row, at + 1 + row[at])
    by, at = _read_text(row, at)
    return Erasure(
        tenant=TenantId(tenant),
        erasure=erasure,
        time=time,
        completed=completed,
        subject=subject,
        keys=keys,
        members=members,
        basis=basis,
        by=by,
        sealed=row[at:],
    )


def unpack_ack(key: bytes, row: bytes) -> Ack:
    time, size = _ACK.unpack_from(row)
    end = _ACK.size + size
    return Ack(node=key[-1], time=time, signature=row[_ACK.size : end], statement=row[end:])


def unpack_hold(key: bytes, row: bytes) -> Hold:
    tenant, hold = _TWO.unpack(key)
    placed, released, size = _HOLD.unpack_from(row)
    at = _HOLD.size + size
    (why,) = _LENGTH.unpack_from(row, at)
    end = at + _LENGTH.size + why
    return Hold(
        tenant=TenantId(tenant),
        hold=hold,
        placed=placed,
        released=released,
        subject=row[_HOLD.size : at],
        released_why=row[at + _LENGTH.size : end],
        sealed=row[end:],
    )


def unpack_retention(key: bytes, row: bytes) -> Retention:
    data_class, days, time = _RETENTION.unpack_from(row)
    return Retention(
        tenant=TenantId(_U64.unpack_from(key)[0]),
        lookup=key[_U64.size :],
        data_class=DataClass(data_class),
        days=days,
        time=time,
        sealed=row[_RETENTION.size :],
    )


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data


def _read_text(row: bytes, at: int) -> tuple[str, int]:
    (size,) = _LENGTH.unpack_from(row, at)
    start = at + _LENGTH.size
    return row[start : start + size].decode(), start + size
