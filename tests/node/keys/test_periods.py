"""Periods of data keys that end by themselves, by the log's time."""

from __future__ import annotations

import pytest
import trio

from vdb.kernel.command import INTERNAL
from vdb.node.keys import periods
from vdb.node.node import Node
from vdb.node.preparing.request import PlainCreate
from vdb.types import DataClass, Region, TenantId

REGION = Region("ap-southeast-2")


async def create(node: Node, tenant: int) -> None:
    request = PlainCreate(tenant=TenantId(tenant), name="notes", data_class=DataClass.PHI, region=REGION.name)
    await node.groups[REGION.name].execute(request, INTERNAL)


async def test_a_period_ends_after_its_days(start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(periods, "_DAY_US", 100_000)
    async with start(key_period_days=1) as node:
        for tenant in (1, 2):
            await create(node, tenant)
        state = node.groups[REGION.name].state
        assert (state.key_period(TenantId(1)), state.key_period(TenantId(2))) == (0, 0)
        with trio.fail_after(20):
            await node.groups[REGION.name].wait_until(
                lambda: all(node.groups[REGION.name].state.key_period(TenantId(tenant)) >= 2 for tenant in (1, 2))
            )
        state = node.groups[REGION.name].state
        assert state.period_began(TenantId(1), 2) - state.period_began(TenantId(1), 1) >= 100_000


async def test_no_period_ends_where_none_is_to(start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(periods, "_DAY_US", 1)
    async with start(key_period_days=0) as node:
        await create(node, 1)
        await trio.sleep(0.1)
        assert node.groups[REGION.name].state.key_period(TenantId(1)) == 0
