"""The runner over real SQLCipher files: exactly once, restarts, culprits, waiting, rows, rebuilds."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import (
    ConfigError,
    DatabaseDamaged,
    DiskFailed,
    DiskFull,
    InvalidArgument,
    NodeStopped,
    Overloaded,
    ProjectionFailed,
    WrongKey,
)
from vdb.projections.apply import fold
from vdb.projections.config import ProjectionConfig, for_tenant
from vdb.projections.handler import Handlers
from vdb.projections.latest import LatestById
from vdb.projections.rebuild import rebuild
from vdb.projections.rows import dump_rows, dump_tables
from vdb.projections.runner import ProjectionRunner
from vdb.projections.running import KeyAwaited, database_path
from vdb.projections.tables import Column, ColumnType, Table
from vdb.types import GroupId, TenantId

LOCAL = GroupId("eu-west-1")
GLOBAL = GroupId("global")
TENANT = TenantId(1)
KEY = bytes(range(32))
COUNTS = Table(name="counts", columns=(Column("stream"), Column("count", ColumnType.INTEGER)), key=("stream",))


def count_event(db: Any, event: Any, context: Any) -> None:
    if event.body == b'"Ada Lovelace"':
        raise ValueError("can't take Ada Lovelace")
    db.execute(
        'INSERT INTO counts VALUES (?, 1) ON CONFLICT (stream) DO UPDATE SET "count" = "count" + 1', (context.stream,)
    )


COUNTER = ProjectionConfig(
    name="counter", streams=["a", "b", "global.*"], template=Handlers(tables=(COUNTS,), handlers={"e": count_event})
)

Start = Callable[..., AbstractAsyncContextManager[ProjectionRunner]]


@pytest.fixture
def start(log: Any, disk: Any) -> Start:
    @asynccontextmanager
    async def start(
        config: ProjectionConfig = COUNTER,
        *,
        key: bytes = KEY,
        batch_events: int = 4,
        wait: bool = True,
        key_faults: Sequence[Exception] = (),
        key_waits: trio.Event | None = None,
        **more: Any,
    ) -> AsyncIterator[ProjectionRunner]:
        faults = list(key_faults)

        async def key_for(tenant: TenantId, name: str) -> bytes:
            assert (tenant, name) == (TENANT, config.name)
            if faults:
                raise faults.pop(0)
            if key_waits is not None:
                await key_waits.wait()
            return key

        runner = ProjectionRunner(
            disk=disk, source=log, config=config, tenant=TENANT, key_for=key_for, batch_events=batch_events, **more
        )
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                if wait:
                    await nursery.start(runner.run)
                else:
                    nursery.start_soon(runner.run)
                yield runner
                nursery.cancel_scope.cancel()

    return start


async def test_events_are_counted_once_across_restarts(log: Any, start: Start, envelope: Any) -> None:
    log.publish("a", [envelope("e", b"1")] * 3)
    log.publish("unwanted", [envelope("e", b"1")] * 7)
    end = log.publish("b", [envelope("e", b"1")] * 6)
    async with start() as runner:
        await runner.wait_for({LOCAL: end})
        assert (await runner.rows("counts")).rows == [("a", 3), ("b", 6)]
    end = log.publish("a", [envelope("e", b"1")] * 2)
    async with start() as runner:
        await runner.wait_for({LOCAL: end})
        found = await runner.rows("counts")
        assert found.rows == [("a", 5), ("b", 6)]
        assert found.columns == ("stream", "count")
        assert found.positions == {GLOBAL: 0, LOCAL: end}


async def test_new_events_wake_it(log: Any, start: Start, envelope: Any) -> None:
    async with start() as runner:
        for number in range(1, 4):
            await trio.testing.wait_all_tasks_blocked()
            end = log.publish("a", [envelope("e", b"1")])
            assert runner.status().lag == 1
            await runner.wait_for({LOCAL: end})
            assert (await runner.rows("counts")).rows == [("a", number)]
            assert runner.status().lag == 0


async def test_each_group_has_a_position_of_its_own(log: Any, start: Start, envelope: Any) -> None:
    log.publish("global.x", [envelope("e", b"1")] * 2, group=GLOBAL)
    log.publish("a", [envelope("e", b"1")])
    async with start() as runner:
        await runner.wait_for({LOCAL: 1, GLOBAL: 2})
        assert runner.status().positions == {GLOBAL: 2, LOCAL: 1}
        with pytest.raises(InvalidArgument, match="reads no group 'us-east-1' on this node"):
            await runner.wait_for({GroupId("us-east-1"): 1})


async def test_other_tenants_events_do_not_hold_it_up(log: Any, start: Start, envelope: Any) -> None:
    log.publish("a", [envelope("e", b"1")])
    end = log.publish("a", [envelope("e", b"1")] * 5, tenant=TenantId(2))
    async with start() as runner:
        await runner.wait_for({LOCAL: end})
        assert (await runner.rows("counts")).rows == [("a", 1)]
        assert runner.status().lag == 0


async def test_the_culprit_is_named_and_all_before_it_is_in(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    failures: list[ProjectionFailed] = []
    log.publish(
        "a",
        [
            envelope("e", b"1"),
            envelope("e", b"1"),
            envelope("e", b'"Ada Lovelace"', subject="Ada"),
            envelope("e", b"1"),
        ],
    )
    async with start(on_failed=failures.append) as runner:
        with pytest.raises(ProjectionFailed):
            await runner.wait_for({LOCAL: 4})
        error = runner.status().error
        assert error == "projection 'counter' of tenant 1 stopped at position eu-west-1:2 (event 'e'): ValueError"
        assert (await runner.rows("counts")).rows == [("a", 2)]
        assert runner.status().positions == {GLOBAL: 0, LOCAL: 2}
        assert [str(failure) for failure in failures] == [error]
        await runner.wait_for({LOCAL: 2})
    async with start() as runner:
        with pytest.raises(ProjectionFailed, match="stopped at position eu-west-1:2"):
            await runner.wait_for({LOCAL: 4})
        assert (await runner.rows("counts")).rows == [("a", 2)]
    assert all(database.closed for database in disk.databases)


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (b"garbage!", r"\(an event without a type\): WireError: an event envelope: expected at most 512"),
        (None, r"\(an event without a type\): WireError: an event envelope of 0 bytes"),
    ],
)
async def test_a_payload_that_is_no_envelope_stops_it(
    log: Any, start: Start, payload: bytes | None, cause: str
) -> None:
    log.publish("a", [payload or b""])
    async with start() as runner:
        with pytest.raises(ProjectionFailed, match=cause):
            await runner.wait_for({LOCAL: 1})


async def test_a_second_writer_is_noticed(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    log.publish("a", [envelope("e", b"1")])
    async with start() as runner:
        await runner.wait_for({LOCAL: 1})
        other = await disk.open_database(database_path(TENANT, "counter"), KEY)
        await other.run(lambda db: db.execute("UPDATE projection_meta SET position = 9 WHERE grp = ?", (LOCAL,)))
        await other.close()
        log.publish("a", [envelope("e", b"1")])
        with pytest.raises(
            ProjectionFailed, match="expected its position in group eu-west-1 to be 1 and found another"
        ):
            await runner.wait_for({LOCAL: 2})
        assert (await runner.rows("counts")).rows == [("a", 1)]


async def test_rows_and_position_share_one_transaction(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    """Nothing is seen of a batch, neither rows nor position, until all of it is there."""
    log.publish("a", [envelope("e", b"1")] * 3)
    seen: list[tuple[Any, ...]] = []

    def peek(db: Any, event: Any, context: Any) -> None:
        count_event(db, event, context)
        reader = disk.databases[-1]._reader
        rows = reader.execute("SELECT count FROM counts").fetchall()
        seen.append((rows, reader.execute("SELECT position FROM projection_meta WHERE grp = ?", (LOCAL,)).fetchall()))

    config = ProjectionConfig(name="peek", streams=["a"], template=Handlers(tables=(COUNTS,), handlers={"e": peek}))
    async with start(config) as runner:
        await runner.wait_for({LOCAL: 3})
        assert (await runner.rows("counts")).rows == [("a", 3)]
    assert seen == [([], [(0,)])] * 3


async def test_a_full_disk_only_holds_it_up(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    async with start(pause=0.01) as runner:
        disk.databases[-1].faults = [DiskFull("no space left")] * 3
        end = log.publish("a", [envelope("e", b"1")])
        while not runner.status().error:
            await trio.lowlevel.checkpoint()
        assert runner.status().error == "projection 'counter' of tenant 1 waits: the disk is full"
        await runner.wait_for({LOCAL: end})
        assert runner.status().error == ""
        assert (await runner.rows("counts")).rows == [("a", 1)]


@pytest.mark.parametrize(
    ("fault", "reason"), [(Overloaded("later"), "the node is overloaded"), (DiskFull("none left"), "the disk is full")]
)
async def test_what_holds_up_its_key_only_holds_it_up(
    log: Any, start: Start, envelope: Any, fault: Exception, reason: str
) -> None:
    end = log.publish("a", [envelope("e", b"1")])
    async with start(pause=0.01, wait=False, key_faults=[fault] * 2) as runner:
        while not runner.status().error:
            await trio.lowlevel.checkpoint()
        assert runner.status().error == f"projection 'counter' of tenant 1 waits: {reason}"
        await runner.wait_for({LOCAL: end})
        assert runner.status().error == ""


async def test_a_disk_that_is_full_at_its_opening_only_holds_it_up(log: Any, disk: Any, start: Start) -> None:
    disk.open_faults = [DiskFull("no space left")]
    disk.first_faults = [DiskFull("no space left")]
    async with start(pause=0.01) as runner:
        assert (await runner.rows("counts")).rows == []
        assert runner.status().error == ""
    [database] = disk.databases
    assert database.closed


async def test_one_whose_key_is_awaited_lets_others_open(log: Any, disk: Any, start: Start) -> None:
    opening = trio.Semaphore(1)
    disk.open_faults = [KeyAwaited("projections/t_1/counter.db")]
    async with start(pause=1000, wait=False, opening=opening) as stuck:
        while not stuck.status().error:
            await trio.lowlevel.checkpoint()
        assert "its file opens under no key that this node has heard of yet" in stuck.status().error
        async with start(opening=opening) as runner:
            assert (await runner.rows("counts")).rows == []


async def test_one_whose_key_nobody_can_put_lets_others_open(start: Start) -> None:
    opening, key_waits = trio.Semaphore(1), trio.Event()
    async with start(wait=False, opening=opening, key_waits=key_waits):
        await trio.testing.wait_all_tasks_blocked()
        async with start(opening=opening) as runner:
            assert (await runner.rows("counts")).rows == []


async def test_one_that_is_held_up_lets_others_open(log: Any, start: Start) -> None:
    opening = trio.Semaphore(1)
    async with start(pause=1000, wait=False, key_faults=[Overloaded("later")], opening=opening) as stuck:
        while not stuck.status().error:
            await trio.lowlevel.checkpoint()
        async with start(opening=opening) as runner:
            assert (await runner.rows("counts")).rows == []


async def test_a_failed_disk_is_the_nodes_matter(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    async def fail() -> None:
        async with start():
            disk.databases[-1].faults = [DiskFailed("EIO")]
            log.publish("a", [envelope("e", b"1")])
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup) as caught:
        await fail()
    assert caught.group_contains(DiskFailed)
    assert disk.databases[-1].closed


DAMAGE = "projections/t_1/counter.db: database disk image is malformed"


async def test_a_file_that_does_not_open_under_its_key_is_set_aside(
    log: Any, disk: Any, start: Start, envelope: Any
) -> None:
    position = log.publish("a", [envelope("e", b"1")] * 6)
    async with start() as runner:
        await runner.wait_for({LOCAL: position})
    told: list[DatabaseDamaged] = []
    async with start(key=bytes(32), on_set_aside=told.append) as runner:
        await runner.wait_for({LOCAL: position})
        assert (await runner.rows("counts")).rows == [("a", 6)]
        assert runner.status().error == ""
    assert disk.set_aside == [database_path(TENANT, "counter")]
    assert [str(one) for one in told] == ["projections/t_1/counter.db: it doesn't open under its key"]


async def test_a_wrong_key_in_the_key_store_is_no_damage(disk: Any, start: Start) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with start(key_faults=[WrongKey("a tenant's key doesn't unwrap")]):
            pass
    assert caught.group_contains(WrongKey)
    assert disk.set_aside == []


async def test_damage_that_the_writer_finds_is_built_over(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    told: list[DatabaseDamaged] = []
    async with start(on_set_aside=told.append) as runner:
        await runner.wait_for({LOCAL: log.publish("a", [envelope("e", b"1")] * 6)})
        disk.databases[0].faults = [DatabaseDamaged(DAMAGE)]
        await runner.wait_for({LOCAL: log.publish("b", [envelope("e", b"1")])})
        assert (await runner.rows("counts", order_by=["stream"])).rows == [("a", 6), ("b", 1)]
        assert runner.status().error == ""
    assert (len(disk.databases), len(disk.set_aside)) == (2, 1)
    assert [str(one) for one in told] == [DAMAGE]


async def test_who_finds_damage_reading_waits_for_rows_no_older_than_before(
    log: Any, disk: Any, start: Start, envelope: Any
) -> None:
    async with start(batch_events=1) as runner:
        position = [log.publish("a", [envelope("e", b"1")]) for _ in range(9)][-1]
        await runner.wait_for({LOCAL: position})
        disk.databases[0].read_faults = [DatabaseDamaged(DAMAGE)] * 2
        found: list[Any] = []

        async def read() -> None:
            found.append((await runner.rows("counts")).rows)

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(read)
        assert found == [[("a", 9)]] * 4
        await runner.wait_for({LOCAL: log.publish("a", [envelope("e", b"1")])})
        assert (await runner.rows("counts")).rows == [("a", 10)]
    assert len(disk.set_aside) == 1


async def test_damaged_again_it_stops_alone(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    failed: list[ProjectionFailed] = []
    async with start(on_failed=failed.append) as runner:
        disk.databases[0].faults = [DatabaseDamaged(DAMAGE)]
        await runner.wait_for({LOCAL: log.publish("a", [envelope("e", b"1")])})
        disk.databases[1].read_faults = [DatabaseDamaged(DAMAGE)]
        with pytest.raises(ProjectionFailed, match="damaged again after it had been built anew"):
            await runner.rows("counts")
        with pytest.raises(ProjectionFailed, match="damaged again"):
            await runner.wait_for({LOCAL: log.publish("a", [envelope("e", b"1")])})
        with pytest.raises(ProjectionFailed, match="damaged again"):
            await runner.rows("counts")
        assert (
            runner.status().error
            == str(failed[0])
            == (
                "projection 'counter' of tenant 1 stopped: its file was damaged again after it had been built anew: "
                + DAMAGE
            )
        )
    assert len(disk.set_aside) == 1
    async with start() as runner:
        await runner.wait_for({LOCAL: 2})
        assert (await runner.rows("counts")).rows == [("a", 2)]


async def test_one_that_is_damaged_at_each_opening_holds_up_nobody(disk: Any, start: Start) -> None:
    async with start():
        pass
    disk.open_faults = [DatabaseDamaged(DAMAGE)] * 2
    async with start() as runner:
        with pytest.raises(ProjectionFailed, match="damaged again"):
            await runner.rows("counts")
        assert "damaged again" in runner.status().error


async def test_a_new_version_starts_anew_and_a_silent_change_is_refused(log: Any, start: Start, envelope: Any) -> None:
    def config(version: int, column: str) -> ProjectionConfig:
        template = LatestById(table="t", key_path="id", columns={column: "x"})
        return ProjectionConfig(name="p", version=version, streams=["a"], template=template)

    log.publish("a", [envelope("e", b'{"id":"1","x":"y"}')])
    for version, column in ((1, "old"), (2, "new")):
        async with start(config(version, column)) as runner:
            await runner.wait_for({LOCAL: 1})
            found = await runner.rows("t")
            assert (found.columns, found.rows) == (("id", column), [("1", "y")])
    for version, column, message in (
        (2, "other", "is still 2: raise it"),
        (1, "old", "made by version 2, newer than 1"),
    ):
        with pytest.raises(BaseExceptionGroup) as caught:
            async with start(config(version, column)):
                pass
        assert caught.group_contains(ConfigError, match=message)


async def test_rows_checks_identifiers_and_binds_values(log: Any, start: Start, envelope: Any) -> None:
    for stream in ("a", "b"):
        end = log.publish(stream, [envelope("e", b"1")])
    async with start() as runner:
        await runner.wait_for({LOCAL: end})
        assert (await runner.rows("counts", {"stream": "b"})).rows == [("b", 1)]
        assert (await runner.rows("counts", {"stream": "' OR 1=1 --"})).rows == []
        assert (await runner.rows("counts", {"count": None})).rows == []
        assert (await runner.rows("counts", order_by=["-stream"], limit=1)).rows == [("b", 1)]
        for arguments, message in (
            (("sqlite_master",), "has no such table; its tables: counts"),
            (("projection_meta",), "has no such table"),
            (("counts", {'"x" OR 1=1': 1}), "has no such column; its columns: stream, count"),
            (("counts", None, ["stream; DROP TABLE counts"]), "has no such column"),
            (("counts", None, ["--stream"]), "has no such column"),
            (("counts", None, (), 0), "a limit lies between 1 and 10000; found 0"),
        ):
            with pytest.raises(InvalidArgument, match=message):
                await runner.rows(*arguments)  # type: ignore[arg-type]


async def test_a_closed_runner_says_so(log: Any, disk: Any, start: Start) -> None:
    async with start() as runner:
        assert runner.status().error == ""
    with pytest.raises(NodeStopped, match="isn't open"):
        await runner.rows("counts")
    with pytest.raises(NodeStopped, match="has been closed"):
        await runner.wait_for({LOCAL: 1})
    assert disk.databases[-1].closed


async def test_a_rebuild_gives_the_same_rows(log: Any, disk: Any, start: Start, envelope: Any) -> None:
    for number in range(9):
        log.publish("ab"[number % 2], [envelope("e", b"1")] * (number + 1))
    log.publish("global.x", [envelope("e", b"1")], group=GLOBAL)
    async with start() as runner:
        await runner.wait_for(log.next)
        mine = await dump_rows(disk.databases[-1], with_meta=True)
    fresh = await disk.open_database("fresh.db", KEY)
    assert await rebuild(log, COUNTER, TENANT, fresh) == log.next
    assert await dump_rows(fresh, with_meta=True) == mine
    await fresh.close()
    model = sqlite3.connect(":memory:", isolation_level=None)
    fold([run for runs in log.runs.values() for run in runs], COUNTER, model)
    assert dump_tables(model) == {"counts": mine["counts"]}
    model.close()


@given(batch=st.integers(1, 9), cut=st.integers(0, 12), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_batches_do_not_show_in_the_rows(batch: int, cut: int, sizes: list[int]) -> None:
    """However spans are cut, also within runs, each event is applied once."""
    from vdb.projections.apply import Culprit, Span, commit_span, prepare_database
    from vdb.projections.source import OpenedRun
    from vdb.types import DataClass, StreamId
    from vdb.wire.event import EventEnvelope, encode_batch, encode_envelope

    payload = encode_envelope(EventEnvelope(event_id=bytes(16), type="e", time=0, body=b"1"))
    runs: list[OpenedRun] = []
    end = 0
    for size in sizes:
        runs.append(
            OpenedRun(
                tenant=TENANT, group=LOCAL, stream="a", stream_id=StreamId(1), first_offset=end, first_position=end,
                time=0, data_class=DataClass.PHI, schema_id=1, batch=encode_batch([payload] * size), event_ids=b"",
                count=size,
            )
        )  # fmt: skip
        end += size
    db = sqlite3.connect(":memory:", isolation_level=None)
    at = prepare_database(db, COUNTER, (LOCAL,))[LOCAL]
    while at < end:
        reach = min(end, max(at + 1, (at + batch) if at != cut else at + 1))
        commit_span(db, COUNTER, Span(group=LOCAL, runs=runs, start=at, end=reach), Culprit())
        at = reach
    assert dump_tables(db) == {"counts": [("a", end)]}
    db.close()


def test_projections_of_one_tenant() -> None:
    template = LatestById(table="t", key_path="id", columns={})
    mine, all_ = (
        ProjectionConfig(name=name, tenant=tenant, streams=["a"], template=template)
        for name, tenant in (("x", TenantId(2)), ("y", None))
    )
    assert for_tenant([mine, all_], TenantId(2)) == [mine, all_]
    assert for_tenant([mine, all_], TENANT) == [all_]
