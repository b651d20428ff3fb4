"""The guard of projections: their rows, and what is done to them.

A projection may be built of anything that its tenant has: its rows count as PHI of the node's region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256

from attrs import evolve

from vdb.audit.entry import ALL_SUBJECTS, Kind
from vdb.node.gate.answers import RowDifferences, RowsResult
from vdb.node.gate.guard_base import GuardBase
from vdb.node.gate.permit import Permit
from vdb.policy.masking import mask_of, masked_value
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
        """`NodeService.rows`, with a receipt. What a rule masks is masked, and neither filtered nor sorted by."""
        await self._may_query(tenant, projection, table, ())
        result = await self.service.rows(tenant, projection, table, where, order_by, limit)
        permit = await self._may_query(tenant, projection, table, result.columns)
        result = await self._masked(permit, table, result, (*where, *order_by))
        await self._receipt(permit, repr(result.rows), len(result.rows), position=result.position)
        return result

    async def _may_query(self, tenant: int, projection: str, table: str, columns: Sequence[str]) -> Permit:
        """A permit for columns of a table. A rule that shows some rows alone can't be kept here."""
        permit = self.decide(
            Action.QUERY,
            tenant,
            DataClass.PHI,
            stream=projection,
            tables=(table,),
            columns=tuple(f"{table}.{column}" for column in columns),
            door="rows",
            plain=False,
        )
        if permit.allowed and permit.decision.rows:
            why = f"rule '{permit.decision.rule}' shows some rows, which SQL alone can choose"
            permit = evolve(permit, decision=evolve(permit.decision, allowed=False, reason=why))
        return await self.checked(permit)

    async def _masked(self, permit: Permit, table: str, result: RowsResult, used: Sequence[str]) -> RowsResult:
        masks = {index: mask_of(permit.decision.masks, table, name) for index, name in enumerate(result.columns)}
        hidden = {index: mask for index, mask in masks.items() if mask is not None}
        for name in used:
            if mask_of(permit.decision.masks, table, name.removeprefix("-")) is not None:
                why = f"rule '{permit.decision.rule}' masks column '{name}': rows can't be chosen or sorted by it"
                denied = evolve(permit, decision=evolve(permit.decision, allowed=False, reason=why))
                await self.checked(denied)
        if not hidden:
            return result
        rows = [
            tuple(masked_value(hidden[index], cell) if index in hidden else cell for index, cell in enumerate(row))
            for row in result.rows
        ]
        return evolve(result, rows=tuple(rows))

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
        """`NodeService.diff_projection`, with a receipt. Who may not see a table hears nothing of any."""
        permit = await self.permit(Action.QUERY, tenant, DataClass.PHI, stream=projection, door="diffProjection")
        found = await self.service.diff_projection(tenant, projection, differences_max)
        tables = {one.table.name: one.table.column_names for one in found.differences}
        for table, columns in tables.items():
            await self.permit(
                Action.QUERY,
                tenant,
                DataClass.PHI,
                stream=projection,
                tables=(table,),
                columns=tuple(f"{table}.{column}" for column in columns),
                door="diffProjection",
            )
        rows = [(one.key, one.before, one.after) for one in found.differences]
        await self._receipt(permit, repr(rows), len(rows), position=found.position_after, tables=tuple(tables))
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
