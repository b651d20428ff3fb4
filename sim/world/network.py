"""The simulated network: hosts, the links between them, and the orders of the nemesis.

`SimNetwork` is the fabric of one run; `port(host, fence)` is the Network port of one incarnation. Streams and the
bytes under way are in `sim.world.stream`; nothing here has a task of its own: arrivals are actions of the clock.

A link is one direction between two hosts. What the nemesis may order
- `cut(a, b)`: connections between them break (each end is told or, drawn, not), new ones time out, until `heal`;
- `drop(a, b)`: what a sends to b is lost, while b's bytes reach a; existing connections are dead in that direction for
  good and nobody is told, new ones time out, until `heal`;
- `stall(a, b)`: bytes from a to b wait until `heal`; with `both=True` those from b to a as well;
- `half_open(a, b)`: connections between them go dead and nobody is told; new ones work;
- `slow(a, b, factor)`: latency both ways, or one way, is multiplied until `heal`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import trio
from attrs import define, field

from sim.runner import VirtualClock
from sim.world.faults import NetworkFaults
from sim.world.fence import Fence
from sim.world.stream import Connection, Link, SimStream
from vdb.errors import AddressInUse, ConnectionLost, NotLoopback
from vdb.ports import Peer, PeerCertificate
from vdb.world.address import (
    address_in_use_message,
    is_loopback,
    join_address,
    not_loopback_message,
    split_address,
)

NS_PER_US = 1000
CONNECT_TIMEOUT_US = 1_000_000
FIRST_FREE_PORT = 49_152

Tap = Callable[[str, str, bytes], object]


@define(eq=False)
class Host:
    """One machine on the network."""

    name: str
    up: bool = False
    listeners: dict[int, SimListener] = field(factory=dict)
    next_port: int = FIRST_FREE_PORT


class SimNetwork:
    """The fabric. `random` draws latencies and fates, `counts` counts faults by kind."""

    def __init__(
        self, clock: VirtualClock, random: Random, counts: Counter[str], faults: NetworkFaults | None = None
    ) -> None:
        self.clock = clock
        self.faults = faults or NetworkFaults()
        self.random = random
        self.counts = counts
        self.taps: list[Tap] = []
        self.regions: dict[str, str] = {}
        """Where hosts are, if they aren't all in one place."""
        self.named = False
        """Whether hosts have certificates that name them."""
        self.wan_us = 0
        """From one region to another, one way, on top of what a link takes."""
        self._hosts: dict[str, Host] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._connections: dict[Connection, None] = {}

    def port(self, host: str, fence: Fence, *, secure: bool = True) -> SimNetworkPort:
        """The Network port of `host`, which is up from now on. Not `secure`: as if no TLS were configured."""
        self.host(host).up = True
        return SimNetworkPort(self, self.host(host), fence, secure)

    def tap(self, see: Tap) -> None:
        """Call `see(source, destination, bytes)` for all that is sent from now on."""
        self.taps.append(see)

    # --- the nemesis' orders -------------------------------------------------------------------------------------

    def cut(self, a: str, b: str) -> None:
        """Break every connection between two hosts, and let none be made."""
        self.counts["net.cut"] += 1
        for link in (self.link(a, b), self.link(b, a)):
            link.cut = True
        for connection in self.connections(a, b):
            connection.sever()
            for end in connection.ends:
                self._tell(end)

    def stall(self, source: str, destination: str, *, both: bool = False) -> None:
        """Hold back what is sent from one host to another."""
        self.counts["net.stalled" if both else "net.one_way"] += 1
        self.link(source, destination).stalled = True
        if both:
            self.link(destination, source).stalled = True

    def drop(self, source: str, destination: str) -> None:
        """Lose all that is sent from one host to another, and on their connections all that comes later as well."""
        self.counts["net.dropped"] += 1
        self.link(source, destination).cut = True
        for connection in self.connections(source, destination):
            connection.silenced[source] = None

    def half_open(self, a: str, b: str) -> None:
        """Let the connections between two hosts die without a word."""
        for connection in self.connections(a, b):
            self.counts["net.half_open"] += 1
            connection.sever()
            connection.mute = True

    def slow(self, a: str, b: str, factor: int, *, both: bool = True) -> None:
        """Multiply latency between two hosts, or from the first to the second alone."""
        self.counts["net.slow"] += 1
        for link in (self.link(a, b), self.link(b, a)) if both else (self.link(a, b),):
            link.factor = factor

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Undo cuts, stalls and slowness between two hosts; of one host; or, without names, everywhere."""
        for connection in self._connections:
            if connection.joins(a, b):
                connection.mute = False
                self._reset_silenced(connection)
        for (source, destination), link in self._links.items():
            if (a is None or a in (source, destination)) and (b is None or b in (source, destination)):
                link.heal()

    def heal_way(self, source: str, destination: str) -> None:
        """Undo what was done to one direction between two hosts."""
        for connection in self.connections(source, destination):
            if source in connection.silenced:
                self._reset_silenced(connection)
        self.link(source, destination).heal()

    def _reset_silenced(self, connection: Connection) -> None:
        """Bytes are missing in the middle: as soon as the ends hear of each other again, they know."""
        if connection.silenced:
            connection.sever()
            for end in connection.ends:
                self._later(end.reset)

    def reset(self, a: str, b: str) -> None:
        """Break the connections between two hosts that exist now; both ends are told. New ones work at once."""
        for connection in self.connections(a, b):
            self.counts["net.cut"] += 1
            connection.sever()
            for end in connection.ends:
                self._later(end.reset)

    def crash_host(self, name: str) -> None:
        """A host dies: its listeners are gone, its connections break; each peer is told or, drawn, not."""
        host = self.host(name)
        host.up = False
        host.listeners.clear()
        for connection in self.connections(name):
            connection.sever()
            for end in connection.ends:
                if end.host == name:
                    end.die()
                else:
                    self._tell(end)

    # --- what streams and ports ask --------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        return self._hosts.setdefault(name, Host(name))

    def link(self, source: str, destination: str) -> Link:
        if (source, destination) not in self._links:
            far = self.regions.get(source) != self.regions.get(destination)
            self._links[source, destination] = Link(self.wan_us if far else 0)
        return self._links[source, destination]

    def connections(self, a: str, b: str | None = None) -> list[Connection]:
        """The connections between two hosts, or all of one, oldest first."""
        return [connection for connection in self._connections if connection.joins(a, b)]

    def forget(self, connection: Connection) -> None:
        """Both ends are closed."""
        self._connections.pop(connection, None)

    def delay_ns(self, link: Link) -> int:
        """How long one chunk travels."""
        faults, random = self.faults, self.random
        factor = link.factor
        if faults.slow and random.random() < faults.slow:
            self.counts["net.slow"] += 1
            factor *= faults.slow_factor
        return (link.far_us + (faults.latency_us + random.randrange(faults.jitter_us + 1)) * factor) * NS_PER_US

    def connect(self, source: Host, destination: Host, port: int, fence: Fence) -> SimStream | None:
        """A connection to a listener, whose end is in the listener's backlog now; None if nobody listens."""
        listener = destination.listeners.get(port)
        if not destination.up or listener is None:
            return None
        connection = Connection(self, source.name, destination.name, fence, listener.fence)
        self._connections[connection] = None
        listener.offer(connection.ends[1])
        return connection.ends[0]

    def _tell(self, end: SimStream) -> None:
        if self.faults.half_open and self.random.random() < self.faults.half_open:
            self.counts["net.half_open"] += 1
        else:
            self._later(end.reset)

    def _later(self, action: Callable[[], object]) -> None:
        self.clock.call_after(self.faults.latency_us * NS_PER_US, action)


