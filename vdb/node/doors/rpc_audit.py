"""The RPC door of audit logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def audit_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def entries(call: IncomingCall) -> None:
        params = call.params
        tenant, group = params.tenant, params.group
        first, count, sealed = params.fromIndex, params.max, params.sealed
        search = _search(params.search)

        async def run() -> None:
            page = await guard.audit_entries(tenant, group, first, count, search, sealed=sealed)
            call.respond(lambda results: _fill(results, page))

        call.start_soon(run)

    def record(call: IncomingCall) -> None:
        params = call.params
        tenant, group, kind, detail = params.tenant, params.group, params.kind, params.detail

        async def run() -> None:
            index = await guard.record_audit(tenant, group, kind, detail)

            def build(results: Any) -> None:
                results.index = index

            call.respond(build)

        call.start_soon(run)

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
