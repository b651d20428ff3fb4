"""Nothing of a destroyed key is left in the journal: neither below the checkpoint nor behind shorter prepares."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st

from vdb.limits import Limits
from vdb.storage.wal import Journal
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


async def opened(disk: Any, checkpoint_op: int) -> Journal:
    return await Journal.open(disk, "g", limits=LIMITS, group_hash=GROUP, with_peers=False, checkpoint_op=checkpoint_op)


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
