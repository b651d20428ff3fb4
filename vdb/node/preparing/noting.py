"""What a prepare tells the audit logs of: the primary completes each note with what came of its request, and seals.

Rules
- A write is always noted: with what its door knows of the caller, or as the node's own. What else a prepare holds is
  noted where its door asked for it.
- All entries of a prepare that are about one tenant are one record, sealed last, when everything is known. Its request
  pays for the tenant's writes of PHI (`vdb.kernel.audit`): a write that nobody noted is a bug, and the prepare no op.
- An entry has the time of its request; one that has none, that of the request before which it came. So times rise.
- Entries are sealed under a key of the tenant's for the month. On a month's last day the next one's key is put, too.
- A tenant that has no key has nothing in the group: what is told of it stands in the system's own log.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec.structs import replace

from vdb.audit.entry import ALL_SUBJECTS, AuditEntry, Kind, Outcome, timed
from vdb.audit.shortening import fitted
from vdb.kernel.audit import AUDIT_STREAM, audit_class
from vdb.kernel.audit_command import AuditAppend
from vdb.kernel.command import INTERNAL, KeyRow, KeyScope, Origin, Request
from vdb.kernel.reply import Appended, GrantOpened, PolicyPut, Refusal, Reply
from vdb.kernel.view import View
from vdb.limits import AUDIT_ENTRY_OVERHEAD, Limits
from vdb.node.preparing.request import (
    Notes,
    Pending,
    PlainAudit,
    PlainBatch,
    PlainCreate,
    PlainRequest,
    PlainRun,
    PlainTransaction,
)
from vdb.node.replication.batch import Batch
from vdb.types import SYSTEM_TENANT, DataClass, GroupId, TenantId, audit_log_of
from vdb.wire.event import encode_batch

if TYPE_CHECKING:
    from vdb.node.preparing.sealer import Sealer

NODE_CREATES = AuditEntry(kind=Kind.CREATE, action="create", actor="node", credential="node")
NODE_WRITES = AuditEntry(kind=Kind.WRITE, action="append", actor="node", credential="node")
_NOTE_SIZE = 1400
"""Bytes that an entry may take beside the texts that `note_bound` counts."""
_IDS = ("actor", "client", "door", "rule", "policy", "fingerprint", "digest", "node")
_TEXTS = ("on_behalf_of", "object", "reason", "statement")
_BOUNDS: deque[tuple[AuditEntry, int]] = deque(maxlen=16)
"""Sizes of the notes that came last: a note never changes."""
_DAY_US = 86_400_000_000
_PHI = DataClass.PHI
_LABELS = tuple(one.label for one in DataClass)


def note_bound(request: PlainRequest, note: AuditEntry | None, limits: Limits) -> int:
    """At most so many bytes will the entry of this request take; 0: none is made."""
    if isinstance(request, PlainBatch):
        size = _NOTE_SIZE
        for append in request.appends:
            size += 2 * len(append.stream)
            for run in append.runs:
                if run.subject:
                    size += 2 * len(run.subject) + 4
    elif isinstance(request, PlainTransaction):
        return limits.audit_entry_size_max
    elif isinstance(request, PlainCreate):
        size = _NOTE_SIZE + 2 * len(request.name)
    elif note is None:
        return 0
    else:
        size = _NOTE_SIZE
    if note is not None:
        size += _texts_bound(note)
    size_max = limits.audit_entry_size_max
    return size if size < size_max else size_max


def _texts_bound(note: AuditEntry) -> int:
    """At most so many bytes do the texts of a note take. A door gives one note with many requests."""
    for known, size in _BOUNDS:
        if known is note:
            return size
    size = sum([len(getattr(note, name)) for name in _IDS]) + 2 * sum([len(getattr(note, name)) for name in _TEXTS])
    size += sum(2 * len(text) + 4 for texts in (note.subjects, note.tables) for text in texts)
    size += sum(2 * (len(name) + len(text)) + 8 for name, text in note.detail.items())
    _BOUNDS.append((note, size))
    return size


def note_request(sealer: Sealer, batch: Batch, pending: Pending) -> None:
    """The batch's last request is this one: note it, if it is to be noted."""
    if pending.note_size:
        note_plain(sealer, batch, pending.request, pending.note, pending.note_size, pending.origin)


def note_plain(
    sealer: Sealer,
    batch: Batch,
    request: PlainRequest,
    note: AuditEntry | None,
    size_max: int,
    origin: Origin = INTERNAL,
) -> None:
    """The batch's last request is this one: note what came of it, in at most so many bytes."""
    tenant: TenantId = getattr(request, "tenant", SYSTEM_TENANT)
    if note is None:
        note = NODE_CREATES if isinstance(request, PlainCreate) else NODE_WRITES
    reply, view = batch.replies[-1], batch.view
    entry = _complete_usual(view, request, note, reply, origin) or _complete(view, request, note, reply, origin)
    encoded = fitted(entry, size_max - AUDIT_ENTRY_OVERHEAD)
    notes = _notes_of(sealer, batch, tenant)
    notes.entries.append(timed(encoded, batch.next_timestamp - 1))
    notes.writes += batch.must_be_told


def note_entries(sealer: Sealer, batch: Batch, pending: Pending) -> None:
    """Take entries that are whole but for their time."""
    request = pending.request
    assert isinstance(request, PlainAudit)
    notes, time = _notes_of(sealer, batch, request.tenant), batch.next_timestamp
    pending.entry = len(notes.entries)
    notes.entries += [timed(entry, time) for entry in request.entries]
    notes.waiters.append(pending)
    batch.entries_alone += 1


