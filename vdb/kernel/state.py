"""The replicated state of one group, as a value.

Rules
- A `State` never changes. `apply` makes the next one through a `Draft`; the maps share what didn't change, so the
  primary keeps a committed and a prepared state at the cost of the difference, and drops the prepared one freely.
- All that replicas must agree on is in rows (`vdb.kernel.tables`): `digest` hashes them, checkpoints hold them,
  `from_rows` makes the same state of them.
- Nothing here depends on the order in which a map is iterated: it differs between processes. What leaves in an order
  is sorted first.

Invariants
- `next_position` grows by one for each event, `last_timestamp` by at least one for each request.
- Each row of STREAM_NAMES names a row of STREAMS, each row of STREAMS a tenant; CLIENTS and SESSIONS are one to one.
- Each row of SESSION_OWNERS belongs to a row of SESSIONS.
- TRANSACTIONS has one row at most, and PARTS the rows that it counts.
- MEMBERS has rows of voters and learners of the current configuration alone.
- CONSUMERS and CONSUMER_WORK have the same keys. Each row of DEAD_LETTERS belongs to one of theirs, which counts it.
- Each row of AUDIT_LOGS counts the entries of one audit log; a tenant may have one before it has a stream.
- Each row of EVENT_IDS belongs to a row of STREAMS, and holds at most `event_ids_max` ids.

`changed` holds the rows set or removed since the last `take_changed`. It travels with the state, so that it forks
with it, but it isn't part of what replicas agree on: neither `digest` nor equality sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from attrs import evolve, field, frozen
from immutables import Map

from vdb.kernel.command import KeyRow, KeyScope, MemberRow
from vdb.kernel.member_rows import FOUNDING, Membership, unpack_member, unpack_membership
from vdb.kernel.rows import (
    KEY_SCOPE_AT,
    StreamState,
    TenantState,
    TransactionState,
    unpack_key,
    unpack_tenant,
    unpack_transaction,
)
from vdb.kernel.streamid import first_session, stream_id
from vdb.kernel.tables import (
    AUDIT_LOGS,
    CONFIGURATION,
    CONSUMERS,
    CURRENT_CONFIGURATION,
    DEAD_LETTERS,
    MEMBERS,
    META_LAST_TIMESTAMP,
    META_NEXT_POSITION,
    META_NEXT_SESSION,
    ROW_TABLES,
    STREAMS,
    TENANTS,
    U64,
    Table,
    consumer_key,
    letter_of,
    tenant_key,
)
from vdb.kernel.view import View
from vdb.limits import EVENT_IDS_REMEMBERED
from vdb.types import GroupId, TenantId

Rows = Map[bytes, bytes]
Changes = Map[bytes, bytes | None]
"""Rows by key: as they are now, None where one was removed."""
_NO_ROWS: Rows = Map()
_META = (META_LAST_TIMESTAMP, META_NEXT_POSITION, META_NEXT_SESSION)
_ROW_SLOTS = max(ROW_TABLES) + 1
"""Maps are found by their table's number; the place of META stays empty."""
_NOTHING_CHANGED: tuple[Changes, ...] = (Map(),) * _ROW_SLOTS


