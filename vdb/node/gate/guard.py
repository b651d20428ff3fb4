"""The guard: what every door holds instead of the node's service. One for each connection, and each handle.

    guard = Guard(service, caller)
    guard.enter("read")                        # who hasn't shown who asks, goes no further
    result = await guard.read(1, "notes", 0, max_events=10)

    permit = await guard.permit(Action.ERASE, tenant, DataClass.PHI, group=group, subject=subject, door="eraseSubject")
    ...                                        # AccessDenied is raised once the denial is in the audit log
    await guard.acted(permit, Kind.ERASE, subjects=(subject,))

Rules
- It mirrors the methods of the service that doors use, and adds the policy's decision and the audit entries.
- A door has nothing but its guard: no service, no reader, no writes.
- Nothing of the node itself (projections, consumers' bookkeeping, repair) passes here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdb.node.gate.answers import StreamInfo
from vdb.node.gate.caller import Caller
from vdb.node.gate.guard_audit import AuditGuard
from vdb.node.gate.guard_cluster import ClusterGuard
from vdb.node.gate.guard_consumers import GuardedConsumers
from vdb.node.gate.guard_erasure import ErasureGuard
from vdb.node.gate.guard_governance import GovernanceGuard
from vdb.node.gate.guard_keys import KeyGuard
from vdb.node.gate.guard_log import LogGuard
from vdb.node.gate.guard_rows import RowsGuard
from vdb.node.gate.guard_sessions import SessionGuard
from vdb.node.gate.guard_sql import GuardedSessions
from vdb.node.gate.guard_writes import WritesGuard
from vdb.node.gate.service import LINEARIZABLE
from vdb.sql.names import STREAM_PREFIX
from vdb.types import ReadLevel

if TYPE_CHECKING:
    from vdb.node.gate.node_service import NodeService
    from vdb.node.identity.visit import Visit


class Guard(
    WritesGuard,
    LogGuard,
    RowsGuard,
    ClusterGuard,
    AuditGuard,
    GovernanceGuard,
    ErasureGuard,
    KeyGuard,
    SessionGuard,
):
    """See the module's docstring."""

    def __init__(self, service: NodeService, caller: Caller | None, visit: Visit | None = None) -> None:
        super().__init__(service, caller, visit)
        self._forget()
        self.sql = GuardedSessions(self)
        """SQL databases, and sessions on them."""
        self.consumers = GuardedConsumers(self)

    async def get_stream(
        self, tenant: int, name: str, *, group: str = "", level: ReadLevel = LINEARIZABLE
    ) -> StreamInfo:
        """`LogGuard.get_stream`. Who may do anything with a SQL database may know where it lies, to open it there."""
        database = name.removeprefix(STREAM_PREFIX)
        if database != name and self.sql.may_open(tenant, database):
            return await self.service.get_stream(tenant, name, group=group, level=level)
        return await super().get_stream(tenant, name, group=group, level=level)

    def become(self, caller: Caller | None) -> None:
        super().become(caller)
        self._forget()