def seal_notes(sealer: Sealer, batch: Batch) -> None:
    """Nothing else will be in the batch: seal what it tells the audit logs of."""
    waiting, batch.notes = batch.notes, {}
    for tenant, notes in waiting.items():
        key = _month_key(sealer, batch, tenant)
        # The key is in the batch now, so the time of this request is known.
        log, first = audit_log_of(tenant), batch.view.audit_entries(tenant)
        run = PlainRun(count=len(notes.entries), batch=encode_batch(notes.entries))
        data_class = audit_class(GroupId(sealer.region))
        record = sealer.seal(log, AUDIT_STREAM, first, run, key, data_class, batch.next_timestamp)
        command = AuditAppend(tenant=tenant, count=run.count, writes=notes.writes, record=record)
        batch.add(Request(INTERNAL, command))
        batch.waiters += [(len(batch.requests) - 1, pending) for pending in notes.waiters]


def _notes_of(sealer: Sealer, batch: Batch, tenant: TenantId) -> Notes:
    if tenant not in batch.notes and sealer.keyring.row(tenant, KeyScope.TENANT) is None:
        tenant = SYSTEM_TENANT
    found = batch.notes.get(tenant)
    if found is None:
        found = batch.notes[tenant] = Notes()
    return found


def _month_key(sealer: Sealer, batch: Batch, tenant: TenantId) -> KeyRow:
    sealer.ensure_tenant_key(batch, tenant)
    day = batch.timestamp // _DAY_US
    month, following = _month_of(day), _month_of(day + 1)
    data_class = audit_class(GroupId(sealer.region))
    if following != month:
        sealer.ensure_key(batch, tenant, KeyScope.AUDIT, following, data_class)
    return sealer.ensure_key(batch, tenant, KeyScope.AUDIT, month, data_class)


@lru_cache(maxsize=64)
def _month_of(day: int) -> str:
    """The month that this day since 1970 lies in, as `YYYY-MM`."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m")


# What came of a request ----------------------------------------------------------------------------------------


def _complete_usual(
    view: View, request: PlainRequest, note: AuditEntry, reply: Reply, origin: Origin
) -> AuditEntry | None:
    """`_complete` of an append of one run that was accepted, which most are: the same, without lists and loops."""
    if not isinstance(request, PlainBatch) or not isinstance(reply, Appended) or note.subjects:
        return None
    if len(request.appends) != 1 or len(request.appends[0].runs) != 1:
        return None
    append, part = request.appends[0], reply.streams[0]
    subject, data_class = append.runs[0].subject, view.data_class(request.tenant, part.stream)
    return replace(
        note,
        data_class=_LABELS[data_class],
        object=note.object or append.stream,
        subjects=(subject,) if subject else ALL_SUBJECTS if data_class is _PHI else (),
        first=part.first_offset,
        count=part.next_offset - part.first_offset,
        request=f"{origin.client.hex()}:{origin.session}:{origin.number}" if origin.session else "",
    )


def _complete(view: View, request: PlainRequest, note: AuditEntry, reply: Reply, origin: Origin) -> AuditEntry:
    known: dict[str, object] = {}
    if isinstance(reply, Refusal):
        known["outcome"], known["code"] = Outcome.REFUSED, reply.code.value
    elif isinstance(reply, Appended):
        known["count"] = reply.next_position - reply.first_position
        if len(reply.streams) == 1:
            known["first"] = reply.streams[0].first_offset
    elif isinstance(reply, GrantOpened):
        known["grant"] = reply.grant
    elif isinstance(reply, PolicyPut):
        known["detail"] = {**note.detail, "serial": str(reply.serial), "version": reply.version}
    if origin.session:
        known["request"] = f"{origin.client.hex()}:{origin.session}:{origin.number}"
    if isinstance(request, PlainCreate):
        known["object"], known["data_class"] = request.name, request.data_class.label
    elif isinstance(request, PlainBatch | PlainTransaction):
        classes = _classes(view, request.tenant, reply)
        if classes:
            known["data_class"] = max(classes, key=lambda one: one is _PHI).label
        if not note.object:
            known["object"] = ", ".join(_streams(request))
        if not note.subjects:
            known["subjects"] = _subjects(request, is_phi=_PHI in classes)
    return replace(note, **known)


def _classes(view: View, tenant: TenantId, reply: Reply) -> list[DataClass]:
    if not isinstance(reply, Appended):
        return []
    return [view.data_class(tenant, part.stream) for part in reply.streams]


def _streams(request: PlainBatch | PlainTransaction) -> list[str]:
    parts = request.appends if isinstance(request, PlainBatch) else request.targets
    return [part.stream for part in parts]


def _subjects(request: PlainBatch | PlainTransaction, *, is_phi: bool) -> tuple[str, ...]:
    """Whom the events are about. Everybody, where PHI is about nobody in particular."""
    if isinstance(request, PlainBatch):
        found = {run.subject: None for append in request.appends for run in append.runs}
    else:
        found = {run.subject: None for pieces in request.parts for piece in pieces for run in piece.runs}
    if "" in found:
        if is_phi:
            return ALL_SUBJECTS
        del found[""]
    return tuple(found)
