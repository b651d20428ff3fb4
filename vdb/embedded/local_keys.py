"""Keys of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from functools import partial

import trio

from vdb.client.key_line import KeyLine
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.keys import KeyReport, RotationStep
from vdb.node.gate.guard import Guard

HERE = "this process"


class ServiceKeys:
    """Implements `vdb.client.key_line.KeyLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def rotate(
        self, tenant: int, group: str, maximum: int, *, begin: bool, rotation_id: bytes, force: bool, timeout: float
    ) -> RotationStep:
        with trio.move_on_after(timeout):
            rotate = partial(self._guard.rotate_keys, tenant, group, maximum, begin=begin, rotation_id=rotation_id)
            return await rotate(force=force)
        raise Timeout(f"rotate_keys: no answer within {timeout:g} s")

    async def statuses(self, group: str, *, timeout: float) -> list[KeyReport]:
        with trio.move_on_after(timeout):
            return [KeyReport(address=HERE, status=await self._guard.key_status(group))]
        raise Timeout(f"key_status: no answer within {timeout:g} s")


class HopKeys:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: KeyLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def rotate(
        self, tenant: int, group: str, maximum: int, *, begin: bool, rotation_id: bytes, force: bool, timeout: float
    ) -> RotationStep:
        rotate = partial(self._inner.rotate, tenant, group, maximum, begin=begin, rotation_id=rotation_id)
        return await self._loop.call_async(partial(rotate, force=force, timeout=timeout))

    async def statuses(self, group: str, *, timeout: float) -> list[KeyReport]:
        return await self._loop.call_async(partial(self._inner.statuses, group, timeout=timeout))
