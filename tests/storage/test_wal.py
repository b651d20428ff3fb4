"""The journal on a disk that crashes: order of writes, group commit, laps, damage and refusal."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import DamagedData, DiskFailed, ForeignData, NewerFormat
from vdb.limits import PREPARE_HEADER_SIZE, Limits
from vdb.storage.recovery import Decision
from vdb.storage.wal import Journal, SlotFault
from vdb.storage.wal_layout import header_offset, prepare_offset
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader

GROUP = b"g" * 32
PATH = "g/wal"
LIMITS = Limits(message_size_max=16384, wal_slots=20, pipeline_max=4, checkpoint_interval=8)


def make_prepare(op: int, parent: bytes, *, size: int = 100, view: int = 1) -> Prepare:
    body = bytes([op % 256]) * size
    return Prepare(
        PrepareHeader.make(
            body=body,
            parent=parent,
            checkpoint_id=bytes(32),
            group=GROUP,
            view=view,
            op=op,
            commit=op - 1,
            timestamp=op,
            request_count=1,
        ),
        body,
    )


def make_log(count: int, *, size: int = 100, after: PrepareHeader | None = None, view: int = 1) -> list[Prepare]:
    parent, first = (after.checksum, after.op + 1) if after is not None else (ZERO_CHECKSUM, 1)
    log = []
    for op in range(first, first + count):
        log.append(make_prepare(op, parent, size=size, view=view))
        parent = log[-1].header.checksum
    return log


async def open_journal(disk: Any, checkpoint_op: int = 0) -> Journal:
    return await Journal.open(disk, "g", limits=LIMITS, group_hash=GROUP, with_peers=False, checkpoint_op=checkpoint_op)


async def write_all(journal: Journal, log: list[Prepare], *, together: int = 1, keep: int | None = None) -> None:
    """Write the log, `together` prepares in flight; release the checkpoint `keep` ops behind."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for start in range(0, len(log), together):
            batch = log[start : start + together]
            done = trio.Event()
            for prepare in batch:
                if keep is not None and prepare.header.op > keep:
                    journal.release(prepare.header.op - keep)
                last = prepare is batch[-1]
                journal.submit(prepare, (lambda _header, event=done: event.set()) if last else (lambda _header: None))
            await done.wait()
        nursery.cancel_scope.cancel()


async def new_journal(new_disk: Any) -> tuple[Any, Journal]:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    return disk, await open_journal(disk)


