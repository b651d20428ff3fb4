"""Readable scripts on the simulator: erasures while members come and go."""

from __future__ import annotations

from collections.abc import Callable

import trio

from sim.erasing.part import STREAM, TENANT
from sim.machine import Machine
from sim.regions import REGION
from sim.scenario import Stage, run_scenario
from sim.world.entropy import SimEntropy, draws
from vdb.client.client import Client
from vdb.kernel.erasure import erasures_of, pending_nodes

OFFICER = 77
"""The client's number."""


async def until(reached: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not reached():  # noqa: ASYNC110
            await trio.sleep(0.05)


def pending(machine: Machine) -> tuple[int, ...]:
    """Whom the only erasure waits for, as this machine knows it."""
    state = machine.node.groups[REGION].state
    (found,) = erasures_of(state, TENANT)
    return () if found.completed else pending_nodes(state, found)


def test_who_is_no_member_any_more_goes_on_waiting_for_an_erasure_and_nobody_minds() -> None:
    left_behind: list[tuple[int, ...]] = []

    async def script(stage: Stage) -> None:
        sim, members = stage.sim, stage.sim.members
        entropy = SimEntropy(draws(1, "officer"), sim.client_fence)
        async with Client(sim.connectors(OFFICER), entropy=entropy, tenant=TENANT, retry_for=60.0) as client:
            await client.create_stream(STREAM, "phi", REGION, if_not_exists=True)
            await client.publish(STREAM, b"alice's secret", subject="alice")
            (leads,) = (machine for machine in stage.cluster if machine.node.groups[REGION].is_serving)
            leaves, away, _ = (machine for machine in stage.cluster if machine is not leads)
            away.hold()
            await client.erase("alice", "asked for", group=REGION)
            await until(lambda: pending(leads) == (away.number,))
            await until(lambda: away.number in pending(leaves))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(members.run)
                members.order("let one go", members.removal(REGION, leaves.number))
                await until(lambda: members.idle)
                nursery.cancel_scope.cancel()
            away.release()
            await stage.up()
            await until(lambda: not pending(leads))
        left_behind.append(pending(leaves))

    simulation = run_scenario(script, nodes=4, projection=False, erasing=True, erasing_deeds=0)
    assert simulation.verdict.violation is None, simulation.verdict.violation
    assert left_behind[0]
