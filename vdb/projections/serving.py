"""A generation that is open: its runner, or its rows alone where the handlers of its version aren't here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import trio
from attrs import define, field, frozen

from vdb.errors import NodeStopped
from vdb.ports import Connection, Database
from vdb.projections.config import ProjectionConfig
from vdb.projections.generations import Generation
from vdb.projections.progress import Progress, WatchedSource
from vdb.projections.rows import LIMIT_DEFAULT, Rows, make_query, read_rows
from vdb.projections.running import ProjectionStatus
from vdb.projections.source import EventSource
from vdb.projections.stored import Stored, config_of
from vdb.projections.values import SqlValue
from vdb.types import GroupId, TenantId

T = TypeVar("T")


class Rowed(Protocol):
    """What a `ProjectionRunner` and `StillRows` have in common."""

    async def run(self, task_status: trio.TaskStatus[None] = ...) -> None: ...

    async def wait_for(self, positions: Mapping[GroupId, int]) -> None: ...

    async def rows(
        self, table: str, where: Mapping[str, SqlValue] | None = ..., order_by: Sequence[str] = ..., limit: int = ...
    ) -> Rows: ...

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    def status(self) -> ProjectionStatus: ...

    @property
    def condition(self) -> str: ...


class StillRows:
    """Rows of a version without handlers: they are served, and no event changes them."""

    def __init__(self, database: Database, tenant: TenantId, name: str, stored: Stored, heads: WatchedSource) -> None:
        self._database = database
        self._tenant = tenant
        self._config = config_of(name, stored)
        self._positions = stored.positions
        self._heads = heads
        self._closed = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            self._closed.set()
            with trio.CancelScope(shield=True):
                await self._database.close()

    async def wait_for(self, positions: Mapping[GroupId, int]) -> None:
        if any(self._positions.get(group, 0) < position for group, position in positions.items()):
            await self._closed.wait()
            raise NodeStopped(f"projection {self._config.name!r} has been closed")

    async def rows(
        self,
        table: str,
        where: Mapping[str, SqlValue] | None = None,
        order_by: Sequence[str] = (),
        limit: int = LIMIT_DEFAULT,
    ) -> Rows:
        query = make_query(self._config, table, where, order_by, limit)
        return await read_rows(self._database, self._config, query)

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read(work)

    @property
    def condition(self) -> str:
        return "stopped"

    def status(self) -> ProjectionStatus:
        heads = self._heads.heads()
        return ProjectionStatus(
            tenant=self._tenant,
            name=self._config.name,
            version=self._config.version,
            positions=dict(self._positions),
            lag=sum(max(0, head - self._positions.get(group, 0)) for group, head in heads.items()),
            error=f"projection {self._config.name!r} of tenant {self._tenant} stands still: this node has no handlers "
            f"of its version {self._config.version}",
        )


@define(eq=False, kw_only=True)
class Serving:
    """A generation whose task runs."""

    generation: Generation
    config: ProjectionConfig | None
    """None: its handlers aren't here."""
    source: WatchedSource
    rows: Rowed
    live_from: dict[GroupId, int] = field(factory=dict)
    """By group: no event before has effects any more, since another generation saw it."""
    floor: dict[GroupId, int] = field(factory=dict)
    """By group: its file was lost, and nobody is shown its rows before they are here again."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    attending: trio.CancelScope = field(factory=trio.CancelScope)
    """Of the task that waits until what is built can be used."""
    ended: trio.Event = field(factory=trio.Event)
    whole: bool = False
    """Built: it has reached the log's end, and its check holds."""
    error: str = ""
    """Why what was built can't be used."""

    @property
    def can_move(self) -> bool:
        """Whether it goes on when there are events."""
        return self.config is not None and self.rows.condition in ("following", "held up")

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        try:
            with self.scope:
                await self.rows.run(task_status)
        finally:
            self.ended.set()

    async def stop(self) -> None:
        """End its task, and wait until its file is closed."""
        self.attending.cancel()
        self.scope.cancel()
        await self.ended.wait()


@frozen(kw_only=True)
class BuildingStatus:
    """`state`: "building", "ready" or "failed"."""

    generation: int
    version: int
    progress: Progress
    state: str
    error: str


@frozen(kw_only=True)
class ProjectorStatus:
    """`still_seconds`: since its position last moved."""

    rows: ProjectionStatus
    generation: int
    condition: str
    still_seconds: float
    previous: int
    building: BuildingStatus | None


def without_rows(tenant: TenantId, name: str, version: int, source: EventSource, error: str) -> ProjectionStatus:
    """The status of a projection whose rows aren't open. `error`: why."""
    lag = sum(source.head(tenant, group) for group in source.groups())
    return ProjectionStatus(tenant=tenant, name=name, version=version, positions={}, lag=lag, error=error)


def building_status(building: Serving, *, hold: bool) -> BuildingStatus:
    """How far it is. `hold`: once it is whole it waits for a command."""
    return BuildingStatus(
        generation=building.generation.number,
        version=building.generation.version,
        progress=building.source.progress(),
        state="failed" if building.error else "ready" if building.whole and hold else "building",
        error=building.error,
    )
