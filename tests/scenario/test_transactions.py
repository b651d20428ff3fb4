"""Appends in several prepares, on the simulator: whole or not at all, wherever the node crashes."""

from __future__ import annotations

import pytest
import trio

from sim.history import Outcome
from sim.regions import REGION
from sim.scenario import Stage, run_scenario
from sim.simulation import Simulation
from sim.world.faults import DiskFaults

TEARS = DiskFaults(lose_unsynced=1.0, tear=1.0, tear_garbage=1.0)


def holds(simulation: Simulation) -> None:
    assert simulation.verdict.violation is None, simulation.verdict.violation
    assert simulation.verdict.checks["I5"] > 0
    assert simulation.verdict.checks["transactions"] > 0


@pytest.mark.parametrize("calls", range(1, 25))
def test_crash_at_awaits_of_a_transaction(calls: int) -> None:
    """Also while a checkpoint that holds some of the parts is written."""
    lengths: list[int] = []

    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        before = (await stage.read()).head
        stage.machine.crash_after(calls)
        call = await stage.publish_large()
        assert call.outcome is Outcome.OK, "the client sends it again, under its old number"
        assert call.parts[0].first_offset == before
        lengths.append((await stage.read()).head - before)

    simulation = run_scenario(script, disk=TEARS)
    holds(simulation)
    assert lengths == [32]
    assert simulation.cluster.crashes >= 1


def test_two_crashes_in_one_transaction_and_one_in_its_void() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.publish_large)
            for _ in range(2):
                await stage.committed(stage.head() + 1)
                stage.crash()
                stage.machine.crash_next_start_after(60)
                await stage.up()
        assert (await stage.read()).head == 32

    holds(run_scenario(script, disk=TEARS))


def test_a_transaction_across_a_checkpoint_survives_power_loss() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        for _ in range(9):
            await stage.publish_large()
            stage.crash()
            await stage.up()
        assert stage.sim.watch.watches[REGION].promises.checkpoint_op >= 16
        assert (await stage.read()).head == 9 * 32

    holds(run_scenario(script, disk=DiskFaults(lose_unsynced=1.0, lose_names=1.0)))


def test_what_is_above_the_largest_transaction_is_refused() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        refused = await stage.publish_large(40)
        assert refused.refusal.startswith("TooLarge: the append takes up to")
        await stage.publish_large()
        assert (await stage.read()).head == 32

    holds(run_scenario(script))
