"""A run's parts, put together: worlds, machines, clients, nemesis and checkers. Its phases are told in `sim.run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

import trio
from attrs import evolve

from sim.atlas import Atlas
from sim.build import Builder, Judge
from sim.checkers.abroad import Abroad
from sim.checkers.contents import Contents
from sim.checkers.convergence import unconverged
from sim.cluster import Cluster
from sim.cosigning.part import CosigningPart
from sim.erasing.part import ErasingPart
from sim.erasing.rows import RowsPart
from sim.events.part import EventsPart
from sim.events.projecting import census
from sim.governance.part import GovernancePart
from sim.history import History
from sim.judging import Judging
from sim.machine import Machine
from sim.nemesis import Nemesis
from sim.nemesis_members import Members
from sim.options import Options
from sim.platter_view import PlatterView
from sim.raw_client import Connector
from sim.readback import Readback
from sim.retaining.part import RetainingPart
from sim.rotating.part import RotatingPart
from sim.runner import virtual_clock
from sim.sql.deeds import Fate
from sim.sql.part import SqlPart
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.workload import Workload
from sim.world.entropy import SimEntropy, draws
from sim.world.fence import Fence
from sim.world.network import SimNetwork
from vdb.crypto.keyring import Keyring
from vdb.errors import VerityError
from vdb.projections.config import ProjectionConfig
from vdb.projections.effects import Batch
from vdb.types import GroupId

READBACK_BOUND_SECONDS = 300.0
CONVERGENCE_STEP_SECONDS = 0.05


class Simulation:
    """Made inside a run (it needs the run's clock); `run` does it, `close` removes what it left outside."""

    def __init__(self, seed: int, options: Options, trace_lines: list[str] | None = None) -> None:
        self.options = options
        self.clock = virtual_clock()
        self.counts: Counter[str] = Counter()
        self.verdict = Verdict()
        self.history = History()
        self.trace = Trace(self.clock.now_ns)
        self.trace.everything = trace_lines
        self.stopped = ""
        self.idle = 0.0
        self.virtual_ns = 0
        self._random = draws(seed, "run")
        self._seed = seed
        self._over = trio.Event()
        self.client_fence = Fence("clients", self.clock)
        network = SimNetwork(self.clock, draws(seed, "network"), self.counts, options.network)
        builder = Builder(
            seed=seed, options=options, clock=self.clock, network=network, trace=self.trace, counts=self.counts,
            judge=Judge(
                observer=lambda machine: self.watch.observer(machine),  # noqa: PLW0108 - made below
                on_end=lambda machine, _node: self.judging.on_end(machine),
                on_refused=self._on_refused,
                on_broken=self._on_broken,
                on_misdirected=self._on_misdirected,
                projection=self._projection,
            ),
        )  # fmt: skip
        places = options.places
        made = builder.machines()
        self.atlases: Mapping[int, Atlas] = {number: atlas for number, (_, atlas) in made.items()}
        machines = {number: machine for number, (machine, _) in made.items()}
        self.cluster = Cluster(network=network, machines=machines)
        platters = {number: PlatterView(machine.disk, self.atlases[number]) for number, machine in machines.items()}
        self.watch = Watch(
            places.groups, options.limits, self.verdict, self.trace, platters, machines, places,
        )  # fmt: skip
        self.contents = {
            group: Contents(
                watch.ledger,
                self.verdict,
                Keyring(group=GroupId(group), root=builder.ring(group)),
            )
            for group, watch in self.watch.watches.items()
        }
        self.judging = Judging(
            verdict=self.verdict, watch=self.watch, contents=self.contents, atlases=self.atlases, machines=machines,
            history=self.history, tenants=options.tenants, abroad=self._look_abroad(),
        )  # fmt: skip
        self.workload = Workload(
            options=options,
            regions=places.names,
            random=draws(seed, "workload"),
            history=self.history,
            verdict=self.verdict,
            trace=self.trace,
            connectors=self.connectors,
            learn=self.connector,
            entropy=lambda number: SimEntropy(draws(seed, f"client {number}"), self.client_fence),
            now_ns=self.clock.now_ns,
        )
        self.sql = SqlPart(
            seed=seed, options=options, cluster=self.cluster, verdict=self.verdict, trace=self.trace,
            contents=self.contents, home=places.names[0], tell=self.workload.tell,
        )  # fmt: skip
        self.events = EventsPart(
            seed=seed, options=options, cluster=self.cluster, verdict=self.verdict, trace=self.trace,
            contents=self.contents, home=places.names[0], connectors=self.connectors, learn=self.connector,
            entropy=self.workload.entropy, tell=self.workload.tell, projection=self._projection,
        )  # fmt: skip
        self.governance = GovernancePart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, now_ns=self.clock.now_ns, connectors=self.connectors, learn=self.connector,
            entropy=self.workload.entropy, tell=self.workload.tell,
        )  # fmt: skip
        self.erasing = ErasingPart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, connectors=self.connectors, learn=self.connector, entropy=self.workload.entropy,
            tell=self.workload.tell, platters=platters,
        )  # fmt: skip
        self.retaining = RetainingPart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, connectors=self.connectors, learn=self.connector, entropy=self.workload.entropy,
            tell=self.workload.tell, platters=platters,
        )  # fmt: skip
        self.rows = RowsPart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, contents=self.contents, connectors=self.connectors, learn=self.connector,
            entropy=self.workload.entropy, tell=self.workload.tell, platters=platters,
        )  # fmt: skip
        self.rotating = RotatingPart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, keys=builder.root_keys,
            connectors=self.connectors, learn=self.connector, entropy=self.workload.entropy, tell=self.workload.tell,
        )  # fmt: skip
        self.cosigning = CosigningPart(
            seed=seed, options=options, cluster=self.cluster, watch=self.watch, verdict=self.verdict,
            trace=self.trace, port=network.port("forger", self.client_fence),
        )  # fmt: skip
        for machine in machines.values():
            machine.config = evolve(machine.config, cosigning=self.cosigning.settings)
        if options.rotating:
            self.workload.beside.append(lambda: self.rotating.progress)
        if options.erasing:
            self.workload.beside.append(lambda: self.erasing.progress)
            self.workload.beside.append(lambda: self.rows.progress)
        if options.governance:
            self.workload.beside.append(lambda: self.governance.load.progress)
        if options.sql:
            self.workload.beside.append(lambda: self.sql.load.progress)
        if options.events:
            self.workload.beside.append(lambda: self.events.load.progress)
        network.named = options.governance
        self.judging.on_others_end = (self.sql.on_end, self.events.on_end, self.rows.on_end)
        self.members = Members(
            self.cluster, options, draws(seed, "members"), self.trace, self.watch, self.connectors, self.connector,
            self.workload.entropy,
        )  # fmt: skip
        self.nemesis = Nemesis(
            self.cluster, self.atlases, options, draws(seed, "nemesis"), self.trace, self.workload, self.watch,
            self.members,
        )  # fmt: skip
        for number in range(options.nodes, len(machines)):
            machines[number].hold()

    def _look_abroad(self) -> Abroad | None:
        """Where there are several regions: what leaves one, and how far they are from each other."""
        places, network = self.options.places, self.cluster.network
        if len(places.names) == 1:
            return None
        abroad = Abroad(self.verdict, {one.name: places.of(one.number) for one in self.cluster}, places.names)
        network.tap(abroad.on_sent)
        network.wan_us = self.options.wan_us
        network.regions = {**abroad.places, **{f"c{number}": places.of(number) for number in range(100)}}
        return abroad

    def _projection(self, number: int, version: int) -> ProjectionConfig:
        """Of typed streams, as the machine of this number is given it."""
        options = self.options

        async def effect(batch: Batch) -> None:
            await self.events.effects.on_effect(number, batch)

        return census(version, options, effect if options.events_effects else None)

    def connectors(self, number: int) -> dict[str, Connector]:
        """How client `number` reaches each of the founding nodes, by address."""
        return {address: self.connector(number, address) for address in self.cluster.addresses[: self.options.nodes]}

    def connector(self, number: int, address: str) -> Connector:
        """How client `number` reaches an address."""
        port = self.cluster.network.port(f"c{number}", self.client_fence)
        return lambda: port.connect(address)

    def close(self) -> None:
        """Remove the scratch folders."""
        self.cluster.for_all(lambda machine: machine.scratch.close())
        self.rows.close()
        self.sql.close()
        self.cosigning.close()

    # The phases ------------------------------------------------------------------------------------------------

    async def run(self, act: Callable[[], Awaitable[None]] | None = None) -> None:
        """All phases; ends early when an invariant broke or the node may not go on. A scenario acts in its own way."""
        self.trace.add("run", "options", repr(self.options))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_broken, nursery.cancel_scope)
            nursery.start_soon(self._end_when_over, nursery.cancel_scope)
            nursery.start_soon(self.cluster.run)
            nursery.start_soon(self.cosigning.run)
            try:
                await (act or self._work)()
                await self._read_back()
                await self.cluster.stop()
                await trio.sleep(0.01)
                self.judging.check_history()
                self.sql.check_history()
                self.events.check_history()
                self.governance.check_history()
                self.erasing.check_history()
                self.rows.check_history()
                self.rotating.check_history()
                self.cosigning.check_history()
                self.retaining.check_history()
            finally:
                self.cluster.for_all(lambda machine: machine.tasks.resume())
            nursery.cancel_scope.cancel()
        self.virtual_ns = self.clock.now_ns()
        self.judging.check_leaks()

    async def _end_when_broken(self, scope: trio.CancelScope) -> None:
        await self.verdict.broken.wait()
        self.trace.add("run", "broken")
        scope.cancel()

    async def _end_when_over(self, scope: trio.CancelScope) -> None:
        await self._over.wait()
        self.judging.check_history()
        self.sql.check_history()
        self.events.check_history()
        self.governance.check_history()
        self.rotating.check_history()
        self.cosigning.check_history()
        scope.cancel()

    async def _work(self) -> None:
        """Safety, then liveness of a core, then of all."""
        done = trio.Event()

        async def work() -> None:
            async with trio.open_nursery() as both:
                both.start_soon(self.workload.run)
                both.start_soon(self.sql.run)
                both.start_soon(self.events.run)
                both.start_soon(self.governance.run)
                both.start_soon(self.erasing.run)
                both.start_soon(self.rows.run)
                both.start_soon(self.retaining.run)
                both.start_soon(self.rotating.run)
            done.set()
            self.workload.tell()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            if self.options.nodes > 1:
                nursery.start_soon(self.members.run)
            await self.nemesis.run()
            while self._left > 0 and not done.is_set():
                before = self._answered
                with trio.move_on_after(self.options.heal_bound_us / 1e6):
                    await self.workload.wait_until(lambda: self._answered > before + 20 or done.is_set())  # noqa: B023
                self._check_progress(done.is_set() or self._answered > before)
            with trio.move_on_after(self.options.heal_bound_us / 1e6):
                await done.wait()
            self._check_progress(done.is_set())
            elapsed = self.clock.now_ns()
            self.idle = self.workload.idle_ns / max(1, elapsed)
            self.nemesis.heal()
            self.cosigning.heal()
            with trio.move_on_after(self.options.heal_bound_us / 1e6) as bound:
                await self.events.drain()
            self.verdict.check(
                "I36", not bound.cancelled_caught, f"consumers that don't end: {self.events.undrained()}"
            )
            with trio.move_on_after(self.options.heal_bound_us / 1e6) as bound:
                await self.rotating.finish()
            self.verdict.check("I36", not bound.cancelled_caught, "K5: somebody still needs an old root key")
            await self._converge()
            await self.cosigning.forge()
            nursery.cancel_scope.cancel()

    @property
    def _answered(self) -> int:
        others = self.events.load.deeds.answered + self.governance.load.answered + self.erasing.answered
        others += self.rotating.answered + self.retaining.answered + self.rows.answered
        return self.history.acknowledged + self.sql.load.deeds.count(Fate.DONE) + others

    @property
    def _left(self) -> int:
        beside = self.governance.load.left + self.erasing.left + self.rotating.left + self.retaining.left
        beside += self.rows.left
        return self.workload.calls_left + self.sql.load.left + self.events.load.left + beside

    def _check_progress(self, progress: bool) -> None:
        self.verdict.check(
            "I36",
            progress,
            f"nothing is broken any more, and {self.workload.busy} requests have had no answer for "
            f"{self.options.heal_bound_us / 1e6:g} s",
        )

    async def _converge(self) -> None:
        """With nothing to do and nothing broken all replicas come to the same place."""
        lack = ""
        for _ in range(int(self.options.heal_bound_us / 1e6 / CONVERGENCE_STEP_SECONDS)):
            busy = self.members.waits_for
            lack = f"the operator still tries to {busy}" if busy else unconverged(self.watch, self.cluster)
            lack = lack or self.rows.lag()
            lack = lack or self.sql.lag() or self.events.lag() or self.governance.lag() or self.erasing.lag()
            lack = lack or self.rotating.lag() or self.retaining.lag() or self.cosigning.lag()
            lack = lack or self.nemesis.file_rot.lag()
            if not lack:
                break
            await trio.sleep(CONVERGENCE_STEP_SECONDS)
        self.verdict.check("I38", not lack, f"an idle cluster doesn't converge: {lack}")

    async def _read_back(self) -> None:
        """Perhaps destroy something, perhaps cut the power; then a fresh client reads everything."""
        if self.options.beyond_repair:
            self.nemesis.destroy()
        elif self._random.random() < 0.7 or self.options.rotating:
            self.cluster.for_all(Machine.crash)
        bound = trio.move_on_after(READBACK_BOUND_SECONDS)
        with bound:
            await self.cluster.wait_until_up()
            self.judging.catch_up()
            readback = Readback(
                self.verdict, self.contents, self.connectors(99), draws(self._seed, "readback"), self.client_fence,
                learn=lambda address: self.connector(99, address), forgiving=bool(self.judging.beyond),
            )  # fmt: skip
            await readback.run([f"{tenant}" for tenant in range(1, self.options.tenants + 1)])
            if readback.refused:
                self.stopped = readback.refused
            await self.sql.read_back(forgiving=bool(self.judging.beyond))
            await self.events.read_back(forgiving=bool(self.judging.beyond))
            await self.rows.read_back(forgiving=bool(self.judging.beyond))
        if bound.cancelled_caught and self.judging.beyond:
            self.stopped = self.stopped or "nobody answers"
            return
        self.verdict.check(
            "I36",
            not bound.cancelled_caught,
            f"the last reads haven't been answered for {READBACK_BOUND_SECONDS:g} s",
        )

    # What machines report ----------------------------------------------------------------------------------------

    def _on_misdirected(self, machine: Machine) -> None:
        """Recovery has to see it before the next write mends it by chance."""
        machine.crash_after(self._random.randrange(1, 6))

    def _on_refused(self, machine: Machine, error: VerityError) -> None:
        if self.rotating.forgives(machine, error):
            return
        if self.verdict.check(
            "I40",
            bool(self.judging.beyond),
            f"{machine.name} refused to go on though nothing was destroyed: {type(error).__name__}: {error}",
        ):
            self.stopped = f"{type(error).__name__}: {error}"
            if len(self.cluster) == 1:
                self._over.set()

    def _on_broken(self, _machine: Machine, error: BaseException, text: str) -> None:
        kind = "assertion" if isinstance(error, AssertionError) else "error"
        self.verdict.fail(kind, f"{type(error).__name__}: {error}\n{text}")
