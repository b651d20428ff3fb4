"""What ends data, over RPC: asked of the group's primary, again until it is answered.

An erasure that was done before its answer was lost is refused when it is asked for once more: the list tells of it. A
hold is then placed twice, and both are in the list.
"""

from __future__ import annotations

import json
from typing import Any

from vdb.client.router import Router
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.types import DataClass, GroupId


class RpcErasure:
    """Implements `vdb.client.erasure_line.ErasureLine`."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def erase_subject(
        self, tenant: int, group: str, subject: str, basis: str, *, dry_run: bool, timeout: float
    ) -> ErasureBegun:
        def build(params: Any) -> None:
            params.tenant, params.group, params.subject = tenant, group, subject
            params.basis, params.dryRun = basis, dry_run

        def parse(results: Any) -> ErasureBegun:
            return ErasureBegun(erasure=results.erasure, report=json.loads(results.report))

        return await self._router.ask("eraseSubject", build, parse, timeout=timeout, group=GroupId(group))

    async def list_erasures(self, tenant: int, group: str, *, timeout: float) -> list[ErasureInfo]:
        def build(params: Any) -> None:
            params.tenant, params.group = tenant, group

        def parse(results: Any) -> list[ErasureInfo]:
            return [_erasure(one) for one in results.erasures]

        return await self._router.ask("listErasures", build, parse, timeout=timeout, group=GroupId(group))

    async def put_hold(self, tenant: int, group: str, subject: str, stream: str, reason: str, *, timeout: float) -> int:
        def build(params: Any) -> None:
            params.tenant, params.group, params.subject = tenant, group, subject
            params.stream, params.reason = stream, reason

        def parse(results: Any) -> int:
            return int(results.hold)

        return await self._router.ask("putHold", build, parse, timeout=timeout, group=GroupId(group))

    async def release_hold(self, tenant: int, group: str, hold: int, reason: str, *, timeout: float) -> None:
        def build(params: Any) -> None:
            params.tenant, params.group, params.hold, params.reason = tenant, group, hold, reason

        await self._router.ask("releaseHold", build, _nothing, timeout=timeout, group=GroupId(group))

    async def list_holds(self, tenant: int, group: str, *, timeout: float) -> list[HoldInfo]:
        def build(params: Any) -> None:
            params.tenant, params.group = tenant, group

        def parse(results: Any) -> list[HoldInfo]:
            return [_hold(one) for one in results.holds]

        return await self._router.ask("listHolds", build, parse, timeout=timeout, group=GroupId(group))

    async def put_retention(
        self, tenant: int, group: str, stream: str, data_class: DataClass, days: int, *, timeout: float
    ) -> None:
        def build(params: Any) -> None:
            params.tenant, params.group, params.stream = tenant, group, stream
            params.dataClass, params.days = int(data_class), days

        await self._router.ask("putRetention", build, _nothing, timeout=timeout, group=GroupId(group))

    async def list_retention(self, tenant: int, group: str, *, timeout: float) -> list[RetentionInfo]:
        def build(params: Any) -> None:
            params.tenant, params.group = tenant, group

        def parse(results: Any) -> list[RetentionInfo]:
            return [
                RetentionInfo(stream=one.stream, data_class=DataClass(one.dataClass), days=one.days)
                for one in results.rules
            ]

        return await self._router.ask("listRetention", build, parse, timeout=timeout, group=GroupId(group))

    async def prune(self, tenant: int, group: str, *, dry_run: bool, timeout: float) -> Pruned:
        def build(params: Any) -> None:
            params.tenant, params.group, params.dryRun = tenant, group, dry_run

        def parse(results: Any) -> Pruned:
            return Pruned(segments=results.segments, bytes=results.bytes, report=json.loads(results.report))

        return await self._router.ask("prune", build, parse, timeout=timeout, group=GroupId(group))


def _nothing(_results: Any) -> None:
    """There is nothing to read but that it is done."""


def _erasure(one: Any) -> ErasureInfo:
    return ErasureInfo(
        erasure=one.erasure,
        subject_token=bytes(one.subjectToken),
        basis=one.basis,
        time=one.time,
        op=one.op,
        keys=one.keys,
        pending=tuple(one.pending),
        certificate=one.certificate,
    )


def _hold(one: Any) -> HoldInfo:
    return HoldInfo(
        hold=one.hold,
        subject=one.subject,
        stream=one.stream,
        reason=one.reason,
        placed=one.placed,
        released=one.released,
    )
