"""Readable scripts on the simulator, three nodes: what the loss of one of them, or of its links, must not do."""

from __future__ import annotations

import trio

from sim.history import Outcome
from sim.machine import Machine
from sim.nemesis_members import Job
from sim.regions import REGION
from sim.scenario import Stage, run_scenario
from sim.simulation import Simulation


def holds(simulation: Simulation) -> None:
    assert simulation.verdict.violation is None, simulation.verdict.violation
    assert simulation.verdict.checks["I5"] > 0


def primary(stage: Stage) -> Machine:
    """The machine whose node leads the region's group."""
    for machine in stage.cluster:
        node = machine.node
        if machine.is_up and node is not None and node.groups[REGION].replica.is_serving_primary:  # type: ignore[index]
            return machine
    raise AssertionError("nobody is primary")


def test_a_dead_primary_is_replaced_and_comes_back() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        first = primary(stage)
        first.hold()
        assert (await stage.publish(3)).outcome is Outcome.OK
        assert primary(stage) is not first
        first.release()
        await stage.up()
        assert (await stage.publish(3)).outcome is Outcome.OK

    holds(run_scenario(script, nodes=3, projection=False))


def test_a_primary_that_its_peers_do_not_hear_serves_no_stale_read() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(2)
        deaf = primary(stage)
        for other in stage.cluster:
            if other is not deaf:
                stage.cluster.network.drop(deaf.name, other.name)
                stage.cluster.network.drop(other.name, deaf.name)
        assert (await stage.publish(2)).outcome is Outcome.OK
        assert (await stage.read()).outcome is Outcome.OK
        assert primary(stage) is not None

    holds(run_scenario(script, nodes=3, projection=False))


def test_a_paused_machine_wakes_up_in_another_view_and_follows() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(2)
        asleep = primary(stage)
        asleep.pause()
        assert (await stage.publish(3)).outcome is Outcome.OK
        asleep.resume()
        await trio.sleep(1.0)
        assert (await stage.publish(2)).outcome is Outcome.OK

    simulation = run_scenario(script, nodes=3, projection=False)
    holds(simulation)
    assert simulation.counts["node.pause"] == 1


def test_all_power_fails_at_once() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(11)
        stage.cluster.for_all(Machine.crash)
        await stage.up()
        assert (await stage.publish(1)).outcome is Outcome.OK

    holds(run_scenario(script, nodes=3, projection=False))


def test_a_primary_that_a_checkpoint_told_of_a_member_takes_it_in() -> None:
    async def script(stage: Stage) -> None:
        members = stage.sim.members
        added = stage.cluster.machines[3]

        async def operate(job: Job) -> None:
            members.order("add n3", job)
            with trio.fail_after(30):
                while not members.idle:  # noqa: ASYNC110
                    await trio.sleep(0.1)

        await stage.create()
        away = stage.cluster.machines[(primary(stage).number + 1) % 3]
        away.hold()
        added.release()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(members.run)
            await operate(members.addition(REGION, added))
            await stage.publish(40)
            away.release()
            await stage.up()
            while primary(stage) is not away:
                await trio.sleep(1.0)
                primary(stage).crash()
                assert (await stage.publish(2)).outcome is Outcome.OK
                await stage.up()
            await operate(members.promotion(REGION, added.number))
            nursery.cancel_scope.cancel()

    holds(run_scenario(script, nodes=3, spares=1, projection=False))


def test_the_same_run_twice_has_the_same_digest() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        primary(stage).crash()
        await stage.publish(3)

    digests = [run_scenario(script, nodes=3, projection=False).trace.digest() for _ in range(2)]
    assert digests[0] == digests[1]
