"""What can be asked of rows, whether they are a `State`'s or those of a `Draft` that is still being made.

The primary asks these of a batch in the making before each request that it seals, so nothing here walks a table: a
map in the making can't be walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vdb.kernel.command import KeyRow
from vdb.kernel.consumer_rows import ConsumerRow, DeadLetter, Work, unpack_consumer, unpack_letter, unpack_work
from vdb.kernel.rows import (
    CREATED_AT,
    TENANT_ROW,
    Rotation,
    SessionState,
    StreamState,
    TenantState,
    unpack_key,
    unpack_rotation,
    unpack_session,
    unpack_stream,
    unpack_tenant,
)
from vdb.kernel.tables import (
    AUDIT_LOGS,
    CONSUMER_WORK,
    CONSUMERS,
    DEAD_LETTERS,
    KEY_PERIODS,
    KEYS,
    ROTATION,
    SESSIONS,
    STREAM_NAMES,
    STREAMS,
    TENANTS,
    U64,
    consumer_key,
    letter_key,
    session_key,
    stream_key,
    stream_name_key,
    tenant_key,
)
from vdb.types import DataClass, GroupId, StreamId, TenantId

if TYPE_CHECKING:
    from immutables import Map
    from immutables._protocols import MapMutation

    Rows = Map[bytes, bytes]
    OpenRows = MapMutation[bytes, bytes]

_DATA_CLASSES = tuple(DataClass)


class View:
    """See the module's docstring. `rows` is indexed by `Table`."""

    __slots__ = ()

    group: GroupId
    sessions_max: int
    event_ids_max: int
    next_position: int
    rows: Sequence[Rows | OpenRows]

    def has_tenant(self, tenant: TenantId) -> bool:
        return tenant_key(tenant) in self.rows[TENANTS]

    def tenant(self, tenant: TenantId) -> TenantState | None:
        row = self.rows[TENANTS].get(tenant_key(tenant))
        return None if row is None else unpack_tenant(self.group, tenant, row)

    def audit_log(self, tenant: TenantId) -> TenantState | None:
        """The tenant's audit log: `record_count` leaves, `event_count` entries; None before the first one."""
        row = self.rows[AUDIT_LOGS].get(tenant_key(tenant))
        return None if row is None else unpack_tenant(self.group, tenant, row)

    def audit_entries(self, tenant: TenantId) -> int:
        """How many entries the tenant's audit log has: the number of the next one."""
        row = self.rows[AUDIT_LOGS].get(tenant_key(tenant))
        return 0 if row is None else int(TENANT_ROW.unpack_from(row)[2])

    def tenant_head(self, tenant: TenantId) -> int:
        """The position after the tenant's last one; 0 for a tenant that isn't there."""
        row = self.rows[TENANTS].get(tenant_key(tenant))
        return 0 if row is None else int(TENANT_ROW.unpack_from(row)[4])

    def stream(self, tenant: TenantId, stream: StreamId) -> StreamState | None:
        row = self.rows[STREAMS].get(stream_key(tenant, stream))
        return None if row is None else unpack_stream(stream, row)

    def data_class(self, tenant: TenantId, stream: StreamId) -> DataClass:
        """Of a stream that there is."""
        return _DATA_CLASSES[self.rows[STREAMS][stream_key(tenant, stream)][0]]

    def stream_by_lookup(self, tenant: TenantId, lookup: bytes) -> StreamState | None:
        """The stream whose name has this HMAC (32 bytes)."""
        stream = self.stream_id_by_lookup(tenant, lookup)
        return None if stream is None else self.stream(tenant, stream)

    def stream_id_by_lookup(self, tenant: TenantId, lookup: bytes) -> StreamId | None:
        row = self.rows[STREAM_NAMES].get(stream_name_key(tenant, lookup))
        return None if row is None else StreamId(U64.unpack(row)[0])

    def session(self, session: int) -> SessionState | None:
        row = self.rows[SESSIONS].get(session_key(session))
        return None if row is None else unpack_session(session, row)

    def consumer(self, tenant: TenantId, lookup: bytes) -> ConsumerRow | None:
        """The consumer group whose name has this HMAC (32 bytes)."""
        row = self.rows[CONSUMERS].get(consumer_key(tenant, lookup))
        return None if row is None else unpack_consumer(row)

    def work(self, tenant: TenantId, lookup: bytes) -> Work:
        """Where a consumer group stands that there is."""
        return unpack_work(self.rows[CONSUMER_WORK][consumer_key(tenant, lookup)])

    def dead_letter(self, tenant: TenantId, lookup: bytes, position: int) -> DeadLetter:
        """One that there is."""
        return unpack_letter(position, self.rows[DEAD_LETTERS][letter_key(consumer_key(tenant, lookup), position)])

    def key(self, dek_id: bytes) -> KeyRow | None:
        row = self.rows[KEYS].get(dek_id)
        return None if row is None else unpack_key(dek_id, row)

    def key_period(self, tenant: TenantId) -> int:
        """The period that a tenant's new keys are of: 0 until another one was started."""
        row = self.rows[KEY_PERIODS].get(tenant_key(tenant))
        return 0 if row is None else len(row) // U64.size

    def period_began(self, tenant: TenantId, period: int) -> int:
        """Microseconds UTC at which a period began that there is or was; 0 for the first."""
        if not period:
            return 0
        return int(U64.unpack_from(self.rows[KEY_PERIODS][tenant_key(tenant)], (period - 1) * U64.size)[0])

    def key_put_at(self, dek_id: bytes) -> int:
        """Microseconds UTC at which a key was put that there is."""
        return int.from_bytes(self.rows[KEYS][dek_id][CREATED_AT], "big")

    def rotation(self) -> Rotation | None:
        """The change of root keys that was begun last; None before the first."""
        row = self.rows[KEY_PERIODS].get(ROTATION)
        return None if row is None else unpack_rotation(row)
