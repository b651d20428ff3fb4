"""The node's projections: what holds up their opening doesn't end the node."""

from __future__ import annotations

import attrs
import pytest
import trio

from vdb.kernel.command import Origin
from vdb.node.group import Group
from vdb.node.projecting import OPENING_MAX
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.types import DataClass

REGION = "ap-southeast-2"
TENANTS = range(1, 11)
NOTES = LatestById(table="notes", key_path="id", columns={"text": "text"})


async def test_many_tenants_share_a_short_queue(start, small_limits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each projection puts its key through the log; more of them than the queue holds wait for one another."""
    waiting = most = 0
    execute = Group.execute

    async def counted(self: Group, request, origin: Origin):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        try:
            return await execute(self, request, origin)
        finally:
            waiting -= 1

    limits = attrs.evolve(small_limits, request_queue_max=2, requests_per_prepare_max=1)
    async with start(limits=limits) as node:
        for tenant in TENANTS:
            await node.service.create_stream(Origin(), tenant, "notes", DataClass.PHI, REGION)
    monkeypatch.setattr(Group, "execute", counted)
    config = ProjectionConfig(name="days", streams=["notes"], template=NOTES)
    with trio.fail_after(60):
        async with start(projections=(config,)) as node:
            for tenant in TENANTS:
                assert await node.service.wait_for_projection(tenant, "days", "", 50_000_000)
    assert 2 <= most <= OPENING_MAX
