"""The incoming connections of other nodes: their hellos, their messages in order, and signs of life for them.

Rules
- Nothing is believed before the hello: until then a frame is at most HELLO_SIZE_MAX bytes, and time is short.
- A message of which the sender isn't the node that said hello ends the connection, and so does what isn't a message.
- A node has one incoming connection at most: the newest. One that is silent for long ends.
- Who hasn't said hello keeps nobody out: beyond `strangers_max` of them the oldest has to go.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define

from vdb.errors import ProtocolError, RefusedByPeer
from vdb.marks import mark
from vdb.node import log
from vdb.node.doors.accepting import Accepting
from vdb.node.peers.hello import HelloRules, refusal_of, refused_by, serial_of_peer
from vdb.node.peers.peer_link import STREAM_ERRORS, receive_frame
from vdb.node.peers.peer_settings import PeerSettings
from vdb.ports import Listener, World
from vdb.vsr.message import Message
from vdb.wire.framing import FrameSplitter
from vdb.wire.peer import FRAME_SIZE_MAX, HELLO_SIZE_MAX, decode_frame, new_splitter, next_frame
from vdb.wire.peer_link import ALIVE, Echo, Hello, Probe, Refusal, encode_link_frame

OnMessage = Callable[[bytes, int, Message], None]
_ALIVE_FRAME = encode_link_frame(ALIVE)
_EXTRA_ROUNDS = 2
"""Who dialled notices first."""


@define(eq=False)
class Incoming:
    """One connection whose hello was accepted."""

    number: int
    scope: trio.CancelScope
    serial: str = ""
    """Of the certificate."""
    silent_rounds: int = 0
    answer_due: bool = False
    """Something may be said again."""


class PeerDoor:
    """Serves the connections of a listener."""

    def __init__(
        self,
        *,
        world: World,
        rules: HelloRules,
        settings: PeerSettings,
        is_member: Callable[[int], bool],
        on_message: OnMessage,
        on_refused: Callable[[int, RefusedByPeer], None],
        on_called: Callable[[int], None],
    ) -> None:
        self._world = world
        self._rules = rules
        self._settings = settings
        self._is_member = is_member
        self._on_message = on_message
        self._on_refused = on_refused
        self._on_called = on_called
        self._incoming: dict[int, Incoming] = {}
        self._strangers: dict[trio.CancelScope, None] = {}
        """Connections without a hello, the oldest first."""
        self._refused: dict[int, str] = {}

    async def run(self, listener: Listener) -> None:
        """Accept until cancelled, then close the listener."""
        accepting = Accepting(listener, "peers")
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    stream = await accepting.next()
                    nursery.start_soon(self._serve, stream)
        finally:
            with trio.CancelScope(shield=True):
                await listener.aclose()

    def on_round(self) -> None:
        """A round is over: end what is silent, and allow one more sign of life."""
        for connection in self._incoming.values():
            connection.silent_rounds += 1
            connection.answer_due = True
            if connection.silent_rounds > self._settings.silent_rounds_max + _EXTRA_ROUNDS:
                mark("peers.incoming_silent")
                connection.scope.cancel()
            elif connection.serial and self._rules.revocations.is_revoked(connection.serial, certainly=True):
                mark("peers.incoming_revoked")
                connection.scope.cancel()

    def close(self, number: int) -> None:
        """End the connection of a node, if it has one."""
        connection = self._incoming.get(number)
        if connection is not None:
            connection.scope.cancel()

    async def _serve(self, stream: trio.abc.Stream) -> None:
        scope = trio.CancelScope()
        self._let_wait(scope)
        try:
            with scope:
                await self._talk(stream, scope)
        except STREAM_ERRORS:
            pass
        except ProtocolError as error:
            mark("peers.protocol_error")
            log.warning("peer.protocol_error", problem=log.reason(error))
        finally:
            self._strangers.pop(scope, None)
            await trio.aclose_forcefully(stream)

    def _let_wait(self, scope: trio.CancelScope) -> None:
        """A connection begins: make room for it among those without a hello."""
        if len(self._strangers) == self._settings.strangers_max:
            mark("peers.too_many_strangers")
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        self._strangers[scope] = None

    async def _talk(self, stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
        splitter = new_splitter(HELLO_SIZE_MAX)
        connection: Incoming | None = None
        with trio.move_on_after(self._settings.hello_timeout_s):
            connection = await self._receive_hello(stream, splitter, scope)
        if connection is None:
            return
        number = connection.number
        self._strangers.pop(scope, None)
        splitter.size_max = FRAME_SIZE_MAX
        self.close(number)
        self._incoming[number] = connection
        self._refused.pop(number, None)
        self._on_called(number)
        try:
            await self._receive_messages(stream, splitter, connection)
        finally:
            if self._incoming.get(number) is connection:
                del self._incoming[number]

    async def _receive_hello(
        self, stream: trio.abc.Stream, splitter: FrameSplitter, scope: trio.CancelScope
    ) -> Incoming | None:
        """The connection of the node that was let in; None if it was refused."""
        hello = await receive_frame(stream, splitter, self._settings.read_size)
        if not isinstance(hello, Hello):
            raise ProtocolError("a connection doesn't begin with a hello")
        serial = await serial_of_peer(self._world.network, stream)
        reason = await self._rules.judge(
            hello,
            names=self._world.network.peer_names(stream),
            is_member=self._is_member(hello.node),
            serial=serial,
        )
        if reason is None:
            await stream.send_all(encode_link_frame(self._rules.hello_to(hello.node)))
            return Incoming(hello.node, scope, serial=serial)
        self._report_refusal(hello.node, str(refusal_of(hello.node, self._rules.node, reason)))
        await stream.send_all(encode_link_frame(Refusal(reason)))
        return None

    def _report_refusal(self, number: int, problem: str) -> None:
        if self._refused.get(number) != problem:
            self._refused[number] = problem
            log.warning("peer.refused", peer=number, problem=problem)

    async def _receive_messages(self, stream: trio.abc.Stream, splitter: FrameSplitter, connection: Incoming) -> None:
        number, on_message, read_size = connection.number, self._on_message, self._settings.read_size
        while True:
            probe: Probe | None = None
            while (segments := next_frame(splitter)) is not None:
                found = decode_frame(segments)
                if type(found) is tuple:
                    group, message = found
                    if message.replica != number:
                        raise ProtocolError(f"node {number} sent a message in the name of node {message.replica}")
                    on_message(group, number, message)
                elif type(found) is Probe:
                    probe = found
                elif type(found) is Refusal:
                    self._on_refused(number, refused_by(number, self._rules.node, found.reason))
                    return
                else:
                    raise ProtocolError(f"node {number} sent a frame that has no place here")
            if probe is not None:
                await self._answer(stream, connection, encode_link_frame(Echo(probe.sent_ns, self._wall_us())))
            elif connection.answer_due:
                await self._answer(stream, connection, _ALIVE_FRAME)
            data = await stream.receive_some(read_size)
            if not data:
                return
            connection.silent_rounds = 0
            splitter.feed(data)

    def _wall_us(self) -> int:
        return self._world.clock.wall_us()

    async def _answer(self, stream: trio.abc.Stream, connection: Incoming, frame: bytes) -> None:
        connection.answer_due = False
        await stream.send_all(frame)
