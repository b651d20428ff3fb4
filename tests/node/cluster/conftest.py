"""Whole nodes of one cluster in one deterministic run: simulated disks, network and time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import pytest
import trio
from attrs import define, evolve, field

from sim.runner import run
from sim.world import NetworkFaults, SimNode, SimUniverse, absorb_crash
from vdb.crypto.root import RootKeys
from vdb.errors import NotPrimary, NotReady, Overloaded, PrimaryLost
from vdb.kernel.command import INTERNAL, MemberRow, Origin
from vdb.kernel.reply import Reconfigured, Reply
from vdb.limits import Limits
from vdb.node.config import MemberConfig, NodeConfig
from vdb.node.node import Node
from vdb.node.peers.identity import decode_identity
from vdb.node.preparing.request import PlainAppend, PlainBatch, PlainCreate, PlainReconfigure, PlainRequest, PlainRun
from vdb.node.replication.group import Group
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, Region, TenantId
from vdb.wire.event import encode_batch

REGION = Region("ap-southeast-2")
HOME = GroupId(REGION.name)
TENANT = TenantId(1)
SMALL = Limits(
    message_size_max=64 * 1024, wal_slots=24, checkpoint_interval=8, pipeline_max=3, segment_size=4096, sessions_max=4
)
TRY_AGAIN = (NotPrimary, NotReady, PrimaryLost, Overloaded)


@define(eq=False)
class Machine:
    """One node over all its lives."""

    host: SimNode
    config: NodeConfig
    node: Node | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    ended: trio.Event = field(factory=trio.Event)
    error: BaseException | None = None


@define(eq=False)
class Cluster:
    """Nodes 0 to n - 1 of one universe; `start` those that shall run."""

    universe: SimUniverse
    nursery: trio.Nursery
    machines: dict[int, Machine] = field(factory=dict)

    def add(
        self, number: int, members: tuple[MemberConfig, ...], *, limits: Limits = SMALL, join: bool = False
    ) -> None:
        host = self.universe.node(f"n{number}", REGION)
        config = NodeConfig(
            region=REGION,
            root_keys=RootKeys(bytes(range(32))),
            name=f"n{number}",
            address=f"n{number}:7140",
            limits=limits,
            node=number,
            members=members,
            cluster=b"c" * 16,
            peer_address=f"n{number}:7150",
            join=join,
        )
        self.machines[number] = Machine(host, config)

    # Lives -----------------------------------------------------------------------------------------------------

    async def start(self, *numbers: int) -> None:
        """Start these nodes, and wait until each has opened its groups."""
        async with trio.open_nursery() as starting:
            for number in numbers:
                starting.start_soon(self._start, number)

    async def _start(self, number: int) -> None:
        machine = self.machines[number]
        machine.scope, machine.ended, machine.error = trio.CancelScope(), trio.Event(), None
        machine.node = Node(machine.host.boot(), machine.config)
        await self.nursery.start(self._live, machine)

    async def _live(self, machine: Machine, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        node = machine.node
        assert node is not None
        with machine.scope, absorb_crash():
            try:
                await node.run(task_status=_Started(task_status))
            except Exception as error:
                machine.error = error
                if not machine.scope.cancel_called:
                    raise
        if machine.host.running:
            machine.host.stop()
        machine.ended.set()

    async def crash(self, number: int) -> None:
        """Power loss."""
        machine = self.machines[number]
        machine.host.crash()
        machine.scope.cancel()
        await machine.ended.wait()
        machine.node = None

    async def stop(self, number: int) -> None:
        machine = self.machines[number]
        machine.scope.cancel()
        await machine.ended.wait()
        machine.node = None

    def replace_disk(self, number: int, *, join: bool = False) -> None:
        """An empty disk for a node that doesn't run."""
        machine = self.machines[number]
        fresh = self.universe.node(f"spare{len(self.universe.nodes)}", REGION)
        machine.host.disk = fresh.disk
        machine.host.scratch = fresh.scratch
        machine.config = evolve(machine.config, join=join)

    async def fail_to_start(self, number: int) -> None:
        """Start a node that must not start; raises what it ends with."""
        machine = self.machines[number]
        node = Node(machine.host.boot(), machine.config)
        try:
            await node.run()
        finally:
            machine.host.stop()

    # Groups ----------------------------------------------------------------------------------------------------

    def group(self, number: int, name: GroupId = HOME) -> Group:
        node = self.machines[number].node
        assert node is not None
        return node.groups[name]

    def running(self) -> list[int]:
        return [number for number, machine in self.machines.items() if machine.node is not None]

    async def wait_until(self, condition: Callable[[], object]) -> None:
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)

    async def primary(self, name: GroupId = HOME) -> int:
        """The node that serves, in the highest view that any node is in."""
        while True:
            found = [
                (self.group(number, name).replica.view, number)
                for number in self.running()
                if name in self.machines[number].node.groups and self.group(number, name).is_serving
            ]
            if found:
                return max(found)[1]
            await trio.sleep(0.01)

    async def execute(self, request: PlainRequest, origin: Origin = INTERNAL, name: GroupId = HOME) -> Reply:
        """At whoever is primary, again until it has happened."""
        while True:
            number = await self.primary(name)
            try:
                with trio.move_on_after(2.0):
                    return await self.group(number, name).execute(request, origin)
            except TRY_AGAIN:
                pass
            await trio.sleep(0.02)

    async def create(self, stream: str) -> Reply:
        return await self.execute(
            PlainCreate(
                tenant=TENANT, name=stream, data_class=DataClass.NON_PHI, region=REGION.name, if_not_exists=True
            )
        )

    async def append(self, stream: str, *payloads: bytes) -> Reply:
        run = PlainRun(count=len(payloads), batch=encode_batch(payloads))
        return await self.execute(PlainBatch(tenant=TENANT, appends=(PlainAppend(stream=stream, runs=(run,)),)))

    async def reconfigure(
        self, voters: tuple[int, ...], learners: tuple[int, ...], groups: tuple[GroupId, ...] = (HOME, GLOBAL_GROUP)
    ) -> None:
        """Make these the members of the groups."""
        for name in groups:
            state = self.group(await self.primary(name), name).state
            reply = await self.execute(
                PlainReconfigure(
                    base_epoch=state.membership().epoch,
                    voters=voters,
                    learners=learners,
                    members=tuple(self.row(number) for number in (*voters, *learners)),
                ),
                name=name,
            )
            assert isinstance(reply, Reconfigured), reply

    def row(self, number: int) -> MemberRow:
        """A node as a reconfiguration names it, with the disk that it has now."""
        found = decode_identity(self.machines[number].host.disk.content("node"))
        return MemberRow(
            node=number,
            name=f"n{number}",
            peer_address=f"n{number}:7150",
            address=f"n{number}:7140",
            disk_id=found.disk,
            region=found.region.name,
        )

    async def converge(self, numbers: Iterable[int] | None = None, name: GroupId = HOME) -> None:
        """Wait until all that run have applied the same, and compare."""
        chosen = self.running() if numbers is None else list(numbers)
        while True:
            groups = [self.group(number, name) for number in chosen]
            ops = {(group.replica.op, group.replica.commit_number, group.applied) for group in groups}
            if len(ops) == 1 and len(next(iter(ops))) == 3 and len(set(next(iter(ops)))) == 1:
                break
            await trio.sleep(0.02)
        assert len({group.state.digest() for group in groups}) == 1


@define
class _Started:
    task_status: trio.TaskStatus[None]

    def started(self, _address: object) -> None:
        self.task_status.started()


@pytest.fixture
def in_cluster() -> Callable[..., None]:
    """Run `async def body(cluster)` on a cluster of `nodes`, of which none is started."""

    def run_body(
        body: Callable[[Cluster], Awaitable[None]],
        *,
        nodes: int = 3,
        seed: int = 1,
        limits: Limits = SMALL,
        faults: NetworkFaults | None = None,
    ) -> None:
        async def main() -> None:
            universe = SimUniverse(seed, network_faults=faults)
            members = tuple(
                MemberConfig(node=number, name=f"n{number}", peer_address=f"n{number}:7150", address=f"n{number}:7140")
                for number in range(nodes)
            )
            try:
                async with trio.open_nursery() as nursery:
                    cluster = Cluster(universe, nursery)
                    for number in range(nodes):
                        cluster.add(number, members, limits=limits)
                    await body(cluster)
                    for number in cluster.running():
                        await cluster.stop(number)
            finally:
                universe.close()

        run(seed, main, budget_s=60)

    return run_body
