"""The RPC door of keys."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.keys import KeyStatus, RotationStep
from vdb.node.doors.answering import Handler, answer
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall


def key_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def rotate(call: IncomingCall) -> None:
        params = call.params
        tenant, group, maximum, begin = params.tenant, params.group, params.max, params.begin
        rotation_id = bytes(params.rotationId)
        work = partial(guard.rotate_keys, tenant, group, maximum, begin=begin, rotation_id=rotation_id)
        answer(call, partial(work, force=params.force), _fill_step)

    def status(call: IncomingCall) -> None:
        answer(call, partial(guard.key_status, call.params.group), _fill_status)

    return {"rotateKeys": rotate, "keyStatus": status}


def _fill_step(results: Any, step: RotationStep) -> None:
    results.rewrapped, results.left, results.period = step.rewrapped, step.left, step.period
    results.rootKeyId = step.root_key_id


def _fill_status(results: Any, found: KeyStatus) -> None:
    results.node, results.provider = found.node, found.provider
    results.rootKeyId, results.given = found.root_key_id, list(found.given)
    results.tenants, results.behind, results.keys = found.tenants, found.behind, found.keys
    results.began, results.settled, results.files = found.began, found.settled, found.files
    results.missing = found.missing
