"""The nemesis of links between machines, and between clients and machines: partitions, one-way losses, clogs.

A partition cuts the links between its sides, in both directions or in one. Each link is stalled (what was sent
arrives when it heals, as TCP sends it again) or drops (connections die without a word). Links heal one by one, in
another order than the one in which they broke.
"""

from __future__ import annotations

from random import Random

from attrs import define

from sim.cluster import Cluster
from sim.machine import Machine
from sim.repairs import Repairs
from sim.trace import Trace
from sim.watch import Watch

LONGEST_SECONDS = 3.0


@define
class Links:
    """See the module's docstring."""

    cluster: Cluster
    random: Random
    repairs: Repairs
    clients: tuple[str, ...]
    watch: Watch
    trace: Trace

    async def partition(self) -> None:
        """Two random sides, or a ring in which each machine hears but one neighbour."""
        names = [machine.name for machine in self.cluster]
        self.random.shuffle(names)
        if len(names) > 2 and self.random.random() < 0.25:
            ring = list(zip(names, [*names[1:], names[0]], strict=True))
            ways = [(a, b) for a in names for b in names if a != b and (a, b) not in ring]
        else:
            cut = self.random.randrange(1, max(2, len(names)))
            sides = names[:cut], names[cut:]
            for client in self.clients:
                if self.random.random() < 0.3:
                    self.random.choice(sides).append(client)
            ways = self._between(*sides)
        self._break(ways)

    async def isolate(self) -> None:
        """One machine from all others, in both directions; clients may still reach it."""
        machine = self._machine()
        self._break(self._between([machine.name], self._others(machine)))

    async def cut_region(self) -> None:
        """All links between one region and the others, machines and clients alike."""
        regions = self.cluster.network.regions
        names = [machine.name for machine in self.cluster]
        places = list(dict.fromkeys(regions[name] for name in names if name in regions))
        if len(places) < 2:
            return
        cut = self.random.choice(places)
        hosts = [*names, *self.clients]
        inside = [name for name in hosts if regions.get(name) == cut]
        self._break(self._between(inside, [name for name in hosts if name not in inside]))

    async def one_way(self) -> None:
        """One machine hears nobody, or isn't heard by anybody."""
        machine = self._machine()
        others = self._others(machine)
        outward = [(machine.name, other) for other in others]
        inward = [(other, machine.name) for other in others]
        self._break(outward if self.random.random() < 0.5 else inward)

    async def deaf_primary(self) -> None:
        """A primary that its peers don't hear, or that doesn't hear them, while clients reach it."""
        machine = next((found for found in self.cluster if found.leads), None) or self._machine()
        others = self._others(machine)
        kind = self.random.randrange(3)
        ways = [(machine.name, other) for other in others] if kind != 1 else []
        ways += [(other, machine.name) for other in others] if kind != 0 else []
        self._break(ways)

    async def clog(self) -> None:
        """Some links, each in one direction, are slow."""
        names = [machine.name for machine in self.cluster]
        for source in names:
            for destination in names:
                if source != destination and self.random.random() < 0.4:
                    self.cluster.network.slow(source, destination, self.random.choice((5, 50, 400)), both=False)
                    self._heal_later(source, destination, LONGEST_SECONDS)

    def _machine(self) -> Machine:
        return self.random.choice(list(self.cluster.machines.values()))

    def _others(self, machine: Machine) -> list[str]:
        return [other.name for other in self.cluster if other is not machine]

    def _between(self, one: list[str], other: list[str]) -> list[tuple[str, str]]:
        """Links in both directions between two sides; clients have none among themselves."""
        pairs = [(a, b) for a in one for b in other if not (a in self.clients and b in self.clients)]
        return [*pairs, *((b, a) for a, b in pairs)]

    def _break(self, ways: list[tuple[str, str]]) -> None:
        drops = self.random.random() < 0.5
        longest = float(0.1 * (LONGEST_SECONDS / 0.1) ** self.random.random())
        self.trace.add("nemesis", "links", "drop" if drops else "stall", *(f"{a}>{b}" for a, b in ways))
        for source, destination in ways:
            if drops:
                self.cluster.network.drop(source, destination)
            else:
                self.cluster.network.stall(source, destination)
            self._heal_later(source, destination, longest)

    def _heal_later(self, source: str, destination: str, longest: float) -> None:
        """At least half of the time has passed before it heals."""
        seconds = longest * (0.5 + self.random.random() / 2)
        self.repairs.later(seconds, lambda: self.cluster.network.heal_way(source, destination))