class SimNetworkPort:
    """The Network port. 'localhost' and loopback addresses mean the host itself."""

    def __init__(self, network: SimNetwork, host: Host, fence: Fence, secure: bool) -> None:
        self._network = network
        self._host = host
        self._fence = fence
        self._secure = secure

    async def listen(self, address: str) -> SimListener:
        name, port = split_address(address)
        await self._fence.enter("net.listen")
        await trio.lowlevel.checkpoint()
        host = self._resolve(name)
        if not self._secure and not is_loopback(name):
            raise NotLoopback(not_loopback_message(address))
        assert host is self._host, f"{self._host.name} can't listen on {address}"
        if port in host.listeners:
            raise AddressInUse(address_in_use_message(address))
        if port == 0:
            port = host.next_port
            host.next_port += 1
        listener = SimListener(host, self._fence, join_address(name, port), port)
        host.listeners[port] = listener
        return listener

    async def connect(self, address: str) -> trio.abc.Stream:
        name, port = split_address(address)
        await self._fence.enter("net.connect")
        network, host = self._network, self._resolve(name)
        there, back = network.link(self._host.name, host.name), network.link(host.name, self._host.name)
        await self._fence.sleep(network.delay_ns(there) + network.delay_ns(back))
        if there.blocked or back.blocked or not host.up:
            await self._fence.sleep(CONNECT_TIMEOUT_US * NS_PER_US)
            network.counts["net.refused"] += 1
            raise ConnectionLost(f"nobody answers at {address}: timed out")
        stream = network.connect(self._host, host, port, self._fence)
        if stream is None:
            network.counts["net.refused"] += 1
            raise ConnectionLost(f"nobody answers at {address}: connection refused")
        return stream

    def peer_names(self, stream: trio.abc.Stream) -> tuple[str, ...] | None:
        """Nobody shows certificates here."""
        return None

    async def peer(self, stream: trio.abc.Stream) -> Peer:
        """Nobody says who it is, unless hosts have certificates in this run."""
        if not self._network.named:
            return Peer(address="", secured=False)
        assert isinstance(stream, SimStream)
        uri = f"spiffe://sim.example/{stream.peer_host}"
        certificate = PeerCertificate(serial=stream.peer_host.encode().hex(), not_after=1 << 62, uris=(uri,))
        return Peer(address=stream.peer_host, secured=True, certificate=certificate)

    def _resolve(self, name: str) -> Host:
        return self._host if is_loopback(name) else self._network.host(name)


