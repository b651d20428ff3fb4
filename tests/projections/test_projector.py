"""One projection over its generations: what readers see while rows are built, checked, switched and taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import evolve

from vdb.errors import InvalidArgument, NodeStopped, ProjectionFailed
from vdb.projections.config import ProjectionConfig
from vdb.projections.handler import Handlers
from vdb.projections.opening import Means
from vdb.projections.projector import Projector
from vdb.projections.tables import Column, ColumnType, Table
from vdb.types import GroupId, TenantId
from vdb.world.disk import RealDisk

LOCAL = GroupId("eu-west-1")
TENANT = TenantId(1)
KEY = bytes(range(32))
COUNTS = Table(name="counts", columns=(Column("stream"), Column("count", ColumnType.INTEGER)), key=("stream",))
BAD = b"bad"


def counting(step: int, *, fails: bool = False) -> Callable[[Any, Any, Any], None]:
    def count(db: Any, event: Any, context: Any) -> None:
        if fails and event.body == BAD:
            raise ValueError("bad")
        db.execute(
            'INSERT INTO counts VALUES (?, ?) ON CONFLICT (stream) DO UPDATE SET "count" = "count" + excluded."count"',
            (context.stream, step),
        )

    return count


def version(number: int, *, step: int | None = None, fails: bool = False, **more: Any) -> ProjectionConfig:
    """Counts each event `step` times, which is the version unless it is given."""
    template = Handlers(tables=(COUNTS,), handlers={"e": counting(step or number, fails=fails)})
    return ProjectionConfig(name="counter", version=number, streams=["a"], template=template, **more)


Start = Callable[..., AbstractAsyncContextManager[Projector]]


class Told:
    """What the projection told its node."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.fields: list[dict[str, object]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.events.append(event)
        self.fields.append(fields)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def start(log: Any, tmp_path: Path, told: Told) -> Start:
    @asynccontextmanager
    async def start(*versions: ProjectionConfig, **more: Any) -> AsyncIterator[Projector]:
        disk = RealDisk(tmp_path)

        async def key_for(tenant: TenantId, name: str) -> bytes:
            return KEY

        means = Means(disk=disk, key_for=key_for, source_for=lambda config: log, inform=told, warn=told)
        projector = Projector(TENANT, versions, evolve(means, **more))
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(projector.run)
                yield projector
                nursery.cancel_scope.cancel()
        await disk.close()

    return start


@pytest.fixture
def publish(log: Any, envelope: Any) -> Callable[..., int]:
    return lambda count, body=b"1": log.publish("a", [envelope("e", body)] * count)


async def counted(projector: Projector, position: int) -> tuple[int, int]:
    """The generation in use, and what it counted, once it holds all before the position."""
    await projector.wait_for({LOCAL: position})
    found = await projector.rows("counts")
    return projector.status().generation, found.rows[0][1]


async def until(reached: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not reached():  # noqa: ASYNC110 - the status has no event
            await trio.sleep(0.005)


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "projections/t_1").iterdir() if path.suffix == ".db")


async def test_a_rebuild_takes_the_place_of_the_rows_in_use(start: Start, publish: Any, tmp_path: Path) -> None:
    end = publish(7)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 7)
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().generation == 2)
        assert await counted(projector, end) == (2, 7)
        end = publish(1)
        assert await counted(projector, end) == (2, 8)
        status = projector.status()
        assert (status.previous, status.building, status.condition) == (1, None, "following")
        assert files(tmp_path) == ["counter.2.db", "counter.db"]
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().generation == 3)
        await until(lambda: files(tmp_path) == ["counter.2.db", "counter.3.db"])
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (3, 8)


async def test_both_versions_run_until_the_switch(start: Start, publish: Any) -> None:
    end = publish(5)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 5)
    async with start(version(1), version(2, check="SELECT 1 FROM counts")) as projector:
        await until(lambda: projector.status().building.state == "failed")
        end = publish(5)
        assert await counted(projector, end) == (1, 10)
        building = projector.status().building
        assert (building.generation, building.version) == (2, 2)
        assert building.error == "its check query gives 1 rows: expected none"
        with pytest.raises(InvalidArgument, match="what was built can't be used: its check query gives 1 rows"):
            await projector.switch()
        assert await counted(projector, end) == (1, 10)
    async with start(version(1), version(2)) as projector:
        await until(lambda: projector.status().generation == 2)
        assert await counted(projector, end) == (2, 20)


