"""Reads audit logs back: their records in order, opened, and those among their entries that are looked for.

Rules
- A record is found by the number of its leaf, which is its place in the tree that heads are signed for.
- What is read is opened under its seal. Of a record whose key was destroyed the leaf is told, and that it is shredded.
- One call looks through RECORDS_PER_CALL_MAX records at most, so a search that finds little comes back for more.
- A record's own key is handed out where it is asked for: it opens that record, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256

import trio
from attrs import evolve

from vdb.audit.entry import decode_entry
from vdb.audit.page import AuditPage, AuditRecord
from vdb.audit.search import AuditSearch, subject_names
from vdb.crypto.record import SALT_SIZE, SealedRecord, open_body
from vdb.errors import InvalidArgument, KeyUnavailable
from vdb.kernel.command import KeyScope
from vdb.node.evidence.leaves import LeavesCache
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.records import checked_record
from vdb.types import GroupId, TenantId, audit_log_of
from vdb.wire.event import decode_batch

RECORDS_PER_CALL_MAX = 1000
ENTRY_BYTES_MAX = 1024 * 1024
"""Bytes of entries and sealed bodies that one answer carries, about: the record that goes beyond is its last."""


class AuditReader:
    """See the module's docstring. One per node."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], leaves: Callable[[GroupId], LeavesCache]) -> None:
        self._readers = readers
        self._leaves = leaves

    async def records(
        self,
        tenant: TenantId,
        group: GroupId,
        from_index: int,
        count_max: int,
        *,
        search: AuditSearch | None = None,
        sealed: bool = False,
    ) -> AuditPage:
        """Records of the tenant's log (0: the system's) from a leaf on, as far as this node has applied it.

        With a search, records without an entry that fits are left out. InvalidArgument.
        """
        reader = self._readers.get(group)
        if reader is None:
            raise InvalidArgument(f"this node has no group '{group}': expected one of {', '.join(self._readers)}")
        state = reader.group.state.audit_log(tenant)
        size = 0 if state is None else state.record_count
        if from_index >= size:
            return AuditPage(records=(), next=from_index, size=size)
        wanted = search or AuditSearch()
        names = self._names(reader, tenant, wanted.subject)
        found: list[AuditRecord] = []
        index, looked, taken = from_index, 0, 0
        log = audit_log_of(tenant)
        leaves = self._leaves(group).of(log)
        await leaves.read(size)
        while index < size and looked < RECORDS_PER_CALL_MAX and len(found) < count_max and taken < ENTRY_BYTES_MAX:
            frames = await reader.group.storage.event_log.read_log(
                log, leaves.position_of(index), reader.group.limits.read_bytes_max
            )
            for frame in frames[: min(size - index, RECORDS_PER_CALL_MAX - looked)]:
                sealed_record = checked_record(frame, tenant=log, group=group)
                one = self._open(reader, index, sealed_record, sealed=sealed)
                index, looked = index + 1, looked + 1
                one = _fitting(one, wanted, names)
                if one.entries or wanted.is_empty:
                    found.append(one)
                    taken += sum(map(len, one.entries)) + len(one.body)
                if len(found) == count_max or taken >= ENTRY_BYTES_MAX:
                    break
            await trio.lowlevel.checkpoint()
        return AuditPage(records=tuple(found), next=index, size=size, names=names)

    def _names(self, reader: GroupReader, tenant: TenantId, subject: str) -> tuple[str, ...]:
        if not subject:
            return ()
        group = reader.group
        rows = group.keyring.rows(tenant, KeyScope.SUBJECT, subject, group.state.key_period(tenant))
        return subject_names(subject, [row.subject_token for row in rows])

    def _open(self, reader: GroupReader, index: int, record: SealedRecord, *, sealed: bool) -> AuditRecord:
        header, body = record.header, bytes(record.body)
        keyring = reader.group.keyring
        entries: tuple[bytes, ...] = ()
        key, shredded = b"", False
        try:
            batch = open_body(record.header_bytes, keyring.key(header.dek_id), body)
        except KeyUnavailable:
            shredded = True
        else:
            entries = tuple(decode_batch(batch))
            if sealed:
                key, _ = keyring.record_key(header.dek_id).derive(body[:SALT_SIZE], record.header_bytes)
        return AuditRecord(
            index=index,
            first_entry=header.offset,
            time=header.time,
            leaf_data=bytes(record.header_bytes) + sha256(body).digest(),
            entries=entries,
            body=body if sealed else b"",
            record_key=key,
            shredded=shredded,
        )


def _fitting(record: AuditRecord, wanted: AuditSearch, names: tuple[str, ...]) -> AuditRecord:
    """The record with those of its entries that fit."""
    if wanted.is_empty:
        return record
    entries = tuple(entry for entry in record.entries if wanted.fits(decode_entry(entry), names))
    whole = len(entries) == len(record.entries)
    return evolve(record, entries=entries, record_key=record.record_key if whole else b"")
