"""What an export is made from: a node that runs, or the data directory of one that never will again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from vdb.cli.options import TenantOptions
from vdb.cli.stopped import StoppedAudit, stopped_node
from vdb.client.audit_scan import AuditSource, FaceAudit
from vdb.client.client import Client
from vdb.client.evidence_line import TreeHead
from vdb.node.stopped import StoppedNode
from vdb.types import GroupId, TenantId

RUNNING, STOPPED = "a node that ran", "the data directory of a stopped node"


class ExportedAudit(AuditSource, Protocol):
    """A log whose head witnesses can cosign."""

    async def consistency(self, size: int) -> tuple[TreeHead, tuple[bytes, ...]]: ...


class ExportSource(Protocol):
    group: str
    address: str
    """Of the database, for its clients."""
    source: str
    """What it is, in words."""

    @property
    def audit(self) -> ExportedAudit: ...

    async def principal(self) -> str:
        """Who exports, as the database knows them; empty: nobody asked."""

    async def policy(self) -> tuple[str, str]:
        """Version and text of the access policy that holds; empty: none, or it isn't shown."""

    async def record(self, detail: Mapping[str, object]) -> int | None:
        """Write the export down in the log; the record. None: nobody can."""


class RunningSource:
    """A node that runs."""

    source = RUNNING

    def __init__(self, client: Client, group: str, address: str) -> None:
        self._client = client
        self.group = group
        self.address = address
        self.audit = FaceAudit(client, group)

    async def principal(self) -> str:
        return (await self._client.whoami()).principal

    async def policy(self) -> tuple[str, str]:
        found = await self._client.policy(self.group)
        return found.version, found.text

    async def record(self, detail: Mapping[str, object]) -> int | None:
        return await self._client.record_audit("export", detail, self.group)


class StoppedSource:
    """The data directory of a node that is stopped."""

    source = STOPPED
    address = ""

    def __init__(self, node: StoppedNode, group: str, tenant: int) -> None:
        self._node = node
        self.group = group
        self.audit = StoppedAudit(node, GroupId(group), TenantId(tenant))

    async def principal(self) -> str:
        return ""

    async def policy(self) -> tuple[str, str]:
        return self._node.policy(GroupId(self.group))

    async def record(self, _detail: Mapping[str, object]) -> int | None:
        return None


@asynccontextmanager
async def export_source(
    options: TenantOptions, group: str, data_dir: Path | None, key_file: Path | None
) -> AsyncIterator[ExportSource]:
    """`group`: empty for that of the node's region."""
    if data_dir is not None:
        async with stopped_node(data_dir, key_file) as node:
            yield StoppedSource(node, group or node.identity.region.name, options.tenant)
        return
    async with options.tenant_client() as client:
        yield RunningSource(client, group or (await client.status()).region, options.address)
