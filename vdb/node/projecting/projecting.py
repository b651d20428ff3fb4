"""The node's projections: a projector for each configured projection of each tenant that has a stream here.

A projection's files are encrypted under a random key of the region's key store, put there (through the log) before the
first is made. Its events come from all groups of this node, opened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from vdb.errors import UnknownProjection
from vdb.node import log
from vdb.node.gate.answers import RowDifferences, RowsResult
from vdb.node.gate.reader import GroupReader
from vdb.node.projecting.ages import Ages
from vdb.node.projecting.file_keys import FileKeys
from vdb.node.projecting.keyed_disk import KeyedDisk
from vdb.node.projecting.node_source import FOLLOW_SECONDS, NodeSource
from vdb.node.projecting.standstill import Standstill
from vdb.node.replication.group import Group
from vdb.node.signals import Signals
from vdb.ports import Disk
from vdb.projections.config import ProjectionConfig, for_tenant
from vdb.projections.opening import Means
from vdb.projections.parking import ParkedEvent
from vdb.projections.projector import Projector
from vdb.projections.replaying import Replayed
from vdb.projections.serving import ProjectorStatus
from vdb.projections.values import SqlValue
from vdb.status import ProjectionBuilding, ProjectionStatus
from vdb.types import GLOBAL_GROUP, GroupId, Position, TenantId

OPENING_MAX = 4
"""Projections that are opened at once. A start has one for each tenant and projection, and each puts a key through the
log or runs a schema in a thread: all at once they would fill the group's queue, and the threads that serve."""

STATUSES_AT_ONCE = 100
LOOKED_UP_MAX = 1_000
"""With more tenants a status doesn't look into each one's log for when its last event was appended."""


