"""Simulated worlds: the ports of `vdb.ports`, made of virtual time, a seed and faults.

`SimUniverse` is what the nodes of one run share: time, the network, the fault counter. `SimNode` is one machine: its
disk and its clock survive crashes. `boot` gives the World of a new incarnation; `crash` ends it.

    universe = SimUniverse(seed)
    node = universe.node("n0", region)
    with absorb_crash():
        await run_something(node.boot())        # elsewhere: node.crash() fences it; then cancel its tasks
    world = node.boot()                          # the same disk, after the crash
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sim.runner import virtual_clock
from sim.world.clock import HostClock, SimClock
from sim.world.disk import SimDisk
from sim.world.disk_port import SimDiskPort
from sim.world.entropy import SimEntropy, draws
from sim.world.faults import DiskFaults, NetworkFaults
from sim.world.fence import Crashed, Fence, absorb_crash
from sim.world.network import SimNetwork
from sim.world.scratch import Scratch
from vdb.ports import World
from vdb.types import Region

__all__ = [
    "Crashed",
    "DiskFaults",
    "Fence",
    "NetworkFaults",
    "SimDisk",
    "SimNetwork",
    "SimNode",
    "SimUniverse",
    "absorb_crash",
    "draws",
]


class SimUniverse:
    """All that the worlds of one run share. Made inside `sim.runner.run`; closed at its end."""

    def __init__(
        self, seed: int, *, network_faults: NetworkFaults | None = None, network: SimNetwork | None = None
    ) -> None:
        """`network`: one that there is already, whose faults are counted with its own."""
        self.seed = seed
        self.clock = virtual_clock()
        self.faults: Counter[str] = Counter() if network is None else network.counts
        self.network = network or SimNetwork(self.clock, draws(seed, "network"), self.faults, network_faults)
        self.nodes: dict[str, SimNode] = {}

    def node(
        self,
        name: str,
        region: Region,
        *,
        disk_faults: DiskFaults | None = None,
        skew_us: int = 0,
        drift_ppm: int = 0,
        secure: bool = True,
    ) -> SimNode:
        """A machine called `name`, which is also its host name: `name:port` is its address."""
        assert name not in self.nodes, f"there is a {name} already"
        clock = HostClock(self.clock, self.faults, skew_us=skew_us, drift_ppm=drift_ppm)
        self.nodes[name] = SimNode(self, name, region, clock, disk_faults, secure)
        return self.nodes[name]

    def close(self) -> None:
        """Remove the scratch folders of all nodes."""
        for node in self.nodes.values():
            node.close()


class SimNode:
    """One machine. `on_port_call(kind)` is called at every port call of every incarnation, and may call `crash`."""

    def __init__(
        self,
        universe: SimUniverse,
        name: str,
        region: Region,
        clock: HostClock,
        disk_faults: DiskFaults | None,
        secure: bool,
    ) -> None:
        seed = universe.seed
        self.name = name
        self.region = region
        self.clock = clock
        self.disk = SimDisk(name, draws(seed, f"{name}/disk"), universe.faults, disk_faults)
        self.scratch = Scratch(name, draws(seed, f"{name}/database"), universe.faults, clock.wall_us)
        self.on_port_call: Callable[[str], object] = lambda kind: None
        self.incarnation = 0
        self._universe = universe
        self._entropy = draws(seed, f"{name}/entropy")
        self._secure = secure
        self._fence: Fence | None = None

    @property
    def running(self) -> bool:
        """Whether there is an incarnation that hasn't crashed or been stopped."""
        return self._fence is not None

    def boot(self) -> World:
        """The World of a new incarnation, on what the disk holds. The one before must have ended."""
        assert self._fence is None, f"{self.name} is running"
        self.incarnation += 1
        fence = Fence(f"{self.name}#{self.incarnation}", self._universe.clock, self._pass_on)
        self._fence = fence
        return World(
            network=self._universe.network.port(self.name, fence, secure=self._secure),
            disk=SimDiskPort(self.disk, self.scratch, fence),
            clock=SimClock(self.clock, fence),
            entropy=SimEntropy(self._entropy, fence),
            region=self.region,
        )

    def crash(self) -> None:
        """Power loss: fence every port, then decide what is left on the disk and who hears of it.

        The tasks of the incarnation are the caller's to cancel, next.
        """
        assert self._fence is not None, f"{self.name} isn't running"
        self._universe.faults["node.crash"] += 1
        self._fence.trip()
        self._fence = None
        self._universe.network.crash_host(self.name)
        self.disk.crash()
        self.scratch.crash(self.disk.faults)

    def restart(self) -> World:
        """Crash if running, and boot."""
        if self.running:
            self.crash()
        return self.boot()

    def stop(self) -> None:
        """End an incarnation whose tasks have ended by themselves: the machine keeps power, so nothing is lost."""
        assert self._fence is not None, f"{self.name} isn't running"
        self._fence.trip()
        self._fence = None
        self._universe.network.crash_host(self.name)
        self.disk.holder = None
        self.scratch.close_databases()

    def _pass_on(self, kind: str) -> None:
        self.on_port_call(kind)

    def close(self) -> None:
        """Remove what the node has on the real disk."""
        self.scratch.close()