async def test_without_the_old_handlers_the_old_rows_stay_as_they_are(start: Start, publish: Any) -> None:
    end = publish(5)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 5)
    new_end = publish(5)
    async with start(version(2, check="SELECT 1 FROM counts")) as projector:
        await until(lambda: projector.status().building.state == "failed")
        assert (await projector.rows("counts", {"stream": "a"})).rows == [("a", 5)]
        status = projector.status()
        assert (status.condition, status.rows.lag, status.rows.version) == ("stopped", 5, 1)
        assert status.rows.error.endswith("this node has no handlers of its version 1")
        with trio.move_on_after(0.05) as waiting:
            await projector.wait_for({LOCAL: new_end})
        assert waiting.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(projector.wait_for, {LOCAL: new_end})
            await projector.rebuild(hold=False)
            await until(lambda: projector.status().building.state == "failed")
            nursery.cancel_scope.cancel()
    async with start(version(2)) as projector:
        assert await counted(projector, new_end) == (3, 20)


async def test_nobody_sees_rows_that_are_half_built(start: Start, publish: Any) -> None:
    seen: list[int] = []
    end = publish(2000)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 2000)
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                while True:
                    found = await projector.rows("counts")
                    seen.append(found.rows[0][1])
                    assert found.rows[0][1] == found.positions[LOCAL]

            async def write() -> None:
                while True:
                    publish(5)
                    await trio.sleep(0.005)

            nursery.start_soon(read)
            nursery.start_soon(write)
            for generation in (2, 3):
                await projector.rebuild(hold=False)
                await until(lambda generation=generation: projector.status().generation == generation)
            await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    assert seen == sorted(seen)
    assert len(seen) >= 3


async def test_it_waits_for_the_command_and_goes_back(start: Start, publish: Any, told: Told) -> None:
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
        with pytest.raises(InvalidArgument, match="nothing is built beside the rows in use"):
            await projector.switch()
        with pytest.raises(InvalidArgument, match="no rows are kept that were in use before"):
            await projector.switch_back()
    async with start(version(1), version(2)) as projector:
        await until(lambda: projector.status().generation == 2)
        await projector.rebuild(hold=True)
        await until(lambda: projector.status().building.state == "ready")
        end = publish(1)
        assert await counted(projector, end) == (2, 10)
        assert await projector.switch() == 3
        assert await counted(projector, end) == (3, 10)
        assert await projector.switch_back() == 2
        assert await counted(projector, end) == (2, 10)
        assert await projector.switch_back() == 3
    async with start(version(1), version(2)) as projector:
        assert projector.status().previous == 2
    assert [event for event in told.events if event.startswith("projection.switched")] == [
        "projection.switched",
        "projection.switched",
        "projection.switched_back",
        "projection.switched_back",
    ]


async def test_a_version_that_was_left_is_not_built_again_by_itself(start: Start, publish: Any) -> None:
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
    async with start(version(1), version(2)) as projector:
        await until(lambda: projector.status().generation == 2)
        assert await projector.switch_back() == 1
        end = publish(1)
        assert await counted(projector, end) == (1, 5)
    async with start(version(1), version(2)) as projector:
        assert await counted(projector, end) == (1, 5)
        assert projector.status().building is None
    async with start(version(1), version(3)) as projector:
        await until(lambda: projector.status().generation == 3)
        assert await counted(projector, end) == (3, 15)


async def test_a_rebuild_goes_on_where_it_was_stopped(
    start: Start, publish: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = publish(1)
    for _ in range(5):
        end = publish(1000)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 5001)
        read_log, reads = log.read_log, []

        async def slow(tenant: TenantId, group: GroupId, from_position: int, max_events: int) -> Any:
            reads.append(from_position)
            if from_position >= 2000:
                await trio.sleep(5)
            return await read_log(tenant, group, from_position, max_events)

        monkeypatch.setattr(log, "read_log", slow)
        await projector.rebuild(hold=False)
        await until(lambda: 2001 in reads)
        building = projector.status().building
        assert (building.state, building.progress.done, building.progress.total) == ("building", 2001, 5001)
        with pytest.raises(InvalidArgument, match="is still being built: 2001 of 5001 positions read"):
            await projector.switch()
        with pytest.raises(InvalidArgument, match="there is nothing to compare yet"):
            await projector.diff(5)
    reads.clear()

    async def counting_reads(tenant: TenantId, group: GroupId, from_position: int, max_events: int) -> Any:
        reads.append(from_position)
        return await read_log(tenant, group, from_position, max_events)

    monkeypatch.setattr(log, "read_log", counting_reads)
    async with start(version(1)) as projector:
        await until(lambda: projector.status().generation == 2)
        assert await counted(projector, end) == (2, 5001)
        assert min(position for position in reads if position) >= 2001


