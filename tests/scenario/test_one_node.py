"""Readable scripts on the simulator, one node: what a crash, rot, a full disk or a lost answer must not do."""

from __future__ import annotations

import attrs
import pytest
import trio

from sim.checkers.projected import NAME, TABLE
from sim.history import Outcome
from sim.machine import BEFORE_RESTART_SECONDS
from sim.regions import REGION
from sim.scenario import CALM, Stage, run_scenario
from sim.simulation import Simulation
from sim.world.faults import DiskFaults
from vdb.types import is_audit_log

LOSES_EVERYTHING = DiskFaults(lose_unsynced=1.0, lose_names=1.0)
TEARS = DiskFaults(lose_unsynced=1.0, tear=1.0, tear_garbage=1.0)


def holds(simulation: Simulation) -> None:
    assert simulation.verdict.violation is None, simulation.verdict.violation
    assert simulation.verdict.checks["I5"] > 0


def test_a_calm_day() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        last = await stage.publish(30)
        assert last.outcome is Outcome.OK
        assert (await stage.read()).head == 30 + sum(len(call.parts[0].payloads) - 1 for call in _appends(stage))

    holds(run_scenario(script))


def _appends(stage: Stage) -> list[object]:
    return [call for call in stage.sim.history.calls if call.kind == "append"]


@pytest.mark.parametrize("calls", range(1, 16))
@pytest.mark.parametrize("disk", [LOSES_EVERYTHING, TEARS], ids=["loses", "tears"])
def test_crash_at_each_await_of_a_publish(calls: int, disk: DiskFaults) -> None:
    """Among them: between the prepare's write and its header's, and in the middle of the newest prepare."""

    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        stage.machine.crash_after(calls)
        after = await stage.publish(2)
        assert after.outcome is Outcome.OK, "the client sends it again, under its old number"

    simulation = run_scenario(script, disk=disk)
    holds(simulation)
    assert simulation.cluster.crashes >= 1


@pytest.mark.parametrize("calls", range(1, 120, 7))
def test_crash_at_awaits_of_a_recovery(calls: int) -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(11)
        stage.machine.crash_next_start_after(calls)
        stage.crash()
        await stage.publish(2)

    holds(run_scenario(script, disk=TEARS))


@pytest.mark.parametrize("copy", range(4))
def test_one_rotted_superblock_copy_is_repaired(copy: int) -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(10)
        stage.rot(f"groups/{REGION}/superblock", copy * 16 * 1024 + 100)
        stage.crash()
        await stage.up()
        content = stage.disk.stable_content(f"groups/{REGION}/superblock")
        copies = [content[start + 16 : start + 16 * 1024] for start in range(0, len(content), 16 * 1024)]
        assert copies == copies[:1] * 4

    holds(run_scenario(script))


def test_three_rotted_superblock_copies_are_refused() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        for copy in range(3):
            stage.rot(f"groups/{REGION}/superblock", copy * 16 * 1024 + 100, beyond_repair=True)
        stage.crash()
        await trio.sleep(60)

    simulation = run_scenario(script)
    assert simulation.verdict.ok
    assert simulation.stopped.startswith(f"DamagedData: groups/{REGION}/superblock")


def test_a_rotted_redundant_header_is_rewritten() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        path, offset = stage.wal_place(REGION, stage.head(), redundant=True)
        before = stage.disk.stable_content(path)[offset : offset + 256]
        stage.rot(path, offset + 40)
        stage.crash()
        await stage.up()
        assert stage.disk.stable_content(path)[offset : offset + 256] == before

    holds(run_scenario(script))


def test_a_rotted_prepare_that_was_acknowledged_is_refused_by_name() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(3)
        path, offset = stage.wal_place(REGION, stage.head() - 1, redundant=False)
        stage.rot(path, offset + 300, beyond_repair=True)
        stage.crash()
        await trio.sleep(60)

    simulation = run_scenario(script)
    assert simulation.verdict.ok
    assert simulation.stopped.startswith(f"DamagedData: groups/{REGION}/wal: op ")


def records(stage: Stage) -> list[int]:
    """Of each log of data; that it is read is told in an audit log."""
    logs = stage.sim.watch.watches[REGION].ledger.frames.items()
    return [len(frames) for log, frames in logs if not is_audit_log(log)]


def test_an_answer_that_was_lost_is_given_again_after_a_crash() -> None:
    """The second copy of a request arrives at the node's next life, and isn't executed."""

    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(2)
        stage.cluster.network.stall(stage.machine.name, "c0")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.publish)
            committed = stage.head()
            await stage.committed(committed + 1)
            stage.crash()
            await stage.up()
            stage.cluster.network.heal()
        assert stage.sim.history.calls[-1].outcome is Outcome.OK
        executed = records(stage)
        await stage.read()
        assert executed == records(stage)

    holds(run_scenario(script))


def test_a_full_disk_refuses_writes_and_reads_of_phi_which_nobody_can_write_down() -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(6)
        stage.disk.capacity = 0
        outcomes = [(await stage.publish()).outcome for _ in range(20)]
        assert (await stage.read()).outcome is Outcome.REFUSED
        stage.disk.capacity = None
        await trio.sleep(5)
        assert (await stage.read()).outcome is Outcome.OK
        assert (await stage.publish()).outcome is Outcome.OK
        assert outcomes[0] in (Outcome.OK, Outcome.REFUSED)

    holds(run_scenario(script))


@pytest.mark.parametrize("publishes", range(1, 10))
def test_after_a_failed_sync_only_what_is_on_the_medium_counts(publishes: int) -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(publishes)
        stage.disk.fail_next_sync()
        await stage.publish(2)
        stage.crash()
        await stage.publish()

    simulation = run_scenario(script, disk=LOSES_EVERYTHING)
    holds(simulation)
    assert simulation.counts["disk.fsync_failed"] == 1


@pytest.mark.parametrize("payload_size", [60, 100, 200])
def test_a_read_that_ends_inside_a_segment_doesnt_go_on_in_memory(payload_size: int) -> None:
    """The frames of a segment fill a read with their overhead counted, and leave room without it."""

    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(240)
        for _ in range(8):
            await stage.publish(1)
            assert (await stage.read()).outcome is Outcome.OK

    limits = {"segment_size": 256 * 1024, "read_bytes_max": 65536}
    holds(run_scenario(script, limits={**attrs.asdict(CALM["limits"]), **limits}))


async def _entities(stage: Stage) -> list[tuple[object, ...]]:
    """The projection's rows once it has read everything."""
    await stage.up()
    node = stage.machine.node
    assert node is not None
    assert await node.service.wait_for_projection(1, NAME, f"{REGION}:{node.groups[REGION].state.next_position}", 10**7)
    return list((await node.service.rows(1, NAME, TABLE, {}, ("id",), 1000)).rows)


@pytest.mark.parametrize("calls", [0, *range(1, 40, 7)])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999])
def test_a_rotted_projection_is_built_again_wherever_power_is_lost_meanwhile(place: float, calls: int) -> None:
    async def script(stage: Stage) -> None:
        await stage.create()
        await stage.publish(40)
        before = await _entities(stage)
        assert before
        stage.machine.crash_next_start_after(calls)
        stage.crash()
        await trio.sleep(BEFORE_RESTART_SECONDS)
        assert stage.machine.scratch.rot(f"projections/t_1/{NAME}.db", place)
        assert await _entities(stage) == before
        assert stage.machine.scratch.exists(f"projections/t_1/{NAME}.db.damaged")

    simulation = run_scenario(script)
    holds(simulation)
    assert simulation.verdict.checks["projection"] > 0
