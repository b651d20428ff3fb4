"""The RPC door of reading by filter."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.node.doors.answering import Handler, answer
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall
from vdb.selection import Selected
from vdb.wire.api import read_level
from vdb.wire.consumer_api import filter_from, record_into, start_from


def event_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def read_events(call: IncomingCall) -> None:
        params = call.params
        tenant, group, backward = params.tenant, params.group, params.backward
        wanted, start = filter_from(params.filter), start_from(params.start)
        maximum, wait_us, level = params.maxEvents, params.waitMicros, read_level(params.consistency)

        work = partial(
            guard.read_events,
            *(tenant, group, wanted, start),
            backward=backward,
            max_events=maximum,
            wait_us=wait_us,
            level=level,
        )
        answer(call, work, _fill)

    return {"readEvents": read_events}


def _fill(results: Any, selected: Selected) -> None:
    for builder, event in zip(results.init("events", len(selected.events)), selected.events, strict=True):
        record_into(builder, event)
    results.next = selected.next
    results.head = selected.head
    results.ended = selected.ended