class SimListener:
    """The Listener port."""

    def __init__(self, host: Host, fence: Fence, address: str, port: int) -> None:
        self.fence = fence
        self._host = host
        self._address = address
        self._port = port
        self._backlog: list[SimStream] = []
        self._acceptors: list[trio.lowlevel.Task] = []
        self._closed = False

    @property
    def address(self) -> str:
        return self._address

    def offer(self, stream: SimStream) -> None:
        """A connection has been made."""
        self._backlog.append(stream)
        self._wake_acceptors()

    async def accept(self) -> trio.abc.Stream:
        await self.fence.enter("net.accept")
        await trio.lowlevel.checkpoint()
        while not self._backlog:
            if self._closed:
                raise trio.ClosedResourceError(f"the listener on {self._address} is closed")
            task = trio.lowlevel.current_task()
            self._acceptors.append(task)
            try:
                await self.fence.wait()
            finally:
                if task in self._acceptors:
                    self._acceptors.remove(task)
        return self._backlog.pop(0)

    async def aclose(self) -> None:
        self.fence.check()
        self._closed = True
        if self._host.listeners.get(self._port) is self:
            del self._host.listeners[self._port]
        backlog, self._backlog = self._backlog, []
        for stream in backlog:
            stream.close()
        self._wake_acceptors()
        await trio.lowlevel.checkpoint()

    def _wake_acceptors(self) -> None:
        acceptors, self._acceptors = self._acceptors, []
        for task in acceptors:
            self.fence.wake(task)
