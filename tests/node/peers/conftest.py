"""Clusters of connections alone, without replicas: on the real network's loopback, and on the simulated one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from attrs import define, field

from sim.runner import run
from sim.world import SimUniverse
from vdb.node.peers.hello import Revocations
from vdb.node.peers.peer_settings import PeerSettings
from vdb.node.peers.peers import Peers
from vdb.ports import World
from vdb.types import Region
from vdb.vsr.header import Prepare, PrepareHeader
from vdb.vsr.message import Message, PrepareMessage
from vdb.wire.peer import decode_frame, new_splitter, next_frame
from vdb.wire.peer_link import Hello, encode_link_frame
from vdb.world import make_world

REGION = Region("ap-southeast-2")
CLUSTER = b"c" * 16
GROUP = b"g" * 32
FAST = PeerSettings(round_s=0.05, redial_longest_s=0.1, hello_timeout_s=2.0)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.005)


def disk_of(node: int) -> bytes:
    return bytes([node]) * 16


@define
class FakeDiskIds:
    """Remembers in memory."""

    ids: dict[int, bytes] = field(factory=dict)

    def remembered(self, node: int) -> bytes | None:
        return self.ids.get(node)

    async def remember(self, node: int, disk_id: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.ids[node] = disk_id


@define
class Member:
    """One running node's part."""

    peers: Peers
    known: FakeDiskIds
    received: list[tuple[bytes, int, Message]]
    lost: list[int]
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ended: trio.Event = field(factory=trio.Event)

    async def stop(self) -> None:
        self.scope.cancel()
        await self.ended.wait()

    async def receive(self, count: int) -> list[Message]:
        """Wait for so many messages, and take them all."""
        await until(lambda: len(self.received) >= count)
        messages = [message for _, _, message in self.received]
        self.received.clear()
        return messages


def prepare(body: bytes, replica: int, op: int = 1) -> PrepareMessage:
    header = PrepareHeader.make(
        body=body, parent=bytes(32), checkpoint_id=bytes(32), group=GROUP, view=1, op=op, commit=0, timestamp=1,
        request_count=1,
    )  # fmt: skip
    return PrepareMessage(prepare=Prepare(header, body), replica=replica)


async def receive(stream: trio.abc.Stream) -> object:
    """What the next bytes say; None at the end of the stream, or when it was reset."""
    splitter = new_splitter()
    while (segments := next_frame(splitter)) is None:
        try:
            data = await stream.receive_some()
        except trio.BrokenResourceError:
            return None
        if not data:
            return None
        splitter.feed(data)
    return decode_frame(segments)


@define(slots=False)
class Cluster:
    """Worlds by node number, and a nursery in which members run."""

    world: Callable[[int], World]
    host: Callable[[int], str]
    nursery: trio.Nursery
    universe: SimUniverse | None = None
    revocations: Revocations | None = None

    async def start(
        self,
        node: int,
        addresses: Mapping[int, str],
        *,
        known: FakeDiskIds | None = None,
        listen: str | None = None,
        cluster: bytes = CLUSTER,
        disk: bytes | None = None,
        settings: PeerSettings = FAST,
    ) -> Member:
        known = FakeDiskIds() if known is None else known
        received: list[tuple[bytes, int, Message]] = []
        lost: list[int] = []
        peers = Peers(
            world=self.world(node),
            node=node,
            cluster=cluster,
            disk_id=disk_of(node) if disk is None else disk,
            addresses=addresses,
            listen=listen or f"{self.host(node)}:0",
            known=known,
            on_message=lambda group, sender, message: received.append((group, sender, message)),
            on_lost=lost.append,
            settings=settings,
            revocations=self.revocations,
        )
        member = Member(peers, known, received, lost)

        async def run_member(task_status: trio.TaskStatus[str | None]) -> None:
            with member.scope:
                await peers.run(task_status)
            member.ended.set()

        await self.nursery.start(run_member)
        return member

    async def pair(self, settings: PeerSettings = FAST) -> tuple[Member, Member]:
        """Nodes 0 and 1, which have met."""
        zero, one = await self.start(0, {}, settings=settings), await self.start(1, {}, settings=settings)
        self.connect(zero, one)
        await zero.peers.wait_met([1])
        await one.peers.wait_met([0])
        return zero, one

    @staticmethod
    def connect(*members: Member) -> None:
        """Tell all of them where the others are."""
        addresses = {member.peers.node: member.peers.address or "" for member in members}
        for member in members:
            member.peers.set_addresses(addresses)

    @asynccontextmanager
    async def raw(self, to: Member) -> AsyncIterator[tuple[trio.abc.Stream, object]]:
        """A connection in the name of node 1 that says hello to node 0, and the answer."""
        stream = await self.world(9).network.connect(to.peers.address or "")
        await stream.send_all(encode_link_frame(Hello(node=1, to=0, cluster=CLUSTER, disk=disk_of(1))))
        yield stream, await receive(stream)
        await trio.aclose_forcefully(stream)

    known = FakeDiskIds
    disk_of = staticmethod(disk_of)
    prepare = staticmethod(prepare)
    receive = staticmethod(receive)
    until = staticmethod(until)


Body = Callable[[Cluster], Awaitable[None]]
InCluster = Callable[[Body], None]


@asynccontextmanager
async def real_cluster(make: Callable[[int], World]) -> AsyncIterator[Cluster]:
    async with trio.open_nursery() as nursery:
        worlds: dict[int, World] = {}

        def world(node: int) -> World:
            return worlds.setdefault(node, make(node))

        yield Cluster(world, lambda node: "127.0.0.1", nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def simulated_cluster(seed: int) -> AsyncIterator[Cluster]:
    universe = SimUniverse(seed)
    worlds: dict[int, World] = {}

    def world(node: int) -> World:
        if node not in worlds:
            worlds[node] = universe.node(f"n{node}", REGION).boot()
        return worlds[node]

    async with trio.open_nursery() as nursery:
        yield Cluster(world, lambda node: f"n{node}", nursery, universe)
        nursery.cancel_scope.cancel()
    universe.close()


@pytest.fixture
def in_simulation() -> Callable[..., None]:
    def run_body(body: Body, *, seed: int = 1) -> None:
        async def main() -> None:
            async with simulated_cluster(seed) as cluster:
                await body(cluster)

        run(seed, main, budget_s=600)

    return run_body


@pytest.fixture
def in_real_worlds() -> Callable[[Body, Callable[[int], World]], None]:
    """Run a body on a cluster whose worlds are made by node number."""

    def run_body(body: Body, make: Callable[[int], World]) -> None:
        async def main() -> None:
            with trio.fail_after(30):
                async with real_cluster(make) as cluster:
                    await body(cluster)

        trio.run(main)

    return run_body


@pytest.fixture(params=["real", "simulated"])
def in_cluster(request: pytest.FixtureRequest, tmp_path: Path) -> InCluster:
    """Run a body on a cluster of the kind at hand."""
    if request.param == "simulated":
        in_simulation: InCluster = request.getfixturevalue("in_simulation")
        return in_simulation
    in_real_worlds = request.getfixturevalue("in_real_worlds")
    return lambda body: in_real_worlds(body, lambda node: make_world(tmp_path / f"n{node}", REGION))