class ProjectionManager:
    """Starts projectors as tenants appear, and finds them for queries."""

    def __init__(self, disk: Disk, readers: Mapping[GroupId, GroupReader], configs: Sequence[ProjectionConfig]) -> None:
        self._readers = readers
        self._configs = tuple(configs)
        self._appended = Signals()
        """Of all groups."""
        self._projectors: dict[tuple[TenantId, str], Projector] = {}
        self._started: dict[tuple[TenantId, str], trio.Event] = {}
        self._tenants: dict[TenantId, None] = {}
        self._appear, self._appeared = trio.open_memory_channel[TenantId](math.inf)
        for reader in readers.values():
            reader.group.signals.on_notify = self._notice if self._configs else None
        keys = self.keys = FileKeys(next(reader.group for name, reader in readers.items() if name != GLOBAL_GROUP))
        """Of the projections' files."""
        self._means = Means(
            disk=KeyedDisk(disk, keys, waits=False),
            key_for=keys.key_for,
            source_for=lambda config: NodeSource(
                readers, self._appended, config.streams.wants, 0.0 if config.inline else FOLLOW_SECONDS
            ),
            live=lambda group: readers[group].group.leads_from,
            opening=trio.Semaphore(OPENING_MAX),
            inform=log.info,
            warn=log.warning,
        )
        self._ages = Ages(readers)
        self._standstill = Standstill(self._groups(), self._projectors.values)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start a projector for each tenant there is, then for each that comes, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._standstill.run)
            for group in self._groups():
                for tenant_state in group.state.tenants():
                    self._start(nursery, tenant_state.tenant)
            task_status.started()
            async for tenant in self._appeared:
                self._start(nursery, tenant)

    # Reading ---------------------------------------------------------------------------------------------------

    async def rows(
        self,
        tenant: TenantId,
        name: str,
        table: str,
        where: Mapping[str, SqlValue],
        order_by: Sequence[str],
        limit: int,
    ) -> RowsResult:
        found = await (await self._opened(tenant, name)).rows(table, where, order_by, limit)
        return RowsResult(
            columns=tuple(found.columns),
            rows=tuple(found.rows),
            position=position_text(found.positions),
        )

    async def wait_for(self, tenant: TenantId, name: str, positions: Mapping[GroupId, int], timeout_s: float) -> bool:
        """True once everything before the positions is applied; False after the timeout."""
        with trio.move_on_after(timeout_s) as scope:
            projector = await self._opened(tenant, name)
            await projector.wait_for({group: self._own(tenant, group, at) for group, at in positions.items()})
        return not scope.cancelled_caught

    def _own(self, tenant: TenantId, group: GroupId, position: int) -> int:
        """The position after the tenant's last event, if only others' events lie between it and this one."""
        reader = self._readers.get(group)
        if reader is None or position > reader.group.state.next_position:
            return position
        return min(position, reader.group.state.tenant_head(tenant))

    async def status(self) -> list[ProjectionStatus]:
        look = len(self._tenants) <= LOOKED_UP_MAX
        found: list[ProjectionStatus] = []
        for projector in list(self._projectors.values()):
            found.append(await self._status_of(projector, look))
            if len(found) % STATUSES_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()  # others of this loop have waited long enough
        return found

    def still_seconds(self, group: GroupId) -> float:
        """How long requests have waited in a group without any commit."""
        return self._standstill.still_seconds(group)

    # Generations -----------------------------------------------------------------------------------------------

    async def rebuild(self, tenant: TenantId, name: str, *, hold: bool) -> None:
        """Begin to build the rows anew beside those in use; `hold`: to be used only when told to."""
        await (await self._opened(tenant, name)).rebuild(hold=hold)

    async def switch(self, tenant: TenantId, name: str, *, back: bool) -> int:
        """Use what was built beside, or what was in use before; its generation. InvalidArgument."""
        projector = await self._opened(tenant, name)
        return await (projector.switch_back() if back else projector.switch())

    async def renew(self, tenant: TenantId) -> dict[str, ProjectorStatus]:
        """Build all rows of a tenant anew under the keys that files have now, and keep none of those before. Returns
        when nothing is left of them: where each projection stands. ProjectionFailed."""
        renewed: dict[str, ProjectorStatus] = {}
        for owner, name in list(self._started):
            if owner == tenant:
                projector = await self._opened(tenant, name)
                await projector.renew()
                renewed[name] = projector.status()
        return renewed

    async def renew_one(self, tenant: TenantId, name: str) -> None:
        """`renew` of one projection. ProjectionFailed."""
        await (await self._opened(tenant, name)).renew()

    async def diff(self, tenant: TenantId, name: str, differences_max: int) -> RowDifferences:
        """How the rows that were built beside differ from those in use. InvalidArgument."""
        found = await (await self._opened(tenant, name)).diff(differences_max)
        return RowDifferences(
            differences=tuple(found.comparison.differences),
            count=found.comparison.count,
            position_before=position_text(found.before),
            position_after=position_text(found.after),
        )

    async def replay(self, tenant: TenantId, name: str, start: Mapping[GroupId, int], differences_max: int) -> Replayed:
        """Apply the log from these positions to rows that nobody is served."""
        return await (await self._opened(tenant, name)).replay(start, differences_max)

    async def parked(self, tenant: TenantId, name: str, maximum: int) -> list[ParkedEvent]:
        """Events that a projection passed over."""
        return await (await self._opened(tenant, name)).parked(maximum)

    async def settle_parked(self, tenant: TenantId, name: str, position: Position | None, *, drop: bool) -> int:
        """Try a parked event again, or drop it; None: all. How many were applied, or dropped. InvalidArgument."""
        return await (await self._opened(tenant, name)).settle_parked(position, drop=drop)

    # Starting --------------------------------------------------------------------------------------------------

    async def _opened(self, tenant: TenantId, name: str) -> Projector:
        """The projector, waiting for its file if it is just being opened."""
        if (tenant, name) not in self._started:
            names = list(dict.fromkeys(config.name for config in for_tenant(self._configs, tenant)))
            if name in names:
                raise UnknownProjection(f"projection '{name}' has no rows: tenant {tenant} has no stream on this node")
            known = ", ".join(f"'{found}'" for found in names) or "none"
            raise UnknownProjection(f"tenant {tenant} has no projection '{name}' on this node; it has {known}")
        await self._started[tenant, name].wait()
        return self._projectors[tenant, name]

    def _groups(self) -> list[Group]:
        return [reader.group for reader in self._readers.values()]

    def _notice(self, tenant: TenantId) -> None:
        """An op of this tenant was applied. Called from the commit path: its projectors are started by our own task."""
        self._appended.notify(tenant)
        if tenant not in self._tenants:
            self._tenants[tenant] = None
            self._appear.send_nowait(tenant)

    def _start(self, nursery: trio.Nursery, tenant: TenantId) -> None:
        self._tenants[tenant] = None
        versions: dict[str, list[ProjectionConfig]] = {}
        for config in for_tenant(self._configs, tenant):
            versions.setdefault(config.name, []).append(config)
        for name, configs in versions.items():
            if (tenant, name) not in self._started:
                self._started[tenant, name] = trio.Event()
                nursery.start_soon(self._run_one, tenant, configs)

    async def _run_one(self, tenant: TenantId, configs: Sequence[ProjectionConfig]) -> None:
        projector = Projector(tenant, configs, self._means)
        self._projectors[tenant, projector.name] = projector
        async with trio.open_nursery() as nursery:
            await nursery.start(projector.run)
            self._started[tenant, projector.name].set()

    async def _status_of(self, projector: Projector, look: bool) -> ProjectionStatus:
        found = projector.status()
        positions = found.rows.positions
        age_us = await self._ages.of_unapplied(projector.tenant, positions) if found.rows.lag else 0
        return ProjectionStatus(
            tenant=projector.tenant,
            name=projector.name,
            position=positions_of(positions),
            age_us=age_us,
            head_age_us=await self._ages.of_last(projector.tenant, look=look),
            **_generation_fields(found),
        )


def _generation_fields(found: ProjectorStatus) -> dict[str, Any]:
    building = found.building
    return {
        "lag": found.rows.lag,
        "parked": found.rows.parked,
        "skipped": found.rows.skipped,
        "error": found.rows.error,
        "version": found.rows.version,
        "generation": found.generation,
        "state": found.condition,
        "previous": found.previous,
        "file_seconds": found.still_seconds,
        "building": None
        if building is None
        else ProjectionBuilding(
            generation=building.generation,
            version=building.version,
            done=building.progress.done,
            total=building.progress.total,
            events_per_second=building.progress.events_per_second,
            eta_seconds=building.progress.eta_seconds,
            state=building.state,
            error=building.error,
        ),
    }


def position_text(positions: Mapping[GroupId, int]) -> str:
    """Positions of several groups as they travel: `group:number`, separated by spaces."""
    return " ".join(map(str, positions_of(positions)))


def positions_of(positions: Mapping[GroupId, int]) -> tuple[Position, ...]:
    return tuple(Position(group, number) for group, number in sorted(positions.items()))
