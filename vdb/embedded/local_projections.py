"""Changes of projections of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from functools import partial
from typing import cast

import trio

from vdb.client.projection_line import Cells, ParkedEvent, ProjectionLine, RowDifference, RowDifferences
from vdb.client.values import parse_positions
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.node.gate.guard import Guard


class ServiceProjections:
    """Implements `vdb.client.projection_line.ProjectionLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def rebuild(self, tenant: int, projection: str, *, hold: bool, timeout: float) -> None:
        with trio.move_on_after(timeout):
            await self._guard.rebuild_projection(tenant, projection, hold=hold)
            return
        raise _timed_out("rebuild_projection", timeout)

    async def switch(self, tenant: int, projection: str, *, back: bool, timeout: float) -> int:
        with trio.move_on_after(timeout):
            return await self._guard.switch_projection(tenant, projection, back=back)
        raise _timed_out("switch_projection", timeout)

    async def diff(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> RowDifferences:
        with trio.move_on_after(timeout):
            found = await self._guard.diff_projection(tenant, projection, maximum)
            return RowDifferences(
                differences=tuple(
                    RowDifference(
                        table=one.table.name,
                        key_columns=one.table.key,
                        key=cast("Cells", one.key),
                        columns=one.table.column_names,
                        before=cast("Cells | None", one.before),
                        after=cast("Cells | None", one.after),
                    )
                    for one in found.differences
                ),
                count=found.count,
                position_before=parse_positions(found.position_before),
                position_after=parse_positions(found.position_after),
            )
        raise _timed_out("diff_projection", timeout)

    async def parked(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> list[ParkedEvent]:
        with trio.move_on_after(timeout):
            found = await self._guard.parked_events(tenant, projection, maximum)
            return [
                ParkedEvent(
                    position=event.position,
                    stream=event.stream,
                    type=event.type,
                    key=event.key,
                    error=event.error,
                    attempts=event.attempts,
                    waiting=event.waiting,
                    skipped=event.skipped,
                )
                for event in found
            ]
        raise _timed_out("parked_events", timeout)

    async def settle(self, tenant: int, projection: str, position: str, *, drop: bool, timeout: float) -> int:
        with trio.move_on_after(timeout):
            return await self._guard.settle_parked(tenant, projection, position, drop=drop)
        raise _timed_out("settle_parked", timeout)


class HopProjections:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: ProjectionLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def rebuild(self, tenant: int, projection: str, *, hold: bool, timeout: float) -> None:
        call = partial(self._inner.rebuild, tenant, projection, hold=hold, timeout=timeout)
        await self._loop.call_async(call)

    async def switch(self, tenant: int, projection: str, *, back: bool, timeout: float) -> int:
        call = partial(self._inner.switch, tenant, projection, back=back, timeout=timeout)
        return await self._loop.call_async(call)

    async def diff(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> RowDifferences:
        call = partial(self._inner.diff, tenant, projection, maximum, timeout=timeout)
        return await self._loop.call_async(call)

    async def parked(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> list[ParkedEvent]:
        call = partial(self._inner.parked, tenant, projection, maximum, timeout=timeout)
        return await self._loop.call_async(call)

    async def settle(self, tenant: int, projection: str, position: str, *, drop: bool, timeout: float) -> int:
        call = partial(self._inner.settle, tenant, projection, position, drop=drop, timeout=timeout)
        return await self._loop.call_async(call)


def _timed_out(what: str, timeout: float) -> Timeout:
    return Timeout(f"{what}: no answer within {timeout:g} s; it may have been done")
