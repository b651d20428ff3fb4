"""A run's parts, put together: world, cluster, clients, nemesis and checkers. Its phases are told in `sim.run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import trio

from sim.aimed_disk import AimedDisk
from sim.atlas import Atlas
from sim.canary import NAME_CANARY
from sim.checkers.contents import Contents, check_log_reads
from sim.checkers.leaks import FORMS, PLAIN, check_no_leak
from sim.checkers.linearizable import check_linearizable
from sim.checkers.projected import NAME, check_projection, projection_config
from sim.checkers.segments import check_segments
from sim.cluster import ADDRESS, NODE, Cluster
from sim.history import History
from sim.nemesis import Nemesis
from sim.options import Options
from sim.platter_view import PlatterView
from sim.readback import Readback
from sim.runner import virtual_clock
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.workload import Workload
from sim.world.clock import HostClock
from sim.world.entropy import SimEntropy, draws
from sim.world.fence import Fence
from sim.world.network import SimNetwork
from sim.world.scratch import Scratch
from vdb.crypto.root import RootKeys
from vdb.errors import DatabaseDamaged, VerityError, WrongKey
from vdb.kernel.command import KeyScope
from vdb.node.config import NodeConfig
from vdb.node.node import Node
from vdb.types import GLOBAL_GROUP, Region, TenantId

REGION = "eu-west-1"
GROUPS = (REGION, str(GLOBAL_GROUP))
READBACK_BOUND_SECONDS = 300.0


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
        disk = AimedDisk(NODE, draws(seed, "disk"), self.counts, options.disk)
        host_clock = HostClock(
            self.clock, self.counts, skew_us=options.clock_skew_us, drift_ppm=options.clock_drift_ppm
        )
        self.scratch = Scratch(NODE, draws(seed, "scratch"), self.counts, host_clock.wall_us)
        self.atlas = Atlas(disk, options.limits, GROUPS, draws(seed, "atlas"))
        disk.permit = self.atlas.permit
        disk.aim = self.atlas.aim
        disk.on_misdirected = self._on_misdirected
        self.platter = PlatterView(disk, self.atlas)
        self.cluster = Cluster(
            config=self._config(),
            clock=self.clock,
            disk=disk,
            scratch=self.scratch,
            network=SimNetwork(self.clock, draws(seed, "network"), self.counts, options.network),
            host_clock=host_clock,
            entropy=draws(seed, "entropy"),
            random=draws(seed, "cluster"),
            trace=self.trace,
            counts=self.counts,
            observer=lambda: self.watch,
            on_start=self.atlas.on_start,
            on_end=self._on_end,
            on_refused=self._on_refused,
            on_broken=self._on_broken,
        )
        self.watch = Watch(
            GROUPS, options.limits, self.verdict, self.trace, self.platter,
            who=lambda: self.cluster.who, is_alive=self.cluster.is_alive,
        )  # fmt: skip
        self.contents = {group: Contents(watch.ledger, self.verdict) for group, watch in self.watch.watches.items()}
        self.workload = Workload(
            options=options,
            region=REGION,
            random=draws(seed, "workload"),
            history=self.history,
            verdict=self.verdict,
            trace=self.trace,
            connector=self.connector,
            entropy=lambda number: SimEntropy(draws(seed, f"client {number}"), self.client_fence),
            now_ns=self.clock.now_ns,
        )
        self.nemesis = Nemesis(self.cluster, self.atlas, options, draws(seed, "nemesis"), self.trace, self.workload)

    def _config(self) -> NodeConfig:
        keys = draws(self._seed, "root keys")
        return NodeConfig(
            region=Region(REGION),
            root_keys=RootKeys(keys.randbytes(32), keys.randbytes(32)),
            name=NODE,
            address=ADDRESS,
            limits=self.options.limits,
            projections=(projection_config(NAME_CANARY.decode()),) if self.options.projection else (),
            scrub_period_s=self.options.scrub_period_s,
        )

    def connector(self, number: int):  # type: ignore[no-untyped-def]
        """How client `number` reaches the node."""
        port = self.cluster.network.port(f"c{number}", self.client_fence)
        return lambda: port.connect(ADDRESS)

    def close(self) -> None:
        """Remove the scratch folder."""
        self.scratch.close()

    # The phases ------------------------------------------------------------------------------------------------

    async def run(self, act: Callable[[], Awaitable[None]] | None = None) -> None:
        """All phases; ends early when an invariant broke or the node may not go on. A scenario acts in its own way."""
        self.trace.add("run", "options", repr(self.options))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_broken, nursery.cancel_scope)
            nursery.start_soon(self._end_when_over, nursery.cancel_scope)
            nursery.start_soon(self.cluster.run)
            await (act or self._work)()
            await self._read_back()
            await self.cluster.stop()
            await trio.sleep(0.01)
            self._check_history()
            nursery.cancel_scope.cancel()
        self.virtual_ns = self.clock.now_ns()
        self._check_leaks()

    async def _end_when_broken(self, scope: trio.CancelScope) -> None:
        await self.verdict.broken.wait()
        self.trace.add("run", "broken")
        scope.cancel()

    async def _end_when_over(self, scope: trio.CancelScope) -> None:
        await self._over.wait()
        self._check_history()
        scope.cancel()

    async def _work(self) -> None:
        """Safety, then liveness."""
        done = trio.Event()

        async def work() -> None:
            await self.workload.run()
            done.set()
            self.workload.tell()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            await self.nemesis.run()
            while self.workload.calls_left > 0 and not done.is_set():
                before = self.history.acknowledged
                with trio.move_on_after(self.options.heal_bound_us / 1e6):
                    await self.workload.wait_until(lambda: self.history.acknowledged > before + 20 or done.is_set())  # noqa: B023
                self._check_progress(done.is_set() or self.history.acknowledged > before)
            with trio.move_on_after(self.options.heal_bound_us / 1e6):
                await done.wait()
            self._check_progress(done.is_set())
        elapsed = self.clock.now_ns()
        self.idle = self.workload.idle_ns / max(1, elapsed)

    def _check_progress(self, progress: bool) -> None:
        self.verdict.check(
            "I36",
            progress,
            f"nothing is broken any more, and {self.workload.busy} requests have had no answer for "
            f"{self.options.heal_bound_us / 1e6:g} s",
        )

    async def _read_back(self) -> None:
        """Perhaps destroy something, perhaps cut the power; then a fresh client reads everything."""
        if self.options.beyond_repair:
            self.nemesis.destroy()
        elif self._random.random() < 0.7:
            self.cluster.crash()
        bound = trio.move_on_after(READBACK_BOUND_SECONDS)
        with bound:
            await self.cluster.wait_until_up()
            self._catch_up_contents()
            readback = Readback(
                self.verdict, self.contents, self.connector(99), draws(self._seed, "readback"), self.client_fence,
                forgiving=bool(self.atlas.beyond),
            )  # fmt: skip
            await readback.run([f"{tenant}" for tenant in range(1, self.options.tenants + 1)])
            if readback.refused:
                self.stopped = readback.refused
        self.verdict.check(
            "I36",
            not bound.cancelled_caught,
            f"the node hasn't answered the last reads for {READBACK_BOUND_SECONDS:g} s",
        )

    # Ends of lives ---------------------------------------------------------------------------------------------

    def _on_end(self, node: Node) -> None:
        self.watch.on_end()
        if self.verdict.broken.is_set():
            return
        for group, watch in self.watch.watches.items():
            if not self.atlas.beyond:
                check_segments(self.verdict, self.platter, watch.ledger, watch.promises.checkpoint_op)
            found = node.groups.get(group)  # type: ignore[call-overload]
            if found is not None:
                self.contents[group].catch_up(found.keyring)
        self._check_projections(node)
        self._check_leaks(PLAIN)

    def _on_misdirected(self) -> None:
        """Recovery has to see it before the next write mends it by chance."""
        self.cluster.crash_after(self._random.randrange(1, 6))

    def _catch_up_contents(self) -> None:
        assert self.cluster.node is not None
        for group, found in self.cluster.node.groups.items():
            self.contents[group].catch_up(found.keyring)

    def _check_projections(self, node: Node) -> None:
        home = node.groups.get(REGION)  # type: ignore[call-overload]
        if home is None:
            return
        for tenant in range(1, self.options.tenants + 1):
            path = f"projections/t_{tenant}/{NAME}.db"
            row = home.keyring.row(TenantId(tenant), KeyScope.PROJECTION, NAME)
            if row is not None and self.scratch.exists(path):
                logs = {group: contents.events.get(tenant, []) for group, contents in self.contents.items()}
                file, key = self.scratch.location(path), home.keyring.key(row.dek_id)
                try:
                    check_projection(self.verdict, file, key, path, logs)
                except (WrongKey, DatabaseDamaged):
                    self.verdict.check("projection", path in self.scratch.rotted, f"{path} is damaged")

    def _on_refused(self, error: VerityError) -> None:
        if self.verdict.check(
            "I40",
            bool(self.atlas.beyond),
            f"the node refused to go on though nothing was destroyed: {type(error).__name__}: {error}",
        ):
            self.stopped = f"{type(error).__name__}: {error}"
            self._over.set()

    def _on_broken(self, error: BaseException, text: str) -> None:
        kind = "assertion" if isinstance(error, AssertionError) else "error"
        self.verdict.fail(kind, f"{type(error).__name__}: {error}\n{text}")

    # At the end ------------------------------------------------------------------------------------------------

    def _check_history(self) -> None:
        for contents in self.contents.values():
            check_linearizable(self.verdict, self.history.of_group(contents.ledger.group), contents.entries())
            check_log_reads(self.verdict, self.history, contents)

    def _check_leaks(self, forms: tuple[bytes, ...] = FORMS) -> None:
        disk = self.cluster.disk
        check_no_leak(self.verdict, ((path, disk.content(path)) for path in disk.paths()), forms)
        check_no_leak(self.verdict, self.scratch.files().items(), forms)
