"""Pruning of whole segments: stubs, and what is left of the segments on the disk, after crashes and damage as well."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
import trio
import trio.lowlevel

from vdb.crypto.record import NO_SUBJECT, RecordHeader, decode_record, encode_record, record_leaf
from vdb.errors import DamagedData, DiskFailed
from vdb.kernel.effect import AppendRecord, PruneSegments
from vdb.kernel.streamid import CATALOGUE
from vdb.limits import Limits
from vdb.storage import pruning
from vdb.storage.event_log import EventLog, Frame
from vdb.storage.log_rows import segment_key
from vdb.storage.pieces import named_segments
from vdb.storage.repair import REPAIRS_MAX
from vdb.storage.tables import StorageTable
from vdb.types import DataClass, StreamId, TenantId

GROUP = b"g" * 32
TENANT = TenantId(7)
LIMITS = Limits(segment_size=4096, open_files_max=3)
RECORDS = 20
Tables = dict[int, dict[bytes, bytes]]


def body_of(number: int) -> bytes:
    return sha256(b"body %d" % number).digest() * 20


def effect_of(number: int) -> AppendRecord:
    """The first one is the catalogue's; the others are of two streams."""
    stream, offset = (CATALOGUE, 0) if number == 0 else (StreamId(1 + number % 2), (number - 1) // 2)
    header = RecordHeader(
        tenant=TENANT,
        stream=stream,
        offset=offset,
        count=1,
        data_class=DataClass.PHI,
        region="eu",
        subject_token=NO_SUBJECT,
        dek_id=b"k" * 16,
        schema_id=1,
        time=number,
    )
    record = encode_record(header.encode(), b"i" * 16, body_of(number))
    return AppendRecord(TENANT, stream, offset, number, 1, record)


class Node:
    """An event log with the rows that its durable checkpoint has, and the ops since."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk
        self.tables: Tables = {}
        self.ops: list[AppendRecord | PruneSegments] = []
        self.log: EventLog

    async def open(self) -> None:
        self.log = await EventLog.open(self.disk, "g", LIMITS, self.tables, group_hash=GROUP)
        for op in self.ops:
            self._apply(op)

    def do(self, op: AppendRecord | PruneSegments) -> None:
        self.ops.append(op)
        self._apply(op)

    def _apply(self, op: AppendRecord | PruneSegments) -> None:
        if isinstance(op, AppendRecord):
            self.log.append(op)
        else:
            self.log.prune(op)

    async def checkpoint(self) -> None:
        rows = await self.log.write_checkpoint(self.log.begin_checkpoint())
        for table, changed in rows.items():
            for key, row in changed.items():
                assert row is not None
                self.tables.setdefault(table, {})[key] = row
        self.ops = []
        self.log.checkpoint_durable(rows)

    async def settle(self) -> None:
        """Let what is to be removed go."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.log.run)
            while self.log.removing:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    def names(self) -> list[str]:
        return sorted(path.removeprefix(f"g/log/t_{TENANT}/") for path in self.disk.names)


async def filled(new_disk: Any) -> Node:
    node = Node(new_disk())
    await node.open()
    for number in range(RECORDS):
        node.do(effect_of(number))
    await node.checkpoint()
    return node


async def planned(node: Node, *segments: int) -> PruneSegments:
    found = [await node.log.plan_prune(TENANT, number, lambda _frame: True) for number in segments]
    return PruneSegments(TENANT, tuple(one for one in found if one is not None))


async def frames_of(node: Node) -> list[Frame]:
    frames: list[Frame] = []
    while some := await node.log.read_log(TENANT, len(frames), 1500):
        frames += some
    return frames


async def check_pruned(node: Node, op: PruneSegments) -> None:
    """All leaves are as ever; the bodies of pruned segments are nowhere, others are whole, from both readers."""
    pruned = [number for one in op.segments for number in range(one.first_position, one.next_position)]
    frames = await frames_of(node)
    for stream in (1, 2):
        offset = 0
        while some := await node.log.read_stream(TENANT, StreamId(stream), offset, 1500):
            assert all(frame.record == frames[frame.position].record for frame in some)
            offset = some[-1].offset + 1
        assert offset == len([frame for frame in frames if frame.stream == stream])
    for number, frame in enumerate(frames):
        effect = effect_of(number)
        assert (frame.position, frame.stream, frame.offset) == (number, effect.stream, effect.first_offset)
        assert record_leaf(frame.record) == record_leaf(effect.record)
        sealed = decode_record(frame.record)
        assert sealed.is_pruned == (number in pruned and effect.stream != CATALOGUE)
        assert sealed.leaf_data == decode_record(effect.record).leaf_data
        assert bytes(sealed.event_ids) == b"i" * 16
        held = [path for path, inode in node.disk.names.items() if body_of(number) in inode.cache]
        assert bool(held) != sealed.is_pruned


async def test_a_pruned_segment_becomes_a_stub(new_disk: Any) -> None:
    node = await filled(new_disk)
    assert node.log.durable_segments(TENANT) == [1, 2, 3]
    op = await planned(node, 1, 3)
    node.do(op)
    await frames_of(node)
    await node.checkpoint()
    assert node.log.removing
    await node.settle()
    assert [name for name in node.names() if not name.endswith(".idx")] == [
        "000001.stub", "000002.seg", "000003.stub", "000004.seg",
    ]  # fmt: skip
    await check_pruned(node, op)
    assert node.log.durable_segments(TENANT) == [2]
    for stretch, piece in zip(node.log.durable_stretches(TENANT), named_segments(node.tables), strict=True):
        assert (stretch.path, stretch.length, stretch.crc) == (f"g/{piece.path}", piece.length, piece.crc)
    assert await node.log.plan_prune(TENANT, 1, lambda _frame: True) is None
    again = Node(node.disk)
    again.tables = node.tables
    await again.open()
    await check_pruned(again, op)


async def test_a_segment_with_a_record_that_stays_is_not_planned(new_disk: Any) -> None:
    node = await filled(new_disk)
    looked: list[int] = []

    def may_go(frame: Frame) -> bool:
        looked.append(frame.position)
        return frame.position != 3

    assert await node.log.plan_prune(TENANT, 1, may_go) is None
    assert looked == [0, 1, 2, 3]


async def test_a_stub_is_a_function_of_the_segment(new_disk: Any) -> None:
    """Two logs that were written in other steps have the same one."""
    first, second = await filled(new_disk), Node(new_disk())
    await second.open()
    for number in range(RECORDS):
        second.do(effect_of(number))
        if number % 3 == 0:
            await second.log.flush()
    await second.checkpoint()
    op = await planned(first, 1, 2)
    assert op == await planned(second, 1, 2)
    for node in (first, second):
        node.do(op)
        await node.checkpoint()
        await node.settle()
    path = f"g/log/t_{TENANT}/000001.stub"
    assert first.disk.names[path].durable == second.disk.names[path].durable
    assert first.tables == second.tables
    assert segment_key(TENANT, 1) in first.tables[StorageTable.SEGMENTS]


async def test_a_crash_anywhere_leaves_segments_or_their_stubs(new_disk: Any, crashed: Any) -> None:
    """Whatever the platter got: what the checkpoint names is whole, and going on ends where it would have."""
    step, done = 0, False
    while not done:
        for choice in ("drop", "keep"):
            node = await filled(new_disk)
            op = await planned(node, 1, 2)
            node.do(op)
            node.disk.stop_after = node.disk.changes + step
            try:
                await node.checkpoint()
                await node.settle()
                done = True
            except BaseExceptionGroup as error:
                if error.subgroup(crashed) is None:
                    raise
            except crashed:
                pass
            node.disk = node.disk.crash(lambda *_where, choice=choice: choice, keep_names=choice == "keep")
            await node.open()
            assert len(await frames_of(node)) == RECORDS
            if node.ops:
                await node.checkpoint()
            await node.settle()
            await check_pruned(node, op)
        step += 1
    assert step > 10


async def test_a_reader_is_not_disturbed(new_disk: Any) -> None:
    """Reads that go on while stubs take the place of segments, and those are removed, fail in no way."""
    node = await filled(new_disk)
    op = await planned(node, 1, 2, 3)
    read = 0

    async def reader() -> None:
        nonlocal read
        while True:
            frames = await frames_of(node)
            assert [frame.position for frame in frames] == list(range(RECORDS))
            read += 1

    async with trio.open_nursery() as nursery:
        for _reader in range(4):
            nursery.start_soon(reader)
        await trio.lowlevel.checkpoint()
        node.do(op)
        await node.checkpoint()
        await node.settle()
        upto = read + 8
        while read < upto:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    await check_pruned(node, op)


async def test_a_damaged_segment_is_pruned_by_its_stub_from_elsewhere(new_disk: Any) -> None:
    sound, node = await filled(new_disk), await filled(new_disk)
    op = await planned(sound, 1)
    sound.do(op)
    await sound.checkpoint()
    node.disk.names[f"g/log/t_{TENANT}/000001.seg"].cache[900] ^= 1
    node.do(op)
    asked: list[str] = []

    async def repair(path: str) -> bool:
        asked.append(path)
        expected = node.log.expected_stub(TENANT, 1)
        assert expected is not None
        assert (expected.length, expected.crc) == (op.segments[0].stub_length, op.segments[0].stub_crc)
        if path != expected.path:
            return False
        inode = sound.disk.names[path]
        file = await node.disk.open(path, create=True)
        await file.write_at(0, inode.cache)
        await file.sync()
        await node.disk.sync_directory(path.rpartition("/")[0])
        return True

    node.log.set_repair(repair)
    await node.checkpoint()
    await node.settle()
    assert asked == [f"g/log/t_{TENANT}/000001.stub"]
    await check_pruned(node, op)


async def test_a_damaged_segment_alone_is_not_pruned(new_disk: Any) -> None:
    node = await filled(new_disk)
    op = await planned(node, 1)
    node.disk.names[f"g/log/t_{TENANT}/000001.seg"].cache[900] ^= 1
    node.do(op)
    with pytest.raises(
        DamagedData,
        match=r"000001\.seg: byte \d+: the frame's checksum doesn't fit its bytes: .*; the segment is "
        r"pruned and its stub can't be made of what is left: put a sound copy of g/log/t_7/000001\.seg there",
    ):
        await node.checkpoint()
    node.disk.names[f"g/log/t_{TENANT}/000001.seg"].cache[900] ^= 1
    await node.open()
    await node.checkpoint()
    await node.settle()
    await check_pruned(node, op)


async def test_a_segment_that_alone_cannot_be_read_is_pruned_once_the_disk_can(new_disk: Any) -> None:
    node = await filled(new_disk)
    op = await planned(node, 1)
    node.do(op)
    node.disk.break_sector(f"g/log/t_{TENANT}/000001.seg", 900)
    with pytest.raises(DiskFailed, match="EIO"):
        await node.checkpoint()
    node.disk.bad_sectors = []
    await node.open()
    await node.checkpoint()
    await node.settle()
    await check_pruned(node, op)


@pytest.mark.parametrize("harm", ["damaged", "unreadable"])
async def test_pruning_waits_for_whoever_has_the_segment(
    new_disk: Any, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """However long they are away: an error would end the node, and again at every start."""
    monkeypatch.setattr(pruning, "REPAIR_RETRY_SECONDS", 0)
    node = await filled(new_disk)
    op = await planned(node, 1)
    node.do(op)
    path = f"g/log/t_{TENANT}/000001.seg"
    if harm == "damaged":
        node.disk.names[path].cache[900] ^= 1
    else:
        node.disk.break_sector(path, 900)
    asked: list[str] = []

    async def repair(wanted: str) -> bool:
        await trio.lowlevel.checkpoint()
        asked.append(wanted)
        if wanted != path or len(asked) < 8 * REPAIRS_MAX:
            return False
        if harm == "damaged":
            node.disk.names[path].cache[900] ^= 1
        node.disk.bad_sectors = []
        return True

    node.log.set_repair(repair)
    await node.checkpoint()
    assert len(asked) == 8 * REPAIRS_MAX
    assert asked[:2] == [f"g/log/t_{TENANT}/000001.stub", path]
    await node.settle()
    await check_pruned(node, op)
