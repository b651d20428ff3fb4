"""Consumer groups over Cap'n Proto RPC: what settles goes through a session, what hands out is asked again.

All of it goes to the primary of the group. A fetch whose answer is lost is asked anew: what the lost answer delivered
is delivered again after its deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from vdb.client import rpc_codec
from vdb.client.member_line import BufferedLine
from vdb.client.router import Router
from vdb.client.tasks import LastingTasks
from vdb.client.writer import Writer
from vdb.consumers import MEMBER_ID_SIZE, ConsumerInfo, ConsumerSettings, DeadLetterInfo, Delivered, Settlement
from vdb.kernel.command import Origin
from vdb.marks import mark
from vdb.ports import Entropy
from vdb.types import GroupId, ReadLevel
from vdb.wire import consumer_api

WriterOf = Callable[[GroupId], Writer]
AllGroups = Callable[[float], Awaitable[tuple[GroupId, ...]]]
"""The groups of the cluster, asked for within so many seconds."""


class RpcConsumers:
    """Implements `vdb.client.consumer_gateway.ConsumerGateway`."""

    def __init__(
        self, router: Router, entropy: Entropy, tasks: LastingTasks, writer_of: WriterOf, all_groups: AllGroups
    ) -> None:
        self._router = router
        self._entropy = entropy
        self._tasks = tasks
        self._writer_of = writer_of
        self._all_groups = all_groups

    async def create(
        self, tenant: int, group: GroupId, name: str, settings: ConsumerSettings, *, timeout: float
    ) -> bool:
        def build(params: Any, origin: Origin) -> None:
            _address(params, tenant, group, name, origin)
            consumer_api.settings_into(params.settings, settings)

        writer = self._writer_of(group)
        return await writer.write("consumerCreate", build, lambda results: bool(results.created), timeout)

    async def infos(
        self, tenant: int, group: GroupId | None, name: str, *, level: ReadLevel, timeout: float
    ) -> list[ConsumerInfo]:
        groups = (group,) if group is not None else await self._all_groups(timeout)
        found: list[ConsumerInfo] = []
        for one in groups:
            found += await self._list_in(tenant, one, name, level, timeout)
        return found

    async def _list_in(
        self, tenant: int, group: GroupId, name: str, level: ReadLevel, timeout: float
    ) -> list[ConsumerInfo]:
        def build(params: Any) -> None:
            _address(params, tenant, group, name)
            rpc_codec.write_level(params, level)

        return await self._router.ask("consumerList", build, consumer_api.infos_from, timeout=timeout, group=group)

    async def delete(self, tenant: int, group: GroupId, name: str, *, timeout: float) -> bool:
        def build(params: Any, origin: Origin) -> None:
            _address(params, tenant, group, name, origin)

        writer = self._writer_of(group)
        return await writer.write("consumerDelete", build, lambda results: bool(results.deleted), timeout)

    async def dead_letters(
        self, tenant: int, group: GroupId, name: str, after: int, maximum: int, *, timeout: float
    ) -> tuple[list[DeadLetterInfo], bool]:
        def build(params: Any) -> None:
            _address(params, tenant, group, name)
            params.after = after
            params.max = maximum

        def parse(results: Any) -> tuple[list[DeadLetterInfo], bool]:
            return consumer_api.letters_from(results), bool(results.more)

        return await self._router.ask("deadLetters", build, parse, timeout=timeout, group=group)

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
        def build(params: Any, origin: Origin) -> None:
            _address(params, tenant, group, name, origin)
            if positions:
                params.positions = list(positions)
            params.drop = drop
            params.actor = actor
            params.reason = reason

        writer = self._writer_of(group)
        return await writer.write("deadLettersSettle", build, lambda results: int(results.count), timeout)

    def line(self, tenant: int, group: GroupId, name: str, member: bytes, ack_seconds: float) -> BufferedLine:
        calls = RpcMember(
            self._router,
            self._writer_of(group),
            tenant,
            group,
            name,
            member or self._entropy.random_bytes(MEMBER_ID_SIZE),
        )
        return BufferedLine(calls, self._tasks.start_soon, ack_seconds)


class RpcMember:
    """Implements `vdb.client.consumer_gateway.MemberCalls`."""

    def __init__(self, router: Router, writer: Writer, tenant: int, group: GroupId, name: str, member: bytes) -> None:
        self._router = router
        self._writer = writer
        self._tenant = tenant
        self._group = group
        self._name = name
        self._member = member
        self._is_unsure = False
        """An answer to a fetch was lost: more may be out with this member than it knows."""

    async def fetch(self, maximum: int, wait: float, timeout: float, held: Callable[[], list[int]]) -> list[Delivered]:
        sent = asked_again = answered = False

        def build(params: Any) -> None:
            nonlocal sent, asked_again
            _address(params, self._tenant, self._group, self._name)
            params.member = self._member
            params.max = maximum
            params.waitMicros = int(wait * 1e6)
            asked_again = sent or self._is_unsure
            if asked_again:
                mark("consumer.asked_again")
                params.again = True
                params.held = held()
            sent = True

        def parse(results: Any) -> list[Delivered]:
            nonlocal answered
            found = consumer_api.deliveries_from(results, self._group)
            answered = True
            # What was lost comes before all else: an answer that isn't full had room for all of it.
            self._is_unsure = (self._is_unsure or asked_again) and len(found) >= maximum
            return found

        try:
            return await self._router.ask(
                "consumerFetch", build, parse, timeout=timeout, wait_seconds=wait, group=self._group
            )
        finally:
            self._is_unsure = self._is_unsure or (sent and not answered)

    async def settle(self, settlements: Sequence[Settlement], timeout: float) -> list[int]:
        def build(params: Any, origin: Origin) -> None:
            _address(params, self._tenant, self._group, self._name, origin)
            params.member = self._member
            consumer_api.settlements_into(params, settlements)

        return await self._writer.write("consumerSettle", build, lambda results: list(results.late), timeout)

    async def leave(self, timeout: float) -> int:
        def build(params: Any, origin: Origin) -> None:
            _address(params, self._tenant, self._group, self._name, origin)
            params.member = self._member

        return await self._writer.write("consumerLeave", build, lambda results: int(results.returned), timeout)


def _address(params: Any, tenant: int, group: GroupId, name: str, origin: Origin | None = None) -> None:
    """What every call says first."""
    if origin is not None:
        rpc_codec.write_origin(params.origin, origin)
    params.tenant = tenant
    params.group = group
    params.consumer = name
