"""The outgoing connection to one other node: dialled, kept alive, and dialled again.

Rules
- What is sent while there is no connection is dropped, and so is what waits when one ends: replicas send again what
  still matters, and a burst of stale messages helps nobody.
- All frames that wait leave in one `send_all`, up to `batch_bytes_max`; a probe goes before them.
- The other end answers probes, and says that it is alive while bytes arrive. A connection on which nothing came for
  `silent_rounds_max` rounds is half-open, or the other node hangs: it is given up.
- Delays between two tries double up to a bound, with jitter, and start anew after a handshake.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio
from attrs import frozen

from vdb.errors import ConnectionLost, ProtocolError, RefusedByPeer, StartError
from vdb.marks import mark
from vdb.node import log
from vdb.node.peers.hello import HelloRules, refusal_of, refused_by, serial_of_peer
from vdb.node.peers.peer_settings import PeerSettings
from vdb.ports import World
from vdb.wire.framing import FrameSplitter
from vdb.wire.peer import decode_frame, new_splitter, next_frame
from vdb.wire.peer_link import Alive, Echo, Hello, Probe, Refusal, encode_link_frame

_JITTER_STEPS = 1 << 16

STREAM_ERRORS = (trio.BrokenResourceError, trio.ClosedResourceError)


@frozen(kw_only=True)
class LinkEvents:
    """What a link tells; each call returns at once."""

    on_echo: Callable[[int, Echo], None]
    on_met: Callable[[int], None]
    """The other node and this one have accepted each other's hello."""
    on_refused: Callable[[int, RefusedByPeer], None]
    """By the other node."""
    on_lost: Callable[[int], None]
    """A connection ended, and the next try found nobody at the address: told once, until there is one again."""


