"""Reading by filter over Cap'n Proto RPC: asked again until it is answered, for it changes nothing."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from vdb.client import rpc_codec
from vdb.client.router import Router
from vdb.selection import EventFilter, EventStart, Selected
from vdb.types import GroupId, ReadLevel
from vdb.wire.consumer_api import filter_into, record_from, start_into


@frozen(kw_only=True)
class EventRequest:
    """What is read, whatever piece of it."""

    tenant: int
    group: GroupId
    wanted: EventFilter
    start: EventStart
    backward: bool
    level: ReadLevel


async def ask_events(router: Router, request: EventRequest, max_events: int, wait: float, timeout: float) -> Selected:
    """A piece. A linearizable one comes from the group's primary, another from any node."""

    def build(params: Any) -> None:
        params.tenant = request.tenant
        params.group = request.group
        filter_into(params.filter, request.wanted)
        start_into(params.start, request.start)
        params.backward = request.backward
        params.maxEvents = max_events
        params.waitMicros = int(wait * 1e6)
        rpc_codec.write_level(params, request.level)

    def parse(results: Any) -> Selected:
        return Selected(
            events=tuple(record_from(event, request.group) for event in results.events),
            next=results.next,
            head=results.head,
            ended=results.ended,
        )

    return await router.ask(
        "readEvents",
        build,
        parse,
        timeout=timeout,
        wait_seconds=wait,
        group=router.target(request.group, request.level),
    )
