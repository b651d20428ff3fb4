"""The gate of a whole node: the log's methods, and those that need projections, the members or the node itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vdb.errors import InvalidArgument, RefusalCode, error_for_refusal
from vdb.evidence.note import VerifierKey
from vdb.evidence.proof import LogProof
from vdb.kernel.command import INTERNAL, MemberRow
from vdb.kernel.governance import policy_serial, unreviewed_grants
from vdb.kernel.reply import Reconfigured, Refusal, Reply
from vdb.marks import mark
from vdb.node.audit.cosigning import Cosigning
from vdb.node.audit.reading import AuditReader
from vdb.node.audit.recorder import Recorder
from vdb.node.consumers.consuming import Consumers
from vdb.node.crud.databases import CrudDatabases
from vdb.node.crud.sessions import NodeSessions
from vdb.node.erasure.erasing import Erasing
from vdb.node.erasure.retaining import Retaining
from vdb.node.evidence.proving import Prover
from vdb.node.gate.answers import GroupHolders, RowDifferences, RowsResult
from vdb.node.gate.permits import Permits
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.service import LINEARIZABLE, Service, answered
from vdb.node.gate.writes import Writes
from vdb.node.governance.governing import Governance
from vdb.node.keys.rotating import KeyRotation
from vdb.node.peers.membership import Membership
from vdb.node.preparing.request import PlainReconfigure, PlainReject
from vdb.node.projecting.projecting import ProjectionManager
from vdb.node.replication.group import Group
from vdb.ports import Clock
from vdb.projections.parking import ParkedEvent
from vdb.projections.replaying import Replayed
from vdb.projections.rows import LIMIT_DEFAULT
from vdb.projections.values import SqlValue
from vdb.status import GroupStatus, NodeStatus
from vdb.types import GroupId, Position, Region, check_tenant_id


class NodeService(Service):
    """See `Service`; made once per node."""

    def __init__(
        self,
        *,
        readers: Mapping[GroupId, GroupReader],
        writes: Writes,
        databases: CrudDatabases,
        region: Region,
        projections: ProjectionManager,
        membership: Membership,
        proofs: Prover,
        cosigning: Cosigning,
        permits: Permits,
        governance: Governance,
        erasing: Erasing,
        retaining: Retaining,
        keys: KeyRotation,
        clock: Clock,
        name: str,
        version: str,
    ) -> None:
        super().__init__(readers, region, writes)
        self.permits = permits
        """What its guards ask."""
        self.erasing = erasing
        """How data end."""
        self.retaining = retaining
        """How long they are kept, and the end of what has expired."""
        self.keys = keys
        """Rotation of keys."""
        self.governance = governance
        """Policies, broken glasses, consents, attestations."""
        self.databases = databases
        """The SQL databases."""
        self.sql = NodeSessions(self, databases)
        """Sessions on them, for callers that aren't in this process' own threads."""
        self.proofs = proofs
        self.cosigning = cosigning
        self.consumers = Consumers(self)
        """Consumer groups."""
        assert isinstance(permits.recorder, Recorder)
        self.recorder = permits.recorder
        """Puts entries into audit logs."""
        self.audit = AuditReader(readers, proofs.leaves)
        """Reads audit logs back."""
        self._projections = projections
        self._membership = membership
        self._clock = clock
        self._name = name
        self._version = version
        self._started_ns = clock.monotonic_ns()

    async def prove_record(self, tenant: int, stream: str, offset: int) -> tuple[LogProof, VerifierKey]:
        """That the record with this event is in its tenant's tree. UnknownStream, NotPrimary, InvalidArgument."""
        reader = await self._find(check_tenant_id(tenant), stream, "", LINEARIZABLE)
        return await self.proofs.prove(tenant, reader, stream, offset)

    async def status(self) -> NodeStatus:
        groups = list(self.groups.values())
        first = groups[0]
        return NodeStatus(
            node=self._name,
            region=self.region.name,
            version=self._version,
            groups=tuple(self._group_status(group) for group in groups),
            projections=tuple(await self._projections.status()),
            uptime_seconds=(self._clock.monotonic_ns() - self._started_ns) / 1e9,
            number=first.replica.replica,
            cluster=first.superblock.state.cluster,
            disk_id=self._membership.disk_id,
            clock_synchronised=all(group.clock_synchronised for group in groups),
        )

    def holders(self) -> tuple[GroupHolders, ...]:
        """Which nodes hold which group, as far as this one knows: regions by name, then the global group."""
        return self._membership.holders(self.groups.values())

    def _group_status(self, group: Group) -> GroupStatus:
        replica, state = group.replica, group.state
        members = self._membership.status(group)
        started = replica.status.value == "normal"
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
            primary=replica.primary,
            primary_address=next((one.address for one in members if started and one.node == replica.primary), ""),
            epoch=replica.configuration.epoch,
            members=members,
            serving=group.is_serving,
            still_us=int(self._projections.still_seconds(group.name) * 1e6),
            policy_serial=policy_serial(state),
            unreviewed_grants=unreviewed_grants(state),
            cosigned_at=self.cosigning.oldest(group.name),
            witnesses=self.cosigning.witnesses,
        )

    # Members ---------------------------------------------------------------------------------------------------

    async def add_member(self, group: str, member: MemberRow) -> int:
        """The node becomes a learner, or a member with other addresses. The epoch of the configuration that holds."""
        return await self._reconfigure(group, lambda found: self._membership.with_learner(found, member))

    async def promote_member(self, group: str, node: int) -> int:
        """A learner becomes a voter. LearnerBehind until it has caught up."""
        return await self._reconfigure(group, lambda found: self._membership.with_voter(found, node))

    async def remove_member(self, group: str, node: int) -> int:
        """The node is no member any more, and isn't needed."""
        epoch = await self._reconfigure(group, lambda found: self._membership.without(found, node))
        await self._settle(group)
        return epoch

    async def recover_member(self, group: str, node: int, disk_id: bytes) -> int:
        """A member whose disk was lost becomes a learner, known by its new disk."""
        epoch = await self._reconfigure(group, lambda found: self._membership.with_new_disk(found, node, disk_id))
        await self._settle(group)
        return epoch

    async def abdicate(self, group: str) -> None:
        """The primary gives up its view. NotPrimary where this node isn't it; alone it has nobody to give it up to."""
        found = self._group(group)
        await found.confirm()
        if len(found.replica.configuration.voters) == 1:
            raise InvalidArgument(f"group {group} has one voter: expected another one to take over")
        mark("service.abdicate")
        found.abdicate()

    async def _reconfigure(self, name: str, change: Callable[[Group], PlainReconfigure | None]) -> int:
        """Judge a change by what the primary knows for certain, and have it committed."""
        group = self._group(name)
        await group.confirm()
        request = change(group)
        if request is None:
            return group.replica.configuration.epoch
        reply: Reply = await answered(lambda on_answer: group.reconfigure(request, on_answer, on_answer))
        if isinstance(reply, Refusal):
            raise error_for_refusal(reply.code, reply.message)
        assert isinstance(reply, Reconfigured)
        return reply.epoch

    async def _settle(self, name: str) -> None:
        """Put an op above a change by which a voter left: the log of those who stay then says that it is committed.

        Without it, they would need the one who left to know so after a power failure, and it may be gone for good.
        """
        nothing = PlainReject(code=RefusalCode.INVALID_ARGUMENT, message="stands above a change of members")
        await self._group(name).execute(nothing, INTERNAL)

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

    async def rebuild_projection(self, tenant: int, projection: str, *, hold: bool) -> None:
        """Begin to build a projection's rows anew beside those in use, on this node; then use them, unless `hold`."""
        await self._projections.rebuild(check_tenant_id(tenant), projection, hold=hold)

    async def switch_projection(self, tenant: int, projection: str, *, back: bool) -> int:
        """Use the rows that were built beside, or those in use before. The generation that is in use then."""
        return await self._projections.switch(check_tenant_id(tenant), projection, back=back)

    async def diff_projection(self, tenant: int, projection: str, differences_max: int) -> RowDifferences:
        """How the rows that were built beside differ from those in use."""
        return await self._projections.diff(check_tenant_id(tenant), projection, differences_max)

    async def parked_events(self, tenant: int, projection: str, maximum: int) -> list[ParkedEvent]:
        """Events that a projection passed over, by position."""
        return await self._projections.parked(check_tenant_id(tenant), projection, maximum)

    async def settle_parked(self, tenant: int, projection: str, position: str, *, drop: bool) -> int:
        """Try a parked event again, and those that wait behind it, or drop it; empty: all. How many it were."""
        where = Position.parse(position) if position else None
        return await self._projections.settle_parked(check_tenant_id(tenant), projection, where, drop=drop)

    async def replay_projection(
        self, tenant: int, projection: str, start: Sequence[Position], differences_max: int
    ) -> Replayed:
        """Apply the log from these positions (none: from the beginning) to rows that nobody is served."""
        begins = {position.group: position.number for position in start}
        return await self._projections.replay(check_tenant_id(tenant), projection, begins, differences_max)
