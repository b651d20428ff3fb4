"""This workload's part in a run: an operator who gives all machines a new root key, has the keys rotate in small steps,
and takes the old root key away as soon as every node says that its disk needs it no more.

- K1: an idle cluster's tenants' keys are all under the root key of the last rotation: a part of I38.
- K2: a record is sealed under a key of the period that it lies in (`sim.checkers.contents`).
- K3: a key that is wrapped anew is the same key (`sim.checkers.contents`).
- I40 says whether a node that was told to go on without the old root key can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, evolve, field

from sim.cluster import Cluster
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.world.entropy import draws
from vdb.client.client import Client
from vdb.crypto.root import RootKeys
from vdb.errors import VerityError
from vdb.ports import Entropy
from vdb.types import GroupId

FIRST = 500
"""The client's number."""
RETRY_SECONDS = 60.0
REST_SECONDS = 0.5
LOOK_SECONDS = 0.05
SETTLE_SECONDS = 30.0
"""So long does the operator wait for all disks to be rid of the old root key; then both stay for another rotation."""


@define(eq=False, kw_only=True)
class RotatingPart:
    """Of a run without this workload it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    trace: Trace
    keys: Callable[[str, int], RootKeys]
    """Root keys of a region, by how often they were exchanged."""
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    left: int = field(init=False)
    answered: int = 0
    retired: int = 0
    """How often an old root key was taken away."""
    _round: int = 0
    _kept: list[int] = field(factory=list)
    """Exchanges whose keys the machines still have."""

    def __attrs_post_init__(self) -> None:
        self.left = self.options.rotations if self.options.rotating else 0

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / max(1, self.options.rotations) if self.options.rotating else 1.0

    async def run(self) -> None:
        """All rotations."""
        if not self.options.rotating:
            return
        random = draws(self.seed, "rotations")
        client = Client(
            self.connectors(FIRST), entropy=self.entropy(FIRST), retry_for=RETRY_SECONDS, connect_for=3600.0,
            learn=lambda address: self.learn(FIRST, address),
        )  # fmt: skip
        async with client:
            while self.left > 0:
                await trio.sleep(REST_SECONDS * random.random())
                if random.random() < 0.7:
                    await self._exchange()
                for group in self.options.places.groups:
                    await self._rotate(client, group, random.choice((1, 1, 2, 0)))
                if random.random() < 0.8:
                    await self._retire()
                self.left -= 1
                self.tell()

    # The operator's deeds --------------------------------------------------------------------------------------

    async def _exchange(self) -> None:
        """All machines are given a new root key, in front of those that they have; nodes that run take it."""
        self._kept.insert(0, self._round)
        self._round += 1
        self.trace.add("rotator", "exchange", self._round)
        self._give()
        while not all([await self._has_new_key(machine) for machine in self.cluster]):  # noqa: ASYNC110
            await trio.sleep(LOOK_SECONDS)

    def _give(self) -> None:
        for machine in self.cluster:
            region = machine.config.region.name
            given = self.keys(region, self._round)
            for before in self._kept:
                given = given.beside(self.keys(region, before))
            machine.config = evolve(machine.config, root_keys=given)

    async def _has_new_key(self, machine: Machine) -> bool:
        """Whether the machine's node opens with it; one that is down will, when it starts."""
        if not machine.is_alive():
            return True
        node = machine.node
        if node is None or not machine.is_up:
            return False
        await node.service.keys.refresh()
        first = {name: group.keyring.roots.current.key_id for name, group in node.groups.items()}
        return all(key_id == self._wanted(machine, name) for name, key_id in first.items())

    def _wanted(self, machine: Machine, group: str) -> bytes:
        return self.keys(machine.config.region.name, self._round).for_group(GroupId(group)).key_id

    async def _rotate(self, client: Client, group: str, maximum: int) -> None:
        """To the end, however often it is cut short."""
        while True:
            begin, left = True, 1
            try:
                while left:
                    left = (await client.rotate_keys(group, begin=begin, maximum=maximum)).left
                    begin = False
            except VerityError as error:
                self.trace.add("rotator", group, type(error).__name__, str(error))
                await trio.sleep(REST_SECONDS)
                continue
            self.trace.add("rotator", group, "rotated")
            self.answered += 1
            self.tell()
            return

    async def _retire(self) -> None:
        """Take the old root keys away, once no node's disk needs them; not if that takes too long."""
        with trio.move_on_after(SETTLE_SECONDS):
            while not all(self._is_settled(machine) for machine in self.cluster):  # noqa: ASYNC110
                await trio.sleep(LOOK_SECONDS)
            self._kept.clear()
            self._give()
            self.retired += 1
            self.trace.add("rotator", "retired")

    def _is_settled(self, machine: Machine) -> bool:
        """What `vdb key status` says of the node. A machine that never ran has no disk yet."""
        if not machine.incarnation:
            return True
        node = machine.node
        if node is None or not machine.is_up:
            return False
        found = [node.service.keys.status(name) for name, _ in node.groups.items()]
        return all(one.settled and one.root_key_id == self._wanted(machine, one.group) for one in found)

    # The end ---------------------------------------------------------------------------------------------------

    def lag(self) -> str:
        """K1: which replica of an idle cluster has a key under another root key."""
        if not self.options.rotating or not self._round:
            return ""
        for machine in self.cluster.up:
            for name, group in machine.node.groups.items() if machine.node is not None else ():
                if not group.applied:
                    continue  # a spare machine that was never taken in
                rotation, wanted = group.state.rotation(), self._wanted(machine, name)
                if rotation is None or rotation.root_key_id != wanted:
                    return f"{machine.name}: group {name} hasn't been told of the last root key"
                under = [row.tenant for row in group.state.tenant_keys() if row.kek_id != wanted]
                if under:
                    return f"{machine.name}: tenants {under} of group {name} are under another root key"
        return ""
