"""Consumer groups of a node in the same process: straight to its gate, and from other loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

import trio

from vdb.client.consumer_gateway import ConsumerGateway, MemberLine
from vdb.client.member_line import BufferedLine
from vdb.consumers import MEMBER_ID_SIZE, ConsumerInfo, ConsumerSettings, DeadLetterInfo, Delivered, Settlement
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout, VerityError
from vdb.kernel.command import INTERNAL, Origin
from vdb.types import GroupId, ReadLevel
from vdb.world.entropy import RealEntropy

T = TypeVar("T")


class NodeConsumers(Protocol):
    """A node's gate for consumer groups, as `vdb.node` has it. `wait_us` is microseconds."""

    async def create(self, origin: Origin, tenant: int, group: str, name: str, settings: ConsumerSettings) -> bool: ...

    async def infos(self, tenant: int, group: str, name: str, *, level: ReadLevel) -> list[ConsumerInfo]: ...

    async def delete(self, origin: Origin, tenant: int, group: str, name: str) -> bool: ...

    async def fetch(
        self, tenant: int, group: str, name: str, member: bytes, maximum: int, wait_us: int
    ) -> list[Delivered]: ...

    async def settle(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        member: bytes,
        settlements: Sequence[Settlement],
    ) -> list[int]: ...

    async def leave(self, origin: Origin, tenant: int, group: str, name: str, member: bytes) -> int: ...

    async def dead_letters(
        self, tenant: int, group: str, name: str, after: int, maximum: int
    ) -> tuple[list[DeadLetterInfo], bool]: ...

    async def settle_dead_letters(
        self,
        origin: Origin,
        tenant: int,
        group: str,
        name: str,
        positions: Sequence[int],
        drop: bool,
        actor: str,
        reason: str,
    ) -> int: ...


class ServiceConsumers:
    """Implements `ConsumerGateway` over a node's consumers. Runs in the node's loop."""

    def __init__(self, consumers: NodeConsumers, groups: Sequence[GroupId], tasks: trio.Nursery) -> None:
        self._consumers = consumers
        self._groups = groups
        self._tasks = tasks

    async def create(
        self, tenant: int, group: GroupId, name: str, settings: ConsumerSettings, *, timeout: float
    ) -> bool:
        return await _within(
            timeout, "create_consumer", self._consumers.create(INTERNAL, tenant, group, name, settings)
        )

    async def infos(
        self, tenant: int, group: GroupId | None, name: str, *, level: ReadLevel, timeout: float
    ) -> list[ConsumerInfo]:
        found: list[ConsumerInfo] = []
        for one in (group,) if group is not None else self._groups:
            asked = self._consumers.infos(tenant, one, name, level=level)
            found += await _within(timeout, "list_consumers", asked)
        return found

    async def delete(self, tenant: int, group: GroupId, name: str, *, timeout: float) -> bool:
        return await _within(timeout, "delete", self._consumers.delete(INTERNAL, tenant, group, name))

    async def dead_letters(
        self, tenant: int, group: GroupId, name: str, after: int, maximum: int, *, timeout: float
    ) -> tuple[list[DeadLetterInfo], bool]:
        asked = self._consumers.dead_letters(tenant, group, name, after, maximum)
        return await _within(timeout, "dead_letters", asked)

    async def settle_dead_letters(
        self,
        tenant: int,
        group: GroupId,
        name: str,
        positions: Sequence[int],
        *,
        drop: bool,
        actor: str,
        reason: str,
        timeout: float,
    ) -> int:
        asked = self._consumers.settle_dead_letters(INTERNAL, tenant, group, name, positions, drop, actor, reason)
        return await _within(timeout, "drop" if drop else "replay", asked)

    def line(self, tenant: int, group: GroupId, name: str, member: bytes, ack_seconds: float) -> BufferedLine:
        own = member or RealEntropy().random_bytes(MEMBER_ID_SIZE)
        return BufferedLine(
            ServiceMember(self._consumers, tenant, group, name, own), self._tasks.start_soon, ack_seconds
        )


