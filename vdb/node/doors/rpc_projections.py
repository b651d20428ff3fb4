"""The RPC door of projections: methods of `interface VerityDb` that rebuild them, and look after what they parked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vdb.node.gate.answers import RowDifferences
from vdb.node.gate.guard import Guard
from vdb.projections.comparing import Difference
from vdb.projections.parking import ParkedEvent
from vdb.rpc.server import IncomingCall
from vdb.wire.api import value_into

Handler = Callable[[IncomingCall], None]


def projection_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def rebuild(call: IncomingCall) -> None:
        tenant, projection, hold = call.params.tenant, call.params.projection, call.params.hold

        async def run() -> None:
            await guard.rebuild_projection(tenant, projection, hold=hold)
            call.respond(None)

        call.start_soon(run)

    def switch(call: IncomingCall) -> None:
        tenant, projection, back = call.params.tenant, call.params.projection, call.params.back

        async def run() -> None:
            generation = await guard.switch_projection(tenant, projection, back=back)
            call.respond(lambda results: setattr(results, "generation", generation))

        call.start_soon(run)

    def diff(call: IncomingCall) -> None:
        tenant, projection, maximum = call.params.tenant, call.params.projection, call.params.max

        async def run() -> None:
            found = await guard.diff_projection(tenant, projection, maximum)
            call.respond(lambda results: _fill_differences(results, found))

        call.start_soon(run)

    def parked(call: IncomingCall) -> None:
        tenant, projection, maximum = call.params.tenant, call.params.projection, call.params.max

        async def run() -> None:
            found = await guard.parked_events(tenant, projection, maximum)
            call.respond(lambda results: _fill_parked(results, found))

        call.start_soon(run)

    def settle(call: IncomingCall) -> None:
        params = call.params
        tenant, projection, position, drop = params.tenant, params.projection, params.position, params.drop

        async def run() -> None:
            count = await guard.settle_parked(tenant, projection, position, drop=drop)
            call.respond(lambda results: setattr(results, "count", count))

        call.start_soon(run)

    return {
        "rebuildProjection": rebuild,
        "switchProjection": switch,
        "diffProjection": diff,
        "parkedEvents": parked,
        "settleParked": settle,
    }


def _fill_parked(results: Any, events: Sequence[ParkedEvent]) -> None:
    for builder, event in zip(results.init("events", len(events)), events, strict=True):
        builder.position, builder.stream, builder.type = str(event.position), event.stream, event.type
        builder.key, builder.error, builder.attempts = event.key, event.error, event.attempts
        builder.waiting, builder.skipped = event.waiting, event.skipped


def _fill_differences(results: Any, found: RowDifferences) -> None:
    results.count, results.more = found.count, found.count > len(found.differences)
    results.positionBefore, results.positionAfter = found.position_before, found.position_after
    builders = results.init("differences", len(found.differences))
    for builder, difference in zip(builders, found.differences, strict=True):
        _fill_difference(builder, difference)


def _fill_difference(builder: Any, difference: Difference) -> None:
    table = difference.table
    builder.table = table.name
    builder.columns, builder.keyColumns = list(table.column_names), list(table.key)
    for name, values in (("key", difference.key), ("before", difference.before), ("after", difference.after)):
        if values is not None:
            for value, cell in zip(values, builder.init(name, len(values)), strict=True):
                value_into(value, cell)
