"""The workload's part in a run: its clients, what is looked at in each phase, and the last checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from sim.checkers.consumer_audit import check_deeds, told_deeds
from sim.checkers.consumer_deeds import ConsumerJudge
from sim.checkers.contents import Contents
from sim.checkers.events_inline import check_own_writes
from sim.checkers.events_log import EventsLog, check_appends
from sim.checkers.events_projected import before, check_file, check_rows
from sim.checkers.events_reads import ReadsJudge
from sim.checkers.events_resent import check_resent
from sim.checkers.evidence import check_evidence
from sim.checkers.file_keys import file_keys, key_of_file
from sim.cluster import Cluster
from sim.events.deeds import ConsumerSpec
from sim.events.effects import EffectsLog
from sim.events.load import TENANT, EventsLoad
from sim.events.members import ConsumerLoad
from sim.events.projecting import NAME, VERSIONS
from sim.events.steward import Steward
from sim.events.writers import Writer
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.world.entropy import draws
from vdb.errors import DatabaseDamaged, WrongKey
from vdb.ports import Entropy
from vdb.projections.config import ProjectionConfig
from vdb.projections.projector import Projector
from vdb.projections.store import SqliteError
from vdb.types import TenantId

GENERATION = re.compile(rf"projections/t_{TENANT}/{NAME}(\.[0-9]+)?\.db")
"""The files of all generations of the projection."""


@define(eq=False, kw_only=True)
class EventsPart:
    """Of a run without typed streams it does nothing. `contents` by group; `home` is the region's."""

    seed: int
    options: Options
    cluster: Cluster
    verdict: Verdict
    trace: Trace
    contents: Mapping[str, Contents]
    home: str
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    projection: Callable[[int, int], ProjectionConfig]
    load: EventsLoad = field(init=False)
    log: EventsLog = field(init=False)
    effects: EffectsLog = field(init=False)
    consumers: list[ConsumerLoad] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.load = EventsLoad(
            options=self.options, cluster=self.cluster, random=draws(self.seed, "events load"), verdict=self.verdict,
            trace=self.trace, region=self.home, connectors=self.connectors, learn=self.learn, entropy=self.entropy,
            tell=self.tell, head=self._head, rank=self._rank, last=self._last,
        )  # fmt: skip
        self.effects = EffectsLog(self.cluster, self.verdict, self.trace)
        self.log = EventsLog(self.contents[self.load.group], self.verdict, TENANT)

    def _head(self) -> int:
        self.log.catch_up()
        return self.log.head

    def _rank(self, position: int) -> int:
        self.log.catch_up()
        return len(before(self.log.events, position))

    def _last(self, spec: ConsumerSpec) -> int:
        self.log.catch_up()
        fitting = (one.position for one in reversed(self.log.events) if spec.wants(one.stream, one.fact.type))
        return next(fitting, -1)

    # Phases ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All clients until all deeds are done."""
        if not self.options.events:
            return
        self.load.writing = self.options.events_clients
        self.consumers = [
            ConsumerLoad(self.load, number, draws(self.seed, f"consumer {number}"))
            for number in range(self.options.consumers)
        ]
        async with trio.open_nursery() as nursery:
            for number in range(self.options.events_clients):
                nursery.start_soon(Writer(self.load, number, draws(self.seed, f"event client {number}")).run)
            for consumer in self.consumers:
                nursery.start_soon(consumer.run)
            nursery.start_soon(Steward(self.load, draws(self.seed, "steward"), self.projection).run)

    async def drain(self) -> None:
        """With nothing broken any more: consumers come to the end of the log, and hold nothing."""
        async with trio.open_nursery() as nursery:
            for consumer in self.consumers:
                nursery.start_soon(consumer.drain)

    async def read_back(self, *, forgiving: bool) -> None:
        """Consumers are as they were when they had been drained. `forgiving`: something was destroyed."""
        for consumer in self.consumers:
            if consumer.drained and not forgiving:
                await consumer.read_back()

    def undrained(self) -> str:
        """Which consumers aren't drained."""
        return " ".join(consumer.spec.name for consumer in self.consumers if not consumer.drained)

    def lag(self) -> str:
        """What a projection of an idle node hasn't applied, or built, yet; '' if nothing."""
        for machine in self.cluster.up if self.options.events else ():
            projector = _projector(machine)
            if projector is None:
                continue
            status = projector.status()
            if status.rows.lag and not status.rows.error:
                return f"{machine.name}: {NAME} is {status.rows.lag} behind, {status.condition}"
            building = status.building
            if building is not None and building.state == "building":
                return f"{machine.name}: generation {building.generation} of {NAME} is being built"
        return ""

    # Looks -----------------------------------------------------------------------------------------------------

    def on_end(self, machine: Machine) -> None:
        """P1, of the files that an ended incarnation left."""
        if not self.options.events:
            return
        self.log.catch_up()
        keys = file_keys(self.contents[machine.config.region.name].keyring, TENANT, NAME)
        for path in machine.scratch.paths():
            if not keys or not GENERATION.fullmatch(path):
                continue
            name = f"{machine.name}: {path}"
            try:
                file = machine.scratch.location(path)
                check_file(self.verdict, self.log, file, key_of_file(keys, file), name, self.options.events_policy)
            except (WrongKey, DatabaseDamaged, SqliteError) as error:
                self.verdict.check("P1", path in machine.scratch.rotted, f"{name} is damaged: {error}")

    def check_history(self) -> None:
        """Everything that clients were told."""
        if not self.options.events or not self.verdict.ok:
            return
        self.log.catch_up()
        check_appends(self.verdict, self.log, self.load.deeds)
        check_resent(self.verdict, self.log, self.load.deeds)
        contents = self.contents[self.load.group]
        frames = contents.ledger.frames.get(TENANT, [])
        check_evidence(self.verdict, self.load.deeds, frames, contents.stream_ids(TENANT))
        check_own_writes(self.verdict, self.options, self.load.deeds)
        self.effects.check(self.log)
        ReadsJudge(self.verdict, self.log, self.load.deeds).check()
        for read in self.load.deeds.rows:
            if read.position >= 0:
                check_rows(
                    self.verdict, self.log, read.position, read.rows, f"what {read.who} was given", VERSIONS,
                    self.options.events_policy,
                )  # fmt: skip
        for deeds in self.load.deeds.consumers.values():
            ConsumerJudge(self.verdict, deeds, self.log.fitting(deeds.spec)).check()
        told = told_deeds(self.log.contents, TENANT)
        for consumer in self.consumers:
            check_deeds(self.verdict, told, consumer.deeds.letters, consumer.spec.name, consumer.who)


def _projector(machine: Machine) -> Projector | None:
    if machine.node is None or not machine.is_alive():
        return None
    return machine.node.service._projections._projectors.get((TenantId(TENANT), NAME))
