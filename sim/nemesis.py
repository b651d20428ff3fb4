"""The nemesis: does the disturbances that the seed drew, in order, spread over the run by the clients' progress.

Progress alone wouldn't do, since a disturbance may stop all progress: each also comes when enough time has passed.
What it breaks it mends after a drawn while. In the end it mends a core that must go on without the others, and later
everything. What it does to links stands in `sim.nemesis_links`, to members in `sim.nemesis_members`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import trio
from attrs import define, evolve, field

from sim.atlas import Atlas
from sim.cluster import Cluster
from sim.file_rot import FileRot
from sim.head_rot import places_at_the_head
from sim.machine import BEFORE_RESTART_SECONDS, Machine
from sim.nemesis_links import Links
from sim.nemesis_members import Members
from sim.options import Options
from sim.repairs import Repairs
from sim.trace import Trace
from sim.watch import Watch
from sim.workload import Workload

PATIENCE_SECONDS = 4.0
"""At most so long does the nemesis wait for progress before its next disturbance."""
PATIENCE_AMONG_PEERS_SECONDS = 1.5
SCRUB_SECONDS_MAX = 20.0
"""A scrubber that takes longer finds nothing within a run."""


@define
class Nemesis:
    """See the module's docstring. `atlases` by node number."""

    cluster: Cluster
    atlases: Mapping[int, Atlas]
    options: Options
    random: Random
    trace: Trace
    workload: Workload
    watch: Watch
    members: Members
    _repairs: Repairs = field(init=False)
    _links: Links = field(init=False)
    file_rot: FileRot = field(init=False)

    def __attrs_post_init__(self) -> None:
        clock = next(iter(self.cluster)).clock
        self._repairs = Repairs(clock)
        self._links = Links(
            self.cluster, self.random, self._repairs, tuple(f"c{number}" for number in range(self.options.clients)),
            self.watch, self.trace,
        )  # fmt: skip
        self.file_rot = FileRot(self.options.scrub_period_s <= SCRUB_SECONDS_MAX, self.random, self.atlases, self.watch)

    async def run(self) -> None:
        """All disturbances, then mend all that a core needs."""
        todo = self.options.disturbances
        for index, kind in enumerate(todo):
            await self._wait_for_progress((index + self.random.random()) / (len(todo) + 0.5))
            self.trace.add("nemesis", kind)
            await self._acts()[kind]()
        await self._end_safety()

    async def _end_safety(self) -> None:
        """Those that may be dead die, all else is mended."""
        if self.options.dead_at_the_end:
            for number in self.options.lost_nodes:
                self.cluster.machines[number].hold()
        self.mend()

    def heal(self) -> None:
        """Mend everything: from now on the world is sound, and whole."""
        self.cluster.for_all(Machine.release_if_started)
        self.mend()

    def mend(self) -> None:
        """Mend all that is broken, but what is held down stays down."""
        self._repairs.all()
        for machine in self.cluster:
            self._mend_machine(machine)
        self.cluster.network.heal()
        self.trace.add("nemesis", "healed")

    def _mend_machine(self, machine: Machine) -> None:
        machine.disarm()
        machine.resume()
        self.atlases[machine.number].armed.clear()
        disk = machine.disk
        disk.capacity = None
        disk.slowness = 1
        disk.faults = evolve(
            disk.faults, lost_write=0.0, misdirected_write=0.0, eio_read=0.0, eio_write=0.0, fsync_failed=0.0, full=0.0
        )
        machine.mend_bad_pages()
        if len(self.cluster) > 1:
            machine.host_clock.set_right()

    def destroy(self) -> None:
        """Harm what nobody can repair, at the same place of every disk, and cut the power."""
        first = self.cluster.machines[0]
        places = self.atlases[0].places_beyond_repair()
        for machine in self.cluster:
            atlas = self.atlases[machine.number]
            for path, offset in places:
                if path not in machine.disk.paths():
                    continue
                atlas.beyond = path
                machine.disk.rot(path, offset)
                atlas.note_rot(path, offset)
                self.trace.add("nemesis", "destroyed", path, offset)
        assert places or first.disk.paths()
        self.cluster.for_all(Machine.crash)

    def _acts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "crash": self._crash,
            "crash_in_recovery": self._crash_in_recovery,
            "bit_rot": self._bit_rot,
            "database_rot": self._database_rot,
            "file_rot": self._file_rot,
            "head_rot": self._head_rot,
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
            "pause": self._pause_machine,
            "partition": self._links.partition,
            "isolate": self._links.isolate,
            "one_way": self._links.one_way,
            "clog": self._links.clog,
            "deaf_primary": self._links.deaf_primary,
            "power_cut": self._power_cut,
            "lose_disk": self.members.lose_disk,
            "add_member": self.members.add_member,
            "remove_member": self.members.remove_member,
            "cut_region": self._links.cut_region,
            "foreign_member": self.members.foreign_member,
        }

    async def _wait_for_progress(self, point: float) -> None:
        with trio.move_on_after(PATIENCE_SECONDS if self.options.nodes == 1 else PATIENCE_AMONG_PEERS_SECONDS):
            await self.workload.wait_until(lambda: self.workload.progress >= point)

    def _machine(self, *, harmed: bool = False) -> Machine:
        """One that takes part; `harmed`: one whose disk may be harmed at rest."""
        numbers = list(self.options.harmed_nodes) if harmed else []
        chosen = [self.cluster.machines[number] for number in numbers] or [m for m in self.cluster if not m.is_held]
        chosen = chosen or list(self.cluster)
        return chosen[0] if len(chosen) == 1 else self.random.choice(chosen)

    async def _until_up(self, machine: Machine) -> None:
        with trio.move_on_after(PATIENCE_AMONG_PEERS_SECONDS if len(self.cluster) > 1 else float("inf")):
            await machine.wait_until_up()

    # Machines --------------------------------------------------------------------------------------------------

    async def _crash(self) -> None:
        """At the n-th port call from now: at any await of the node."""
        machine = self._machine()
        await self._until_up(machine)
        machine.crash_after(self.random.randrange(1, 60))

    async def _crash_in_recovery(self) -> None:
        """Crash, and crash again while the node recovers (or right after, if it is quick)."""
        machine = self._machine()
        await self._until_up(machine)
        machine.crash_next_start_after(self.random.randrange(1, self.random.choice((20, 100, 300))))
        machine.crash_after(self.random.randrange(1, 30))

    async def _power_cut(self) -> None:
        """All machines at once, or all but one."""
        spared = self._machine() if self.random.random() < 0.3 else None
        for machine in self.cluster:
            if machine is not spared:
                machine.crash()

    async def _pause_machine(self) -> None:
        machine = self._machine()
        machine.pause()
        self._repairs.later(self._while(0.02, 2.0), machine.resume)

    async def _clock_jump(self) -> None:
        seconds = self.random.choice((1, 60, 86_400))
        machine = self._machine()
        machine.host_clock.jump(self.random.choice((-1, 1)) * self.random.randrange(1, seconds * 1_000_000))

    # Disks -----------------------------------------------------------------------------------------------------

    async def _bit_rot(self) -> None:
        """One bit of something that is stored twice, found by the restart that follows at once."""
        machine = self._machine(harmed=True)
        await self._until_up(machine)
        atlas = self.atlases[machine.number]
        place = atlas.place_to_rot()
        if place is not None:
            atlas.note_rot(*place)
            machine.disk.rot(*place)
            machine.crash()

    async def _database_rot(self) -> None:
        """One bit of a projection's file, while the power is off: nothing of it is in a cache."""
        machine = self._machine()
        await self._until_up(machine)
        scratch, place = machine.scratch, self.random.random()
        paths = [path for path in scratch.paths() if path.endswith(".db")]
        if paths:
            path = self.random.choice(paths)
            machine.crash()
            await trio.sleep(BEFORE_RESTART_SECONDS)  # checkers have read it, and the write-ahead file is in it
            self.trace.add("nemesis", "rotted", path, scratch.exists(path) and scratch.rot(path, place))

    async def _file_rot(self) -> None:
        """One bit of a segment, or of a checkpoint, that other members have as well."""
        numbers = self.options.harmed_nodes
        if len(self.cluster) == 1 or not numbers:
            return
        machine = self.cluster.machines[self.random.choice(numbers)]
        await self._until_up(machine)
        self.trace.add("nemesis", "rotted", self.file_rot.strike(machine))
        if self.random.random() < 0.5:
            machine.crash()

    async def _head_rot(self) -> None:
        """A bit or two of what was acked last, on a machine that loses its power with who leads, or with all others."""
        if len(self.cluster) == 1 or not self.options.harmed_nodes:
            return
        machine = self._machine(harmed=True)
        await self._until_up(machine)
        places = places_at_the_head(self.watch, machine, self.options.limits, self.random)
        if not places:
            return
        for place in places:
            self.atlases[machine.number].note_rot(*place)
            machine.disk.rot(*place)
        all_of_them = self.random.random() < 0.3
        for other in self.cluster:
            if other is machine or all_of_them or other.leads:
                other.crash()

    async def _arm(self, kind: str, shots: int) -> None:
        """Let a fault of the disk fire, where the atlas permits it, within some time."""
        machine = self._machine(harmed=kind in ("misdirected_write", "lost_write"))
        disk, atlas = machine.disk, self.atlases[machine.number]
        atlas.armed[f"disk.{kind}"] = shots
        chances: dict[str, Any] = {kind: 0.3 if shots == 1 else 1.0}
        disk.faults = evolve(disk.faults, **chances)

        def disarm() -> None:
            atlas.armed.pop(f"disk.{kind}", None)
            never: dict[str, Any] = {kind: 0.0}
            disk.faults = evolve(disk.faults, **never)

        self._repairs.add(disarm)

    async def _sync_failed(self) -> None:
        self._machine().disk.fail_next_sync()

    async def _disk_full(self) -> None:
        disk = self._machine().disk
        disk.capacity = disk.platter.used() + self.random.randrange(8192)

        def free() -> None:
            disk.capacity = None

        self._repairs.later(self._while(0.05, 3.0), free)

    async def _slow_disk(self) -> None:
        disk = self._machine().disk
        disk.slowness = self.random.choice((5, 30, 200))

        def fast() -> None:
            disk.slowness = 1

        self._repairs.later(self._while(0.01, 1.0), fast)

    # Clients' connections --------------------------------------------------------------------------------------

    async def _cut(self) -> None:
        client, name, network = self._client(), self._machine().name, self.cluster.network
        if self.random.random() < 0.5:
            network.reset(client, name)
            return
        network.cut(client, name)
        self._repairs.later(self._while(0.001, 2.0), lambda: network.heal(client, name))

    async def _stall(self) -> None:
        client, name, network = self._client(), self._machine().name, self.cluster.network
        source, destination = (client, name) if self.random.random() < 0.5 else (name, client)
        network.stall(source, destination, both=self.random.random() < 0.6)
        self._repairs.later(self._while(0.001, 2.0), lambda: network.heal(client, name))

    async def _half_open(self) -> None:
        self.cluster.network.half_open(self._client(), self._machine().name)

    def _client(self) -> str:
        return f"c{self.random.randrange(self.options.clients)}"

    def _while(self, least: float, most: float) -> float:
        """Seconds; short ones are as likely as long ones."""
        return float(least * (most / least) ** self.random.random())
