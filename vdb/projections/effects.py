"""Effects: what a projection does in the world after its rows are committed.

    @census.after_commit
    async def notify(batch: vdb.Batch) -> None: ...

Rules
- An effect is called with the events of one committed transaction that the projection's handlers took, in their order.
- At most once, and live only: never for events that a rebuild, a replay or a restart applies, nor on a node that isn't
  the group's primary; which events are live is said by whoever runs the projection (`vdb.projections.running.Live`).
  So an effect may be missed: what must happen goes to a consumer, which keeps its place and tries again.
- It is async and runs on the node's loop (trio), one batch at a time, beside the projection. When BATCHES_MAX of them
  wait, the rows wait too; one that takes longer than SECONDS_MAX is given up.
- What it raises doesn't touch the rows: it is reported by its class, and the next batch comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import trio
from attrs import field, frozen

from vdb.events.recorded import RecordedEvent
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections.config import ProjectionConfig
from vdb.types import GroupId, TenantId

T = TypeVar("T")

BATCHES_MAX = 64
SECONDS_MAX = 30.0


class Reading(Protocol):
    """The reading half of a `vdb.ports.Database`."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...


@frozen(kw_only=True)
class Batch:
    """What was committed at once."""

    projection: str
    tenant: TenantId
    group: GroupId
    events: tuple[RecordedEvent, ...] = field(repr=False)
    """Those that a handler took and that have effects; at least one."""
    _database: Reading = field(repr=False, eq=False, alias="database")

    async def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the projection's tables, as new as this batch or newer."""
        return await self._database.read(lambda db: list(db.execute(sql, parameters).fetchall()))


class Effects:
    """The effects of one projection: `put` batches while `run` is running."""

    def __init__(self, config: ProjectionConfig, on_failed: Callable[[str], None] | None = None) -> None:
        self._config = config
        self._on_failed = on_failed
        self._batches, self._waiting = trio.open_memory_channel[Batch](BATCHES_MAX)

    async def put(self, batch: Batch) -> None:
        """Have the effects called; waits while too many batches do."""
        await self._batches.send(batch)

    async def run(self) -> None:
        """Call effects until cancelled."""
        async for batch in self._waiting:
            for effect in self._config.after_commit:
                try:
                    with trio.fail_after(SECONDS_MAX):
                        await effect(batch)
                except (Exception, SystemExit) as error:
                    mark("projection.effect_failed")
                    self._report(batch, error)

    def _report(self, batch: Batch, error: Exception | SystemExit) -> None:
        if self._on_failed is not None:
            position = batch.events[0].position
            self._on_failed(
                f"projection {batch.projection!r} of tenant {batch.tenant}: an effect of the batch that begins at "
                f"{position} failed: {type(error).__name__}"
            )
