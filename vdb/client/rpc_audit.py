"""Audit logs over RPC: asked of the group's primary, again until it is answered."""

from __future__ import annotations

from typing import Any

from vdb.audit.page import AuditPage, AuditRecord
from vdb.audit.search import AuditSearch
from vdb.client.router import Router
from vdb.types import GroupId


class RpcAudit:
    """Implements `vdb.client.audit_line.AuditLine`."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def entries(
        self,
        tenant: int,
        group: str,
        from_index: int,
        count_max: int,
        search: AuditSearch,
        *,
        sealed: bool,
        timeout: float,
    ) -> AuditPage:
        def build(params: Any) -> None:
            params.tenant, params.group = tenant, group
            params.fromIndex, params.max, params.sealed = from_index, count_max, sealed
            wanted = params.search
            wanted.subject, wanted.actor, wanted.kinds = search.subject, search.actor, list(search.kinds)
            wanted.fromTime, wanted.toTime = search.from_time, search.to_time

        return await self._router.ask("auditEntries", build, _page, timeout=timeout, group=GroupId(group))

    async def record(self, tenant: int, group: str, kind: str, detail: str, *, timeout: float) -> int:
        def build(params: Any) -> None:
            params.tenant, params.group, params.kind, params.detail = tenant, group, kind, detail

        def parse(results: Any) -> int:
            return int(results.index)

        return await self._router.ask("recordAudit", build, parse, timeout=timeout, group=GroupId(group))


def _page(results: Any) -> AuditPage:
    return AuditPage(
        records=tuple(
            AuditRecord(
                index=one.index,
                first_entry=one.firstEntry,
                time=one.time,
                leaf_data=bytes(one.leafData),
                entries=tuple(bytes(entry) for entry in one.entries),
                body=bytes(one.body),
                record_key=bytes(one.recordKey),
                shredded=one.shredded,
            )
            for one in results.records
        ),
        next=results.next,
        size=results.size,
        names=tuple(results.names),
    )
