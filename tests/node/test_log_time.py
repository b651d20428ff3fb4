"""The time that prepares get from a clock that was set back."""

from __future__ import annotations

from typing import Any

import trio
from attrs import define, evolve

from vdb.crypto.root import RootKeys
from vdb.kernel.command import INTERNAL
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.types import DataClass, Region
from vdb.world import make_world

REGION = Region("ap-southeast-2")
HOUR = 3_600_000_000


@define
class SetClock:
    """The Clock port, as a test sets it."""

    wall: int = 1_000 * HOUR
    monotonic: int = 0

    def monotonic_ns(self) -> int:
        return self.monotonic

    def wall_us(self) -> int:
        return self.wall


async def test_the_logs_time_goes_on_half_as_fast_while_the_clock_is_behind_it(tmp_path: Any) -> None:
    clock = SetClock()
    world = evolve(make_world(tmp_path / "data", REGION), clock=clock)
    node = Node(world, NodeConfig(region=REGION, root_keys=RootKeys(bytes(range(32))), address=None))
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        group = node.groups[REGION.name]
        await node.service.create_stream(INTERNAL, 1, "a", DataClass.PHI, REGION.name)
        assert 1_000 * HOUR <= group.state.last_timestamp < 1_000 * HOUR + 10
        clock.wall -= HOUR
        before = group.state.last_timestamp
        assert before < group.time_us < before + 10
        clock.monotonic += 60_000_000_000
        await node.service.create_stream(INTERNAL, 1, "b", DataClass.PHI, REGION.name)
        assert abs(group.state.last_timestamp - before - 30_000_000) < 10
        clock.wall += 2 * HOUR
        assert group.time_us == clock.wall
        nursery.cancel_scope.cancel()