@frozen(kw_only=True)
class State(View):
    group: GroupId
    sessions_max: int
    event_ids_max: int
    next_position: int
    """Position number that the group's next event gets."""
    last_timestamp: int
    """Microseconds UTC of the last request."""
    next_session: int
    rows: tuple[Rows, ...] = field(repr=False)
    """Indexed by `Table`."""
    changed: tuple[Changes, ...] = field(repr=False, eq=False)
    """Indexed by `Table`."""

    @classmethod
    def empty(cls, group: GroupId, sessions_max: int, event_ids_max: int = EVENT_IDS_REMEMBERED) -> State:
        """The state before the first op. Both numbers are limits of the group, the same on all replicas."""
        assert sessions_max >= 1
        assert event_ids_max >= 0
        return cls(
            group=group,
            sessions_max=sessions_max,
            event_ids_max=event_ids_max,
            next_position=0,
            last_timestamp=0,
            next_session=first_session(group),
            rows=(_NO_ROWS,) * _ROW_SLOTS,
            changed=_NOTHING_CHANGED,
        )

    @classmethod
    def from_rows(
        cls,
        group: GroupId,
        sessions_max: int,
        rows: Iterable[tuple[Table, bytes, bytes]],
        event_ids_max: int = EVENT_IDS_REMEMBERED,
    ) -> State:
        """The state of which these are all rows, META's included, in any order. Its `changed` is empty."""
        building = [_NO_ROWS.mutate() for _ in range(_ROW_SLOTS)]
        count = 0
        for table, key, value in rows:
            assert table < _ROW_SLOTS, f"table {int(table)} is not the kernel's"
            building[table][key] = value
            count += 1
        meta, *found = (table.finish() for table in building)
        assert count == len(meta) + sum(map(len, found)), "two rows of one table have the same key"
        if not count:
            return cls.empty(group, sessions_max, event_ids_max)
        assert len(meta) == len(_META), f"a state has {len(_META)} rows of META; found {len(meta)}"
        return cls(
            group=group,
            sessions_max=sessions_max,
            event_ids_max=event_ids_max,
            next_position=U64.unpack(meta[META_NEXT_POSITION])[0],
            last_timestamp=U64.unpack(meta[META_LAST_TIMESTAMP])[0],
            next_session=U64.unpack(meta[META_NEXT_SESSION])[0],
            rows=(_NO_ROWS, *found),
            changed=_NOTHING_CHANGED,
        )

    # What is in it

    @property
    def tenant_count(self) -> int:
        return len(self.rows[TENANTS])

    @property
    def stream_count(self) -> int:
        return len(self.rows[STREAMS])

    @property
    def session_count(self) -> int:
        return len(self.rows[Table.SESSIONS])

    def tenants(self) -> Iterator[TenantState]:
        """All tenants in order of their ids."""
        for key in sorted(self.rows[TENANTS]):
            (tenant,) = U64.unpack(key)
            yield unpack_tenant(self.group, TenantId(tenant), self.rows[TENANTS][key])

    def streams(self, tenant: TenantId) -> Iterator[StreamState]:
        """All streams of a tenant, oldest first. The cost follows the tenant's streams, not the group's."""
        owner = self.tenant(tenant)
        if owner is None:
            return
        for serial in range(1, owner.stream_count + 1):
            stream = self.stream(tenant, stream_id(self.group, serial))
            assert stream is not None, f"tenant {tenant} counts {owner.stream_count} streams, but has no {serial}"
            yield stream

    def transaction(self) -> TransactionState | None:
        """The transaction whose parts are being sent; there is one at most."""
        rows = self.rows[Table.TRANSACTIONS]
        assert len(rows) <= 1, "parts of two transactions are mixed"
        return next((unpack_transaction(U64.unpack(key)[0], row) for key, row in rows.items()), None)

    def keys(self) -> Iterator[KeyRow]:
        """All keys: tenant keys first, since they wrap the others, then by dek_id."""
        rows = [unpack_key(dek_id, row) for dek_id, row in self.rows[Table.KEYS].items()]
        yield from sorted(rows, key=lambda row: (row.scope is not KeyScope.TENANT, row.dek_id))

    def tenant_keys(self) -> Iterator[KeyRow]:
        """Tenants' keys, which root keys wrap, by dek_id. The cost follows all keys, but little for each."""
        found = [key for key, row in self.rows[Table.KEYS].items() if row[KEY_SCOPE_AT] == KeyScope.TENANT]
        for dek_id in sorted(found):
            yield unpack_key(dek_id, self.rows[Table.KEYS][dek_id])

    def consumers(self, tenant: TenantId) -> list[bytes]:
        """Lookups of a tenant's consumer groups, in order."""
        owner = tenant_key(tenant)
        return sorted(key[len(owner) :] for key in self.rows[CONSUMERS] if key.startswith(owner))

    def dead_letters(self, tenant: TenantId, lookup: bytes) -> list[int]:
        """Positions of a consumer group's dead letters, in order. The cost follows those of all groups."""
        key = consumer_key(tenant, lookup)
        return sorted(letter_of(row) for row in self.rows[DEAD_LETTERS] if row.startswith(key))

    def audited_tenants(self) -> list[TenantId]:
        """Tenants that have an audit log, 0 for the system's own, in order."""
        return sorted(TenantId(U64.unpack(key)[0]) for key in self.rows[AUDIT_LOGS])

    def membership(self) -> Membership:
        """The configuration that the last reconfiguration made; FOUNDING before the first."""
        row = self.rows[CONFIGURATION].get(CURRENT_CONFIGURATION)
        return FOUNDING if row is None else unpack_membership(row)

    def members(self) -> tuple[MemberRow, ...]:
        """Members whose row a reconfiguration put, by node number. Founding ones may have none."""
        rows = self.rows[MEMBERS]
        return tuple(unpack_member(key, rows[key]) for key in sorted(rows))

    # As rows

    def meta(self) -> dict[bytes, bytes]:
        """The scalars as rows of META."""
        return {
            META_LAST_TIMESTAMP: U64.pack(self.last_timestamp),
            META_NEXT_POSITION: U64.pack(self.next_position),
            META_NEXT_SESSION: U64.pack(self.next_session),
        }

    def tables(self) -> Mapping[Table, Rows]:
        """All rows. Costs nothing: the maps are the state's own."""
        return {Table.META: Map(self.meta())} | {table: self.rows[table] for table in ROW_TABLES}

    def digest(self) -> bytes:
        """SHA-256 over group, sizes and all rows in order. Two states with one digest are the same state."""
        hasher = sha256(self.group.encode() + U64.pack(self.sessions_max) + U64.pack(self.event_ids_max))
        for table, rows in self.tables().items():
            hasher.update(U64.pack(table) + U64.pack(len(rows)))
            for key in sorted(rows):
                value = rows[key]
                hasher.update(U64.pack(len(key)) + key + U64.pack(len(value)) + value)
        return hasher.digest()

    def take_changed(self) -> tuple[dict[Table, Mapping[bytes, bytes | None]], State]:
        """Rows set or removed (None) since the last take, and this state with nothing changed.

        META is always whole in it. Tables without a change are absent. The rows are the state's own maps, in no order:
        sorting a hundred thousand of them would hold up the loop, so whoever writes them does that, piece by piece.
        """
        taken: dict[Table, Mapping[bytes, bytes | None]] = {Table.META: dict(self.meta())}
        taken |= {table: self.changed[table] for table in ROW_TABLES if self.changed[table]}
        return taken, evolve(self, changed=_NOTHING_CHANGED)
