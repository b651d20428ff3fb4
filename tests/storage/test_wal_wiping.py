"""Nothing of a destroyed key is left in the journal: neither below the checkpoint nor behind shorter prepares."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from vdb.limits import Limits
from vdb.storage.wal import Journal
from vdb.storage.wal_layout import prepare_offset
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader

GROUP = b"g" * 32
LIMITS = Limits(message_size_max=16384, wal_slots=20, pipeline_max=4, checkpoint_interval=8)
KEY = b"the id of a key."
WRAPPED = b"wrapped bytes of a key that is to go...."


def prepare_of(op: int, parent: bytes, body: bytes) -> Prepare:
    header = PrepareHeader.make(
        body=body,
        parent=parent,
        checkpoint_id=bytes(32),
        group=GROUP,
        view=1,
        op=op,
        commit=op - 1,
        timestamp=op,
        request_count=1,
    )
    return Prepare(header, body)


def log_of(length: int, *, keyed: int) -> list[Prepare]:
    log, parent = list[Prepare](), ZERO_CHECKSUM
    for op in range(1, length + 1):
        log.append(prepare_of(op, parent, b"." * 5000 + (KEY + WRAPPED if op == keyed else b"")))
        parent = log[-1].header.checksum
    return log


async def written(journal: Journal, log: list[Prepare]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for prepare in log:
            done = trio.Event()
            journal.release(max(0, prepare.header.op - 12))
            journal.submit(prepare, lambda _header, done=done: done.set())
            await done.wait()
        nursery.cancel_scope.cancel()


async def opened(disk: Any, checkpoint_op: int, *, with_peers: bool = False) -> Journal:
    return await Journal.open(
        disk, "g", limits=LIMITS, group_hash=GROUP, with_peers=with_peers, checkpoint_op=checkpoint_op
    )


async def raw(disk: Any) -> bytes:
    file = await disk.open("g/wal")
    return bytes(await file.read_at(0, await file.size()))


@given(
    sizes=st.lists(st.integers(1, 12_000), min_size=9, max_size=60),
    at=st.data(),
)
async def test_the_keys_bytes_are_gone_and_what_is_needed_stays(new_disk: Any, sizes: list[int], at: Any) -> None:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    journal = await opened(disk, 0)
    last = len(sizes)
    checkpoint = at.draw(st.integers(max(1, last - 8), last), label="checkpoint")
    keyed = at.draw(st.integers(1, checkpoint), label="op that put the key")
    log: list[Prepare] = []
    parent = ZERO_CHECKSUM
    for op, size in enumerate(sizes, start=1):
        body = bytes([op % 256]) * size
        if op == keyed:
            body += KEY + WRAPPED
        log.append(prepare_of(op, parent, body))
        parent = log[-1].header.checksum
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for prepare in log:
            done = trio.Event()
            journal.release(max(0, prepare.header.op - 12))
            journal.submit(prepare, lambda _header, done=done: done.set())
            await done.wait()
        journal.release(checkpoint)
        await journal.wipe((KEY,))
        nursery.cancel_scope.cancel()
    stored = await raw(disk)
    assert KEY not in stored
    assert WRAPPED not in stored
    # Not a piece of it, either: the smallest that an older lap could have left.
    assert WRAPPED[-16:] not in stored
    for reopened in (await opened(disk, checkpoint), await opened(disk.crash(), checkpoint)):
        assert reopened.recovery.faulty == ()
        for prepare in log[checkpoint:]:
            found = await reopened.read(prepare.header.op)
            assert found is not None
            assert bytes(found.body) == prepare.body


async def test_a_slot_that_was_never_used_isnt_written(new_disk: Any) -> None:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    journal = await opened(disk, 0)
    written = disk.written
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        assert await journal.wipe((KEY,)) == 0
        nursery.cancel_scope.cancel()
    assert disk.written == written


@pytest.mark.parametrize("behind", [0, 3])
async def test_a_damaged_slot_keeps_nothing_of_a_key(new_disk: Any, behind: int) -> None:
    """Its prepare rotted, perhaps in the very id of the key: it holds nothing that is to be kept, and stays damaged."""
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    log, journal = log_of(12, keyed=5), await opened(disk, 0, with_peers=True)
    await written(journal, log)
    await journal.close()
    start = prepare_offset(LIMITS, 5)
    file = await disk.open("g/wal")
    data = await file.read_at(start, log[4].header.size)
    place = start + bytes(data).index(KEY) + behind
    await file.write_at(place, b"?")
    await file.sync()
    journal = await opened(disk, 8, with_peers=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        await journal.wipe((KEY,))
        nursery.cancel_scope.cancel()
    assert WRAPPED not in await raw(disk)
    again = await opened(disk, 8, with_peers=True)
    assert again.recovery.faulty == journal.recovery.faulty
    assert [entry.decision for entry in again.recovery.slots] == [entry.decision for entry in journal.recovery.slots]


async def test_a_write_that_was_lost_leaves_nothing_of_a_key_in_its_slot(new_disk: Any) -> None:
    """The journal takes the slot for one that is needed, while the disk holds the lap before: a key's."""
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    log, journal = log_of(30, keyed=5), await opened(disk, 0, with_peers=True)
    await written(journal, log[:24])
    file = await disk.open("g/wal")
    start = prepare_offset(LIMITS, 5)
    before = bytes(await file.read_at(start, LIMITS.message_size_max))
    await written(journal, log[24:])
    await file.write_at(start, before)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        journal.release(20)
        await journal.wipe((KEY,))
        assert WRAPPED not in await raw(disk)
        assert await journal.read(25) is None
        nursery.cancel_scope.cancel()
    again = await opened(disk, 20, with_peers=True)
    assert [faulty.op for faulty in again.recovery.faulty] == [25]


async def test_what_is_cut_while_the_journal_is_wiped_is_wiped_as_well(new_disk: Any) -> None:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    log, journal = log_of(12, keyed=11), await opened(disk, 0, with_peers=True)
    await written(journal, log)
    reads, step = list[str](), disk.step

    async def step_and_cut(kind: str, path: str) -> None:
        reads.append(kind)
        if reads.count("read") == 10:
            journal.truncate(10)
        await step(kind, path)

    disk.step = step_and_cut
    async with trio.open_nursery() as nursery:
        journal.release(8)
        nursery.start_soon(journal.run)
        await journal.wipe((KEY,))
        nursery.cancel_scope.cancel()
    disk.step = step
    assert WRAPPED not in await raw(disk)


@pytest.mark.parametrize("crash_after", range(1, 40))
async def test_a_slot_that_is_being_repaired_never_looks_as_if_nothing_had_been_there(
    new_disk: Any, crash_after: int
) -> None:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    log, journal = log_of(28, keyed=5), await opened(disk, 0, with_peers=True)
    await written(journal, log)
    await journal.close()
    disk.damage("g/wal", prepare_offset(LIMITS, 3) + 300)
    journal = await opened(disk, 20, with_peers=True)
    assert [faulty.op for faulty in journal.recovery.faulty] == [23]
    disk.stop_after = disk.changes + crash_after
    with suppress(BaseExceptionGroup):
        async with trio.open_nursery() as nursery:
            journal.submit(log[22], lambda _header: None)
            nursery.start_soon(journal.run)
            await journal.wipe((KEY,))
            nursery.cancel_scope.cancel()
    disk = disk.crash()
    again = await opened(disk, 20, with_peers=True)
    found = await again.read(23)
    assert found is not None or [faulty.op for faulty in again.recovery.faulty] == [23]
