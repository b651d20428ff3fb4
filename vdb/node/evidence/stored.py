"""The logs that a node holds, and audits of them as they are stored."""

from __future__ import annotations

from collections.abc import Mapping

from vdb.evidence.checkpoint import Checkpoint
from vdb.node.evidence.auditing import LogAudit, Progress, audit_log
from vdb.node.evidence.proving import Family, origin_of
from vdb.node.gate.reader import GroupReader
from vdb.types import GroupId, TenantId, audit_log_of, is_audit_log, tenant_of_log


class StoredLogs:
    """Of all groups of a node. Runs in its loop."""

    def __init__(self, readers: Mapping[GroupId, GroupReader]) -> None:
        self._readers = readers

    def logs(self) -> list[tuple[GroupId, TenantId]]:
        """All logs of the node, of data and of audit: a group, and the number of a log in it (`vdb.types`)."""
        found: list[tuple[GroupId, TenantId]] = []
        for name, reader in self._readers.items():
            state = reader.group.state
            found += [(name, one.tenant) for one in state.tenants()]
            found += [(name, audit_log_of(tenant)) for tenant in state.audited_tenants()]
        return found

    def origin(self, group: GroupId, log: TenantId) -> str:
        """The log's name in signed heads."""
        family = Family.AUDIT if is_audit_log(log) else Family.DATA
        cluster = self._readers[group].group.superblock.state.cluster
        return origin_of(cluster, group, tenant_of_log(log), family)

    async def audit(
        self, group: GroupId, log: TenantId, known: Checkpoint | None, on_progress: Progress | None
    ) -> LogAudit:
        """See `vdb.node.evidence.auditing`. `on_progress` is called in the node's loop."""
        return await audit_log(self._readers[group], log, known, on_progress)