async def test_a_changed_configuration_begins_anew(start: Start, publish: Any) -> None:
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
    async with start(version(1), version(2)) as projector:
        await until(lambda: projector.status().building is not None or projector.status().generation == 2)
        await until(lambda: projector.status().generation == 2)
        await projector.rebuild(hold=True)
        await until(lambda: projector.status().building.state == "ready")
    changed = evolve(version(3, hold=True), streams=["a", "b"])
    async with start(version(2), changed) as projector:
        await until(lambda: projector.status().generation == 0 or projector.status().building is not None)
        assert projector.status().building.generation == 4
        await until(lambda: projector.status().building.state == "ready")
        assert await projector.switch() == 4
        assert await counted(projector, end) == (4, 12)


async def test_differences_are_told_at_one_position(start: Start, publish: Any) -> None:
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
        with pytest.raises(InvalidArgument, match="nothing is built"):
            await projector.diff(5)
    async with start(version(1), version(2, check="SELECT 1 FROM counts")) as projector:
        await until(lambda: projector.status().building.state == "failed")
        end = publish(1)
        found = await projector.diff(5)
        assert found.before[LOCAL] == found.after[LOCAL] == end
        assert found.comparison.count == 1
        (difference,) = found.comparison.differences
        assert (difference.table.name, difference.key, difference.before, difference.after) == (
            "counts",
            ("a",),
            ("a", 5),
            ("a", 10),
        )
        end = publish(1)
        assert await counted(projector, end) == (1, 6)


async def test_a_handler_that_fails_leaves_the_rows_in_use(start: Start, publish: Any, told: Told) -> None:
    publish(4)
    end = publish(1, BAD)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 5)
    async with start(version(1), version(2, fails=True)) as projector:
        await until(lambda: projector.status().building.state == "failed")
        assert "stopped at position eu-west-1:4 (event 'e'): ValueError" in projector.status().building.error
        assert await counted(projector, end) == (1, 5)
        assert "projection.build_failed" in told.events


async def test_a_check_that_is_no_query_is_told(start: Start, publish: Any) -> None:
    end = publish(4)
    async with start(version(1, check="SELECT nonsense")) as projector:
        assert await counted(projector, end) == (1, 4)
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().building.state == "failed")
        assert projector.status().building.error == "its check query can't be run: OperationalError"


async def test_rows_of_a_newer_version_that_no_pointer_names(start: Start, publish: Any) -> None:
    end = publish(4)
    async with start(version(2)) as projector:
        assert await counted(projector, end) == (1, 8)
    async with start(version(1)) as projector:
        assert (projector.status().condition, "newer than 1" in projector.status().rows.error) == ("stopped", True)
        with pytest.raises(ProjectionFailed, match="newer than 1"):
            await projector.rows("counts")
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().condition == "following")
        assert await counted(projector, end) == (2, 4)


@pytest.mark.parametrize("damage", ["pointer", "no pointer", "building", "current"])
async def test_damage_costs_time_and_no_rows(start: Start, publish: Any, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "projections" / "t_1"
    end = publish(9)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 9)
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().generation == 2)
        await projector.rebuild(hold=True)
        await until(lambda: projector.status().building.state == "ready")
    if damage == "pointer":
        (folder / "counter.generations").write_bytes(b"{}")
    elif damage == "no pointer":
        (folder / "counter.generations").unlink()
    else:
        (folder / f"counter.{3 if damage == 'building' else 2}.db").write_bytes(b"nothing" * 4096)
    async with start(version(1)) as projector:
        if "pointer" in damage:
            assert await counted(projector, end) == (4, 9)
        else:
            assert await counted(projector, end) == (2, 9)
            await until(lambda: projector.status().building.state == "ready")
            assert await projector.switch() == 3
            assert await counted(projector, end) == (3, 9)


