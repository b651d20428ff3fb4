"""The RPC door of what ends data: erasures, holds, retention."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from vdb.erasures import ErasureInfo, HoldInfo
from vdb.errors import InvalidArgument
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall
from vdb.types import DataClass

Handler = Callable[[IncomingCall], None]
_DATA_CLASSES = tuple(DataClass)


def erasure_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""
    return {**_erasure_calls(guard), **_hold_calls(guard), **_retention_calls(guard)}


def _erasure_calls(guard: Guard) -> dict[str, Handler]:
    def erase(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject, basis = params.tenant, params.group, params.subject, params.basis
        dry_run = params.dryRun

        async def run() -> None:
            found = await guard.erase_subject(tenant, group, subject, basis, dry_run=dry_run)

            def build(results: Any) -> None:
                results.erasure, results.report = found.erasure, json.dumps(found.report)

            call.respond(build)

        call.start_soon(run)

    def list_erasures(call: IncomingCall) -> None:
        tenant, group = call.params.tenant, call.params.group

        async def run() -> None:
            found = await guard.list_erasures(tenant, group)

            def build(results: Any) -> None:
                for builder, info in zip(results.init("erasures", len(found)), found, strict=True):
                    _fill_erasure(builder, info)

            call.respond(build)

        call.start_soon(run)

    return {"eraseSubject": erase, "listErasures": list_erasures}


def _hold_calls(guard: Guard) -> dict[str, Handler]:
    def put_hold(call: IncomingCall) -> None:
        params = call.params
        tenant, group, subject = params.tenant, params.group, params.subject
        stream, reason = params.stream, params.reason

        async def run() -> None:
            number = await guard.put_hold(tenant, group, subject, stream, reason)

            def build(results: Any) -> None:
                results.hold = number

            call.respond(build)

        call.start_soon(run)

    def release(call: IncomingCall) -> None:
        params = call.params
        tenant, group, hold, reason = params.tenant, params.group, params.hold, params.reason

        async def run() -> None:
            await guard.release_hold(tenant, group, hold, reason)
            call.respond()

        call.start_soon(run)

    def list_holds(call: IncomingCall) -> None:
        tenant, group = call.params.tenant, call.params.group

        async def run() -> None:
            found = await guard.list_holds(tenant, group)

            def build(results: Any) -> None:
                for builder, info in zip(results.init("holds", len(found)), found, strict=True):
                    _fill_hold(builder, info)

            call.respond(build)

        call.start_soon(run)

    return {"putHold": put_hold, "releaseHold": release, "listHolds": list_holds}


def _retention_calls(guard: Guard) -> dict[str, Handler]:
    def put_retention(call: IncomingCall) -> None:
        params = call.params
        tenant, group, stream = params.tenant, params.group, params.stream
        number, days = params.dataClass, params.days

        async def run() -> None:
            if number >= len(_DATA_CLASSES):
                raise InvalidArgument(f"a data class lies between 0 and {len(_DATA_CLASSES) - 1}; found {number}")
            await guard.put_retention(tenant, group, stream, _DATA_CLASSES[number], days)
            call.respond()

        call.start_soon(run)

    def list_retention(call: IncomingCall) -> None:
        tenant, group = call.params.tenant, call.params.group

        async def run() -> None:
            found = await guard.list_retention(tenant, group)

            def build(results: Any) -> None:
                for builder, info in zip(results.init("rules", len(found)), found, strict=True):
                    builder.stream, builder.dataClass, builder.days = info.stream, int(info.data_class), info.days

            call.respond(build)

        call.start_soon(run)

    def prune(call: IncomingCall) -> None:
        tenant, group, dry_run = call.params.tenant, call.params.group, call.params.dryRun

        async def run() -> None:
            found = await guard.prune(tenant, group, dry_run=dry_run)

            def build(results: Any) -> None:
                results.segments, results.bytes = found.segments, found.bytes
                results.report = json.dumps(found.report)

            call.respond(build)

        call.start_soon(run)

    return {"putRetention": put_retention, "listRetention": list_retention, "prune": prune}


def _fill_erasure(builder: Any, info: ErasureInfo) -> None:
    builder.erasure, builder.subjectToken, builder.basis = info.erasure, info.subject_token, info.basis
    builder.time, builder.op, builder.keys = info.time, info.op, info.keys
    builder.pending, builder.certificate = list(info.pending), info.certificate


def _fill_hold(builder: Any, info: HoldInfo) -> None:
    builder.hold, builder.subject, builder.stream = info.hold, info.subject, info.stream
    builder.reason, builder.placed, builder.released = info.reason, info.placed, info.released
