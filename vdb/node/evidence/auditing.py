"""An audit of a tenant's log, of data or of audit, as it is stored: every record is read, opened and hashed again.

What is found, and how
- a frame whose checksum doesn't fit, or that isn't there: what the storage says, with file and byte;
- a record that somebody changed, checksum and all: it doesn't open, since its seal covers header and content;
- a record that was left out, put in or moved, or changed under its own key: the tree of what is stored has another root
  than the state's, or doesn't begin with the tree that somebody kept (`known`).

Rules
- Nothing is believed because it was right once: the leaves are those of the stored bytes.
- A record whose key is gone can't be opened, nor one that was pruned. It is counted, and its leaf still counts.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field, frozen

from vdb.audit.entry import decode_entry
from vdb.crypto.record import open_body, record_leaf
from vdb.errors import CryptoError, DamagedData, KeyUnavailable, UnknownTenant, WireError
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier
from vdb.node.evidence.proving import Family
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.records import checked_record
from vdb.storage.event_log import Frame
from vdb.types import TenantId, is_audit_log, tenant_of_log
from vdb.wire.event import decode_batch

FINDINGS_MAX = 1000
Progress = Callable[[int, int], None]
"""(records so far, records there are)."""


@frozen(kw_only=True)
class Finding:
    """Something that isn't as it was written."""

    position: int
    """Of the record in the group's log; for the tree, its size."""
    place: str
    """File and byte; empty where it isn't one record."""
    what: str


@frozen(kw_only=True)
class LogAudit:
    group: str
    tenant: int
    family: str
    """"data" or "audit"."""
    records: int
    events: int
    """Of an audit log, its entries."""
    size: int
    """Bytes of sealed records."""
    unopened: int
    """Records whose key is gone, or whose sealed bytes were pruned."""
    root: bytes
    """Of the tree of what is stored."""
    findings: tuple[Finding, ...]


@define
class _Count:
    frontier: Frontier = field(factory=Frontier)
    events: int = 0
    size: int = 0
    unopened: int = 0
    findings: list[Finding] = field(factory=list)

    def add(self, position: int, place: str, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(position=position, place=place, what=what))


async def audit_log(
    reader: GroupReader, log: TenantId, known: Checkpoint | None = None, on_progress: Progress | None = None
) -> LogAudit:
    """Audit all that is committed now. `log`: a tenant, or the number of its audit log (`vdb.types.audit_log_of`).

    `known`: a tree that was kept before, of this log. UnknownTenant.
    """
    group, tenant = reader.group, tenant_of_log(log)
    state = group.state.audit_log(tenant) if is_audit_log(log) else group.state.tenant(log)
    if state is None:
        what = "audit log" if is_audit_log(log) else "stream"
        raise UnknownTenant(f"tenant {tenant} has no {what} in {group.name}")
    count, position = _Count(), 0
    if known is not None and known.size == 0:
        known = None
    while count.frontier.size < state.record_count:
        try:
            frames = await group.storage.event_log.read_log(log, position, group.limits.read_bytes_max)
        except DamagedData as error:
            count.add(position, "", f"{error}; nothing after it was audited")
            break
        if not frames:
            count.add(position, "", f"the log ends after {count.frontier.size} records: expected {state.record_count}")
            break
        for frame in frames[: state.record_count - count.frontier.size]:
            await _audit(reader, log, frame, count)
            position = frame.position + frame.count
            if known is not None and known.size == count.frontier.size and known.root != count.frontier.root():
                count.add(known.size, "", f"the first {known.size} records aren't those of the tree that was kept")
        if on_progress is not None:
            on_progress(count.frontier.size, state.record_count)
        await trio.lowlevel.checkpoint()
    if known is not None and known.size > state.record_count:
        count.add(known.size, "", f"expected at least {known.size} records, of the tree that was kept: found fewer")
    if count.frontier.size == state.record_count and count.frontier != state.frontier:
        count.add(state.record_count, "", "the tree of what is stored isn't the tree of what was committed")
    return LogAudit(
        group=group.name,
        tenant=tenant,
        family=(Family.AUDIT if is_audit_log(log) else Family.DATA).value,
        records=count.frontier.size,
        events=count.events,
        size=count.size,
        unopened=count.unopened,
        root=count.frontier.root(),
        findings=tuple(count.findings),
    )


async def _audit(reader: GroupReader, log: TenantId, frame: Frame, count: _Count) -> None:
    group = reader.group
    count.frontier = count.frontier.append(record_leaf(frame.record))
    count.events += frame.count
    count.size += len(frame.record)
    try:
        record = checked_record(frame, tenant=log, group=group.name)
        if record.is_pruned:
            count.unopened += 1
            return
        opened = open_body(record.header_bytes, group.keyring.key(record.header.dek_id), record.body)
        if is_audit_log(log):
            _check_entries(opened, frame.count)
    except KeyUnavailable:
        count.unopened += 1
    except (CryptoError, DamagedData, WireError) as error:
        place = await group.storage.event_log.place_of(log, frame.position)
        what = f"entry {frame.offset}" if is_audit_log(log) else f"stream {frame.stream}, offset {frame.offset}"
        count.add(frame.position, place, f"{what}: {error}")


def _check_entries(batch: bytes, count: int) -> None:
    """DamagedData unless these are so many entries."""
    entries = decode_batch(batch)
    if len(entries) != count:
        raise DamagedData(f"expected {count} entries, found {len(entries)}")
    for entry in entries:
        decode_entry(entry)