async def test_each_event_is_live_in_one_generation(start: Start, publish: Any) -> None:
    """What is built has no effects; after the switch the new rows' are those of later events."""
    asked: list[int] = []

    def live(group: GroupId) -> int:
        asked.append(len(asked))
        return 0

    end = publish(4)
    async with start(version(1), live=live) as projector:
        assert await counted(projector, end) == (1, 4)
        await projector.rebuild(hold=False)
        await until(lambda: projector.status().generation == 2 and projector.current is not None)
        serving = projector.current
        assert serving is not None
        assert serving.live_from[LOCAL] == end


@pytest.mark.parametrize("content", [b"nothing" * 4096, None])
async def test_rows_whose_handlers_are_gone_and_whose_file_is_lost(
    start: Start, publish: Any, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "projections" / "t_1" / "counter.db"
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    async with start(version(2, hold=True)) as projector:
        assert await counted(projector, end) == (1, 8)


async def test_going_back_to_rows_that_are_lost_builds_them(start: Start, publish: Any, tmp_path: Path) -> None:
    end = publish(4)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 4)
    async with start(version(2)) as projector:
        await until(lambda: projector.status().generation == 2)
        (tmp_path / "projections" / "t_1" / "counter.db").write_bytes(b"nothing" * 4096)
        assert await projector.switch_back() == 1
        assert await counted(projector, end) == (3, 8)


async def test_a_file_that_is_damaged_at_the_start_shows_no_rows_before_all_are_back(
    start: Start, publish: Any, log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = publish(2000)
    async with start(version(1)) as projector:
        assert await counted(projector, end) == (1, 2000)
    (tmp_path / "projections" / "t_1" / "counter.db").write_bytes(b"nothing" * 4096)
    read_log = log.read_log

    async def slow(tenant: TenantId, group: GroupId, from_position: int, max_events: int) -> Any:
        await trio.sleep(0.01)
        return await read_log(tenant, group, from_position, 300)

    monkeypatch.setattr(log, "read_log", slow)
    async with start(version(1)) as projector:
        assert (await projector.rows("counts")).rows == [("a", 2000)]


async def test_who_asks_when_it_is_over_is_told(start: Start) -> None:
    async with start(version(1)) as projector:
        pass
    with pytest.raises(NodeStopped, match="projection 'counter' has been closed"):
        await projector.rebuild(hold=False)


async def test_what_waits_for_a_command_is_built_anew_with_the_rest(start: Start, publish: Any, told: Told) -> None:
    publish(3)
    async with start(version(1)) as projector:
        assert await counted(projector, 3) == (1, 3)
    async with start(version(1), version(2, hold=True)) as projector:
        await until(lambda: told.events[-1] == "projection.built")
        await projector.renew()
        assert await counted(projector, 3) == (3, 3), "the version in use goes on: nobody has said that another may"
        found = projector.status()
        assert (found.previous, found.building.generation) == (0, 4)
        await until(lambda: told.events[-1] == "projection.built")
        await projector.switch()
        assert await counted(projector, 3) == (4, 6)
    async with start(version(1), version(2, hold=True)) as projector:
        await projector.switch_back()
        await projector.renew()
        assert await counted(projector, 3) == (5, 3), "who went back stays there"
        assert projector.status().building is None


async def test_what_was_begun_to_wait_while_all_is_built_anew_does_not_hold_that_up(start: Start, publish: Any) -> None:
    publish(3)
    async with start(version(1)) as projector:
        assert await counted(projector, 3) == (1, 3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(projector.renew)
            await trio.testing.wait_all_tasks_blocked()
            await projector.rebuild(hold=True)
        generation, counts = await counted(projector, 3)
        assert (generation > 1, counts) == (True, 3)
        assert projector.status().building.generation > generation


async def test_rows_whose_handlers_are_gone_give_way_to_those_that_can_be_built(
    start: Start, publish: Any, told: Told
) -> None:
    publish(3)
    async with start(version(1)) as projector:
        assert await counted(projector, 3) == (1, 3)
    async with start(version(2, hold=True)) as projector:
        await projector.renew()
        assert await counted(projector, 3) == (3, 6)
        assert "projection.switches_unasked" in told.events
        assert projector.status().building is None
