"""The scrubber finds every flipped byte at rest, repairs what one node can, and isn't fooled by change."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import trio
import trio.testing

from vdb.errors import DiskFailed
from vdb.kernel.effect import AppendRecord
from vdb.limits import Limits
from vdb.storage.checkpoint import CheckpointStore
from vdb.storage.event_log import EventLog
from vdb.storage.scrubber import Scrubber, ScrubFault
from vdb.storage.superblock import Superblock, SuperblockState
from vdb.storage.superblock_layout import COPY_SIZE
from vdb.storage.wal import Journal
from vdb.storage.wal_layout import header_offset, prepare_offset
from vdb.types import StreamId, TenantId
from vdb.vsr.header import ALONE, ZERO_CHECKSUM, Prepare, PrepareHeader

GROUP = b"g" * 32
LIMITS = Limits(message_size_max=16384, wal_slots=20, checkpoint_interval=8, segment_size=4096)


def make_effect(number: int) -> AppendRecord:
    record = struct.pack(">4s2x8xQ8xQQI", b"VDBR", 1, 1, number, 1) + bytes(200)
    return AppendRecord(TenantId(1), StreamId(1), number, number, 1, record)


class Group:
    """All storage of one group, with something in each part."""

    def __init__(self, disk: Any) -> None:
        self.disk = disk
        self.reported: list[ScrubFault] = []

    async def fill(self) -> None:
        disk = self.disk
        state = SuperblockState(
            cluster=b"c" * 16,
            group="global",
            replica=0,
            configuration=ALONE.pack(),
            limits=LIMITS,
            root_key_id=b"k" * 16,
        )
        self.superblock = await Superblock.format(disk, "g", state)
        await Journal.format(disk, "g", LIMITS, GROUP)
        self.journal = await Journal.open(disk, "g", limits=LIMITS, group_hash=GROUP, with_peers=False, checkpoint_op=0)
        self.event_log = await EventLog.open(disk, "g", LIMITS, {}, group_hash=GROUP)
        self.checkpoints = await CheckpointStore.open(disk, "g", group_hash=GROUP)
        for number in range(40):
            self.event_log.append(make_effect(number))
        rows = await self.event_log.write_checkpoint(self.event_log.begin_checkpoint())
        await self.checkpoints.write(1, {**rows, 7: {b"k" * 16: b"wrapped"}})
        header = PrepareHeader.make(
            body=b"body",
            parent=ZERO_CHECKSUM,
            checkpoint_id=bytes(32),
            group=GROUP,
            view=1,
            op=1,
            commit=0,
            timestamp=1,
            request_count=1,
        )
        done = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.journal.run)
            self.journal.submit(Prepare(header, b"body"), lambda _header: done.set())
            await done.wait()
            nursery.cancel_scope.cancel()

    def scrubber(self, period_seconds: float = 100.0) -> Scrubber:
        return Scrubber(
            disk=self.disk,
            superblock=self.superblock,
            journal=self.journal,
            checkpoints=self.checkpoints,
            event_log=self.event_log,
            period_seconds=period_seconds,
            on_fault=self.reported.append,
        )


@pytest.fixture
async def group(new_disk: Any) -> Group:
    group = Group(new_disk())
    await group.fill()
    return group


async def test_nothing_is_found_where_nothing_is_wrong(group: Group) -> None:
    assert await group.scrubber().scrub_once() == ()


@pytest.mark.parametrize(
    ("path", "offset", "kind", "found_at", "repaired"),
    [
        ("g/superblock", 2 * COPY_SIZE + 90, "superblock", 2 * COPY_SIZE, True),
        ("g/wal", header_offset(1) + 9, "wal", header_offset(1), True),
        ("g/wal", prepare_offset(LIMITS, 1) + 258, "wal", prepare_offset(LIMITS, 1), False),
        ("g/checkpoints/state-0000000000000001", 90, "checkpoint", 0, False),
        ("g/checkpoints/keys-0000000000000001", 90, "checkpoint", 0, False),
        ("g/checkpoints/checkpoint-0000000000000001", 30, "checkpoint", 0, False),
        ("g/log/t_1/000001.seg", 64 + 266 + 40, "segment", 64 + 266, False),
        ("g/log/t_1/000003.seg", 20, "segment", 64, False),
    ],
)
async def test_a_flipped_byte_is_found(
    group: Group, path: str, offset: int, kind: str, found_at: int, repaired: bool
) -> None:
    group.disk.data(path)[offset] ^= 4
    scrubber = group.scrubber()
    [fault] = await scrubber.scrub_once()
    assert (fault.kind, fault.path, fault.offset, fault.repaired) == (kind, path, found_at, repaired)
    assert group.reported == [fault]
    with trio.move_on_after(0.02):
        await group.journal.run()
    assert len(await scrubber.scrub_once()) == (0 if repaired else 1)


async def test_a_missing_file_is_a_fault(group: Group) -> None:
    await group.event_log.close()
    await group.disk.remove("g/log/t_1/000002.seg")
    [fault] = await group.scrubber().scrub_once()
    assert fault.message.startswith("g/log/t_1/000002.seg: can't be read")


def test_a_pass_fills_its_period_while_all_goes_on(new_disk: Any) -> None:
    async def run() -> None:
        group = Group(new_disk())
        await group.fill()
        scrubber = group.scrubber(period_seconds=1000.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scrubber.run)
            for op in range(2, 40):
                group.event_log.append(make_effect(38 + op))
                rows = await group.event_log.write_checkpoint(group.event_log.begin_checkpoint())
                await group.checkpoints.write(op, rows)
                await group.checkpoints.prune(op)
                await trio.sleep(30)
            await trio.sleep(2000)
            nursery.cancel_scope.cancel()
        assert group.reported == []
        assert scrubber.passes >= 2
        assert scrubber.passes <= 4

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("path", "offset", "kind"),
    [
        ("g/superblock", COPY_SIZE, "superblock"),
        ("g/wal", header_offset(1), "wal"),
        ("g/wal", prepare_offset(LIMITS, 1), "wal"),
        ("g/checkpoints/state-0000000000000001", 0, "checkpoint"),
        ("g/log/t_1/000001.seg", 0, "segment"),
    ],
)
async def test_what_cannot_be_read_is_a_fault_and_ends_nothing(group: Group, path: str, offset: int, kind: str) -> None:
    group.disk.break_sector(path, offset)
    faults = await group.scrubber().scrub_once()
    assert [(fault.kind, fault.path) for fault in faults] == [(kind, path)]


async def test_a_repair_that_the_disk_fails_to_write_ends_it(group: Group) -> None:
    group.disk.break_sector("g/superblock", 0)
    group.disk.fail_sync("g/superblock")
    with pytest.raises(DiskFailed, match="fdatasync failed"):
        await group.scrubber().scrub_once()


async def test_a_full_disk_puts_a_repair_off(group: Group) -> None:
    group.disk.break_sector("g/superblock", 0)
    group.disk.full = True
    [fault] = await group.scrubber().scrub_once()
    assert fault.message == "g/superblock: copy 0 is damaged or unreadable; the disk is too full to repair it"
    group.disk.full = False
    [fault] = await group.scrubber().scrub_once()
    assert fault.repaired
