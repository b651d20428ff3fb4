"""Rows of the state's tables as values, and their packed form.

Layouts (big-endian):

    TenantState   chain 32, record_count u64, event_count u64, stream_count u64, next_position u64, then the frontier of
                  the Merkle tree over the same leaves as the chain's: 32 bytes for each bit of record_count
    StreamState   data_class u8, next_offset u64, created_at u64, last_position u64
    SessionState  client 16, last_number u64, last_used u64
    KeyRow        tenant u64, scope u8, data_class u8, lookup 32, subject_token 32, kek_id 16, period u16,
                  kek_version u16, wrapped 40, state u8 (1: live), created_at u64 (time of the op that put it,
                  microseconds UTC), wrapped_secret (the rest: 0 or 40); dek_id is the row's key
    Rotation      root_key_id 16, began_at u64, changed_at u64
    TransactionState  client 16, session u64, number u64, tenant u64, parts u32, records u32, then for each stream
                  stream u64, kind u8, condition's offset u64, first_offset u64, next_offset u64
    KeptRecord    stream u64, count u32, leaf 32, record (the rest)

The hot path of an append packs and unpacks with the `Struct`s directly; everything else uses the values.
"""

from __future__ import annotations

import struct

from attrs import field, frozen

from vdb.evidence.merkle import Frontier
from vdb.kernel.command import DESTROYED_KEY, Expected, ExpectedKind, KeyRow, KeyScope, Origin
from vdb.kernel.streamid import stream_id
from vdb.types import DataClass, GroupId, StreamId, TenantId

CHAIN_SIZE = 32
LOOKUP_SIZE = 32
TOKEN_SIZE = 32
DEK_ID_SIZE = 16
WRAPPED_SIZE = 40
"""A key of 32 bytes under AES-256 key wrap (RFC 3394)."""

TENANT_ROW = struct.Struct(">32sQQQQ")
"""Of a tenant's row without its frontier, which is the rest."""
TENANT_ROW_SIZE = TENANT_ROW.size
STREAM_ROW = struct.Struct(">BQQQ")
SESSION_ROW = struct.Struct(">16sQQ")
KEY_ROW = struct.Struct(">QBB32s32s16sHH40sBQ")
KEY_SCOPE_AT = 8
KEY_PERIOD = slice(90, 92)
CREATED_AT = slice(135, 143)
"""Where the time at which a key was put stands in its row; before it, its period."""
KEY_LIVE = 1
"""State of a key that opens records."""
KEY_DESTROYED = 2
"""A destroyed key keeps its row: `DESTROYED_KEY` stands for the key, zeros for the secret of the subject's token."""
_DESTROYED = bytes((KEY_DESTROYED,))
KEY_STATE_AT = 134
"""Of the state, in a row."""
_ROTATION = struct.Struct(">16sQQ")
_TRANSACTION = struct.Struct(">16sQQQII")
_TARGET = struct.Struct(">QBQQQ")
_KEPT = struct.Struct(">QI32s")


@frozen(kw_only=True)
class TenantState:
    """A tenant of this group. It exists from its first stream on."""

    tenant: TenantId
    group: GroupId
    chain: bytes = field(repr=False)
    """`vdb.crypto.record.chain` over the leaves of all the tenant's records in commit order; zeros before the first."""
    record_count: int
    event_count: int
    """Positions that the tenant has taken: its events, and one for each record of the catalogue."""
    stream_count: int
    next_position: int
    """The position after the tenant's last one, in the group's log."""
    frontier: Frontier = field(repr=False)
    """Of the Merkle tree over the leaves of all the tenant's records in commit order (RFC 6962)."""

    @property
    def next_stream(self) -> StreamId:
        """The id that the tenant's next stream gets."""
        return stream_id(self.group, self.stream_count + 1)

    def pack(self) -> bytes:
        head = TENANT_ROW.pack(self.chain, self.record_count, self.event_count, self.stream_count, self.next_position)
        return head + self.frontier.pack()


def unpack_tenant(group: GroupId, tenant: TenantId, row: bytes) -> TenantState:
    chain, record_count, event_count, stream_count, next_position = TENANT_ROW.unpack_from(row)
    return TenantState(
        tenant=tenant,
        group=group,
        chain=chain,
        record_count=record_count,
        event_count=event_count,
        stream_count=stream_count,
        next_position=next_position,
        frontier=Frontier.unpack(record_count, row[TENANT_ROW_SIZE:]),
    )


@frozen(kw_only=True)
class StreamState:
    stream: StreamId
    data_class: DataClass
    next_offset: int
    """Offset that the next event gets: the number of events in the stream."""
    created_at: int
    """Microseconds UTC."""
    last_position: int
    """Number, in the group's log, of the stream's last event; of its catalogue record while it is empty."""

    def pack(self) -> bytes:
        return STREAM_ROW.pack(self.data_class, self.next_offset, self.created_at, self.last_position)


def unpack_stream(stream: StreamId, row: bytes) -> StreamState:
    data_class, next_offset, created_at, last_position = STREAM_ROW.unpack(row)
    return StreamState(
        stream=stream,
        data_class=DataClass(data_class),
        next_offset=next_offset,
        created_at=created_at,
        last_position=last_position,
    )


