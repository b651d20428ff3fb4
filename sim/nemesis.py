"""The nemesis: does the disturbances that the seed drew, in order, spread over the run by the clients' progress.

Progress alone wouldn't do, since a disturbance may stop all progress: each also comes when enough time has passed.
What it breaks it mends after a drawn while, and in the end it mends everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import trio
from attrs import define, evolve, field

from sim.atlas import Atlas
from sim.cluster import BEFORE_RESTART_SECONDS, NODE, Cluster
from sim.options import Options
from sim.trace import Trace
from sim.workload import Workload

PATIENCE_SECONDS = 4.0
"""At most so long does the nemesis wait for progress before its next disturbance."""


@define
class Nemesis:
    """See the module's docstring."""

    cluster: Cluster
    atlas: Atlas
    options: Options
    random: Random
    trace: Trace
    workload: Workload
    _repairs: list[Callable[[], None]] = field(factory=list)

    async def run(self) -> None:
        """All disturbances, then mend everything."""
        todo = self.options.disturbances
        for index, kind in enumerate(todo):
            await self._wait_for_progress((index + self.random.random()) / (len(todo) + 0.5))
            self.trace.add("nemesis", kind)
            await self._acts()[kind]()
        self.heal()

    def heal(self) -> None:
        """Mend all that is broken: from now on the world is sound."""
        self.cluster.disarm()
        self.atlas.armed.clear()
        for repair in self._repairs:
            repair()
        self._repairs.clear()
        disk = self.cluster.disk
        disk.capacity = None
        disk.slowness = 1
        disk.faults = evolve(
            disk.faults, lost_write=0.0, misdirected_write=0.0, eio_read=0.0, eio_write=0.0, fsync_failed=0.0, full=0.0
        )
        self.cluster.mend_bad_pages()
        self.cluster.network.heal()
        self.trace.add("nemesis", "healed")

    def destroy(self) -> None:
        """Harm what one replica can't repair, and cut the power."""
        places = self.atlas.places_beyond_repair()
        for path, offset in places:
            self.atlas.beyond = path
            self.cluster.disk.rot(path, offset)
            self.atlas.note_rot(path, offset)
            self.trace.add("nemesis", "destroyed", path, offset)
        self.cluster.crash()

    def _acts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "crash": self._crash,
            "crash_in_recovery": self._crash_in_recovery,
            "bit_rot": self._bit_rot,
            "database_rot": self._database_rot,
            "misdirected_write": lambda: self._arm("misdirected_write", 1),
            "lost_write": lambda: self._arm("lost_write", 1),
            "read_error": lambda: self._arm("eio_read", 1),
            "write_error": lambda: self._arm("eio_write", 1),
            "sync_failed": self._sync_failed,
            "disk_full": self._disk_full,
            "slow_disk": self._slow_disk,
            "connection_cut": self._cut,
            "connection_stalled": self._stall,
            "half_open": self._half_open,
            "clock_jump": self._clock_jump,
        }

    async def _wait_for_progress(self, point: float) -> None:
        with trio.move_on_after(PATIENCE_SECONDS):
            await self.workload.wait_until(lambda: self.workload.progress >= point)

    async def _crash(self) -> None:
        """At the n-th port call from now: at any await of the node."""
        await self.cluster.wait_until_up()
        self.cluster.crash_after(self.random.randrange(1, 60))

    async def _crash_in_recovery(self) -> None:
        """Crash, and crash again while the node recovers (or right after, if it is quick)."""
        await self.cluster.wait_until_up()
        self.cluster.crash_next_start_after(self.random.randrange(1, self.random.choice((20, 100, 300))))
        self.cluster.crash_after(self.random.randrange(1, 30))

    async def _bit_rot(self) -> None:
        """One bit of something that is stored twice, found by the restart that follows at once."""
        await self.cluster.wait_until_up()
        place = self.atlas.place_to_rot()
        if place is not None:
            self.atlas.note_rot(*place)
            self.cluster.disk.rot(*place)
            self.cluster.crash()

    async def _database_rot(self) -> None:
        """One bit of a projection's file, while the power is off: nothing of it is in a cache."""
        await self.cluster.wait_until_up()
        scratch, place = self.cluster.scratch, self.random.random()
        paths = [path for path in scratch.paths() if path.endswith(".db")]
        if paths:
            path = self.random.choice(paths)
            self.cluster.crash()
            await trio.sleep(BEFORE_RESTART_SECONDS)  # checkers have read it, and the write-ahead file is in it
            self.trace.add("nemesis", "rotted", path, scratch.exists(path) and scratch.rot(path, place))

    async def _arm(self, kind: str, shots: int) -> None:
        """Let a fault of the disk fire, where the atlas permits it, within some time."""
        disk = self.cluster.disk
        self.atlas.armed[f"disk.{kind}"] = shots
        chances: dict[str, Any] = {kind: 0.3 if shots == 1 else 1.0}
        disk.faults = evolve(disk.faults, **chances)

        def disarm() -> None:
            self.atlas.armed.pop(f"disk.{kind}", None)
            never: dict[str, Any] = {kind: 0.0}
            disk.faults = evolve(disk.faults, **never)

        self._repairs.append(disarm)

    async def _sync_failed(self) -> None:
        self.cluster.disk.fail_next_sync()

    async def _disk_full(self) -> None:
        disk = self.cluster.disk
        disk.capacity = disk.platter.used() + self.random.randrange(8192)

        def free() -> None:
            disk.capacity = None

        self._later(self._pause(0.05, 3.0), free)

    async def _slow_disk(self) -> None:
        disk = self.cluster.disk
        disk.slowness = self.random.choice((5, 30, 200))

        def fast() -> None:
            disk.slowness = 1

        self._later(self._pause(0.01, 1.0), fast)

    async def _cut(self) -> None:
        client = self._client()
        if self.random.random() < 0.5:
            self.cluster.network.reset(client, NODE)
            return
        self.cluster.network.cut(client, NODE)
        self._later(self._pause(0.001, 2.0), lambda: self.cluster.network.heal(client, NODE))

    async def _stall(self) -> None:
        client = self._client()
        source, destination = (client, NODE) if self.random.random() < 0.5 else (NODE, client)
        self.cluster.network.stall(source, destination, both=self.random.random() < 0.6)
        self._later(self._pause(0.001, 2.0), lambda: self.cluster.network.heal(client, NODE))

    async def _half_open(self) -> None:
        self.cluster.network.half_open(self._client(), NODE)

    async def _clock_jump(self) -> None:
        seconds = self.random.choice((1, 60, 86_400))
        self.cluster.host_clock.jump(self.random.choice((-1, 1)) * self.random.randrange(1, seconds * 1_000_000))

    def _client(self) -> str:
        return f"c{self.random.randrange(self.options.clients)}"

    def _pause(self, least: float, most: float) -> float:
        """Seconds; short ones are as likely as long ones."""
        return float(least * (most / least) ** self.random.random())

    def _later(self, seconds: float, repair: Callable[[], None]) -> None:
        """Mend after a while, or when everything is mended."""
        self._repairs.append(repair)

        def due() -> None:
            if repair in self._repairs:
                self._repairs.remove(repair)
                repair()

        self.cluster.clock.call_after(int(seconds * 1e9), due)
