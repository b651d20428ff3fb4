"""One machine: a production node on a simulated world, over all its lives.

- A crash fences the world first (each port call of that incarnation raises from then on), then decides what is left of
  everything unsynced, then cancels the tasks. A crash at the n-th port call is a crash at an await of the node.
- A node that ends by itself because its disk failed it is started again, as an init system would: the machine, with
  its page cache, stays up. What such a node can't read any more is mended after a few attempts.
- A node that refuses to go on, or ends with a broken invariant, is judged by `on_refused` and `on_broken`. It isn't
  started again unless its disk is replaced.
- A machine that is paused runs none of its tasks, while its connections stay and what arrives waits; when it is
  resumed, all its timers are due (`sim.pause`).
- A machine that is held down isn't started until it is released.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from random import Random

import trio
from attrs import define, evolve, field

from sim.faults import CRASH, CRASH_IN_RECOVERY, PAUSE, WIPED
from sim.pause import Pausable
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

CLIENT_PORT = 7140
PEER_PORT = 7150
ATTEMPTS_BEFORE_MENDING = 3
BEFORE_RESTART_SECONDS = 0.0005
"""So long after a crash checkers have seen how the node ended, and the next start is still to come."""


@define(eq=False, kw_only=True)
class Machine:
    """See the module's docstring. `name` is its host name; `random` draws delays between lives."""

    number: int
    name: str
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
    refused: str = ""
    """Why its node won't go on; '' while it may."""
    tasks: Pausable = field(factory=Pausable)
    _scope: trio.CancelScope | None = None
    _up: trio.Event = field(factory=trio.Event)
    _may_start: trio.Event = field(factory=trio.Event)
    _crash_in: int = 0
    _crash_next_start_in: int = 0
    _failures: int = 0

    def __attrs_post_init__(self) -> None:
        self._may_start.set()

    @property
    def who(self) -> str:
        return f"{self.name}.{self.incarnation}"

    def is_alive(self) -> bool:
        """Whether the present incarnation's world still obeys it."""
        return self.fence is not None and not self.fence.tripped

    @property
    def is_up(self) -> bool:
        """Whether the node has started and not ended since."""
        return self._up.is_set()

    @property
    def leads(self) -> bool:
        """Whether its node is the serving primary of a group."""
        groups = self.node.groups.values() if self.node is not None and self.is_up else ()
        return any(group.replica.is_serving_primary for group in groups)

    @property
    def is_held(self) -> bool:
        return not self._may_start.is_set()

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
        self.network.crash_host(self.name)
        assert self._scope is not None
        self._scope.cancel()
        self.tasks.resume()

    def hold(self) -> None:
        """Cut the power, and don't start again before `release`."""
        self._may_start = trio.Event()
        self.crash()

    def release(self) -> None:
        self._may_start.set()

    def release_if_started(self) -> None:
        """Let one go on that was held down after it had been a member; one whose node won't go on stays down."""
        if self.incarnation and not self.refused:
            self.release()

    def pause(self) -> None:
        """Stop its processes, as SIGSTOP does."""
        if self.is_alive() and not self.tasks.paused:
            self.counts[PAUSE] += 1
            self.trace.add(self.who, "paused")
            self.tasks.pause()

    def resume(self) -> None:
        if self.tasks.paused:
            self.trace.add(self.who, "resumed")
            self.tasks.resume()

    def replace_disk(self) -> None:
        """An empty disk in place of the old one; the node that comes joins. The machine must be held."""
        assert self.is_held
        assert not self.is_alive()
        self.counts[WIPED] += 1
        self.trace.add(self.who, "disk replaced")
        self.disk.wipe()
        self.scratch.wipe()
        self.config = evolve(self.config, join=True)
        self.refused = ""

    def mend_bad_pages(self) -> None:
        """Replace what can't be read; its content is what was written last."""
        for path in self.disk.paths():
            self.disk.platter.find(path).bad_pages.clear()

    async def stop(self) -> None:
        """End the node without a crash."""
        self.stopping = True
        self.tasks.resume()
        self._may_start.set()
        if self._scope is not None:
            self._scope.cancel()

    # Lives -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the node again and again, until `stop`."""
        with self.tasks.members():
            while not self.stopping:
                if not await self._live():
                    self._may_start = trio.Event()
                if self._failures >= ATTEMPTS_BEFORE_MENDING:
                    self.mend_bad_pages()
                await trio.sleep(2 * BEFORE_RESTART_SECONDS * 10 ** (2.5 * self.random.random()))
                await self._may_start.wait()

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
            self.network.crash_host(self.name)
            self.disk.holder = None
            self.scratch.close_databases()
        self.on_end(node)
        if crashed:
            return True
        if error is None:
            assert self.stopping, "the node ended without a reason"
            return True
        return self._judge(error)

    def _judge(self, error: Exception) -> bool:
        self.trace.add(self.who, "ended", type(error).__name__, str(error))
        if isinstance(error, StorageError):
            self._failures += 1
            return True
        if isinstance(error, VerityError):
            self.refused = f"{type(error).__name__}: {error}"
            self.on_refused(error)
        else:
            self.on_broken(error, "".join(traceback.format_exception(error)[-6:]))
        return False

    def _world(self, fence: Fence) -> World:
        return World(
            network=self.network.port(self.name, fence),
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

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def started(self, _address: str | None = None) -> None:
        if self._machine.is_alive():
            self._machine.started()
