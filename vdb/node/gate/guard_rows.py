"""The guard of projections: their rows, and what is done to them.

A projection may be built of anything that its tenant has: its rows count as PHI of the node's region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from vdb.audit.entry import ALL_SUBJECTS, Kind
from vdb.node.gate.answers import RowDifferences, RowsResult
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.permit import Permit
from vdb.policy.words import Action
from vdb.projections.parking import ParkedEvent
from vdb.projections.replaying import Replayed
from vdb.projections.values import SqlValue
from vdb.types import DataClass, Position


class RowsGuard(GuardBase):
    """See the module's docstring."""

    async def rows(
        self,
        tenant: int,
        projection: str,
        table: str,
        where: Mapping[str, SqlValue],
        order_by: Sequence[str],
        limit: int,
    ) -> RowsResult:
        """`NodeService.rows`, with a receipt."""
        permit = await self.permit(Action.QUERY, tenant, DataClass.PHI, stream=projection, tables=(table,), door="rows")
        result = await self.service.rows(tenant, projection, table, where, order_by, limit)
        columns = tuple(f"{table}.{column}" for column in result.columns)
        permit = await self.permit(
            Action.QUERY, tenant, DataClass.PHI, stream=projection, tables=(table,), columns=columns, door="rows"
        )
        await self._receipt(permit, repr(result.rows), len(result.rows), position=result.position)
        return result

    async def wait_for_projection(self, tenant: int, projection: str, position: str, timeout_us: int) -> bool:
        """`NodeService.wait_for_projection`."""
        await self.permit_any((Action.QUERY,), tenant, stream=projection, door="waitForProjection")
        return await self.service.wait_for_projection(tenant, projection, position, timeout_us)

    async def rebuild_projection(self, tenant: int, projection: str, *, hold: bool) -> None:
        """`NodeService.rebuild_projection`."""
        permit = await self._operate(tenant, projection, "rebuildProjection")
        await self.acted(permit, detail={"hold": str(hold).lower()})
        await self.service.rebuild_projection(tenant, projection, hold=hold)

    async def switch_projection(self, tenant: int, projection: str, *, back: bool) -> int:
        """`NodeService.switch_projection`."""
        permit = await self._operate(tenant, projection, "switchProjection")
        await self.acted(permit, detail={"back": str(back).lower()})
        return await self.service.switch_projection(tenant, projection, back=back)

    async def diff_projection(self, tenant: int, projection: str, differences_max: int) -> RowDifferences:
        """`NodeService.diff_projection`, with a receipt."""
        permit = await self.permit(Action.QUERY, tenant, DataClass.PHI, stream=projection, door="diffProjection")
        found = await self.service.diff_projection(tenant, projection, differences_max)
        tables = tuple(dict.fromkeys(one.table.name for one in found.differences))
        rows = [(one.key, one.before, one.after) for one in found.differences]
        await self._receipt(permit, repr(rows), len(rows), position=found.position_after, tables=tables)
        return found

    async def parked_events(self, tenant: int, projection: str, maximum: int) -> list[ParkedEvent]:
        """`NodeService.parked_events`, with a receipt: keys and errors may hold what the events do."""
        permit = await self.permit(Action.READ, tenant, DataClass.PHI, stream=projection, door="parkedEvents")
        found = await self.service.parked_events(tenant, projection, maximum)
        await self._receipt(permit, repr(found), len(found), kind=Kind.READ)
        return found

    async def settle_parked(self, tenant: int, projection: str, position: str, *, drop: bool) -> int:
        """`NodeService.settle_parked`."""
        permit = await self._operate(tenant, projection, "settleParked")
        await self.acted(permit, detail={"drop": str(drop).lower(), "position": position or "all"})
        return await self.service.settle_parked(tenant, projection, position, drop=drop)

    async def replay_projection(
        self, tenant: int, projection: str, start: Sequence[Position], differences_max: int
    ) -> Replayed:
        """`NodeService.replay_projection`, with a receipt."""
        permit = await self.permit(Action.QUERY, tenant, DataClass.PHI, stream=projection, door="replay")
        found = await self.service.replay_projection(tenant, projection, start, differences_max)
        await self._receipt(permit, repr(found), 0)
        return found

    async def _operate(self, tenant: int, projection: str, door: str) -> Permit:
        return await self.permit(Action.OPERATE, tenant, DataClass.PHI, stream=projection, door=door)

    async def _receipt(
        self,
        permit: Permit,
        answer: str,
        count: int,
        *,
        position: str = "",
        tables: Sequence[str] = (),
        kind: Kind = Kind.QUERY,
    ) -> None:
        if not count or not self.permits.gives_receipts:
            return
        entry = permit.entry(
            kind,
            tables=tuple(tables) or permit.request.tables,
            subjects=ALL_SUBJECTS,
            count=count,
            digest=sha256(answer.encode()).hexdigest(),
            view=self.permits.group(permit.group).replica.view,
            position=position,
        )
        await self.record(permit, entry)
