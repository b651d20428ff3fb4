"""An audit of a tenant's log as it is stored: every record is read, opened and hashed again.

What is found, and how
- a frame whose checksum doesn't fit, or that isn't there: what the storage says, with file and byte;
- a record that somebody changed, checksum and all: it doesn't open, since its seal covers header and content;
- a record that was left out, put in or moved, or changed under its own key: the tree of what is stored has another root
  than the state's, or doesn't begin with the tree that somebody kept (`known`).

Rules
- Nothing is believed because it was right once: the leaves are those of the stored bytes.
- A record whose key is gone can't be opened. It is counted, and its leaf still counts.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field, frozen

from vdb.crypto.record import open_body, record_leaf
from vdb.errors import CryptoError, DamagedData, KeyUnavailable, UnknownTenant
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import Frontier
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.records import checked_record
from vdb.storage.event_log import Frame
from vdb.types import TenantId

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
    records: int
    events: int
    size: int
    """Bytes of sealed records."""
    unopened: int
    """Records whose key is gone."""
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
    reader: GroupReader, tenant: TenantId, known: Checkpoint | None = None, on_progress: Progress | None = None
) -> LogAudit:
    """Audit all that is committed now. `known`: a tree that was kept before, of this log. UnknownTenant."""
    group = reader.group
    state = group.state.tenant(tenant)
    if state is None:
        raise UnknownTenant(f"tenant {tenant} has no stream in {group.name}")
    count, position = _Count(), 0
    if known is not None and known.size == 0:
        known = None
    while count.frontier.size < state.record_count:
        try:
            frames = await group.storage.event_log.read_log(tenant, position, group.limits.read_bytes_max)
        except DamagedData as error:
            count.add(position, "", f"{error}; nothing after it was audited")
            break
        if not frames:
            count.add(position, "", f"the log ends after {count.frontier.size} records: expected {state.record_count}")
            break
        for frame in frames[: state.record_count - count.frontier.size]:
            await _audit(reader, tenant, frame, count)
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
        records=count.frontier.size,
        events=count.events,
        size=count.size,
        unopened=count.unopened,
        root=count.frontier.root(),
        findings=tuple(count.findings),
    )


async def _audit(reader: GroupReader, tenant: TenantId, frame: Frame, count: _Count) -> None:
    group = reader.group
    count.frontier = count.frontier.append(record_leaf(frame.record))
    count.events += frame.count
    count.size += len(frame.record)
    try:
        record = checked_record(frame, tenant=tenant, group=group.name)
        open_body(record.header_bytes, group.keyring.key(record.header.dek_id), record.body)
    except KeyUnavailable:
        count.unopened += 1
    except (CryptoError, DamagedData) as error:
        place = await group.storage.event_log.place_of(tenant, frame.position)
        count.add(frame.position, place, f"stream {frame.stream}, offset {frame.offset}: {error}")
