"""A stopped node's data directory, read for its evidence: the server may be gone for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from vdb.audit.page import AuditPage
from vdb.audit.search import AuditSearch
from vdb.client.audit_scan import PAGE_RECORDS
from vdb.client.evidence_line import TreeHead
from vdb.embedded.keys import find_root_keys
from vdb.errors import ConfigError
from vdb.node.evidence.proving import Family
from vdb.node.node import first_cause
from vdb.node.peers.identity import read_identity
from vdb.node.stopped import StoppedNode
from vdb.types import GroupId, TenantId
from vdb.world import make_world
from vdb.world.disk import RealDisk


@asynccontextmanager
async def stopped_node(data_dir: Path, key_file: Path | None) -> AsyncIterator[StoppedNode]:
    """The node of a directory that no process uses. ConfigError, KeysMissing, and what `StoppedNode.run` raises."""
    keys = find_root_keys(key_file, option="--key-file")
    disk = _disk_of(data_dir)
    try:
        region = (await read_identity(disk)).region
    finally:
        await disk.close()
    node = StoppedNode(make_world(data_dir, region), keys)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            yield node
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        raise first_cause(errors) from None


def _disk_of(data_dir: Path) -> RealDisk:
    if not data_dir.is_dir():
        raise ConfigError(f"--data-dir: there is no directory {data_dir}")
    return RealDisk(data_dir)


class StoppedAudit:
    """The audit log of a tenant in a group of a stopped node: a `vdb.client.audit_scan.AuditSource`."""

    def __init__(self, node: StoppedNode, group: GroupId, tenant: TenantId) -> None:
        self._node = node
        self._group = group
        self._tenant = tenant

    async def head(self) -> TreeHead:
        found = await self._node.proofs.head(self._tenant, self._group, Family.AUDIT)
        return TreeHead(note=found.note, verifier=found.verifier)

    async def consistency(self, size: int) -> tuple[TreeHead, tuple[bytes, ...]]:
        """The tree as it is, and that it begins with the one of `size` leaves."""
        found, path = await self._node.proofs.consistency(self._tenant, self._group, size, Family.AUDIT)
        return TreeHead(note=found.note, verifier=found.verifier), path

    async def page(self, start: int, search: AuditSearch, *, sealed: bool) -> AuditPage:
        return await self._node.entries(self._group, self._tenant, start, PAGE_RECORDS, search, sealed=sealed)
