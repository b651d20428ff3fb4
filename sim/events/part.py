"""The workload's part in a run: its clients, what is looked at in each phase, and the last checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from sim.checkers.consumer_deeds import ConsumerJudge
from sim.checkers.contents import Contents
from sim.checkers.events_log import EventsLog, check_appends
from sim.cluster import Cluster
from sim.events.load import TENANT, EventsLoad
from sim.events.writers import Writer
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.world.entropy import draws
from vdb.ports import Entropy


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
    load: EventsLoad = field(init=False)
    log: EventsLog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.load = EventsLoad(
            options=self.options, cluster=self.cluster, random=draws(self.seed, "events load"), verdict=self.verdict,
            trace=self.trace, region=self.home, connectors=self.connectors, learn=self.learn, entropy=self.entropy,
            tell=self.tell,
        )  # fmt: skip
        self.log = EventsLog(self.contents[self.load.group], self.verdict, TENANT)

    # Phases ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All clients until all deeds are done."""
        if not self.options.events:
            return
        async with trio.open_nursery() as nursery:
            for number in range(self.options.events_clients):
                nursery.start_soon(Writer(self.load, number, draws(self.seed, f"event client {number}")).run)

    # Looks -----------------------------------------------------------------------------------------------------

    def on_end(self, machine: Machine) -> None:
        """An incarnation has ended."""

    def check_history(self) -> None:
        """Everything that clients were told."""
        if not self.options.events or not self.verdict.ok:
            return
        self.log.catch_up()
        check_appends(self.verdict, self.log, self.load.deeds)
        for deeds in self.load.deeds.consumers.values():
            ConsumerJudge(self.verdict, deeds, self.log.fitting(deeds.spec)).check()
