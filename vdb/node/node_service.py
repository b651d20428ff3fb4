"""The gate of a whole node: the log's methods, and those that need projections or the node itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vdb.node.answers import GroupStatus, NodeStatus, RowsResult
from vdb.node.group import Group
from vdb.node.projecting import ProjectionManager
from vdb.node.reader import GroupReader
from vdb.node.service import Service
from vdb.ports import Clock
from vdb.projections.rows import LIMIT_DEFAULT
from vdb.projections.values import SqlValue
from vdb.types import GroupId, Position, Region, check_tenant_id


class NodeService(Service):
    """See `Service`; made once per node."""

    def __init__(
        self,
        *,
        readers: Mapping[GroupId, GroupReader],
        region: Region,
        projections: ProjectionManager,
        clock: Clock,
        name: str,
        version: str,
    ) -> None:
        super().__init__(readers, region)
        self._projections = projections
        self._clock = clock
        self._name = name
        self._version = version
        self._started_ns = clock.monotonic_ns()

    async def status(self) -> NodeStatus:
        first = next(iter(self.groups.values()))
        return NodeStatus(
            node=self._name,
            region=self.region.name,
            version=self._version,
            groups=tuple(_group_status(group) for group in self.groups.values()),
            projections=tuple(self._projections.status()),
            uptime_seconds=(self._clock.monotonic_ns() - self._started_ns) / 1e9,
            number=first.replica.replica,
            cluster=first.superblock.state.cluster,
            disk_id=bytes(16),
            clock_synchronised=True,
        )

    async def rows(
        self,
        tenant: int,
        projection: str,
        table: str,
        where: Mapping[str, SqlValue],
        order_by: Sequence[str],
        limit: int,
    ) -> RowsResult:
        """Rows of a projection's table, filtered by equality. UnknownProjection, InvalidArgument."""
        return await self._projections.rows(
            check_tenant_id(tenant), projection, table, where, order_by, limit or LIMIT_DEFAULT
        )

    async def wait_for_projection(self, tenant: int, projection: str, position: str, timeout_us: int) -> bool:
        """True once the projection has applied everything before these positions; False after the timeout."""
        wanted = {found.group: found.number for found in map(Position.parse, position.split())}
        for group in wanted:
            self._group(group)
        return await self._projections.wait_for(check_tenant_id(tenant), projection, wanted, timeout_us / 1e6)


def _group_status(group: Group) -> GroupStatus:
    replica, state = group.replica, group.state
    return GroupStatus(
        group=group.name,
        status=replica.status.value,
        view=replica.view,
        op=replica.op,
        commit=replica.commit_number,
        checkpoint_op=replica.checkpoint_op,
        next_position=state.next_position,
        tenants=state.tenant_count,
        streams=state.stream_count,
        sessions=state.session_count,
        disk_full=group.disk_full,
        scrubbed_at=group.scrubbed_at,
        scrub_faults=group.scrub_faults,
        primary=replica.replica,
        primary_address="",
        epoch=0,
        members=(),
        serving=True,
    )
