"""Governance over RPC: asked of the group's primary, again until it is answered.

What was done before its answer was lost is done once more: a policy, a consent and an attestation are then the same; a
glass is broken twice, and both are in the queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from vdb.client.router import Router
from vdb.policy.held import AppliedPolicy, ConsentInfo, GrantInfo, OpenedGrant, PolicyInfo
from vdb.types import GLOBAL_GROUP, GroupId

GroupOf = Callable[[int, str, float], Awaitable[GroupId]]


class RpcGovernance:
    """Implements `vdb.client.governance_line.GovernanceLine`."""

    def __init__(self, router: Router, group_of: GroupOf) -> None:
        self._router = router
        self._group_of = group_of

    async def apply_policy(self, text: str, expected_serial: int, *, timeout: float) -> AppliedPolicy:
        def build(params: Any) -> None:
            params.text, params.expectedSerial = text, expected_serial

        def parse(results: Any) -> AppliedPolicy:
            return AppliedPolicy(results.serial, results.version)

        return await self._router.ask("applyPolicy", build, parse, timeout=timeout, group=GLOBAL_GROUP)

    async def get_policy(self, group: str, *, timeout: float) -> PolicyInfo:
        def build(params: Any) -> None:
            params.group = group

        return await self._router.ask("getPolicy", build, _policy, timeout=timeout, group=GroupId(group))

    async def break_glass(
        self, tenant: int, group: str, subject: str, reason: str, seconds: int, *, timeout: float
    ) -> OpenedGrant:
        def build(params: Any) -> None:
            params.tenant, params.group, params.subject = tenant, group, subject
            params.reason, params.seconds = reason, seconds

        def parse(results: Any) -> OpenedGrant:
            return OpenedGrant(results.grant, results.until)

        return await self._router.ask("breakGlass", build, parse, timeout=timeout, group=GroupId(group))

    async def review_grant(
        self, tenant: int, group: str, grant: int, verdict: str, remark: str, *, timeout: float
    ) -> None:
        def build(params: Any) -> None:
            params.tenant, params.group, params.grant = tenant, group, grant
            params.verdict, params.remark = verdict, remark

        await self._router.ask("reviewGrant", build, _nothing, timeout=timeout, group=GroupId(group))

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool, timeout: float) -> list[GrantInfo]:
        def build(params: Any) -> None:
            params.tenant, params.group, params.unreviewed = tenant, group, unreviewed

        def parse(results: Any) -> list[GrantInfo]:
            return [_grant(one) for one in results.grants]

        return await self._router.ask("listGrants", build, parse, timeout=timeout, group=GroupId(group))

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
        def build(params: Any) -> None:
            params.tenant, params.group, params.subject = tenant, group, subject
            params.purposes, params.until, params.withdraw = list(purposes), until, withdraw

        await self._router.ask("putConsent", build, _nothing, timeout=timeout, group=GroupId(group))

    async def list_consents(self, tenant: int, group: str, subject: str, *, timeout: float) -> list[ConsentInfo]:
        def build(params: Any) -> None:
            params.tenant, params.group, params.subject = tenant, group, subject

        def parse(results: Any) -> list[ConsentInfo]:
            return [_consent(one) for one in results.consents]

        return await self._router.ask("listConsents", build, parse, timeout=timeout, group=GroupId(group))

    async def attest(
        self, tenant: int, stream: str, expert: str, statement: str, document: bytes, *, timeout: float
    ) -> None:
        def build(params: Any) -> None:
            params.tenant, params.stream, params.expert = tenant, stream, expert
            params.statement, params.documentDigest = statement, document

        group = await self._group_of(tenant, stream, timeout)
        await self._router.ask("attest", build, _nothing, timeout=timeout, group=group)


def _nothing(_results: Any) -> None:
    """There is nothing to read but that it is done."""


def _policy(results: Any) -> PolicyInfo:
    return PolicyInfo(
        serial=results.serial,
        version=results.version,
        text=results.text,
        applied_at=results.appliedAt,
        applied_by=results.appliedBy,
    )


def _grant(one: Any) -> GrantInfo:
    return GrantInfo(
        grant=one.grant,
        principal=one.principal,
        subject=one.subject,
        reason=one.reason,
        until=one.until,
        reviewer=one.reviewer,
        verdict=one.verdict,
        remark=one.remark,
        reviewed=one.reviewed,
    )


def _consent(one: Any) -> ConsentInfo:
    return ConsentInfo(subject=one.subject, purposes=tuple(one.purposes), until=one.until, given=one.given)
