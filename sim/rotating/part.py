"""This workload's part in a run: an operator who gives all machines a new root key, has the keys rotate in small steps,
and takes the old root key away as soon as every node says that its disk needs it no more: at the latest when all is
mended. Now and then one machine gets the new key later than the others: it holds meanwhile.

- K1: an idle cluster's tenants' keys are all under the root key of the last rotation: a part of I38.
- K2: a record is sealed under a key of the period that it lies in (`sim.checkers.contents`).
- K3: a key that is wrapped anew is the same key (`sim.checkers.contents`).
- K4: no tenant has more periods of keys than rotations were asked for: an attempt that is repeated begins nothing.
- K5: once all is mended and the operator goes on, all members' disks come to need the old root keys no more, a part of
  I36; these are taken away, and I40 says whether the nodes can go on: each such run ends with a loss of power.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import trio
from attrs import define, evolve, field

from sim.cluster import Cluster
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world.entropy import draws
from vdb.client.client import Client
from vdb.crypto.root import RootKeys
from vdb.errors import VerityError, WrongKey
from vdb.keys import ROTATION_ID_SIZE
from vdb.ports import Entropy
from vdb.types import GroupId

FIRST = 500
"""The client's number."""
RETRY_SECONDS = 60.0
REST_SECONDS = 0.5
LOOK_SECONDS = 0.05
SETTLE_SECONDS = 4.0
"""So long does the operator wait for all disks to be rid of the old root key; then both stay for another rotation."""
LATE_SHARE = 0.3
"""Of the exchanges in which one machine gets the new key later than the others."""
LATE_SECONDS_MAX = 6.0


