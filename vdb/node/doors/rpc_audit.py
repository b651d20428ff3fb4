"""The RPC door of audit logs."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.node.doors.answering import Handler, answer, field
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall


def audit_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def entries(call: IncomingCall) -> None:
        params = call.params
        tenant, group = params.tenant, params.group
        first, count, sealed = params.fromIndex, params.max, params.sealed
        search = _search(params.search)
        answer(call, partial(guard.audit_entries, tenant, group, first, count, search, sealed=sealed), _fill)

    def record(call: IncomingCall) -> None:
        params = call.params
        tenant, group, kind, detail = params.tenant, params.group, params.kind, params.detail
        answer(call, partial(guard.record_audit, tenant, group, kind, detail), field("index"))

    return {"auditEntries": entries, "recordAudit": record}


def _search(reader: Any) -> AuditSearch:
    return AuditSearch(
        subject=reader.subject,
        actor=reader.actor,
        kinds=tuple(reader.kinds),
        from_time=reader.fromTime,
        to_time=reader.toTime,
    )


def _fill(results: Any, page: AuditPage) -> None:
    results.next, results.size, results.names = page.next, page.size, list(page.names)
    for target, record in zip(results.init("records", len(page.records)), page.records, strict=True):
        target.index, target.firstEntry, target.time = record.index, record.first_entry, record.time
        target.leafData, target.body, target.recordKey = record.leaf_data, record.body, record.record_key
        target.entries = list(record.entries)
        target.shredded = record.shredded
