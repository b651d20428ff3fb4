"""What ends data, of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from vdb.client.erasure_line import ErasureLine
from vdb.embedded.loop_thread import LoopThread
from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.errors import Timeout
from vdb.node.gate.guard import Guard
from vdb.types import DataClass

T = TypeVar("T")


class ServiceErasure:
    """Implements `vdb.client.erasure_line.ErasureLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def erase_subject(
        self, tenant: int, group: str, subject: str, basis: str, *, dry_run: bool, timeout: float
    ) -> ErasureBegun:
        erase = partial(self._guard.erase_subject, tenant, group, subject, basis, dry_run=dry_run)
        return await _within(timeout, erase)

    async def list_erasures(self, tenant: int, group: str, *, timeout: float) -> list[ErasureInfo]:
        return await _within(timeout, partial(self._guard.list_erasures, tenant, group))

    async def put_hold(self, tenant: int, group: str, subject: str, stream: str, reason: str, *, timeout: float) -> int:
        return await _within(timeout, partial(self._guard.put_hold, tenant, group, subject, stream, reason))

    async def release_hold(self, tenant: int, group: str, hold: int, reason: str, *, timeout: float) -> None:
        await _within(timeout, partial(self._guard.release_hold, tenant, group, hold, reason))

    async def list_holds(self, tenant: int, group: str, *, timeout: float) -> list[HoldInfo]:
        return await _within(timeout, partial(self._guard.list_holds, tenant, group))

    async def put_retention(
        self, tenant: int, group: str, stream: str, data_class: DataClass, days: int, *, timeout: float
    ) -> None:
        await _within(timeout, partial(self._guard.put_retention, tenant, group, stream, data_class, days))

    async def list_retention(self, tenant: int, group: str, *, timeout: float) -> list[RetentionInfo]:
        return await _within(timeout, partial(self._guard.list_retention, tenant, group))

    async def prune(self, tenant: int, group: str, *, dry_run: bool, timeout: float) -> Pruned:
        return await _within(timeout, partial(self._guard.prune, tenant, group, dry_run=dry_run))


class HopErasure:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: ErasureLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def erase_subject(
        self, tenant: int, group: str, subject: str, basis: str, *, dry_run: bool, timeout: float
    ) -> ErasureBegun:
        return await self._loop.call_async(
            partial(self._inner.erase_subject, tenant, group, subject, basis, dry_run=dry_run, timeout=timeout)
        )

    async def list_erasures(self, tenant: int, group: str, *, timeout: float) -> list[ErasureInfo]:
        return await self._loop.call_async(partial(self._inner.list_erasures, tenant, group, timeout=timeout))

    async def put_hold(self, tenant: int, group: str, subject: str, stream: str, reason: str, *, timeout: float) -> int:
        return await self._loop.call_async(
            partial(self._inner.put_hold, tenant, group, subject, stream, reason, timeout=timeout)
        )

    async def release_hold(self, tenant: int, group: str, hold: int, reason: str, *, timeout: float) -> None:
        await self._loop.call_async(partial(self._inner.release_hold, tenant, group, hold, reason, timeout=timeout))

    async def list_holds(self, tenant: int, group: str, *, timeout: float) -> list[HoldInfo]:
        return await self._loop.call_async(partial(self._inner.list_holds, tenant, group, timeout=timeout))

    async def put_retention(
        self, tenant: int, group: str, stream: str, data_class: DataClass, days: int, *, timeout: float
    ) -> None:
        await self._loop.call_async(
            partial(self._inner.put_retention, tenant, group, stream, data_class, days, timeout=timeout)
        )

    async def list_retention(self, tenant: int, group: str, *, timeout: float) -> list[RetentionInfo]:
        return await self._loop.call_async(partial(self._inner.list_retention, tenant, group, timeout=timeout))

    async def prune(self, tenant: int, group: str, *, dry_run: bool, timeout: float) -> Pruned:
        return await self._loop.call_async(partial(self._inner.prune, tenant, group, dry_run=dry_run, timeout=timeout))


async def _within(timeout: float, call: Callable[[], Awaitable[T]]) -> T:
    with trio.move_on_after(timeout):
        return await call()
    raise Timeout(f"no answer within {timeout:g} s")
