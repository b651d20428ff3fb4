"""Changes of projections over RPC. The node that is asked is the one whose rows the client reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio

from vdb.client.projection_line import Cells, ParkedEvent, RowDifference, RowDifferences
from vdb.client.router import Router
from vdb.client.values import parse_positions
from vdb.errors import Timeout
from vdb.types import Position
from vdb.wire.api import value_from


class RpcProjections:
    """Implements `vdb.client.projection_line.ProjectionLine`."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def rebuild(self, tenant: int, projection: str, *, hold: bool, timeout: float) -> None:
        def build(params: Any) -> None:
            params.tenant, params.projection, params.hold = tenant, projection, hold

        await self._once("rebuildProjection", build, timeout)

    async def switch(self, tenant: int, projection: str, *, back: bool, timeout: float) -> int:
        def build(params: Any) -> None:
            params.tenant, params.projection, params.back = tenant, projection, back

        return int((await self._once("switchProjection", build, timeout)).generation)

    async def diff(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> RowDifferences:
        def build(params: Any) -> None:
            params.tenant, params.projection, params.max = tenant, projection, maximum

        return await self._router.ask("diffProjection", build, _differences, timeout=timeout)

    async def parked(self, tenant: int, projection: str, maximum: int, *, timeout: float) -> list[ParkedEvent]:
        def build(params: Any) -> None:
            params.tenant, params.projection, params.max = tenant, projection, maximum

        return await self._router.ask("parkedEvents", build, _parked, timeout=timeout)

    async def settle(self, tenant: int, projection: str, position: str, *, drop: bool, timeout: float) -> int:
        def build(params: Any) -> None:
            params.tenant, params.projection, params.position, params.drop = tenant, projection, position, drop

        return int((await self._once("settleParked", build, timeout)).count)

    async def _once(self, method: str, build: Callable[[Any], None], timeout: float) -> Any:
        """Ask one time only: asked again, the second answer would say that it was done before, or undo it."""
        with anyio.move_on_after(timeout):
            link = await self._router.link()
            return await link.call(method, build)
        raise Timeout(f"no answer to {method} within {timeout:g} s; it may have been done")


def _differences(results: Any) -> RowDifferences:
    return RowDifferences(
        differences=tuple(
            RowDifference(
                table=found.table,
                key_columns=tuple(found.keyColumns),
                key=_cells(found.key),
                columns=tuple(found.columns),
                before=_cells(found.before) or None,
                after=_cells(found.after) or None,
            )
            for found in results.differences
        ),
        count=results.count,
        position_before=parse_positions(results.positionBefore),
        position_after=parse_positions(results.positionAfter),
    )


def _cells(values: Any) -> Cells:
    return tuple(value_from(value) for value in values)


def _parked(results: Any) -> list[ParkedEvent]:
    return [
        ParkedEvent(
            position=Position.parse(found.position),
            stream=found.stream,
            type=found.type,
            key=found.key,
            error=found.error,
            attempts=found.attempts,
            waiting=found.waiting,
            skipped=found.skipped,
        )
        for found in results.events
    ]
