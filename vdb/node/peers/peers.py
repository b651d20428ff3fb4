"""The connections of a node to the other nodes of its cluster: messages out, messages in, and whose clocks agree.

Two nodes have two connections: each dials the other, and says on its own connection what it has to say. So messages
of a connection arrive in order, and who dials can tell by itself whether its words arrive.

Rules
- `send` never waits and promises nothing: replicas repeat what matters.
- A node is met once both have accepted the other's hello, and both have remembered the other's disk id durably.
- Nodes are addressed by number; whose address isn't known here isn't let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import trio
from attrs import frozen

from vdb.errors import ForgottenDisk, RefusedByPeer
from vdb.marks import mark
from vdb.node.peers.hello import DiskIds, HelloRules, Regions, Revocations
from vdb.node.peers.peer_door import OnMessage, PeerDoor
from vdb.node.peers.peer_link import LinkEvents, PeerLink
from vdb.node.peers.peer_settings import PeerSettings
from vdb.ports import World
from vdb.vsr.clock_sync import ClockSync, ClockView, Interval
from vdb.vsr.message import Message
from vdb.wire.peer import encode_message
from vdb.wire.peer_link import Echo

_AGREED_FOR_US = 50_000
"""So long an answer about clocks is given again."""
_CLOCK_SET_US = 1000
"""A wall clock that moves so far from the monotonic one was set."""


@frozen(kw_only=True)
class PeerStatus:
    """What is known of another node."""

    node: int
    address: str
    connected: bool
    problem: str | None
    """Why it isn't connected."""
    clock_offset: Interval | None
    """How far its clock is ahead of this node's; None while unknown."""


@frozen(kw_only=True)
class _Agreed:
    """Whether clocks agreed at a moment of the monotonic clock; `own_us`: how far the wall clock was ahead of it."""

    question: tuple[Sequence[int], int]
    at_us: int
    own_us: int
    answer: bool


