"""Simulated connections: two ends, and a pipe of bytes in each direction.

- Bytes arrive in order, whole, and late: each chunk takes the link's latency, and chunks queue behind each other at the
  fabric's bandwidth.
- At most `window` bytes of a direction are under way or unread; then `send_all` waits.
- Like TCP: who sends to an end that is closed or dead gets a reset, if the link lets the answer through. A `mute`
  connection answers nothing.
- What has been sent before a close still arrives, then the end of the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import index
from typing import TYPE_CHECKING

import trio

from sim.world.fence import Fence

if TYPE_CHECKING:
    from sim.world.network import SimNetwork

NS_PER_US = 1000
RECEIVE_MAX = 65_536
"""Bytes that one read returns when the caller names no bound."""


class Link:
    """One direction between two hosts."""

    def __init__(self, far_us: int = 0) -> None:
        self.far_us = far_us
        """What the way takes, however free it is."""
        self.cut = False
        self.stalled = False
        self.factor = 1
        self._held: list[Callable[[], object]] = []

    @property
    def blocked(self) -> bool:
        """Nothing gets through now."""
        return self.cut or self.stalled

    def pass_on(self, arrival: Callable[[], object]) -> None:
        """Something gets to the end of the link: it arrives, waits behind a stall, or is lost in a cut."""
        if self.cut:
            return
        if self.stalled or self._held:
            self._held.append(arrival)
        else:
            arrival()

    def heal(self) -> None:
        """Back to normal; what a stall held arrives at once."""
        self.cut = self.stalled = False
        self.factor = 1
        held, self._held = self._held, []
        for arrival in held:
            arrival()


class Connection:
    """Two ends: that of the host which connected, and that of the listener."""

    def __init__(self, network: SimNetwork, source: str, destination: str, here: Fence, there: Fence) -> None:
        self.network = network
        self.severed = False
        self.mute = False
        self.silenced: dict[str, None] = {}
        """Hosts whose bytes don't reach the other end any more; nobody is told."""
        self.hosts = (source, destination)
        self.ends = (SimStream(self, source, destination, here), SimStream(self, destination, source, there))
        self.ends[0].peer = self.ends[1]
        self.ends[1].peer = self.ends[0]

    def joins(self, a: str | None, b: str | None) -> bool:
        """Whether it goes between `a` and `b`; None stands for any host."""
        if a is not None and b is not None:
            return self.hosts in ((a, b), (b, a))
        return all(name is None or name in self.hosts for name in (a, b))

    def sever(self) -> None:
        """Nothing that is under way arrives any more."""
        self.severed = True