async def test_an_empty_log_has_no_head(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    assert journal.recovery.head is None
    assert journal.recovery.head_certain
    assert journal.recovery.faulty == ()
    assert disk.written < 2 * LIMITS.wal_slots * 4096, "formatting writes one sector a slot"


async def test_what_is_durable_survives_a_crash(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(9, size=5000)
    await write_all(journal, log, together=3)
    reopened = await open_journal(disk.crash())
    assert reopened.recovery.head == log[-1].header
    for prepare in log:
        assert reopened.is_durable(prepare.header.op, prepare.header.checksum)
        assert await reopened.read(prepare.header.op) == prepare
    assert await reopened.read(10) is None


async def test_a_largest_prepare_fits_its_slot(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(3, size=LIMITS.body_size_max)
    await write_all(journal, log)
    reopened = await open_journal(disk.crash())
    assert [await reopened.read(op) for op in (1, 2, 3)] == log


async def test_the_ring_wraps(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(50)
    await write_all(journal, log, together=4, keep=10)
    reopened = await open_journal(disk.crash(), 40)
    assert reopened.recovery.head == log[-1].header
    assert [await reopened.read(op) for op in range(41, 51)] == log[40:]
    assert reopened.header(21) is None


async def test_a_slot_is_not_overwritten_before_its_checkpoint(new_disk: Any) -> None:
    _disk, journal = await new_journal(new_disk)
    log = make_log(21)
    await write_all(journal, log[:20])
    with pytest.raises(AssertionError, match="not yet in a durable checkpoint"):
        journal.submit(log[20], lambda _header: None)
    journal.release(1)
    journal.submit(log[20], lambda _header: None)


async def test_reads_are_served_before_the_write(new_disk: Any) -> None:
    _disk, journal = await new_journal(new_disk)
    [prepare] = make_log(1)
    journal.submit(prepare, lambda _header: None)
    assert await journal.read(1) == prepare
    assert journal.header(1) == prepare.header
    assert not journal.is_durable(1, prepare.header.checksum)


async def test_alone_a_damaged_prepare_is_named(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    await write_all(journal, make_log(6))
    place = prepare_offset(LIMITS, 4)
    disk.damage(PATH, place + 300)
    with pytest.raises(DamagedData, match=f"g/wal: byte {place}: the prepare of op 4 isn't as it was written"):
        await journal.read(4)
    disk.break_sector(PATH, prepare_offset(LIMITS, 5))
    with pytest.raises(DiskFailed):
        await journal.read(5)


async def test_one_sync_a_prepare_under_load(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(16)
    before = disk.syncs
    await write_all(journal, log, together=16)
    assert disk.syncs - before == 2, "sixteen prepares that wait together share one turn, their headers the next"


async def test_a_header_is_written_only_after_its_prepare_was_synced(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(12)
    inode = disk.names[PATH]
    seen = []

    def check() -> None:
        for prepare in log:
            slot = prepare.header.op % LIMITS.wal_slots
            raw = prepare.header.encode()
            if inode.cache[header_offset(slot) : header_offset(slot) + PREPARE_HEADER_SIZE] == raw:
                place = prepare_offset(LIMITS, slot)
                assert inode.durable[place : place + PREPARE_HEADER_SIZE] == raw
                seen.append(prepare.header.op)

    original = disk.step

    async def step(kind: str, path: str) -> None:
        await original(kind, path)
        check()

    disk.step = step
    await write_all(journal, log, together=3)
    assert seen


async def test_a_failed_sync_ends_the_journal(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    disk.fail_sync(PATH)
    first, second = make_log(2)
    acks: list[PrepareHeader] = []
    journal.submit(first, acks.append)
    with pytest.raises(DiskFailed):
        await journal.run()
    with pytest.raises(DiskFailed):
        journal.submit(second, acks.append)
    assert acks == []


async def test_a_full_disk_is_waited_out(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    disk.full = True
    [prepare] = make_log(1)
    done = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        journal.submit(prepare, lambda _header: done.set())
        while journal.disk_full is None:
            await trio.lowlevel.checkpoint()
        assert not done.is_set()
        disk.full = False
        await done.wait()
        assert journal.disk_full is None
        nursery.cancel_scope.cancel()


VERDICTS = st.sampled_from(["keep", "drop", "left", "right", "garbage"])


@given(
    stop=st.integers(0, 40),
    together=st.integers(1, 4),
    count=st.integers(1, 45),
    size=st.sampled_from([10, 3000, 3600, 9000]),
    verdicts=st.lists(VERDICTS, min_size=3, max_size=8),
    recovery_stop=st.integers(0, 6),
)
def test_a_crash_loses_nothing_acknowledged(
    new_disk: Any,
    crashed: Any,
    stop: int,
    together: int,
    count: int,
    size: int,
    verdicts: list[str],
    recovery_stop: int,
) -> None:
    """Two rounds of load and crash, with a crash in the middle of the recovery between them."""

    def choose(_path: str, index: int, _count: int) -> str:
        return verdicts[index % len(verdicts)]

    async def load(disk: Any, journal: Journal, log: list[Prepare]) -> list[PrepareHeader]:
        acks: list[PrepareHeader] = []
        disk.changes, disk.stop_after = 0, stop + count // 2
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.run)
                for start in range(0, len(log), together):
                    for prepare in log[start : start + together]:
                        journal.release(max(prepare.header.op - 12, 0, journal._released))
                        journal.submit(prepare, acks.append)
                    while not acks or acks[-1] is not log[min(start + together, len(log)) - 1].header:
                        await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        except* crashed:
            pass
        return acks

    async def reopen(disk: Any, checkpoint_op: int) -> tuple[Any, Journal]:
        disk.changes, disk.stop_after = 0, recovery_stop
        with contextlib.suppress(crashed):
            await open_journal(disk, checkpoint_op)
        disk = disk.crash(choose)
        return disk, await open_journal(disk, checkpoint_op)

    async def run() -> None:
        disk, journal = await new_journal(new_disk)
        log = make_log(count, size=size)
        acks = await load(disk, journal, log)
        disk, journal = await reopen(disk.crash(choose), journal._released)
        head = journal.recovery.head
        kept = head.op if head is not None else 0
        assert kept >= (acks[-1].op if acks else 0)
        more = make_log(count, size=size, after=head, view=2)
        history = log[:kept] + more
        acks = acks + await load(disk, journal, more)
        released = journal._released
        disk, journal = await reopen(disk.crash(choose), released)
        head = journal.recovery.head
        kept = head.op if head is not None else 0
        assert kept >= (acks[-1].op if acks else 0)
        for op in range(released + 1, kept + 1):
            assert await journal.read(op) == history[op - 1]

    trio.run(run)


@given(op=st.integers(1, 17), at=st.integers(0, 299), flip=st.integers(1, 255))
def test_a_rotted_prepare_is_refused_by_name(new_disk: Any, op: int, at: int, flip: int) -> None:
    async def run() -> None:
        disk, journal = await new_journal(new_disk)
        await write_all(journal, make_log(17))
        place = prepare_offset(LIMITS, op)
        disk.damage(PATH, place + at, flip)
        with pytest.raises(DamagedData, match=rf"g/wal: op {op} in slot {op} \(byte {place}\) may have been ackn"):
            await open_journal(disk.crash())

    trio.run(run)


@given(op=st.integers(1, 17), at=st.integers(0, 255), flip=st.integers(1, 255))
def test_a_rotted_header_is_rewritten(new_disk: Any, op: int, at: int, flip: int) -> None:
    async def run() -> None:
        disk, journal = await new_journal(new_disk)
        log = make_log(17)
        await write_all(journal, log)
        disk.damage(PATH, header_offset(op) + at, flip)
        after = disk.crash()
        reopened = await open_journal(after)
        assert reopened.recovery.head == log[-1].header
        assert reopened.recovery.slots[op].decision is Decision.FIX
        again = await open_journal(after.crash())
        assert again.recovery.slots[op].decision is Decision.CLEAN

    trio.run(run)


async def test_a_torn_header_sector_beside_a_torn_prepare_is_no_loss(new_disk: Any, crashed: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(8)
    await write_all(journal, log[:5])
    for prepare in log[5:]:
        journal.submit(prepare, lambda _header: None)
    disk.changes, disk.stop_after = 0, 3
    with pytest.raises(crashed):
        await journal.run()
    disk.names[PATH].pending.append((0, b"\xff" * 4096))
    order = ["garbage", "keep", "keep", "keep"]
    reopened = await open_journal(disk.crash(lambda _path, index, _count: order[index]))
    assert reopened.recovery.head == log[4].header
    assert [entry.decision for entry in reopened.recovery.slots[6:9]] == [Decision.TORN, Decision.CUT, Decision.CUT]


async def test_a_prepare_that_was_synced_is_missed_even_without_its_header(new_disk: Any, crashed: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(8)
    await write_all(journal, log)
    disk.damage(PATH, prepare_offset(LIMITS, 7) + 10)
    for op in range(16):
        disk.damage(PATH, header_offset(op))
    with pytest.raises(DamagedData, match="op 7 in slot 7"):
        await open_journal(disk.crash())


async def test_the_checkpoints_own_header_is_the_parent_of_the_next(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(16)
    await write_all(journal, log)
    assert (await open_journal(disk.crash(), 16)).recovery.head == log[15].header
    disk.damage(PATH, prepare_offset(LIMITS, 16) + 300)
    assert (await open_journal(disk.crash(), 16)).recovery.head == log[15].header
    disk.damage(PATH, header_offset(16))
    disk = disk.crash()
    reopened = await open_journal(disk, 16)
    assert reopened.recovery.head is None, "the checkpoint has its checksum"
    [more] = make_log(1, after=log[15].header)
    await write_all(reopened, [more])
    assert (await open_journal(disk, 16)).recovery.head == more.header


async def test_another_groups_log_is_foreign(new_disk: Any) -> None:
    disk, _journal = await new_journal(new_disk)
    with pytest.raises(ForeignData, match="g/wal: expected the log of group"):
        await Journal.open(disk, "g", limits=LIMITS, group_hash=b"h" * 32, with_peers=False, checkpoint_op=0)


async def test_a_newer_log_is_refused(new_disk: Any) -> None:
    disk, _journal = await new_journal(new_disk)
    for slot in range(LIMITS.wal_slots):
        disk.data(PATH)[header_offset(slot) + 165] = 9
    with pytest.raises(NewerFormat, match="g/wal has format version 9"):
        await open_journal(disk)


async def test_a_short_file_is_damaged(new_disk: Any) -> None:
    disk, _journal = await new_journal(new_disk)
    del disk.data(PATH)[100:]
    with pytest.raises(DamagedData, match=r"g/wal: expected .* bytes, found 100: the file was cut"):
        await open_journal(disk)


async def test_scrubbing_finds_and_mends(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    await write_all(journal, make_log(6))
    assert [await journal.scrub_slot(slot) for slot in range(LIMITS.wal_slots)] == [None] * LIMITS.wal_slots
    disk.damage(PATH, header_offset(3) + 5)
    disk.damage(PATH, prepare_offset(LIMITS, 4) + 300)
    assert await journal.scrub_slot(3) == SlotFault(
        offset=header_offset(3),
        message="op 3: the redundant header in slot 3 was damaged, and is rewritten",
        repaired=True,
    )
    assert await journal.scrub_slot(4) == SlotFault(
        offset=prepare_offset(LIMITS, 4),
        message="op 4: the prepare in slot 4 is damaged",
        repaired=False,
        lost=journal.header(4),
    )
    with trio.move_on_after(0.05):
        await journal.run()
    assert await journal.scrub_slot(3) is None


@pytest.mark.parametrize("lost", [header_offset(0), prepare_offset(LIMITS, 2), prepare_offset(LIMITS, 12) + 4096])
async def test_an_unreadable_sector_that_nothing_needs_keeps_no_node_down(new_disk: Any, lost: int) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(12, size=5000)
    await write_all(journal, log, keep=8)
    disk.break_sector(PATH, lost)
    checkpoint_op = 12 if lost > prepare_offset(LIMITS, 12) else 8
    reopened = await open_journal(disk, checkpoint_op)
    assert reopened.recovery.head == log[-1].header
    more = make_log(6, after=log[-1].header)
    await write_all(reopened, more)
    assert (await open_journal(disk, checkpoint_op)).recovery.head == more[-1].header


async def test_an_unreadable_ring_of_headers_is_written_anew(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(12)
    await write_all(journal, log, together=3)
    for start in range(0, LIMITS.wal_headers_size, 4096):
        disk.break_sector(PATH, start)
    assert (await open_journal(disk)).recovery.head == log[-1].header
    assert disk.bad_sectors == []


@pytest.mark.parametrize("op", [3, 12])
async def test_an_op_that_cannot_be_read_is_refused(new_disk: Any, op: int) -> None:
    disk, journal = await new_journal(new_disk)
    await write_all(journal, make_log(12))
    disk.break_sector(PATH, prepare_offset(LIMITS, op))
    with pytest.raises(DiskFailed, match=f"op {op} in slot {op} .* isn't whole .* fails to read the slot"):
        await open_journal(disk)


async def test_a_head_that_neither_ring_can_tell_of_is_refused(new_disk: Any) -> None:
    """Header and prepare of the last op: no other slot knows that it was acknowledged."""
    disk, journal = await new_journal(new_disk)
    await write_all(journal, make_log(12))
    disk.break_sector(PATH, header_offset(12))
    disk.break_sector(PATH, prepare_offset(LIMITS, 12))
    with pytest.raises(DiskFailed, match=r"op 12 in slot 12 .* is legible in neither ring"):
        await open_journal(disk)
    disk.bad_sectors.pop(0)
    disk.damage(PATH, header_offset(12))
    with pytest.raises(DiskFailed, match=r"op 12 in slot 12 .* is legible in neither ring"):
        await open_journal(disk)
    disk.damage(PATH, header_offset(12))
    disk.bad_sectors = [(PATH, header_offset(12) // 4096), (PATH, prepare_offset(LIMITS, 15) // 4096)]
    assert (await open_journal(disk)).recovery.head is not None, "slot 13 shows that op 15 never came to be"


async def test_scrubbing_reports_what_cannot_be_read(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    await write_all(journal, make_log(6))
    disk.break_sector(PATH, prepare_offset(LIMITS, 4))
    fault = await journal.scrub_slot(4)
    assert fault is not None
    assert fault.message == "op 4: the prepare in slot 4 is damaged"
    disk.bad_sectors.clear()
    disk.break_sector(PATH, header_offset(4))
    fault = await journal.scrub_slot(4)
    assert fault is not None
    assert fault.repaired
    with trio.move_on_after(0.05):
        await journal.run()
    assert disk.bad_sectors == []