class Peers:
    """The other nodes, as one node sees them. `run` it once."""

    def __init__(
        self,
        *,
        world: World,
        node: int,
        cluster: bytes,
        disk_id: bytes,
        addresses: Mapping[int, str],
        listen: str | None,
        known: DiskIds,
        on_message: OnMessage,
        on_lost: Callable[[int], None] = lambda _number: None,
        settings: PeerSettings | None = None,
        regions: Regions | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        """`addresses`: of the other nodes, by number. `on_message(group_hash, sender, message)` mustn't wait.

        `on_lost(node)` is told once of a node whose connection ended and at whose address nobody answers any more.

        What `on_message` raises ends `run`.
        """
        self.node = node
        self.address: str | None = None
        """Where this node listens for others, with the real port."""
        self._world = world
        self._listen = listen
        self._on_lost = on_lost
        self._settings = settings or PeerSettings()
        self._rules = HelloRules(
            node=node, cluster=cluster, disk_id=disk_id, known=known, regions=regions, revocations=revocations
        )
        self._addresses = _without(addresses, node)
        self._links: dict[int, PeerLink] = {}
        self._clock_sync = ClockSync(tolerance_us=self._settings.clock_tolerance_us)
        self._agreed: _Agreed | None = None
        self._met: dict[int, None] = {}
        self._refusals: dict[int, RefusedByPeer] = {}
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._last: tuple[bytes, Message, bytes] | None = None
        self._door = PeerDoor(
            world=world,
            rules=self._rules,
            settings=self._settings,
            is_member=lambda number: number in self._addresses,
            on_message=on_message,
            on_refused=self._on_refused,
            on_called=self._on_called,
        )

    async def run(self, task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, dial, and report the address; then keep at it until cancelled. StartError if it can't listen."""
        listener = None
        if self._listen is not None:
            listener = await self._world.network.listen(self._listen)
            self.address = listener.address
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if listener is not None:
                nursery.start_soon(self._door.run, listener)
            for number, address in sorted(self._addresses.items()):
                self._dial(nursery, number, address)
            task_status.started(self.address)
            while True:
                await trio.sleep(self._settings.round_s)
                self._door.on_round()
                for link in self._links.values():
                    link.on_round()

    # Messages --------------------------------------------------------------------------------------------------

    def send(self, to: int, group: bytes, message: Message) -> None:
        """Hand a message to the connection to node `to`; it is dropped if there is none, or if too much waits."""
        assert to != self.node, "what a replica tells itself doesn't travel"
        link = self._links.get(to)
        if link is None or not link.connected:
            mark("peers.not_connected")
            return
        last = self._last
        if last is None or last[1] is not message or last[0] != group:
            # A message to several nodes is encoded once.
            last = self._last = (group, message, encode_message(group, message))
        link.send(last[2])

    def queued_bytes(self, to: int) -> int:
        """What waits for a node: who sends a lot looks at it first."""
        link = self._links.get(to)
        return link.queued_bytes if link is not None else 0

    # Members ---------------------------------------------------------------------------------------------------

    def set_addresses(self, addresses: Mapping[int, str]) -> None:
        """These are the other nodes now. Connections to and from nodes that aren't among them end."""
        self._addresses = _without(addresses, self.node)
        for number, link in list(self._links.items()):
            if self._addresses.get(number) != link.address:
                link.scope.cancel()
                del self._links[number]
            if number not in self._addresses:
                self._door.close(number)
                self._clock_sync.forget(number)
                self._met.pop(number, None)
                self._refusals.pop(number, None)
        if self._nursery is not None:
            for number, address in sorted(self._addresses.items()):
                if number not in self._links:
                    self._dial(self._nursery, number, address)

    @property
    def met(self) -> tuple[int, ...]:
        """The nodes with which hellos were exchanged since the start."""
        return tuple(sorted(self._met))

    async def wait_met(self, nodes: Iterable[int]) -> None:
        """Return once all of these were met. ForgottenDisk when one of them says that this node had another disk."""
        wanted = [number for number in nodes if number != self.node]
        while True:
            for number in wanted:
                refusal = self._refusals.get(number)
                if isinstance(refusal, ForgottenDisk):
                    raise refusal
            if all(number in self._met for number in wanted):
                return
            await self._changed.wait()

    def refusals(self) -> Mapping[int, RefusedByPeer]:
        """Who refuses this node's hello, and why."""
        return dict(self._refusals)

    def status(self) -> tuple[PeerStatus, ...]:
        """Of each other node, by number."""
        offsets = self.clock().offsets
        return tuple(
            PeerStatus(
                node=number,
                address=link.address,
                connected=link.connected,
                problem=link.problem,
                clock_offset=offsets.get(number),
            )
            for number, link in sorted(self._links.items())
        )

    # Clocks ----------------------------------------------------------------------------------------------------

    def clock(self) -> ClockView:
        """What is known of the other nodes' clocks now."""
        clock = self._world.clock
        return self._clock_sync.view(monotonic_ns=clock.monotonic_ns(), wall_us=clock.wall_us())

    def is_synchronised(self, members: Sequence[int], quorum: int) -> bool:
        """Whether this node's clock agrees with those of enough of the members that they are `quorum` with itself.

        Cheap enough for each request: the answer is computed anew when it is old, or when this node's clock was set.
        """
        clock = self._world.clock
        monotonic_us, wall_us = clock.monotonic_ns() // 1000, clock.wall_us()
        question = (members, quorum)
        known = self._agreed
        if (
            known is None
            or known.question != question
            or monotonic_us - known.at_us > _AGREED_FOR_US
            or abs(wall_us - monotonic_us - known.own_us) > _CLOCK_SET_US
        ):
            others = [each for each in members if each != self.node]
            known = self._agreed = _Agreed(
                question=question,
                at_us=monotonic_us,
                own_us=wall_us - monotonic_us,
                answer=quorum <= 1 or self.clock().is_synchronised(others, quorum),
            )
        return known.answer

    # What links tell -------------------------------------------------------------------------------------------

    def _dial(self, nursery: trio.Nursery, number: int, address: str) -> None:
        events = LinkEvents(
            on_echo=self._on_echo, on_met=self._on_met, on_refused=self._on_refused, on_lost=self._on_lost
        )
        link = PeerLink(number, address, world=self._world, rules=self._rules, settings=self._settings, events=events)
        self._links[number] = link
        nursery.start_soon(link.run)

    def _on_echo(self, number: int, echo: Echo) -> None:
        self._clock_sync.sample(
            number, sent_ns=echo.sent_ns, wall_us=echo.wall_us, received_ns=self._world.clock.monotonic_ns()
        )

    def _on_met(self, number: int) -> None:
        self._met[number] = None
        self._refusals.pop(number, None)
        self._tell()

    def _on_called(self, number: int) -> None:
        link = self._links.get(number)
        if link is not None:
            link.on_called()

    def _on_refused(self, number: int, refusal: RefusedByPeer) -> None:
        self._refusals[number] = refusal
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _without(addresses: Mapping[int, str], node: int) -> dict[int, str]:
    return {number: address for number, address in addresses.items() if number != node}
