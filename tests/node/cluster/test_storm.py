"""Power cuts of one node and of all at once, absences that only state sync can mend, and rot on one of three disks: in
the end all nodes hold the same log, with everything that was acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import trio
from attrs import define, field

from sim.world.faults import DiskFaults
from vdb.limits import Limits
from vdb.types import TenantId

FOLDER = "groups/ap-southeast-2"
NODES = 3
GROUPS = 2


@define(eq=False)
class Storm:
    """What goes on, drawn from a seed. `victim` has the disk that rots."""

    cluster: Any
    random: Random
    victim: int
    up: list[int] = field(factory=list)
    acked: int = 0

    async def begin(self) -> None:
        for number in range(NODES):
            self.cluster.machines[number].host.disk.faults = DiskFaults(
                lose_unsynced=self.random.choice((0.0, 0.5, 1.0)),
                reorder=self.random.choice((0.0, 0.3, 1.0)),
                tear=self.random.choice((0.0, 0.5, 1.0)),
                tear_garbage=self.random.choice((0.0, 0.0, 0.5)),
                lose_names=self.random.choice((0.0, 0.5, 1.0)),
            )
        await self.cluster.start(*range(NODES))
        self.up = list(range(NODES))
        await self.cluster.create("s")

    async def append(self, count: int) -> None:
        """As many as there is time for."""
        if len(self.up) < 2:
            return
        with trio.move_on_after(5):
            for _ in range(count):
                await self.cluster.append("s", b"%06d" % self.acked * 50)
                self.acked += 1

    async def crash(self, number: int) -> None:
        self.up.remove(number)
        await self.cluster.crash(number)

    async def crash_one(self) -> None:
        if len(self.up) > 1:
            await self.crash(self.random.choice(self.up))

    async def crash_all(self) -> None:
        for number in list(self.up):
            await self.crash(number)

    async def start_one(self) -> None:
        """Without waiting for it: a node whose checkpoint is lost waits for the others."""
        missing = [number for number in range(NODES) if number not in self.up]
        if missing:
            number = self.random.choice(missing)
            self.cluster.nursery.start_soon(self._start, number)
            await trio.sleep(0.3)
            self.up.append(number)

    async def _start(self, number: int) -> None:
        try:
            await self.cluster.start(number)
        except* RuntimeError:
            assert self.cluster.machines[number].error is None, "it crashed before it had started"

    async def rot(self) -> None:
        disk = self.cluster.machines[self.victim].host.disk
        disk.rot_any(lambda path: path.startswith(FOLDER) and "superblock" not in path)

    async def scrub(self) -> None:
        if len(self.up) == NODES and self._has_opened(self.victim):
            with trio.move_on_after(20):
                await self.cluster.group(self.victim).scrubber.scrub_once()

    async def be_away(self) -> None:
        """One node misses more than the logs of the others hold."""
        if len(self.up) == NODES:
            await self.crash_one()
            await self.append(40)

    def _has_opened(self, number: int) -> bool:
        return len(self.cluster.machines[number].node.groups) == GROUPS

    async def end(self) -> None:
        """All nodes are up, and agree."""
        for _ in range(NODES):
            await self.start_one()
        with trio.fail_after(60):
            await self.cluster.append("s", b"last")
            while True:
                await trio.sleep(0.1)
                if all(self._has_opened(number) for number in range(NODES)):
                    break
            await self.cluster.converge()


@pytest.mark.parametrize("seed", range(4))
def test_a_storm_loses_nothing(in_cluster: Callable[..., None], seed: int) -> None:
    random = Random(seed)
    limits = Limits(
        message_size_max=16 * 1024,
        wal_slots=random.choice((16, 20, 24)),
        checkpoint_interval=8,
        pipeline_max=random.choice((2, 3, 4)),
        segment_size=4096,
        sessions_max=4,
    )

    async def body(cluster: Any) -> None:
        storm = Storm(cluster, random, random.randrange(NODES))
        await storm.begin()
        for _step in range(24):
            choices = [storm.crash_one, storm.crash_all, storm.start_one, storm.start_one, storm.rot, storm.scrub]
            await random.choice([*choices, storm.be_away])()
            await storm.append(random.randrange(8))
        await storm.end()
        logs = []
        for number in range(NODES):
            frames = await cluster.group(number).event_log.read_log(TenantId(1), 0, 1 << 24)
            logs.append([bytes(frame.record) for frame in frames])
        assert logs[0] == logs[1] == logs[2]
        assert cluster.group(0).state.next_position >= storm.acked

    in_cluster(body, seed=seed, limits=limits)
