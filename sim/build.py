"""Making the machines of a run: each with a disk, databases, a clock and draws of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from attrs import evolve, frozen

from sim.aimed_disk import AimedDisk
from sim.atlas import Atlas
from sim.canary import NAME_CANARY
from sim.checkers.projected import projection_config
from sim.machine import CLIENT_PORT, PEER_PORT, Machine
from sim.options import Options
from sim.peer_atlas import PeerAtlas
from sim.regions import REGION, Regions
from sim.runner import VirtualClock
from sim.trace import Trace
from sim.world.clock import HostClock
from sim.world.entropy import draws
from sim.world.network import SimNetwork
from sim.world.scratch import Scratch
from vdb.crypto.root import RootKeys, RootRing
from vdb.errors import VerityError
from vdb.node.config import MemberConfig, NodeConfig
from vdb.node.node import Node
from vdb.node.observer import Observer
from vdb.projections.config import ProjectionConfig
from vdb.types import GroupId, Region


def host(number: int) -> str:
    return f"n{number}"


def member(number: int, regions: Regions) -> MemberConfig:
    """What every node is told of this one."""
    name = host(number)
    return MemberConfig(
        node=number,
        name=name,
        peer_address=f"{name}:{PEER_PORT}",
        address=f"{name}:{CLIENT_PORT}",
        region=Region(regions.of(number)),
        holds_global=regions.holds_global(number),
    )


@frozen(kw_only=True)
class Judge:
    """Whom a machine reports to."""

    observer: Callable[[Machine], Observer]
    on_end: Callable[[Machine, Node], None]
    on_refused: Callable[[Machine, VerityError], None]
    on_broken: Callable[[Machine, BaseException, str], None]
    on_misdirected: Callable[[Machine], None]
    projection: Callable[[int, int], ProjectionConfig]
    """That of typed streams, of a machine's number and a version."""


@frozen(kw_only=True)
class Builder:
    """What all machines of a run share."""

    seed: int
    options: Options
    clock: VirtualClock
    network: SimNetwork
    trace: Trace
    counts: Counter[str]
    judge: Judge

    def root_keys(self, region: str = REGION, exchanges: int = 0) -> RootKeys:
        """Each region has a key of its own; that of the global group is the same for all."""
        if exchanges:
            own, shared = (draws(self.seed, f"root keys/{one}/{exchanges}").randbytes(32) for one in (region, "global"))
            return RootKeys(own, shared)
        keys = draws(self.seed, "root keys")
        own, shared = keys.randbytes(32), keys.randbytes(32)
        return RootKeys(own if region == REGION else draws(self.seed, f"root keys/{region}").randbytes(32), shared)

    def ring(self, group: str) -> RootRing:
        """All root keys that a group ever has in a run."""
        exchanged = [self.root_keys(group, number) for number in range(1, self.options.rotations + 1)]
        name = GroupId(group)
        return RootRing(self.root_keys(group).for_group(name), [keys.for_group(name) for keys in exchanged])

    def config(self, number: int) -> NodeConfig:
        """What the node of this number is told at its founding."""
        options, regions = self.options, self.options.places
        region = regions.of(number)
        config = NodeConfig(
            region=Region(region),
            root_keys=self.root_keys(region),
            name=host(number),
            address=f"{host(number)}:{CLIENT_PORT}",
            limits=options.limits,
            projections=self._projections(number),
            scrub_period_s=options.scrub_period_s,
        )
        if options.nodes == 1:
            return config
        return evolve(
            config,
            node=number,
            members=tuple(
                member(each, regions)
                for each in range(options.nodes + options.spares)
                if each < options.nodes or (each == number and (len(regions.names) > 1 or regions.shared))
            ),
            cluster=draws(self.seed, "cluster id").randbytes(16),
            peer_address=f"{host(number)}:{PEER_PORT}",
            join=number >= options.nodes,
            timing=options.timing,
            tick_s=options.tick_us / 1e6,
        )

    def _projections(self, number: int) -> tuple[ProjectionConfig, ...]:
        found = (projection_config(NAME_CANARY.decode()),) if self.options.projection else ()
        return (*found, self.judge.projection(number, 1)) if self.options.events else found

    def atlas(self, number: int, disk: AimedDisk) -> Atlas:
        random = draws(self.seed, self._name("atlas", number))
        if self.options.nodes == 1:
            return Atlas(disk, self.options.limits, self.options.places.groups, random)
        groups = self.options.places.groups_of(number)
        return PeerAtlas(disk, self.options.limits, groups, random, harmed=number in self.options.harmed_nodes)

    def machine(self, number: int) -> tuple[Machine, Atlas]:
        """The machine with this node number, which hasn't started, and the atlas over its disk."""
        options, judge = self.options, self.judge
        name = host(number)
        disk = AimedDisk(name, draws(self.seed, self._name("disk", number)), self.counts, options.disk)
        skew_us, drift_ppm = self._clock(number)
        host_clock = HostClock(self.clock, self.counts, skew_us=skew_us, drift_ppm=drift_ppm)
        scratch = Scratch(name, draws(self.seed, self._name("scratch", number)), self.counts, host_clock.wall_us)
        atlas = self.atlas(number, disk)
        machine = Machine(
            number=number,
            name=name,
            config=self.config(number),
            clock=self.clock,
            disk=disk,
            scratch=scratch,
            network=self.network,
            host_clock=host_clock,
            entropy=draws(self.seed, self._name("entropy", number)),
            random=draws(self.seed, self._name("cluster", number)),
            trace=self.trace,
            counts=self.counts,
            observer=lambda: judge.observer(machine),
            on_start=atlas.on_start,
            on_end=lambda node: judge.on_end(machine, node),
            on_refused=lambda error: judge.on_refused(machine, error),
            on_broken=lambda error, text: judge.on_broken(machine, error, text),
        )

        async def root_keys() -> RootKeys:
            return machine.config.root_keys

        machine.config = evolve(machine.config, reload_keys=root_keys)
        disk.permit = atlas.permit
        disk.aim = atlas.aim
        disk.on_misdirected = lambda: judge.on_misdirected(machine)
        return machine, atlas

    def machines(self) -> Mapping[int, tuple[Machine, Atlas]]:
        """The founding members, then the spare ones."""
        return {number: self.machine(number) for number in range(self.options.nodes + self.options.spares)}

    def _name(self, purpose: str, number: int) -> str:
        """Machine 0 draws as the only machine of a run does."""
        return purpose if number == 0 else f"{purpose}/{number}"

    def _clock(self, number: int) -> tuple[int, int]:
        """Skew and drift. Alone, a clock may be wrong as it likes; among peers only within what they tolerate."""
        options = self.options
        if options.nodes == 1:
            return options.clock_skew_us, options.clock_drift_ppm
        random = draws(self.seed, f"clock/{number}")
        return random.randrange(-options.clock_error_us, options.clock_error_us + 1), random.choice(
            (0, 0, options.clock_drift_ppm)
        )