@frozen(kw_only=True)
class SessionState:
    session: int
    client: bytes
    last_number: int
    """The last request that was executed; 0 before the first."""
    last_used: int
    """Timestamp of the op that opened the session or executed its last request. Unique, so eviction has no ties."""

    def pack(self) -> bytes:
        return SESSION_ROW.pack(self.client, self.last_number, self.last_used)


def unpack_session(session: int, row: bytes) -> SessionState:
    client, last_number, last_used = SESSION_ROW.unpack(row)
    return SessionState(session=session, client=client, last_number=last_number, last_used=last_used)


def pack_key(row: KeyRow, created_at: int) -> bytes:
    return (
        KEY_ROW.pack(
            row.tenant,
            row.scope,
            row.data_class,
            row.lookup,
            row.subject_token,
            row.kek_id,
            row.period,
            row.kek_version,
            row.wrapped,
            KEY_LIVE,
            created_at,
        )
        + row.wrapped_secret
    )


def pack_destroyed_key(row: KeyRow, created_at: int) -> bytes:
    """The row without its key."""
    return KEY_ROW.pack(
        row.tenant,
        row.scope,
        row.data_class,
        row.lookup,
        row.subject_token,
        row.kek_id,
        row.period,
        row.kek_version,
        DESTROYED_KEY,
        KEY_DESTROYED,
        created_at,
    ) + bytes(len(row.wrapped_secret))


def is_destroyed_row(row: bytes) -> bool:
    """Whether a row of KEYS is one of a key that was destroyed."""
    return row[KEY_STATE_AT : KEY_STATE_AT + 1] == _DESTROYED


def unpack_key(dek_id: bytes, row: bytes) -> KeyRow:
    (tenant, scope, data_class, lookup, token, kek_id, period, kek_version, wrapped, state, _created_at) = (
        KEY_ROW.unpack_from(row)
    )
    assert state in (KEY_LIVE, KEY_DESTROYED)
    assert (state == KEY_DESTROYED) == (wrapped == DESTROYED_KEY)
    return KeyRow(
        dek_id=dek_id,
        tenant=TenantId(tenant),
        scope=KeyScope(scope),
        data_class=DataClass(data_class),
        lookup=lookup,
        subject_token=token,
        kek_id=kek_id,
        kek_version=kek_version,
        wrapped=wrapped,
        wrapped_secret=row[KEY_ROW.size :],
        period=period,
    )


@frozen(kw_only=True)
class Rotation:
    """The change of root keys that was begun last, whether or not it is done."""

    root_key_id: bytes
    began_at: int
    """Microseconds UTC: a tenant whose period began before has yet to start another one."""
    changed_at: int
    """Microseconds UTC of its last step: older copies of the rows need the root key before."""
    rotation_id: bytes = b""
    """What whoever began it has called it, 16 bytes; empty: nothing."""

    def pack(self) -> bytes:
        return _ROTATION.pack(self.root_key_id, self.began_at, self.changed_at) + self.rotation_id


def unpack_rotation(row: bytes) -> Rotation:
    root_key_id, began_at, changed_at = _ROTATION.unpack_from(row)
    rotation_id = row[_ROTATION.size :]
    return Rotation(root_key_id=root_key_id, began_at=began_at, changed_at=changed_at, rotation_id=rotation_id)


@frozen(kw_only=True)
class Target:
    """What a transaction has gathered for one stream so far: offsets first_offset to next_offset - 1."""

    stream: StreamId
    expected: Expected
    first_offset: int
    next_offset: int

    @property
    def count(self) -> int:
        return self.next_offset - self.first_offset


@frozen(kw_only=True)
class TransactionState:
    """A transaction that is being sent. `transaction` is the time of its first part, microseconds UTC."""

    transaction: int
    origin: Origin
    tenant: TenantId
    parts: int
    """How many were kept; the number of the next one."""
    records: int
    """How many rows of PARTS it has."""
    targets: tuple[Target, ...]
    """In the order of the append."""

    def pack(self) -> bytes:
        origin = self.origin
        head = _TRANSACTION.pack(origin.client, origin.session, origin.number, self.tenant, self.parts, self.records)
        return head + b"".join(
            _TARGET.pack(one.stream, one.expected.kind, one.expected.offset, one.first_offset, one.next_offset)
            for one in self.targets
        )


def unpack_transaction(transaction: int, row: bytes) -> TransactionState:
    client, session, number, tenant, parts, records = _TRANSACTION.unpack_from(row)
    return TransactionState(
        transaction=transaction,
        origin=Origin(client, session, number),
        tenant=TenantId(tenant),
        parts=parts,
        records=records,
        targets=tuple(
            Target(
                stream=StreamId(stream),
                expected=Expected(ExpectedKind(kind), offset),
                first_offset=first_offset,
                next_offset=next_offset,
            )
            for stream, kind, offset, first_offset, next_offset in _TARGET.iter_unpack(row[_TRANSACTION.size :])
        ),
    )


@frozen
class KeptRecord:
    """A sealed record of a part, checked for its place; `leaf` is its leaf hash."""

    stream: StreamId
    count: int
    leaf: bytes = field(repr=False)
    record: bytes = field(repr=False)

    def pack(self) -> bytes:
        return _KEPT.pack(self.stream, self.count, self.leaf) + self.record


def unpack_kept(row: bytes) -> KeptRecord:
    stream, count, leaf = _KEPT.unpack_from(row)
    return KeptRecord(StreamId(stream), count, leaf, row[_KEPT.size :])
