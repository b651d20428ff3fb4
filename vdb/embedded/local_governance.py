"""Governance of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

from vdb.client.governance_line import GovernanceLine
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.node.gate.guard import Guard
from vdb.policy.held import AppliedPolicy, ConsentInfo, GrantInfo, OpenedGrant, PolicyInfo

T = TypeVar("T")


class ServiceGovernance:
    """Implements `vdb.client.governance_line.GovernanceLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def apply_policy(self, text: str, expected_serial: int, *, timeout: float) -> AppliedPolicy:
        found = await _within(timeout, partial(self._guard.apply_policy, text, expected_serial))
        return AppliedPolicy(found.serial, found.version)

    async def get_policy(self, group: str, *, timeout: float) -> PolicyInfo:
        return await _within(timeout, partial(self._guard.get_policy, group))

    async def break_glass(
        self, tenant: int, group: str, subject: str, reason: str, seconds: int, *, timeout: float
    ) -> OpenedGrant:
        found = await _within(timeout, partial(self._guard.break_glass, tenant, group, subject, reason, seconds))
        return OpenedGrant(found.grant, found.until)

    async def review_grant(
        self, tenant: int, group: str, grant: int, verdict: str, remark: str, *, timeout: float
    ) -> None:
        await _within(timeout, partial(self._guard.review_grant, tenant, group, grant, verdict, remark))

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool, timeout: float) -> list[GrantInfo]:
        return await _within(timeout, partial(self._guard.list_grants, tenant, group, unreviewed=unreviewed))

    async def put_consent(
        self,
        tenant: int,
        group: str,
        subject: str,
        purposes: Sequence[str],
        until: int,
        *,
        withdraw: bool,
        timeout: float,
    ) -> None:
        put = partial(self._guard.put_consent, tenant, group, subject, tuple(purposes), until, withdraw=withdraw)
        await _within(timeout, put)

    async def list_consents(self, tenant: int, group: str, subject: str, *, timeout: float) -> list[ConsentInfo]:
        return await _within(timeout, partial(self._guard.list_consents, tenant, group, subject))

    async def attest(
        self, tenant: int, stream: str, expert: str, statement: str, document: bytes, *, timeout: float
    ) -> None:
        await _within(timeout, partial(self._guard.attest, tenant, stream, expert, statement, document))


class HopGovernance:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: GovernanceLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def apply_policy(self, text: str, expected_serial: int, *, timeout: float) -> AppliedPolicy:
        return await self._loop.call_async(partial(self._inner.apply_policy, text, expected_serial, timeout=timeout))

    async def get_policy(self, group: str, *, timeout: float) -> PolicyInfo:
        return await self._loop.call_async(partial(self._inner.get_policy, group, timeout=timeout))

    async def break_glass(
        self, tenant: int, group: str, subject: str, reason: str, seconds: int, *, timeout: float
    ) -> OpenedGrant:
        return await self._loop.call_async(
            partial(self._inner.break_glass, tenant, group, subject, reason, seconds, timeout=timeout)
        )

    async def review_grant(
        self, tenant: int, group: str, grant: int, verdict: str, remark: str, *, timeout: float
    ) -> None:
        await self._loop.call_async(
            partial(self._inner.review_grant, tenant, group, grant, verdict, remark, timeout=timeout)
        )

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool, timeout: float) -> list[GrantInfo]:
        return await self._loop.call_async(
            partial(self._inner.list_grants, tenant, group, unreviewed=unreviewed, timeout=timeout)
        )

    async def put_consent(
        self,
        tenant: int,
        group: str,
        subject: str,
        purposes: Sequence[str],
        until: int,
        *,
        withdraw: bool,
        timeout: float,
    ) -> None:
        await self._loop.call_async(
            partial(
                self._inner.put_consent, tenant, group, subject, purposes, until, withdraw=withdraw, timeout=timeout
            )
        )

    async def list_consents(self, tenant: int, group: str, subject: str, *, timeout: float) -> list[ConsentInfo]:
        return await self._loop.call_async(partial(self._inner.list_consents, tenant, group, subject, timeout=timeout))

    async def attest(
        self, tenant: int, stream: str, expert: str, statement: str, document: bytes, *, timeout: float
    ) -> None:
        await self._loop.call_async(
            partial(self._inner.attest, tenant, stream, expert, statement, document, timeout=timeout)
        )


async def _within(timeout: float, call: Callable[[], Awaitable[T]]) -> T:
    with trio.move_on_after(timeout):
        return await call()
    raise Timeout(f"no answer within {timeout:g} s")