class SimStream(trio.abc.HalfCloseableStream):
    """One end of a connection."""

    peer: SimStream

    def __init__(self, connection: Connection, host: str, peer_host: str, fence: Fence) -> None:
        self.host = host
        self.peer_host = peer_host
        self._connection = connection
        self._network = connection.network
        self._fence = fence
        self._link = self._network.link(host, peer_host)
        self._arrived = bytearray()
        self._under_way = 0
        self._last_arrival = 0
        self._eof_arrived = False
        self._eof_sent = False
        self._broken = False
        self._closed = False
        self._sender: trio.lowlevel.Task | None = None
        self._receiver: trio.lowlevel.Task | None = None
        self._sending = False
        self._receiving = False

    # --- the stream's face ---------------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._begin_sending()
        try:
            await self._fence.enter("net.send")
            await trio.lowlevel.checkpoint()
            view = memoryview(data)
            self._check_sendable()
            while view:
                room = self._room()
                if room > 0:
                    self._send(bytes(view[:room]))
                    view = view[room:]
                else:
                    await self._wait_for_room()
                self._check_sendable()
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        self._begin_sending()
        try:
            await self._fence.enter("net.wait_send")
            await trio.lowlevel.checkpoint()
            while not self._broken and not self._closed and self._room() <= 0:
                await self._wait_for_room()
            if self._closed:
                raise trio.ClosedResourceError("this end is closed")
        finally:
            self._sending = False

    async def send_eof(self) -> None:
        self._begin_sending()
        try:
            await self._fence.enter("net.send_eof")
            await trio.lowlevel.checkpoint()
            if self._closed:
                raise trio.ClosedResourceError("this end is closed")
            self._send_eof()
        finally:
            self._sending = False

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._receiving = True
        try:
            await self._fence.enter("net.receive")
            if self._arrived or self._eof_arrived or self._broken or self._closed:
                await trio.lowlevel.checkpoint()
            while True:
                if self._closed:
                    raise trio.ClosedResourceError("this end is closed")
                if self._broken:
                    raise trio.BrokenResourceError(f"connection to {self.peer_host} was reset")
                if self._arrived:
                    return self._take(min(len(self._arrived), max_bytes or RECEIVE_MAX))
                if self._eof_arrived:
                    return b""
                self._receiver = trio.lowlevel.current_task()
                try:
                    await self._fence.wait()
                finally:
                    self._receiver = None
        finally:
            self._receiving = False

    async def aclose(self) -> None:
        self._fence.check()
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close at once: what was sent still arrives, then the end."""
        if self._closed:
            return
        self._send_eof()
        self._closed = True
        self._arrived.clear()
        self._wake()
        if self.peer._closed:
            self._network.forget(self._connection)

    def die(self) -> None:
        """The host of this end has crashed: nothing more is sent."""
        self._closed = True
        self._arrived.clear()

    def reset(self) -> None:
        """This end hears that the connection is broken."""
        self._broken = True
        self._arrived.clear()
        self._wake()

    # --- sending ---------------------------------------------------------------------------------------------------

    def _begin_sending(self) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True

    def _check_sendable(self) -> None:
        if self._closed or self._eof_sent:
            raise trio.ClosedResourceError("this end is closed for sending")
        if self._broken:
            raise trio.BrokenResourceError(f"connection to {self.peer_host} was reset")

    def _room(self) -> int:
        return self._network.faults.window - self._under_way - len(self.peer._arrived)

    async def _wait_for_room(self) -> None:
        self._sender = trio.lowlevel.current_task()
        try:
            await self._fence.wait()
        finally:
            self._sender = None

    def _send(self, chunk: bytes) -> None:
        for see in self._network.taps:
            see(self.host, self.peer_host, chunk)
        self._under_way += len(chunk)
        self._dispatch(len(chunk), partial(self.peer._on_chunk, chunk))

    def _send_eof(self) -> None:
        if not self._eof_sent and not self._broken:
            self._eof_sent = True
            self._dispatch(0, self.peer._on_eof)

    def _dispatch(self, size: int, arrival: Callable[[], None]) -> None:
        """Let something arrive after the link's latency, behind all that was sent before."""
        network = self._network
        transfer = size * NS_PER_US // network.faults.bytes_per_us
        earliest = network.clock.now_ns() + network.delay_ns(self._link)
        self._last_arrival = max(earliest, self._last_arrival) + transfer
        network.clock.call_at(self._last_arrival, partial(self._link.pass_on, arrival))

    # --- arrivals ----------------------------------------------------------------------------------------------------

    def _on_chunk(self, chunk: bytes) -> None:
        if self.peer_host in self._connection.silenced:
            return
        if self._connection.severed or self._closed or self._fence.tripped:
            self._answer_with_reset()
            return
        self.peer._under_way -= len(chunk)
        if not self._broken:
            self._arrived += chunk
            self._wake_receiver()

    def _on_eof(self) -> None:
        if not self._connection.severed and self.peer_host not in self._connection.silenced:
            self._eof_arrived = True
            self._wake_receiver()

    def _answer_with_reset(self) -> None:
        """Somebody sent to an end that is no more. A host that is down can't answer."""
        network = self._network
        connection = self._connection
        if not connection.mute and self.host not in connection.silenced and network.host(self.host).up:
            delay = network.delay_ns(self._link)
            network.clock.call_after(delay, partial(self._link.pass_on, self.peer.reset))

    def _take(self, size: int) -> bytes:
        network = self._network
        if network.faults.split and network.random.random() < network.faults.split:
            size = network.random.randrange(1, size + 1)
        taken = bytes(memoryview(self._arrived)[:size])
        del self._arrived[:size]
        if self.peer._sender is not None:
            self.peer._fence.wake(self.peer._sender)
        return taken

    def _wake_receiver(self) -> None:
        if self._receiver is not None:
            self._fence.wake(self._receiver)

    def _wake(self) -> None:
        self._wake_receiver()
        if self._sender is not None:
            self._fence.wake(self._sender)
