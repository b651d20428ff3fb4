"""Scenarios: short scripts on the simulator that runs seeds, with its checkers, and no chance but what they ask for.

    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish()
        stage.crash()
        await stage.up()

    assert run_scenario(script).verdict.ok

At the end of each script a fresh client reads everything back and the whole history is checked, as in any run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any

import trio

from sim.drawing import WORK_KINDS
from sim.history import Call, StreamKey
from sim.options import Options
from sim.regions import REGION
from sim.runner import run
from sim.simulation import Simulation
from sim.workload import Actor
from sim.world.entropy import SimEntropy, draws
from sim.world.faults import DiskFaults, NetworkFaults
from vdb.client.client import Client
from vdb.kernel.command import Expected
from vdb.limits import Limits

CALM: Mapping[str, Any] = {
    "nodes": 1, "spares": 0,
    "limits": Limits(
        message_size_max=16 * 1024, wal_slots=16, pipeline_max=2, requests_per_prepare_max=8, request_queue_max=64,
        checkpoint_interval=8, sessions_max=8, segment_size=4096, read_bytes_max=8192, open_files_max=8,
    ),
    "tenants": 1, "clients": 1, "session_clients": 1, "requests": 0, "in_flight": 1, "streams": 1, "payload_size": 60,
    "events_per_run": 1, "think_us": 0, "mix": dict.fromkeys(WORK_KINDS, 1), "disturbances": (),
    "beyond_repair": False, "projection": True, "disk": DiskFaults(), "network": NetworkFaults(),
    "clock_skew_us": 0, "clock_drift_ppm": 0, "scrub_period_s": 86_400.0, "sql": False, "events": False,
    "regions": 1, "governance": False, "erasing": False, "rotating": False,
}  # fmt: skip


class Stage:
    """What a script may do. `sim` has the rest: network, atlases, cluster, verdict."""

    def __init__(self, sim: Simulation, client: Client) -> None:
        self.sim = sim
        self.cluster = sim.cluster
        self.machine = sim.cluster.machines[0]
        """The first one; alone, the only one."""
        self.disk = self.machine.disk
        self._actor = Actor(sim.workload, 0, client._rpc, Random(1))

    @property
    def stream(self) -> StreamKey:
        """The newest stream."""
        return self.sim.workload.known.streams[-1]

    async def create(self) -> StreamKey:
        """Make one more stream."""
        await self._actor._create(1)
        return self.stream

    async def publish(self, count: int = 1) -> Call:
        """Append to the newest stream so many times, one after the other; the last call with its outcome."""
        for _ in range(count):
            await self._actor._publish(self.stream, Expected())
        return self.sim.history.calls[-1]

    async def publish_large(self, events: int = 32) -> Call:
        """Append so many events of 900 bytes to the newest stream at once: with calm limits 32 take three prepares."""
        await self._actor._append_events(self.stream, events, 900)
        return self.sim.history.calls[-1]

    async def read(self) -> Call:
        """Read the newest stream from its start."""
        await self._actor._read_page(self.stream, 0.0, 0, 1000)
        return self.sim.history.calls[-1]

    def crash(self) -> None:
        """Cut the power of the first machine."""
        self.machine.crash()

    async def up(self) -> None:
        """Wait until all nodes serve; at most a minute."""
        with trio.fail_after(60):
            await self.cluster.wait_until_up()

    def wal_place(self, group: str, op: int, *, redundant: bool) -> tuple[str, int]:
        """Where an op's redundant header, or its prepare, starts in the group's WAL."""
        limits = self.sim.options.limits
        slot = op % limits.wal_slots
        path = f"groups/{group}/wal"
        return path, slot * 256 if redundant else limits.wal_headers_size + slot * limits.message_size_max

    def head(self, group: str = REGION) -> int:
        """The highest op ever committed."""
        return self.sim.watch.watches[group].ledger.head

    async def committed(self, op: int, group: str = REGION) -> None:
        """Wait until the op is committed, whether or not anybody has been told."""
        for _ in range(60_000):
            if self.head(group) >= op:
                return
            await trio.sleep(0.001)
        raise AssertionError(f"op {op} of {group} isn't committed after a minute")

    def rot(self, path: str, offset: int, *, beyond_repair: bool = False) -> None:
        """Flip a bit at rest."""
        if beyond_repair:
            self.sim.atlases[0].beyond = path
        self.sim.atlases[0].note_rot(path, offset)
        self.disk.rot(path, offset)


Script = Callable[[Stage], Awaitable[None]]


def run_scenario(script: Script, *, seed: int = 1, **overrides: Any) -> Simulation:
    """Run a script on a calm world; what it found is in the simulation's `verdict`, `stopped` and `counts`."""
    options = Options.draw(seed).override({**CALM, **overrides})
    found: list[Simulation] = []

    async def main() -> None:
        simulation = Simulation(seed, options)
        found.append(simulation)

        async def act() -> None:
            client = Client(
                simulation.connectors(0),
                entropy=SimEntropy(draws(seed, "client 0"), simulation.client_fence),
                retry_for=60.0,
                connect_for=60.0,
            )
            async with client:
                await script(Stage(simulation, client))
            simulation.nemesis.heal()

        await simulation.run(act)

    try:
        run(seed, main, budget_s=3600.0)
    finally:
        for simulation in found:
            simulation.close()
    return found[0]
