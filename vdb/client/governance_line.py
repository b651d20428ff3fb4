"""What carries calls of governance: an RPC connection, or a node in the same process. See `vdb.client.gateway`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vdb.policy.held import AppliedPolicy, ConsentInfo, GrantInfo, OpenedGrant, PolicyInfo


class GovernanceLine(Protocol):
    """Groups are named by a region, or 'global'. Times are microseconds UTC."""

    async def apply_policy(self, text: str, expected_serial: int, *, timeout: float) -> AppliedPolicy: ...

    async def get_policy(self, group: str, *, timeout: float) -> PolicyInfo: ...

    async def break_glass(
        self, tenant: int, group: str, subject: str, reason: str, seconds: int, *, timeout: float
    ) -> OpenedGrant: ...

    async def review_grant(
        self, tenant: int, group: str, grant: int, verdict: str, remark: str, *, timeout: float
    ) -> None: ...

    async def list_grants(self, tenant: int, group: str, *, unreviewed: bool, timeout: float) -> list[GrantInfo]: ...

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
    ) -> None: ...

    async def list_consents(self, tenant: int, group: str, subject: str, *, timeout: float) -> list[ConsentInfo]: ...

    async def attest(
        self, tenant: int, stream: str, expert: str, statement: str, document: bytes, *, timeout: float
    ) -> None: ...
