"""The RPC door of what ends data: erasures, holds, retention."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.errors import InvalidArgument
from vdb.node.doors.answering import Handler, answer, field, listed
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall
from vdb.types import DataClass

_DATA_CLASSES = tuple(DataClass)


def erasure_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""
    return {**_erasure_calls(guard), **_hold_calls(guard), **_retention_calls(guard)}


def _erasure_calls(guard: Guard) -> dict[str, Handler]:
    def erase(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject, basis = params.tenant, params.group, params.subject, params.basis
        work = partial(guard.erase_subject, tenant, group, subject, basis, dry_run=params.dryRun)
        answer(call, work, _fill_begun)

    def list_erasures(call: IncomingCall) -> None:
        work = partial(guard.list_erasures, call.params.tenant, call.params.group)
        answer(call, work, listed("erasures", _fill_erasure))

    return {"eraseSubject": erase, "listErasures": list_erasures}


def _hold_calls(guard: Guard) -> dict[str, Handler]:
    def put_hold(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        answer(call, partial(guard.put_hold, tenant, group, subject, params.stream, params.reason), field("hold"))

    def release(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.release_hold, params.tenant, params.group, params.hold, params.reason))

    def list_holds(call: IncomingCall) -> None:
        work = partial(guard.list_holds, call.params.tenant, call.params.group)
        answer(call, work, listed("holds", _fill_hold))

    return {"putHold": put_hold, "releaseHold": release, "listHolds": list_holds}


def _retention_calls(guard: Guard) -> dict[str, Handler]:
    def put_retention(call: IncomingCall) -> None:
        params = call.params
        number = params.dataClass
        if number >= len(_DATA_CLASSES):
            raise InvalidArgument(f"a data class lies between 0 and {len(_DATA_CLASSES) - 1}; found {number}")
        tenant, group, stream = params.tenant, params.group, params.stream
        answer(call, partial(guard.put_retention, tenant, group, stream, _DATA_CLASSES[number], params.days))

    def list_retention(call: IncomingCall) -> None:
        work = partial(guard.list_retention, call.params.tenant, call.params.group)
        answer(call, work, listed("rules", _fill_rule))

    def prune(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.prune, params.tenant, params.group, dry_run=params.dryRun), _fill_pruned)

    return {"putRetention": put_retention, "listRetention": list_retention, "prune": prune}


def _fill_begun(results: Any, found: ErasureBegun) -> None:
    results.erasure, results.report = found.erasure, json.dumps(found.report)


def _fill_erasure(builder: Any, info: ErasureInfo) -> None:
    builder.erasure, builder.subjectToken, builder.basis = info.erasure, info.subject_token, info.basis
    builder.time, builder.op, builder.keys = info.time, info.op, info.keys
    builder.pending, builder.certificate = list(info.pending), info.certificate


def _fill_hold(builder: Any, info: HoldInfo) -> None:
    builder.hold, builder.subject, builder.stream = info.hold, info.subject, info.stream
    builder.reason, builder.placed, builder.released = info.reason, info.placed, info.released


def _fill_rule(builder: Any, info: RetentionInfo) -> None:
    builder.stream, builder.dataClass, builder.days = info.stream, int(info.data_class), info.days


def _fill_pruned(results: Any, found: Pruned) -> None:
    results.segments, results.bytes = found.segments, found.bytes
    results.report = json.dumps(found.report)
