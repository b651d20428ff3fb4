"""The node's projections: a runner for each configured projection of each tenant that has a stream here.

A projection's file is encrypted under a random key of the region's key store, put there (through the log) before the
file is made. Its events come from all groups of this node, opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import trio

from vdb.errors import (
    DatabaseDamaged,
    ProjectionFailed,
    UnknownProjection,
)
from vdb.node import log
from vdb.node.answers import ProjectionStatus, RowsResult
from vdb.node.file_keys import FileKeys
from vdb.node.group import Group
from vdb.node.reader import GroupReader
from vdb.node.signals import Signals
from vdb.ports import Disk
from vdb.projections.config import ProjectionConfig, for_tenant
from vdb.projections.runner import ProjectionRunner
from vdb.projections.source import OpenedRun
from vdb.projections.values import SqlValue
from vdb.types import GLOBAL_GROUP, GroupId, Position, TenantId

FOLLOW_SECONDS = 0.005
"""How far, about, a projection lets the log get ahead. Each step has a cost of its own (a read, a transaction); taken
for each op, the steps of three projections took half of a busy node's time."""

OPENING_MAX = 4
"""Projections that are opened at once. A start has one for each tenant and projection, and each puts a key through the
log or runs a schema in a thread: all at once they would fill the group's queue, and the threads that serve."""


class NodeSource:
    """The node's log as one projection sees it (`vdb.projections.source.EventSource`): the streams that it reads."""

    def __init__(self, readers: Mapping[GroupId, GroupReader], appended: Signals, wants: Callable[[str], bool]) -> None:
        self._readers = readers
        self._appended = appended
        self._wants = wants

    def groups(self) -> Sequence[GroupId]:
        return tuple(self._readers)

    def head(self, tenant: TenantId, group: GroupId) -> int:
        return self._readers[group].group.state.tenant_head(tenant)

    async def read_log(
        self, tenant: TenantId, group: GroupId, from_position: int, max_events: int
    ) -> tuple[Sequence[OpenedRun], int]:
        if self.head(tenant, group) <= from_position:
            return (), max(from_position, self._readers[group].group.state.next_position)
        return await self._readers[group].read_wanted(tenant, from_position, max_events, self._wants)

    async def wait_for_events(self, tenant: TenantId, positions: Mapping[GroupId, int]) -> None:
        """Return when a group holds an event of the tenant at or beyond its position here.

        Then it waits a little, so that under load a projection reads many events at once and not an op's worth.
        """
        while all(self.head(tenant, group) <= position for group, position in positions.items()):
            await self._appended.next(tenant).wait()
        await trio.sleep(FOLLOW_SECONDS)


class ProjectionManager:
    """Starts runners as tenants appear, and finds them for queries."""

    def __init__(self, disk: Disk, readers: Mapping[GroupId, GroupReader], configs: Sequence[ProjectionConfig]) -> None:
        self._disk = disk
        self._readers = readers
        self._configs = tuple(configs)
        self._appended = Signals()
        """Of all groups."""
        self._runners: dict[tuple[TenantId, str], ProjectionRunner] = {}
        self._started: dict[tuple[TenantId, str], trio.Event] = {}
        self._tenants: dict[TenantId, None] = {}
        self._opening = trio.Semaphore(OPENING_MAX)
        self._appear, self._appeared = trio.open_memory_channel[TenantId](math.inf)
        for reader in readers.values():
            reader.group.signals.on_notify = self._notice if self._configs else None
        self._keys = FileKeys(next(reader.group for name, reader in readers.items() if name != GLOBAL_GROUP))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start a runner for each tenant there is, then for each that comes, until cancelled."""
        async with trio.open_nursery() as nursery:
            for group in self._groups():
                for tenant_state in group.state.tenants():
                    self._start(nursery, tenant_state.tenant)
            task_status.started()
            async for tenant in self._appeared:
                self._start(nursery, tenant)

    def runner(self, tenant: TenantId, name: str) -> ProjectionRunner | None:
        """The runner of a tenant's projection, once its file is open."""
        started = self._started.get((tenant, name))
        return self._runners[tenant, name] if started is not None and started.is_set() else None

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
            runner = await self._opened(tenant, name)
            await runner.wait_for({group: self._own(tenant, group, at) for group, at in positions.items()})
        return not scope.cancelled_caught

    def _own(self, tenant: TenantId, group: GroupId, position: int) -> int:
        """The position after the tenant's last event, if only others' events lie between it and this one."""
        reader = self._readers.get(group)
        if reader is None or position > reader.group.state.next_position:
            return position
        return min(position, reader.group.state.tenant_head(tenant))

    def status(self) -> list[ProjectionStatus]:
        found: list[ProjectionStatus] = []
        for runner in self._runners.values():
            status = runner.status()
            found.append(
                ProjectionStatus(
                    tenant=status.tenant,
                    name=status.name,
                    position=position_text(status.positions),
                    lag=status.lag,
                    error=status.error,
                )
            )
        return found

    async def _opened(self, tenant: TenantId, name: str) -> ProjectionRunner:
        """The runner, waiting for its file if it is just being opened."""
        if (tenant, name) not in self._started:
            names = [config.name for config in for_tenant(self._configs, tenant)]
            if name in names:
                raise UnknownProjection(f"projection '{name}' has no rows: tenant {tenant} has no stream on this node")
            known = ", ".join(f"'{found}'" for found in names) or "none"
            raise UnknownProjection(f"tenant {tenant} has no projection '{name}' on this node; it has {known}")
        await self._started[tenant, name].wait()
        return self._runners[tenant, name]

    def _groups(self) -> list[Group]:
        return [reader.group for reader in self._readers.values()]

    def _notice(self, tenant: TenantId) -> None:
        """An op of this tenant was applied. Called from the commit path: the runner is started by our own task."""
        self._appended.notify(tenant)
        if tenant not in self._tenants:
            self._tenants[tenant] = None
            self._appear.send_nowait(tenant)

    def _start(self, nursery: trio.Nursery, tenant: TenantId) -> None:
        self._tenants[tenant] = None
        for config in for_tenant(self._configs, tenant):
            if (tenant, config.name) not in self._started:
                self._started[tenant, config.name] = trio.Event()
                nursery.start_soon(self._run_one, tenant, config)

    async def _run_one(self, tenant: TenantId, config: ProjectionConfig) -> None:
        runner = ProjectionRunner(
            disk=self._disk,
            source=NodeSource(self._readers, self._appended, config.streams.wants),
            config=config,
            tenant=tenant,
            key_for=self._keys.key_for,
            on_failed=_report,
            on_set_aside=_report_set_aside,
            opening=self._opening,
        )
        self._runners[tenant, config.name] = runner
        async with trio.open_nursery() as nursery:
            await nursery.start(runner.run)
            self._started[tenant, config.name].set()


def _report(error: ProjectionFailed) -> None:
    log.warning("projection.stopped", reason=str(error))


def _report_set_aside(damage: DatabaseDamaged) -> None:
    log.warning("projection.set_aside", reason=str(damage))


def position_text(positions: Mapping[GroupId, int]) -> str:
    """Positions of several groups as they travel: `group:number`, separated by spaces."""
    return " ".join(str(Position(group, number)) for group, number in sorted(positions.items()))
