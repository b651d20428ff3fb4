"""Audit logs of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from functools import partial

import trio

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.client.audit_line import AuditLine
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.node.gate.guard import Guard


class ServiceAudit:
    """Implements `vdb.client.audit_line.AuditLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

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
        with trio.move_on_after(timeout):
            return await self._guard.audit_entries(tenant, group, from_index, count_max, search, sealed=sealed)
        raise Timeout(f"audit_entries: no answer within {timeout:g} s")

    async def record(self, tenant: int, group: str, kind: str, detail: str, *, timeout: float) -> int:
        with trio.move_on_after(timeout):
            return await self._guard.record_audit(tenant, group, kind, detail)
        raise Timeout(f"record_audit: no answer within {timeout:g} s")


class HopAudit:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: AuditLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

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
        call = partial(
            self._inner.entries, tenant, group, from_index, count_max, search, sealed=sealed, timeout=timeout
        )
        return await self._loop.call_async(call)

    async def record(self, tenant: int, group: str, kind: str, detail: str, *, timeout: float) -> int:
        return await self._loop.call_async(partial(self._inner.record, tenant, group, kind, detail, timeout=timeout))
