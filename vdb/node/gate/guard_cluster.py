"""The guard of the node itself: its status, its members, and evidence.

What is done to a node is written down before it is done: so nothing is done that isn't written down, and what failed
stands there as well.
"""

from __future__ import annotations

from attrs import evolve

from vdb.audit.entry import Kind
from vdb.evidence.note import VerifierKey
from vdb.evidence.proof import LogProof
from vdb.kernel.command import MemberRow
from vdb.node.evidence.proving import SignedHead, family_of
from vdb.node.gate.answers import GroupHolders
from vdb.node.gate.guard_base import CLASSES, GuardBase
from vdb.policy.words import Action
from vdb.status import NodeStatus
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId

_HEADS = (Action.AUDIT, Action.READ, Action.STATUS)


class ClusterGuard(GuardBase):
    """See the module's docstring."""

    async def open_session(self, client: bytes, group: str = "") -> int:
        """`Service.open_session`: for whoever has shown who asks, whose the session is then."""
        _ = self.caller
        return await self.owners.open(client, group)

    async def status(self) -> NodeStatus:
        """`NodeService.status`. Of projections, which are named and may say what failed, those hear that may."""
        found = await self.service.status()
        shown = self.decide(Action.STATUS, 0, DataClass.NON_PHI, door="status")
        return found if shown.allowed else evolve(found, projections=())

    def holders(self) -> tuple[str, tuple[GroupHolders, ...]]:
        """The node's region, and which nodes hold which group: for whoever has shown who asks."""
        _ = self.caller
        return self.service.region.name, self.service.holders()

    async def add_member(self, group: str, member: MemberRow) -> int:
        permit = await self.operate("addMember", group)
        await self.acted(permit, detail={"node": str(member.node)})
        return await self.service.add_member(group, member)

    async def promote_member(self, group: str, node: int) -> int:
        permit = await self.operate("promoteMember", group)
        await self.acted(permit, detail={"node": str(node)})
        return await self.service.promote_member(group, node)

    async def remove_member(self, group: str, node: int) -> int:
        permit = await self.operate("removeMember", group)
        await self.acted(permit, detail={"node": str(node)})
        return await self.service.remove_member(group, node)

    async def recover_member(self, group: str, node: int, disk_id: bytes) -> int:
        permit = await self.operate("recoverMember", group)
        await self.acted(permit, detail={"node": str(node), "disk": disk_id.hex()})
        return await self.service.recover_member(group, node, disk_id)

    async def abdicate(self, group: str) -> None:
        permit = await self.operate("abdicate", group)
        await self.acted(permit)
        await self.service.abdicate(group)

    # Evidence --------------------------------------------------------------------------------------------------

    async def tree_head(self, tenant: int, group: str, family: str = "", *, cosigned: bool = False) -> SignedHead:
        """`Prover.head`; or, `cosigned`, `Cosigning.head` at the group's primary."""
        await self.permit_any(_HEADS, tenant, group=group, door="treeHead")
        name, wanted = group or self.service.region.name, family_of(family)
        if cosigned:
            await self.service.group_of(name).confirm()
            return self.service.cosigning.head(TenantId(tenant), GroupId(name), wanted)
        return await self.service.proofs.head(tenant, name, wanted)

    async def consistency(self, tenant: int, group: str, size: int, family: str = "") -> tuple[SignedHead, list[bytes]]:
        """`Prover.consistency`."""
        await self.permit_any(_HEADS, tenant, group=group, door="proveConsistency")
        name = group or self.service.region.name
        head, path = await self.service.proofs.consistency(tenant, name, size, family_of(family))
        return head, list(path)

    async def leaves(
        self, tenant: int, group: str, from_index: int, maximum: int, family: str = ""
    ) -> tuple[list[bytes], int, int]:
        """`Prover.leaf_data`. Headers name subject tokens and times: who looks through them is written down."""
        name, wanted = group or self.service.region.name, family_of(family)
        classes = CLASSES if name == GLOBAL_GROUP else (DataClass.PHI,)
        permit = await self.permit_any((Action.AUDIT,), tenant, classes=classes, group=name, door="leaves")
        found, size = await self.service.proofs.leaf_data(tenant, name, from_index, maximum, wanted)
        if self.permits.gives_receipts:
            detail = {"leaves": wanted.value, "from": str(from_index), "count": str(len(found))}
            await self.record(permit, permit.entry(Kind.AUDIT, detail=detail))
        return found, from_index + len(found), size

    async def prove_record(self, tenant: int, stream: str, offset: int) -> tuple[LogProof, VerifierKey]:
        """`NodeService.prove_record`. It names the record's subject token and time: written down, for PHI."""
        held = self.place(tenant, stream)
        classes = CLASSES if held.data_class is None else (held.data_class,)
        permit = await self.permit_any(
            (Action.AUDIT, Action.READ), tenant, classes=classes, group=held.group, stream=stream, door="proveRecord"
        )
        found = await self.service.prove_record(tenant, stream, offset)
        if self.permits.gives_receipts and self.place(tenant, stream).data_class is DataClass.PHI:
            await self.record(permit, permit.entry(Kind.READ, first=offset, count=1, detail={"proof": "true"}))
        return found
