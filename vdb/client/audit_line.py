"""What carries calls of audit logs: an RPC connection, or a node in the same process. See `vdb.client.gateway`."""

from __future__ import annotations

from typing import Protocol

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch


class AuditLine(Protocol):
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
        """Records from a leaf on, as many as one answer holds. `tenant` 0: the system's log."""

    async def record(self, tenant: int, group: str, kind: str, detail: str, *, timeout: float) -> int:
        """An entry of the program's own; the leaf that it stands in."""