class PeerLink:
    """One outgoing connection after the other, to one address of one node."""

    def __init__(
        self,
        number: int,
        address: str,
        *,
        world: World,
        rules: HelloRules,
        settings: PeerSettings,
        events: LinkEvents,
    ) -> None:
        self.number = number
        self.address = address
        self.scope = trio.CancelScope()
        """Cancelled when the node isn't dialled any more."""
        self.connected = False
        self.queued_bytes = 0
        self.problem: str | None = None
        """Why there is no connection."""
        self._world = world
        self._rules = rules
        self._settings = settings
        self._events = events
        self._queue: deque[bytes] = deque()
        self._woken = trio.Event()
        self._asleep = False
        self._called = trio.Event()
        self._was_there = False
        """There was a connection, and nobody was told yet that the other node is gone."""
        self._probe_due = False
        self._silent_rounds = 0
        self._serial = ""
        """Of the other side's certificate."""
        self._session: trio.CancelScope | None = None

    def send(self, frame: bytes) -> None:
        """Queue a frame. Never waits; drops when there is no connection or too much waits already."""
        if not self.connected:
            return
        queue = self._queue
        queue.append(frame)
        self.queued_bytes += len(frame)
        while self.queued_bytes > self._settings.queue_bytes_max and len(queue) > 1:
            mark("peers.queue_full")
            self.queued_bytes -= len(queue.popleft())
        if self._asleep:
            self._woken.set()

    def on_called(self) -> None:
        """The peer has just dialled this node: it is there, so a pause between two tries ends."""
        self._called.set()

    def on_round(self) -> None:
        """A round is over: probe, or give up."""
        if self._session is None or not self.connected:
            return
        self._silent_rounds += 1
        if self._silent_rounds > self._settings.silent_rounds_max:
            mark("peers.half_open")
            self._lose("nothing was heard of it")
            self._session.cancel()
            return
        if self._serial and self._rules.revocations.is_revoked(self._serial, certainly=True):
            mark("peers.revoked")
            self._lose("its certificate was revoked")
            self._session.cancel()
            return
        self._probe_due = True
        self._woken.set()

    async def run(self) -> None:
        """Keep a connection until `scope` is cancelled."""
        tries = 0
        with self.scope:
            while True:
                self._called = trio.Event()
                if await self._connect_once():
                    tries = 0
                await trio.sleep(self._settings.redial_first_s)
                with trio.move_on_after(self._delay(tries)):
                    await self._called.wait()
                tries += 1

    def _delay(self, tries: int) -> float:
        settings = self._settings
        whole = min(settings.redial_longest_s, settings.redial_first_s * 2.0 ** min(tries, 32))
        return whole * (0.5 + self._world.entropy.below(_JITTER_STEPS) / (2 * _JITTER_STEPS))

    async def _connect_once(self) -> bool:
        """One connection, from dialling to its end. Whether there was a handshake."""
        try:
            with trio.fail_after(self._settings.hello_timeout_s):
                stream = await self._world.network.connect(self.address)
        except (ConnectionLost, StartError) as error:
            self._lose(str(error))
            if self._was_there:
                self._was_there = False
                self._events.on_lost(self.number)
            return False
        except trio.TooSlowError:
            self._lose(f"nobody answers at {self.address}: timed out")
            return False
        met = False
        try:
            splitter = new_splitter()
            if await self._shake_hands(stream, splitter):
                met = True
                await self._use(stream, splitter)
        finally:
            self._disconnect()
            await trio.aclose_forcefully(stream)
        return met

    async def _shake_hands(self, stream: trio.abc.Stream, splitter: FrameSplitter) -> bool:
        try:
            with trio.fail_after(self._settings.hello_timeout_s):
                await stream.send_all(encode_link_frame(self._rules.hello_to(self.number)))
                answer = await receive_frame(stream, splitter, self._settings.read_size)
                if isinstance(answer, Refusal):
                    refusal = refused_by(self.number, self._rules.node, answer.reason)
                    self._lose(str(refusal))
                    self._events.on_refused(self.number, refusal)
                    return False
                if not isinstance(answer, Hello) or answer.node != self.number:
                    raise ProtocolError(f"node {self.number} doesn't answer at {self.address}")
                network = self._world.network
                self._serial = await serial_of_peer(network, stream)
                reason = await self._rules.judge(
                    answer, names=network.peer_names(stream), is_member=True, serial=self._serial
                )
                if reason is not None:
                    self._lose(str(refusal_of(self.number, self._rules.node, reason)))
                    await stream.send_all(encode_link_frame(Refusal(reason)))
                    return False
        except trio.TooSlowError:
            self._lose("it doesn't say hello")
            return False
        except (*STREAM_ERRORS, ProtocolError) as error:
            self._lose(str(error) or "the connection was lost")
            return False
        return True

    async def _use(self, stream: trio.abc.Stream, splitter: FrameSplitter) -> None:
        self.connected, self.problem = True, None
        self._was_there = True
        self._silent_rounds = 0
        self._probe_due = True
        log.info("peer.connected", peer=self.number)
        self._events.on_met(self.number)
        async with trio.open_nursery() as nursery:
            self._session = nursery.cancel_scope
            nursery.start_soon(self._until_lost, nursery.cancel_scope, self._write, stream)
            nursery.start_soon(self._until_lost, nursery.cancel_scope, self._read, stream, splitter)

    async def _until_lost(self, scope: trio.CancelScope, work: Callable[..., Awaitable[None]], *args: object) -> None:
        try:
            await work(*args)
        except (*STREAM_ERRORS, ProtocolError) as error:
            self._lose(str(error) or "the connection was lost")
        scope.cancel()

    async def _write(self, stream: trio.abc.Stream) -> None:
        while True:
            if not self._queue and not self._probe_due:
                self._woken = trio.Event()
                self._asleep = True
                await self._woken.wait()
                self._asleep = False
            await stream.send_all(self._next_batch())

    def _next_batch(self) -> bytes:
        queue, room = self._queue, self._settings.batch_bytes_max
        frames = []
        if self._probe_due:
            self._probe_due = False
            frames.append(encode_link_frame(Probe(self._world.clock.monotonic_ns())))
        size = 0
        while queue and (not size or size + len(queue[0]) <= room):
            size += len(queue[0])
            frames.append(queue.popleft())
        self.queued_bytes -= size
        return frames[0] if len(frames) == 1 else b"".join(frames)

    async def _read(self, stream: trio.abc.Stream, splitter: FrameSplitter) -> None:
        while True:
            while (segments := next_frame(splitter)) is not None:
                match decode_frame(segments):
                    case Echo() as echo:
                        self._events.on_echo(self.number, echo)
                    case Alive():
                        pass
                    case _:
                        raise ProtocolError(f"node {self.number} answers with a frame that is no answer")
            data = await stream.receive_some(self._settings.read_size)
            if not data:
                self._lose("it closed the connection")
                return
            self._silent_rounds = 0
            splitter.feed(data)

    def _lose(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.warning("peer.lost", peer=self.number, problem=problem)

    def _disconnect(self) -> None:
        self.connected = self._asleep = self._probe_due = False
        self._session = None
        self._queue.clear()
        self.queued_bytes = 0


async def receive_frame(stream: trio.abc.Stream, splitter: FrameSplitter, read_size: int) -> object:
    """The next frame of a stream. ProtocolError when the stream ends before, or for what isn't one."""
    while (segments := next_frame(splitter)) is None:
        data = await stream.receive_some(read_size)
        if not data:
            raise ProtocolError("the connection ended before a hello")
        splitter.feed(data)
    return decode_frame(segments)
