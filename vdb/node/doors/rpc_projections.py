"""The RPC door of projections: methods of `interface VerityDb` that rebuild them, and look after what they parked."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.node.doors.answering import Handler, answer, field, listed
from vdb.node.gate.answers import RowDifferences
from vdb.node.gate.guard import Guard
from vdb.projections.comparing import Difference
from vdb.projections.parking import ParkedEvent
from vdb.rpc.server import IncomingCall
from vdb.wire.api import value_into


def projection_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def rebuild(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.rebuild_projection, params.tenant, params.projection, hold=params.hold))

    def switch(call: IncomingCall) -> None:
        params = call.params
        work = partial(guard.switch_projection, params.tenant, params.projection, back=params.back)
        answer(call, work, field("generation"))

    def diff(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.diff_projection, params.tenant, params.projection, params.max), _fill_differences)

    def parked(call: IncomingCall) -> None:
        params = call.params
        work = partial(guard.parked_events, params.tenant, params.projection, params.max)
        answer(call, work, listed("events", _fill_parked))

    def settle(call: IncomingCall) -> None:
        params = call.params
        tenant, projection, position, drop = params.tenant, params.projection, params.position, params.drop
        answer(call, partial(guard.settle_parked, tenant, projection, position, drop=drop), field("count"))

    return {
        "rebuildProjection": rebuild,
        "switchProjection": switch,
        "diffProjection": diff,
        "parkedEvents": parked,
        "settleParked": settle,
    }


def _fill_parked(builder: Any, event: ParkedEvent) -> None:
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
