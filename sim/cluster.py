"""One production node on a simulated world, over all its lives, and the clients' way to it.

- A crash fences the world first (each port call of that incarnation raises from then on), then decides what is left of
  everything unsynced, then cancels the tasks. A crash at the n-th port call is a crash at an await of the node.
- A node that ends by itself because its disk failed it is started again, as an init system would: the machine, with
  its page cache, stays up. What such a node can't read any more is mended after a few attempts.
- A node that refuses to start, or ends with a broken invariant, ends the run: `on_refused` and `on_broken` judge.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from random import Random

import trio
from attrs import define, field

from sim.faults import CRASH, CRASH_IN_RECOVERY
from sim.runner import VirtualClock
from sim.trace import Trace
from sim.world.clock import HostClock, SimClock
from sim.world.disk import SimDisk
from sim.world.disk_port import SimDiskPort
from sim.world.entropy import SimEntropy
from sim.world.fence import Fence, absorb_crash
from sim.world.network import SimNetwork
from sim.world.scratch import Scratch
from vdb.errors import StorageError, VerityError
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.node.observer import Observer
from vdb.ports import World

NODE = "n0"
ADDRESS = "n0:7140"
ATTEMPTS_BEFORE_MENDING = 3
BEFORE_RESTART_SECONDS = 0.0005
"""So long after a crash checkers have seen how the node ended, and the next start is still to come."""


@define(eq=False, kw_only=True)
class Cluster:
    """See the module's docstring. `random` draws delays between lives."""

    config: NodeConfig
    clock: VirtualClock
    disk: SimDisk
    scratch: Scratch
    network: SimNetwork
    host_clock: HostClock
    entropy: Random
    random: Random
    trace: Trace
    counts: Counter[str]
    observer: Callable[[], Observer]
    on_start: Callable[[], None]
    on_end: Callable[[Node], None]
    """An incarnation has ended; the platter is what the next one will find."""
    on_refused: Callable[[VerityError], None]
    on_broken: Callable[[BaseException, str], None]
    incarnation: int = 0
    crashes: int = 0
    node: Node | None = None
    fence: Fence | None = None
    stopping: bool = False
    _scope: trio.CancelScope | None = None
    _up: trio.Event = field(factory=trio.Event)
    _crash_in: int = 0
    _crash_next_start_in: int = 0
    _failures: int = 0

    @property
    def who(self) -> str:
        return f"{NODE}.{self.incarnation}"

    def is_alive(self) -> bool:
        """Whether the present incarnation's world still obeys it."""
        return self.fence is not None and not self.fence.tripped

    @property
    def is_up(self) -> bool:
        """Whether the node serves."""
        return self._up.is_set()

    async def wait_until_up(self) -> None:
        """Wait until an incarnation serves; one that has crashed since doesn't count."""
        while not self._up.is_set():
            await self._up.wait()

    # Orders ----------------------------------------------------------------------------------------------------

    def crash_after(self, calls: int) -> None:
        """Crash at the n-th port call of the node from now."""
        self._crash_in = calls

    def crash_next_start_after(self, calls: int) -> None:
        """Crash at the n-th port call of the next incarnation, if it hasn't recovered by then."""
        self._crash_next_start_in = calls

    def disarm(self) -> None:
        """No crash that was ordered and hasn't happened will."""
        self._crash_in = self._crash_next_start_in = 0

    def crash(self) -> None:
        """Power is lost now."""
        fence = self.fence
        if fence is None or fence.tripped:
            return
        self.crashes += 1
        self.counts[CRASH] += 1
        if not self.is_up:
            self.counts[CRASH_IN_RECOVERY] += 1
        self.trace.add(self.who, "crash")
        self._note_down()
        fence.trip()
        self.disk.crash()
        self.scratch.crash(self.disk.faults)
        self.network.crash_host(NODE)
        assert self._scope is not None
        self._scope.cancel()

    def mend_bad_pages(self) -> None:
        """Replace what can't be read; its content is what was written last."""
        for path in self.disk.paths():
            self.disk.platter.find(path).bad_pages.clear()

    async def stop(self) -> None:
        """End the node without a crash."""
        self.stopping = True
        if self._scope is not None:
            self._scope.cancel()

    # Lives -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the node again and again, until `stop`, or until it may not be started any more."""
        while not self.stopping:
            if not await self._live():
                return
            if self._failures >= ATTEMPTS_BEFORE_MENDING:
                self.mend_bad_pages()
            await trio.sleep(2 * BEFORE_RESTART_SECONDS * 10 ** (2.5 * self.random.random()))

    async def _live(self) -> bool:
        """One incarnation. False when there must be no other."""
        self.incarnation += 1
        self._crash_in, self._crash_next_start_in = self._crash_next_start_in, 0
        fence = self.fence = Fence(self.who, self.clock, self._on_port_call)
        node = self.node = Node(self._world(fence), self.config, observer=self.observer())
        self.on_start()
        self.trace.add(self.who, "start")
        error: Exception | None = None
        with trio.CancelScope() as self._scope:
            try:
                with absorb_crash():
                    await node.run(task_status=_Started(self))
            except Exception as raised:
                error = raised
        self._note_down()
        crashed = fence.tripped
        if not crashed:
            fence.trip()
            self.network.crash_host(NODE)
            self.disk.holder = None
            self.scratch.close_databases()
        self.on_end(node)
        if crashed:
            return True
        if error is None:
            assert self.stopping, "the node ended without a reason"
            return False
        return self._judge(error)

    def _judge(self, error: Exception) -> bool:
        self.trace.add(self.who, "ended", type(error).__name__, str(error))
        if isinstance(error, StorageError):
            self._failures += 1
            return True
        if isinstance(error, VerityError):
            self.on_refused(error)
        else:
            self.on_broken(error, "".join(traceback.format_exception(error)[-6:]))
        return False

    def _world(self, fence: Fence) -> World:
        return World(
            network=self.network.port(NODE, fence),
            disk=SimDiskPort(self.disk, self.scratch, fence),
            clock=SimClock(self.host_clock, fence),
            entropy=SimEntropy(self.entropy, fence),
            region=self.config.region,
        )

    def _on_port_call(self, kind: str) -> None:
        if self._crash_in > 0:
            self._crash_in -= 1
            if self._crash_in == 0:
                self.trace.add(self.who, "crash at", kind)
                self.crash()

    def _note_down(self) -> None:
        """Who waits from now on waits for the next incarnation."""
        if self._up.is_set():
            self._up = trio.Event()

    def started(self) -> None:
        """The node serves."""
        self.trace.add(self.who, "up")
        self._failures = 0
        self._crash_in = 0
        self._up.set()


class _Started:
    """What the node reports its start to."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def started(self, _address: str | None = None) -> None:
        if self._cluster.is_alive():
            self._cluster.started()
