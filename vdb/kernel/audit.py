"""Audit logs: a tenant's entries in a group, sealed, each record a leaf of a tree of their own.

Rules
- All entries of a prepare that are about a tenant are one record, and one request: the primary seals it, with what the
  prepare's writes came to, and apply takes it as it is. So an entry commits with what it tells of, or neither does.
- Each write of PHI has an entry in the same prepare. The draft counts what such writes owe (`Draft.owe`); an
  `AuditAppend` pays for exactly those of its tenant, and a prepare that ends with a debt is a bug of its primary
  (`Draft.check_paid`).
- An audit log is a log beside the tenant's log of data (`vdb.types.audit_log_of`): it has one stream. Entries are
  numbered from 0, which is an entry's offset and its position alike: they take no positions of the group's log.
- Records are PHI, under a key of the tenant's that seals nothing else. In the global group, which holds no PHI, they
  tell of non-PHI alone and are non-PHI.
- What is about no tenant, or about one that has nothing in the group, stands in the log of tenant 0.
"""

from __future__ import annotations

from vdb.crypto.record import chain as chain_hash
from vdb.crypto.record import sealed_for
from vdb.evidence.merkle import grow
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import KeyScope
from vdb.kernel.draft import Draft
from vdb.kernel.effect import AppendRecord
from vdb.kernel.records import difference
from vdb.kernel.reply import AuditAppended
from vdb.kernel.rows import CHAIN_SIZE, TENANT_ROW, TENANT_ROW_SIZE
from vdb.kernel.tables import AUDIT_LOGS, KEYS, tenant_key
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, StreamId, TenantId, audit_log_of

AUDIT_STREAM = StreamId(1)
"""The one stream of an audit log, in the headers of its records."""

_NEW_LOG = TENANT_ROW.pack(bytes(CHAIN_SIZE), 0, 0, 0, 0)
_AUDIT_SCOPE = bytes((KeyScope.AUDIT,))


def audit_class(group: GroupId) -> DataClass:
    """The class under which a group's audit logs are sealed."""
    return DataClass.NON_PHI if group == GLOBAL_GROUP else DataClass.PHI


def append_audit(draft: Draft, command: AuditAppend) -> AuditAppended:
    tenant, count, record = command.tenant, command.count, command.record
    draft.pay(tenant, command.writes)
    key = tenant_key(tenant)
    row = draft.rows[AUDIT_LOGS].get(key, _NEW_LOG)
    chain, record_count, entries, _, _ = TENANT_ROW.unpack_from(row)
    leaf = _check_record(draft, tenant, entries, count, record)
    following = entries + count
    head = TENANT_ROW.pack(chain_hash(chain, leaf), record_count + 1, following, 0, following)
    draft.put(AUDIT_LOGS, key, head + grow(row[TENANT_ROW_SIZE:], record_count, leaf))
    draft.effects.append(AppendRecord(audit_log_of(tenant), AUDIT_STREAM, entries, entries, count, record))
    return AuditAppended(tenant, record_count, entries, draft.next_position)


def _check_record(draft: Draft, tenant: TenantId, offset: int, count: int, record: bytes) -> bytes:
    """Assert that the record was sealed for this very place; its leaf hash (32 bytes)."""
    log, group, time = audit_log_of(tenant), draft.group, draft.last_timestamp
    data_class = audit_class(group)
    assert count > 0, f"audit log of tenant {tenant}: a record without entries"
    found = sealed_for(
        record,
        tenant=log,
        stream=AUDIT_STREAM,
        offset=offset,
        count=count,
        data_class=data_class,
        region=group,
        time=time,
    )
    assert found is not None, difference(record, group, log, AUDIT_STREAM, data_class, offset, count, time)
    dek_id, leaf, _ = found
    key = draft.rows[KEYS].get(dek_id)
    assert key is not None, f"audit log of tenant {tenant}: the record's key was never put"
    assert key.startswith(tenant_key(tenant) + _AUDIT_SCOPE), (
        f"audit log of tenant {tenant}: the record's key is of another tenant, or not for audit logs"
    )
    return leaf
