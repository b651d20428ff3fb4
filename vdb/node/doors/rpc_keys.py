"""The RPC door of keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def key_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def rotate(call: IncomingCall) -> None:
        params = call.params
        tenant, group, maximum, begin = params.tenant, params.group, params.max, params.begin
        rotation_id = bytes(params.rotationId)

        async def run() -> None:
            step = await guard.rotate_keys(tenant, group, maximum, begin=begin, rotation_id=rotation_id)

            def build(results: Any) -> None:
                results.rewrapped, results.left, results.period = step.rewrapped, step.left, step.period
                results.rootKeyId = step.root_key_id

            call.respond(build)

        call.start_soon(run)

    def status(call: IncomingCall) -> None:
        group = call.params.group

        async def run() -> None:
            found = await guard.key_status(group)

            def build(results: Any) -> None:
                results.node, results.provider = found.node, found.provider
                results.rootKeyId, results.given = found.root_key_id, list(found.given)
                results.tenants, results.behind, results.keys = found.tenants, found.behind, found.keys
                results.began, results.settled, results.files = found.began, found.settled, found.files
                results.missing = found.missing

            call.respond(build)

        call.start_soon(run)

    return {"rotateKeys": rotate, "keyStatus": status}