class ServiceMember:
    """Implements `vdb.client.consumer_gateway.MemberCalls`."""

    def __init__(self, consumers: NodeConsumers, tenant: int, group: GroupId, name: str, member: bytes) -> None:
        self._consumers = consumers
        self._place = (tenant, group, name, member)

    async def fetch(self, maximum: int, wait: float, timeout: float, held: Callable[[], list[int]]) -> list[Delivered]:
        asked = self._consumers.fetch(*self._place, maximum, int(wait * 1e6))
        return await _within(wait + timeout, "fetch", asked)

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        return await _within(timeout, "settle", self._consumers.settle(INTERNAL, *self._place, settlements))

    async def leave(self, timeout: float) -> int:
        return await _within(timeout, "leave", self._consumers.leave(INTERNAL, *self._place))


async def _within(timeout: float, call: str, asked: Awaitable[T]) -> T:
    with trio.move_on_after(timeout):
        return await asked
    raise Timeout(f"no answer to {call} within {timeout:g} s; it may have happened")


class HopConsumers:
    """Implements `ConsumerGateway` over one that lives in a `LoopThread`, for trio and asyncio."""

    def __init__(self, inner: ConsumerGateway, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def create(
        self, tenant: int, group: GroupId, name: str, settings: ConsumerSettings, *, timeout: float
    ) -> bool:
        return await self._hop(partial(self._inner.create, tenant, group, name, settings, timeout=timeout))

    async def infos(
        self, tenant: int, group: GroupId | None, name: str, *, level: ReadLevel, timeout: float
    ) -> list[ConsumerInfo]:
        return await self._hop(partial(self._inner.infos, tenant, group, name, level=level, timeout=timeout))

    async def delete(self, tenant: int, group: GroupId, name: str, *, timeout: float) -> bool:
        return await self._hop(partial(self._inner.delete, tenant, group, name, timeout=timeout))

    async def dead_letters(
        self, tenant: int, group: GroupId, name: str, after: int, maximum: int, *, timeout: float
    ) -> tuple[list[DeadLetterInfo], bool]:
        asked = partial(self._inner.dead_letters, tenant, group, name, after, maximum, timeout=timeout)
        return await self._hop(asked)

    async def settle_dead_letters(
        self,
        tenant: int,
        group: GroupId,
        name: str,
        positions: Sequence[int],
        *,
        drop: bool,
        actor: str,
        reason: str,
        timeout: float,
    ) -> int:
        settle = partial(self._inner.settle_dead_letters, tenant, group, name, positions, drop=drop, actor=actor)
        return await self._hop(partial(settle, reason=reason, timeout=timeout))

    def line(self, tenant: int, group: GroupId, name: str, member: bytes, ack_seconds: float) -> HopLine:
        return HopLine(self._inner.line(tenant, group, name, member, ack_seconds), self._loop)

    async def _hop(self, function: Callable[[], Awaitable[T]]) -> T:
        return await self._loop.call_async(function)


class HopLine:
    """Implements `MemberLine` over one that lives in a `LoopThread`."""

    def __init__(self, inner: MemberLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def fetch(self, maximum: int, wait: float, timeout: float) -> list[Delivered]:
        return await self._loop.call_async(partial(self._inner.fetch, maximum, wait, timeout))

    async def take(self, maximum: int, *, ahead: bool) -> tuple[list[Delivered], float]:
        return await self._loop.call_async(partial(self._inner.take, maximum, ahead=ahead))

    def post(self, settlements: Sequence[Settlement]) -> None:
        def post() -> None:
            with suppress(VerityError):  # the next call that waits raises it
                self._inner.post(settlements)

        self._loop.post(post)

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        return await self._loop.call_async(partial(self._inner.settle, settlements, timeout))

    async def leave(self, timeout: float) -> int:
        return await self._loop.call_async(partial(self._inner.leave, timeout))
