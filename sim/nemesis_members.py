"""The nemesis of members: disks that are lost and replaced, nodes that join, nodes that are let go; all under fire.

Each change is a job, done one after the other by an operator who tries again until it has come through, as a person
with the command line would. The last ones may end only when everything is mended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import trio
from attrs import define, evolve, field

from sim.build import member
from sim.cluster import Cluster
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.watch import Watch
from vdb.client.admin import ClusterAdmin
from vdb.client.client import Client
from vdb.errors import PlacementViolation, VerityError
from vdb.ports import Entropy

OPERATOR = 90
"""The operator's number among the clients."""
BETWEEN_ATTEMPTS_SECONDS = 0.3
ANSWER_SECONDS_MAX = 5.0

Job = Callable[[ClusterAdmin], Awaitable[None]]


@define
class Members:
    """See the module's docstring. `run` as a task; the acts only order."""

    cluster: Cluster
    options: Options
    random: Random
    trace: Trace
    watch: Watch
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    _jobs: list[tuple[str, Job]] = field(factory=list)
    _wake: trio.Event = field(factory=trio.Event)
    _spare: int = 0
    _left: dict[int, None] = field(factory=dict)
    """Nodes that were let go."""

    @property
    def idle(self) -> bool:
        return not self._jobs

    @property
    def waits_for(self) -> str:
        """What the operator is at."""
        return self._jobs[0][0] if self._jobs else ""

    async def run(self) -> None:
        """Do the jobs, in order, for ever."""
        client = Client(
            self.connectors(OPERATOR), entropy=self.entropy(OPERATOR), retry_for=ANSWER_SECONDS_MAX,
            connect_for=3600.0, learn=lambda address: self.learn(OPERATOR, address),
        )  # fmt: skip
        await self._wake.wait()
        async with client:
            while True:
                while self._jobs:
                    await self._do(client.cluster, *self._jobs[0])
                    del self._jobs[0]
                self._wake = trio.Event()
                await self._wake.wait()

    async def _do(self, admin: ClusterAdmin, name: str, job: Job) -> None:
        while True:
            try:
                await job(admin)
            except VerityError as error:
                self.trace.add("nemesis", "tries again", name, f"{type(error).__name__}: {error}")
                await trio.sleep(BETWEEN_ATTEMPTS_SECONDS)
            else:
                self.trace.add("nemesis", "done", name)
                return

    def order(self, name: str, *jobs: Job) -> None:
        """Let the operator do these, once those before them have come through."""
        self._jobs += [(name, job) for job in jobs]
        self._wake.set()

    # Acts ------------------------------------------------------------------------------------------------------

    async def lose_disk(self) -> None:
        """A disk of the minority is gone; the node comes back on an empty one, and is recovered."""
        numbers = [number for number in self.options.lost_nodes if number not in self._left]
        if not numbers or not self.idle:
            return
        machine = self.cluster.machines[self.random.choice(numbers)]
        if machine.is_held or not machine.incarnation:  # what never ran has nothing to lose, and starts although held
            return
        machine.hold()
        await trio.sleep(self.random.random() * 0.5)
        machine.replace_disk()
        # As `vdb cluster prepare --again` writes it: with those that are members now, one of which may be the primary.
        present = (number for number in range(self.options.nodes + self._spare) if number not in self._left)
        members = tuple(member(number, self.options.places) for number in present)
        machine.config = evolve(machine.config, members=members)
        self.watch.on_wiped(machine.number)
        machine.release()
        groups = self.options.places.groups_of(machine.number)
        self.order(
            f"recover {machine.name}",
            *(self.recovery(group, machine) for group in groups),
            *(self.promotion(group, machine.number) for group in groups),
        )

    async def add_member(self) -> None:
        """A spare machine joins, learns, and gets a vote."""
        if self._spare == self.options.spares:
            return
        machine = self.cluster.machines[self.options.nodes + self._spare]
        self._spare += 1
        machine.release()
        groups = self.options.places.groups_of(machine.number)
        self.order(
            f"add {machine.name}",
            *(self.addition(group, machine) for group in groups),
            *(self.promotion(group, machine.number) for group in groups),
        )

    async def remove_member(self) -> None:
        """A founding node whose disk is sound is let go, once another has joined."""
        places = self.options.places
        present = [
            number
            for number in range(self.options.nodes)
            if number not in (*self._left, *self.options.harmed_nodes) and self._is_replaced(places.groups_of(number))
        ]
        if len(self._left) >= self._spare or not present:
            return
        number = self.random.choice(present)
        self._left[number] = None
        self.order(f"remove n{number}", *(self.removal(group, number) for group in places.groups_of(number)))

    def _is_replaced(self, groups: Sequence[str]) -> bool:
        """Whether a machine has joined that holds the same."""
        joined = range(self.options.nodes, self.options.nodes + self._spare)
        return any(self.options.places.groups_of(number) == tuple(groups) for number in joined)

    async def foreign_member(self) -> None:
        """Somebody wants a node of one region in the group of another, which no log may allow."""
        places = self.options.places
        numbers = [number for number in range(self.options.nodes) if number not in self._left]
        if len(places.names) < 2 or not numbers:
            return
        number = self.random.choice(numbers)
        group = self.random.choice([name for name in places.names if name != places.of(number)])
        self.order(f"n{number} into {group}", self.intrusion(group, self.cluster.machines[number]))

    # Jobs, each for one group -----------------------------------------------------------------------------------

    def recovery(self, group: str, machine: Machine) -> Job:
        async def recover(admin: ClusterAdmin) -> None:
            found = await admin.status_of(str(machine.config.address))
            await admin.recover(group, machine.number, found.disk_id)

        return recover

    def addition(self, group: str, machine: Machine) -> Job:
        async def add(admin: ClusterAdmin) -> None:
            config = machine.config
            found = await admin.status_of(str(config.address))
            await admin.add(
                group, machine.number, name=machine.name, peer_address=str(config.peer_address),
                address=str(config.address), disk_id=found.disk_id, region=found.region,
            )  # fmt: skip

        return add

    def intrusion(self, group: str, machine: Machine) -> Job:
        async def intrude(admin: ClusterAdmin) -> None:
            try:
                await self.addition(group, machine)(admin)
            except PlacementViolation:
                return
            self.watch.verdict.check(
                "placement", False, f"{machine.name} of {machine.config.region} became a member of group {group}"
            )

        return intrude

    def promotion(self, group: str, number: int) -> Job:
        async def promote(admin: ClusterAdmin) -> None:
            await admin.promote(group, number)

        return promote

    def removal(self, group: str, number: int) -> Job:
        async def remove(admin: ClusterAdmin) -> None:
            leads = [
                found.primary
                for report in await admin.statuses()
                for found in (report.status.groups if report.status is not None else ())
                if found.group == group and found.serving
            ]
            if number in leads:
                await admin.abdicate(group)
                await trio.sleep(BETWEEN_ATTEMPTS_SECONDS)
            await admin.remove(group, number)

        return remove
