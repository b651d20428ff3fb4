"""The event log against a list: reads, segments, checkpoints, crashes and replay, damage."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from vdb.errors import DamagedData, DiskFailed, DiskFull, ForeignData, NewerFormat
from vdb.kernel.effect import AppendRecord
from vdb.limits import Limits
from vdb.storage import event_log
from vdb.storage.event_log import EventLog, Frame
from vdb.storage.log_rows import tenant_key
from vdb.storage.tables import StorageTable
from vdb.types import StreamId, TenantId

GROUP = b"g" * 32
LIMITS = Limits(segment_size=4096, open_files_max=3)


def make_record(tenant: int, stream: int, offset: int, count: int, size: int) -> bytes:
    header = struct.pack(">4s2x8xQ8xQQI", b"VDBR", tenant, stream, offset, count)
    return header + bytes([offset % 251]) * size


def make_effect(tenant: int, stream: int, offset: int, position: int, count: int = 1, size: int = 100) -> AppendRecord:
    record = make_record(tenant, stream, offset, count, size)
    return AppendRecord(TenantId(tenant), StreamId(stream), offset, position, count, record)


class Model:
    """What the log should hold: effects in order, and the generator of the next one."""

    def __init__(self) -> None:
        self.effects: list[AppendRecord] = []
        self.heads: dict[tuple[int, int], int] = {}
        self.position = 0

    def next(self, tenant: int, stream: int, count: int, size: int) -> AppendRecord:
        offset = self.heads.get((tenant, stream), 0)
        effect = make_effect(tenant, stream, offset, self.position, count, size)
        self.heads[tenant, stream] = offset + count
        self.position += count
        self.effects.append(effect)
        return effect

    def cut(self, kept: int) -> list[AppendRecord]:
        """Forget all after the first `kept` effects; returns them."""
        lost = self.effects[kept:]
        old, self.effects, self.heads, self.position = self.effects[:kept], [], {}, 0
        for effect in old:
            self.effects.append(effect)
            self.heads[effect.tenant, effect.stream] = effect.first_offset + effect.count
            self.position = effect.first_position + effect.count
        return lost


def as_frames(effects: list[AppendRecord]) -> list[tuple[int, int, int, int, bytes]]:
    return [(e.first_position, e.stream, e.first_offset, e.count, e.record) for e in effects]


def seen(frames: list[Frame]) -> list[tuple[int, int, int, int, bytes]]:
    return [(f.position, f.stream, f.offset, f.count, bytes(f.record)) for f in frames]


async def open_log(disk: Any, tables: Any = None, limits: Limits = LIMITS) -> EventLog:
    return await EventLog.open(disk, "g", limits, tables or {}, group_hash=GROUP)


async def check_read_log(log: EventLog, model: Model, tenant: int, position: int, max_bytes: int) -> None:
    wanted = [e for e in model.effects if e.tenant == tenant and e.first_position + e.count > position]
    found = await log.read_log(TenantId(tenant), position, max_bytes)
    assert seen(found) == as_frames(wanted[: len(found)])
    check_fill([len(e.record) for e in wanted], len(found), max_bytes)


async def check_read_stream(log: EventLog, model: Model, tenant: int, stream: int, offset: int, max_bytes: int) -> None:
    wanted = [
        e for e in model.effects if (e.tenant, e.stream) == (tenant, stream) and e.first_offset + e.count > offset
    ]
    found = await log.read_stream(TenantId(tenant), StreamId(stream), offset, max_bytes)
    assert seen(found) == as_frames(wanted[: len(found)])
    check_fill([len(e.record) for e in wanted], len(found), max_bytes)


def check_fill(sizes: list[int], found: int, max_bytes: int) -> None:
    """At least one record if there is one; no more than fit."""
    assert found >= min(1, len(sizes))
    assert found <= 1 or sum(sizes[:found]) <= max_bytes


async def read_everything(log: EventLog, model: Model, max_bytes: int = 700) -> None:
    """Follow the log and each stream to the end in small reads: all is there, in order, once."""
    for tenant in dict.fromkeys(effect.tenant for effect in model.effects):
        position, frames = 0, []
        while some := await log.read_log(tenant, position, max_bytes):
            frames += some
            position = some[-1].position + some[-1].count
        assert seen(frames) == as_frames([e for e in model.effects if e.tenant == tenant])
    for tenant, stream in model.heads:
        offset, frames = 0, []
        while some := await log.read_stream(TenantId(tenant), StreamId(stream), offset, max_bytes):
            frames += some
            offset = some[-1].offset + some[-1].count
        assert offset == model.heads[tenant, stream]


class Machine(RuleBasedStateMachine):
    """Appends, reads, early writes, checkpoints and crashes in any order, against the model."""

    new_disk: Any

    @initialize()
    def start(self) -> None:
        self.disk = self.new_disk()
        self.model = Model()
        self.tables: dict[int, dict[bytes, bytes]] = {}
        self.kept = 0
        self.log = trio.run(open_log, self.disk)

    @rule(
        tenant=st.integers(1, 2),
        stream=st.integers(1, 3),
        counts=st.lists(st.integers(1, 5), min_size=1, max_size=12),
        size=st.sampled_from([0, 80, 600, 5000]),
    )
    def append(self, tenant: int, stream: int, counts: list[int], size: int) -> None:
        for count in counts:
            self.log.append(self.model.next(tenant, stream, count, size))

    @rule(tenant=st.integers(1, 3), position=st.integers(0, 200), max_bytes=st.sampled_from([1, 500, 3000, 10**6]))
    def read_log(self, tenant: int, position: int, max_bytes: int) -> None:
        trio.run(check_read_log, self.log, self.model, tenant, position, max_bytes)

    @rule(
        tenant=st.integers(1, 2),
        stream=st.integers(1, 4),
        offset=st.integers(0, 60),
        max_bytes=st.sampled_from([1, 500, 3000, 10**6]),
    )
    def read_stream(self, tenant: int, stream: int, offset: int, max_bytes: int) -> None:
        trio.run(check_read_stream, self.log, self.model, tenant, stream, offset, max_bytes)

    @rule()
    def write_early(self) -> None:
        trio.run(self.log.flush)

    @rule(more=st.integers(0, 3))
    def checkpoint(self, more: int) -> None:
        async def run() -> Any:
            plan = self.log.begin_checkpoint()
            self.kept = len(self.model.effects)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_everything, self.log, self.model)
                rows = await self.log.write_checkpoint(plan)
            for _ in range(more):
                self.log.append(self.model.next(1, 1, 1, 300))
            return rows

        for table, rows in trio.run(run).items():
            self.tables.setdefault(table, {}).update(rows)

    @rule(verdict=st.sampled_from(["keep", "drop", "left", "garbage"]), names=st.booleans())
    def crash_and_replay(self, verdict: str, names: bool) -> None:
        self.disk = self.disk.crash(lambda _path, _index, _count: verdict, keep_names=names)
        self.log = trio.run(open_log, self.disk, self.tables)
        for effect in self.model.effects[self.kept :]:
            self.log.append(effect)

    @rule(verdict=st.sampled_from(["keep", "drop"]))
    def crash_and_lose_the_tail(self, verdict: str) -> None:
        self.disk = self.disk.crash(lambda _path, _index, _count: verdict)
        self.model.cut(self.kept)
        self.log = trio.run(open_log, self.disk, self.tables)

    @rule()
    def evict_indexes(self) -> None:
        for log in self.log._logs.values():
            log.forget_index()
        self.log._shared._indexes.clear()

    @invariant()
    def all_is_there(self) -> None:
        if hasattr(self, "log"):
            trio.run(read_everything, self.log, self.model)


def test_the_log_is_a_list(new_disk: Any) -> None:
    machine = type("MachineOnDisk", (Machine,), {"new_disk": new_disk})
    case = machine.TestCase()
    case.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
    case.runTest()


async def filled(new_disk: Any, count: int = 60) -> tuple[Any, EventLog, Model, dict[int, Any]]:
    disk, model = new_disk(), Model()
    log = await open_log(disk)
    for number in range(count):
        log.append(model.next(1, 1 + number % 3, 2, 150))
    rows = await log.write_checkpoint(log.begin_checkpoint())
    return disk, log, model, rows


async def test_segments_are_a_function_of_the_records(new_disk: Any) -> None:
    """Whatever was written early, and however often, the files are the same."""
    one, _log, model, rows = await filled(new_disk)
    two = new_disk()
    log = await open_log(two)
    for number, effect in enumerate(model.effects):
        log.append(effect)
        if number % 7 == 0:
            await log.flush()
    assert await log.write_checkpoint(log.begin_checkpoint()) == rows
    names = await one.list("g/log/t_1")
    assert names == await two.list("g/log/t_1")
    assert len(names) >= 6
    for name in names:
        assert one.data(f"g/log/t_1/{name}") == two.data(f"g/log/t_1/{name}")


async def test_opening_touches_no_tenant(new_disk: Any) -> None:
    disk, _log, model, rows = await filled(new_disk)
    after = disk.crash()
    log = await open_log(after, rows)
    opened = after.reads
    assert log.tenants() == [1]
    assert log.next_position(TenantId(1)) == model.position
    assert after.reads == opened
    await read_everything(log, model)


async def test_a_checkpoint_covers_what_was_there_when_it_began(new_disk: Any) -> None:
    disk, log, model, rows = await filled(new_disk, 5)
    log.append(model.next(2, 1, 1, 50))
    plan = log.begin_checkpoint()
    log.append(model.next(1, 1, 1, 50))
    more = await log.write_checkpoint(plan)
    assert list(more[StorageTable.EVENT_LOGS]) == [tenant_key(2)]
    rows[StorageTable.EVENT_LOGS].update(more[StorageTable.EVENT_LOGS])
    reopened = await open_log(disk.crash(), rows)
    assert model.cut(6)
    await read_everything(reopened, model)


async def test_an_untouched_tenant_costs_nothing(new_disk: Any) -> None:
    disk, log, model, _rows = await filled(new_disk, 5)
    syncs = disk.syncs
    rows = await log.write_checkpoint(log.begin_checkpoint())
    assert rows == {StorageTable.EVENT_LOGS: {}, StorageTable.SEGMENTS: {}}
    assert disk.syncs == syncs
    assert len(model.effects) == 5


@given(segment=st.integers(1, 3), at=st.integers(64, 4000), flip=st.integers(1, 255))
def test_a_damaged_frame_is_never_served(new_disk: Any, segment: int, at: int, flip: int) -> None:
    async def run() -> None:
        disk, _log, model, rows = await filled(new_disk)
        path = f"g/log/t_1/{segment:06}.seg"
        disk.damage(path, at, flip)
        log = await open_log(disk.crash(), rows)
        with pytest.raises(DamagedData, match=rf"{path}: byte \d+: the frame's checksum"):
            await read_everything(log, model)
        for stream in (1, 2, 3):
            offset = 0
            wanted = [e for e in model.effects if e.stream == stream]
            try:
                while some := await log.read_stream(TenantId(1), StreamId(stream), offset, 400):
                    offset = some[-1].offset + some[-1].count
                    assert seen(some) == as_frames(
                        [e for e in wanted if e.first_offset in range(some[0].offset, offset)]
                    )
            except DamagedData:
                continue
            assert offset == model.heads[1, stream]

    trio.run(run)


@pytest.mark.parametrize("harm", ["missing", "torn", "rotted"])
async def test_an_index_is_made_again(new_disk: Any, harm: str) -> None:
    disk, _log, model, rows = await filled(new_disk)
    path = "g/log/t_1/000001.idx"
    if harm == "missing":
        await disk.remove(path)
    elif harm == "torn":
        del disk.data(path)[100:]
    else:
        disk.damage(path, 90) if len(disk.names[path].durable) else disk.data(path).__setitem__(90, 0xEE)
    log = await open_log(disk, rows)
    await read_everything(log, model)
    assert len(disk.data(path)) > 100


async def test_a_missing_segment_is_named(new_disk: Any) -> None:
    disk, _log, _model, rows = await filled(new_disk)
    await disk.remove("g/log/t_1/000002.seg")
    await disk.remove("g/log/t_1/000002.idx")
    log = await open_log(disk, rows)
    with pytest.raises(DamagedData, match=r"g/log/t_1/000002.seg: a segment that the checkpoint names is missing"):
        await log.read_stream(TenantId(1), StreamId(1), 20, 10**6)


async def test_a_short_segment_is_damaged(new_disk: Any) -> None:
    disk, log, model, rows = await filled(new_disk)
    segments = [name for name in await disk.list("g/log/t_1") if name.endswith(".seg")]
    del disk.data(f"g/log/t_1/{segments[-1]}")[80:]
    log = await open_log(disk, rows)
    log.append(model.next(1, 1, 1, 10))
    with pytest.raises(DamagedData, match=r"\.seg: expected at least \d+ bytes, found 80"):
        await log.flush()


@pytest.mark.parametrize(
    ("start", "error", "text"),
    [
        (b"SQLite format 3\0", ForeignData, "expected a VerityDB segment starting with"),
        (b"VDBSEGMT\0\x05", NewerFormat, "has format version 5; this program reads versions up to 1"),
        (bytes(64), DamagedData, "byte 0: the header isn't that of segment 1 of tenant 1"),
    ],
)
async def test_a_segment_that_is_not_ours(new_disk: Any, start: bytes, error: type[Exception], text: str) -> None:
    disk, _log, model, rows = await filled(new_disk, 3)
    disk.data("g/log/t_1/000001.seg")[: len(start)] = start
    log = await open_log(disk, rows)
    log.append(model.next(1, 1, 1, 10))
    with pytest.raises(error, match=rf"g/log/t_1/000001.seg.*{text}"):
        await log.flush()


async def test_a_full_disk_keeps_the_records(new_disk: Any) -> None:
    disk, log, model, rows = await filled(new_disk, 3)
    log.append(model.next(1, 1, 1, 10))
    disk.full = True
    plan = log.begin_checkpoint()
    with pytest.raises(DiskFull):
        await log.write_checkpoint(plan)
    await read_everything(log, model)
    disk.full = False
    rows[StorageTable.EVENT_LOGS].update((await log.write_checkpoint(plan))[StorageTable.EVENT_LOGS])
    await read_everything(await open_log(disk.crash(), rows), model)


async def test_a_failed_sync_is_raised_as_it_is(new_disk: Any) -> None:
    disk, log, model, _rows = await filled(new_disk, 3)
    log.append(model.next(1, 1, 1, 10))
    disk.fail_sync("g/log/t_1/000001.seg")
    with pytest.raises(DiskFailed):
        await log.write_checkpoint(log.begin_checkpoint())


async def test_waiting_records_are_written_early(new_disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "TAIL_BYTES_MAX", 1000)
    log, model = await open_log(new_disk()), Model()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        for _ in range(20):
            log.append(model.next(1, 1, 1, 100))
        assert log.tail_bytes > 1000
        with trio.fail_after(5):
            while log.tail_bytes:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await read_everything(log, model)


async def test_a_record_that_contradicts_its_effect_is_a_bug(new_disk: Any) -> None:
    log = await open_log(new_disk())
    record = make_record(1, 1, 0, 1, 10)
    with pytest.raises(AssertionError):
        log.append(AppendRecord(TenantId(1), StreamId(2), 0, 0, 1, record))
    log.append(AppendRecord(TenantId(1), StreamId(1), 0, 5, 1, record))
    with pytest.raises(AssertionError, match="in the order of their positions"):
        log.append(make_effect(1, 1, 1, 4))


async def test_memory_stays_bounded_over_many_tenants(new_disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "WARM_TENANTS_MAX", 4)
    log, model = await open_log(new_disk()), Model()
    for tenant in range(1, 30):
        log.append(model.next(tenant, 1, 1, 10))
    await log.write_checkpoint(log.begin_checkpoint())
    assert sum(entry.index is not None for entry in log._logs.values()) <= 4
    assert len(log._shared.files._idle) <= LIMITS.open_files_max
    await read_everything(log, model)


async def test_a_full_disk_only_puts_early_writes_off(new_disk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "TAIL_BYTES_MAX", 1000)
    monkeypatch.setattr(event_log, "DISK_FULL_RETRY_SECONDS", 0.0)
    disk = new_disk()
    log = await open_log(disk)
    disk.full = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        for number in range(20):
            log.append(make_effect(1, 1, number, number))
            await trio.testing.wait_all_tasks_blocked()
        assert log.tail_bytes > 1000
        disk.full = False
        log.append(make_effect(1, 1, 20, 20))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert log.tail_bytes == 0
    assert len(await log.read_log(TenantId(1), 0, 100_000)) == 21