@define(eq=False, kw_only=True)
class RotatingPart:
    """Of a run without this workload it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    watch: Watch
    verdict: Verdict
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
    _late: dict[int, None] = field(factory=dict)
    """Machines that weren't given the key of the last exchange yet."""
    _asked: Counter[str] = field(factory=Counter)
    """Rotations that were asked for, by group."""

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
        async with self._client() as client, trio.open_nursery() as nursery:
            while self.left > 0:
                await trio.sleep(REST_SECONDS * random.random())
                if random.random() < 0.7:
                    await self._exchange(nursery, random)
                for group in self.options.places.groups:
                    await self._rotate(client, group, random)
                if random.random() < 0.8:
                    with trio.move_on_after(SETTLE_SECONDS):
                        await self._retire(client, list(self.cluster))
                self.left -= 1
                self.tell()

    async def finish(self) -> None:
        """With nothing broken any more: the old root keys are taken away from all members. Of a node that isn't one
        any more, nobody knows what its disk needs."""
        if not self.options.rotating or not self._kept:
            return
        members = [machine for machine in self.cluster if machine.incarnation and self._is_member(machine)]
        async with self._client() as client:
            await self._retire(client, members)

    def _client(self) -> Client:
        return Client(
            self.connectors(FIRST), entropy=self.entropy(FIRST), retry_for=RETRY_SECONDS, connect_for=3600.0,
            learn=lambda address: self.learn(FIRST, address),
        )  # fmt: skip

    # The operator's deeds --------------------------------------------------------------------------------------

    async def _exchange(self, nursery: trio.Nursery, random: Random) -> None:
        """All machines are given a new root key, in front of those that they have; nodes that run take it. One may be
        left out for a while, where others can go on without it."""
        while self._late:  # noqa: ASYNC110 - it is given the last one first
            await trio.sleep(LOOK_SECONDS)
        self._kept.insert(0, self._round)
        self._round += 1
        self.trace.add("rotator", "exchange", self._round)
        if random.random() < LATE_SHARE:
            number = random.randrange(self.options.nodes)
            if all(len(self.options.places.founders(group)) > 1 for group in self.options.places.groups_of(number)):
                self._late[number] = None
                nursery.start_soon(self._give_late, number, LATE_SECONDS_MAX * random.random())
        in_time = [machine for machine in self.cluster if machine.number not in self._late]
        self._give(in_time)
        while not all([await self._has_new_key(machine) for machine in in_time]):  # noqa: ASYNC110
            await trio.sleep(LOOK_SECONDS)

    async def _give_late(self, number: int, seconds: float) -> None:
        """What the others have. One that couldn't start without it is started again."""
        await trio.sleep(seconds)
        machine = self.cluster.machines[number]
        self.trace.add("rotator", "given late", machine.name)
        del self._late[number]
        self._give([machine])
        if machine.refused:
            machine.refused = ""
            machine.release()

    def forgives(self, machine: Machine, error: VerityError) -> bool:
        """Whether a node that wasn't given the new root key yet refuses to go on for that reason."""
        return isinstance(error, WrongKey) and bool(error.missing) and machine.number in self._late

    def _give(self, machines: Iterable[Machine]) -> None:
        for machine in machines:
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

    async def _rotate(self, client: Client, group: str, random: Random) -> None:
        """To the end, however often it is cut short; again where the primary hadn't been given the new key yet."""
        maximum = random.choice((1, 1, 2, 0))
        wanted = self.keys(group, self._round).for_group(GroupId(group)).key_id
        while await self._rotate_once(client, group, maximum, random.randbytes(ROTATION_ID_SIZE)) != wanted:  # noqa: ASYNC110
            await trio.sleep(REST_SECONDS)
        self.trace.add("rotator", group, "rotated")
        self.answered += 1
        self.tell()

    async def _rotate_once(self, client: Client, group: str, maximum: int, rotation_id: bytes) -> bytes:
        self._asked[group] += 1
        force = bool(rotation_id[0] & 1)
        while True:
            begin, left = True, 1
            try:
                while left:
                    found = await client.rotate_keys(
                        group, begin=begin, rotation_id=rotation_id, maximum=maximum, force=force
                    )
                    begin, left = False, found.left
            except VerityError as error:
                self.trace.add("rotator", group, type(error).__name__, str(error))
                force = True  # some member may be gone for good
                await trio.sleep(REST_SECONDS)
            else:
                return found.root_key_id

    async def _retire(self, client: Client, machines: Sequence[Machine]) -> None:
        """Take the old root keys away from these, once none of their disks needs them."""
        while lacking := [group for machine in machines for group in self._unsettled(machine)]:
            for group in dict.fromkeys(filter(None, lacking)):
                await self._step(client, group)
            await trio.sleep(REST_SECONDS)
        self._kept.clear()
        self._give(machines)
        self.retired += 1
        self.trace.add("rotator", "retired")

    async def _step(self, client: Client, group: str) -> None:
        """Another step goes on to the checkpoint that no longer needs the old root key."""
        if not self._asked[group]:
            return
        try:
            await client.rotate_keys(group, begin=False)
        except VerityError as error:
            self.trace.add("rotator", group, "step", type(error).__name__, str(error))

    def _unsettled(self, machine: Machine) -> list[str]:
        """Groups of which `vdb key status` says that the node still needs another root key; an empty name where nobody
        can say. A machine that never ran has no disk yet."""
        if not machine.incarnation:
            return []
        node = machine.node
        if node is None or not machine.is_up:
            return [""]
        found = [node.service.keys.status(name) for name in node.groups]
        return [one.group for one in found if not one.settled or one.root_key_id != self._wanted(machine, one.group)]

    # The end ---------------------------------------------------------------------------------------------------

    def lag(self) -> str:
        """K1: which replica of an idle cluster has a key under another root key."""
        if not self.options.rotating or not self._round:
            return ""
        if self._kept:
            return "the operator hasn't taken the old root keys away"
        for machine in self.cluster.up:
            for name, group in machine.node.groups.items() if machine.node is not None else ():
                if machine.number not in self.watch.watches[name].members:
                    continue  # never taken in, or let go: it is told of nothing any more
                rotation, wanted = group.state.rotation(), self._wanted(machine, name)
                if rotation is None or rotation.root_key_id != wanted:
                    return f"{machine.name}: group {name} hasn't been told of the last root key"
                under = [row.tenant for row in group.state.tenant_keys() if row.kek_id != wanted]
                if under:
                    return f"{machine.name}: tenants {under} of group {name} are under another root key"
        return ""

    def check_history(self) -> None:
        """K4."""
        for group, watch in self.watch.watches.items() if self.options.rotating else ():
            for tenant, periods in watch.ledger.periods.items():
                self.verdict.check(
                    "K4",
                    len(periods) <= self._asked[group],
                    f"{group}: tenant {tenant} has begun {len(periods)} periods of keys, of {self._asked[group]} "
                    "rotations",
                )

    def _is_member(self, machine: Machine) -> bool:
        """Whether it is one of each group that it holds."""
        places = self.options.places
        watches = [self.watch.watches[group] for group in places.groups_of(machine.number)]
        return all(machine.number in one.configuration_before(one.ledger.head + 1).members for one in watches)
