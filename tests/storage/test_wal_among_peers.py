"""The journal of a replica with peers: repair below the head, truncation, damage that is told, and crashes in between.

What is checked after each crash is what a vote rests on: an op that was reported durable, and neither truncated nor
replaced, is whole or faulty, never absent; what is called whole can be read; what is faulty stays so until it is
written again.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.limits import Limits
from vdb.storage.recovery import Decision
from vdb.storage.wal import Journal
from vdb.storage.wal_layout import encode_reserved, encode_slot, header_offset, prepare_offset
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, Prepare, PrepareHeader

GROUP = b"g" * 32
PATH = "g/wal"
LIMITS = Limits(message_size_max=16384, wal_slots=20, pipeline_max=4, checkpoint_interval=8)
THREE = Configuration.founding((0, 1, 2))


def make_log(count: int, *, after: PrepareHeader | None = None, view: int = 1, size: int = 100) -> list[Prepare]:
    parent, first = (after.checksum, after.op + 1) if after is not None else (ZERO_CHECKSUM, 1)
    log = []
    for op in range(first, first + count):
        body = bytes([op % 256]) * size
        header = PrepareHeader.make(
            body=body,
            parent=parent,
            checkpoint_id=bytes(32),
            group=GROUP,
            view=view,
            op=op,
            commit=0,
            timestamp=op,
            request_count=1,
            configuration=THREE,
        )
        log.append(Prepare(header, body))
        parent = header.checksum
    return log


async def open_journal(disk: Any, checkpoint_op: int = 0, log_view: int = 1) -> Journal:
    return await Journal.open(
        disk,
        "g",
        limits=LIMITS,
        group_hash=GROUP,
        with_peers=True,
        checkpoint_op=checkpoint_op,
        log_view=log_view,
    )


async def new_journal(new_disk: Any) -> tuple[Any, Journal]:
    disk = new_disk()
    await Journal.format(disk, "g", LIMITS, GROUP)
    return disk, await open_journal(disk)


async def write(journal: Journal, prepares: list[Prepare]) -> list[PrepareHeader]:
    """Submit all of them at once and wait until the journal rests; what it reported durable."""
    durable: list[PrepareHeader] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for prepare in prepares:
            journal.submit(prepare, durable.append)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return durable


async def test_ops_are_written_in_any_order(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(9)
    order = [8, 2, 5, 0, 7]
    assert await write(journal, [log[index] for index in order]) == [log[index].header for index in order]
    reopened = await open_journal(disk.crash())
    assert reopened.recovery.headers_above(0) == tuple(log[index].header for index in sorted(order))
    assert reopened.recovery.faulty == ()
    assert reopened.recovery.head_certain
    assert await reopened.read(9) == log[8]
    assert await reopened.read(2) is None


async def test_a_slot_is_taken_by_the_next_lap_while_the_prepare_before_still_waits(new_disk: Any) -> None:
    """The disk is slow; commits, a checkpoint of them and the next lap came before their prepares were written."""
    disk, journal = await new_journal(new_disk)
    log = make_log(LIMITS.wal_slots + 2)
    durable: list[PrepareHeader] = []
    for prepare in log[: LIMITS.wal_slots]:
        journal.submit(prepare, durable.append)
    journal.release(8)
    for prepare in log[LIMITS.wal_slots :]:
        journal.submit(prepare, durable.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert durable == [prepare.header for prepare in log[2:]]
    reopened = await open_journal(disk.crash(), checkpoint_op=8)
    assert [await reopened.read(op) for op in range(9, LIMITS.wal_slots + 3)] == log[8:]


async def test_an_op_is_written_over_by_a_later_view(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(5)
    await write(journal, log)
    newer = make_log(2, after=log[2].header, view=2)
    journal.truncate(3)
    assert not journal.is_durable(4, log[3].header.checksum)
    assert await journal.read(4) is None
    assert await write(journal, newer) == [prepare.header for prepare in newer]
    reopened = await open_journal(disk.crash(), log_view=2)
    assert [await reopened.read(op) for op in range(1, 6)] == log[:3] + newer


async def test_what_is_truncated_is_never_reported_durable(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(6)
    durable: list[PrepareHeader] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for prepare in log[:4]:
            journal.submit(prepare, durable.append)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        for prepare in log[4:]:
            journal.submit(prepare, durable.append)
        journal.truncate(2)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert durable == [log[0].header, log[1].header]
    reopened = await open_journal(disk.crash())
    assert reopened.recovery.headers_above(0) == (log[0].header, log[1].header)
    assert reopened.recovery.head_certain


async def test_truncation_clears_damage_that_no_op_needs(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(8)
    await write(journal, log)
    for op in (7, 8):
        disk.damage(PATH, prepare_offset(LIMITS, op) + 300)
        disk.damage(PATH, header_offset(op))
    disk = disk.crash()
    reopened = await open_journal(disk)
    assert [entry.op for entry in reopened.recovery.faulty] == [7, 8]
    assert not reopened.recovery.head_certain
    reopened.truncate(6)
    await write(reopened, [])
    again = await open_journal(disk)
    assert again.recovery.faulty == ()
    assert again.recovery.head_certain


async def test_a_checkpoint_clears_damage_below_it(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    await write(journal, make_log(8))
    disk.damage(PATH, prepare_offset(LIMITS, 3) + 300)
    disk.damage(PATH, header_offset(3))
    disk = disk.crash()
    reopened = await open_journal(disk)
    assert [entry.op for entry in reopened.recovery.faulty] == [3]
    reopened.release(8)
    await write(reopened, [])
    assert (await open_journal(disk, 8)).recovery.faulty == ()


async def test_reading_tells_damage(new_disk: Any) -> None:
    disk, journal = await new_journal(new_disk)
    log = make_log(6)
    await write(journal, log)
    disk.damage(PATH, prepare_offset(LIMITS, 4) + 300)
    disk.break_sector(PATH, prepare_offset(LIMITS, 5))
    for op in (4, 5):
        assert await journal.read(op) is None
        assert journal.header(op) == log[op - 1].header, "so it is damage"
    assert await write(journal, [log[3], log[4]]) == [log[3].header, log[4].header]
    assert [await journal.read(op) for op in (4, 5)] == log[3:5]


async def test_headers_that_name_peers_make_a_group_with_peers(new_disk: Any) -> None:
    """The checkpoint still says that the group has one member; an op above it made it three."""
    disk, journal = await new_journal(new_disk)
    log = make_log(6)
    await write(journal, log)
    disk.damage(PATH, prepare_offset(LIMITS, 4) + 300)
    reopened = await Journal.open(
        disk.crash(), "g", limits=LIMITS, group_hash=GROUP, with_peers=False, checkpoint_op=0, log_view=1
    )
    assert [entry.op for entry in reopened.recovery.faulty] == [4]


KINDS = ("bad", "reserved", "lap before", "same", "other view", "beyond")


def lay(disk: Any, op: int, header: str, prepare: str, kinds: dict[str, Prepare | None]) -> None:
    """Put these two into the slot of `op`, durably."""
    slot = op % LIMITS.wal_slots
    inode = disk.names[PATH]
    for target in (inode.cache, inode.durable):
        found = kinds.get(header)
        raw = b"\xee" * 256 if header == "bad" else encode_reserved(GROUP, slot)[:256]
        target[header_offset(slot) : header_offset(slot) + 256] = found.header.encode() if found is not None else raw
        found = kinds.get(prepare)
        data = encode_slot(found, 0) if found is not None else encode_reserved(GROUP, slot)
        if prepare == "bad":
            data = b"\xee" * 4096
        place = prepare_offset(LIMITS, slot)
        target[place : place + len(data)] = data


@pytest.mark.parametrize(("header", "prepare"), [*itertools.product(KINDS, KINDS)])
async def test_every_pair_stays_what_it_is_until_it_is_repaired(new_disk: Any, header: str, prepare: str) -> None:
    """An op below the head, in the second lap. Its repair is cut off after each of its writes."""
    log = make_log(46)
    op = 26
    other = make_log(1, after=log[op - 2].header, view=2, size=50)[0]
    kinds = {"lap before": log[op - 21], "same": log[op - 1], "other view": other, "beyond": log[op + 19]}
    for stop in range(9):
        disk, journal = await new_journal(new_disk)
        await write(journal, log[:20])
        journal.release(16)
        await write(journal, log[20:32])
        lay(disk, op, header, prepare, kinds)
        first = (await open_journal(disk, 16, log_view=2)).recovery
        decided = first.slots[op % 20].decision
        again = await open_journal(disk.crash(), 16, log_view=2)
        slot = again.recovery.slots[op % 20]
        assert (slot.decision is Decision.FAULTY) == (decided is Decision.FAULTY), "an open changes no verdict"
        if prepare == "same" and decided in (Decision.CLEAN, Decision.FIX):
            assert slot.header == log[op - 1].header
        disk = disk.crash()
        journal = await open_journal(disk, 16, log_view=2)
        disk.changes, disk.stop_after = 0, stop
        stopped = False
        try:
            await write(journal, [log[op - 1]])
        except* BaseException:
            stopped = True
        for verdict in ("drop", "left", "right", "garbage"):
            after = disk.crash(lambda _path, _index, _count, verdict=verdict: verdict)
            found = (await open_journal(after, 16, log_view=2)).recovery
            slot = found.slots[op % 20]
            if not stopped:
                assert slot.header == log[op - 1].header
            elif decided is Decision.FAULTY:
                whole = slot.decision is not Decision.FAULTY
                assert not whole or slot.header == log[op - 1].header, f"{slot} after {stop} writes, {verdict}"
        if not stopped:
            return
    raise AssertionError("the repair takes more writes than expected")


VERDICTS = st.sampled_from(["keep", "drop", "left", "right", "garbage"])
STEP = st.one_of(
    st.tuples(st.just("write"), st.lists(st.integers(0, 11), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("view"), st.integers(0, 6)),
    st.tuples(st.just("release"), st.integers(0, 4)),
    st.tuples(st.just("crash"), st.integers(0, 12)),
)


class Model:
    """What the journal promised, and the log that its replica believes in."""

    def __init__(self, disk: Any, journal: Journal) -> None:
        self.disk = disk
        self.journal = journal
        self.view = 1
        self.released = 0
        self.log: list[Prepare] = make_log(12)
        self.acked: dict[int, bytes] = {}
        self.submitted: dict[bytes, Prepare] = {}

    @property
    def first(self) -> int:
        return self.released + 1

    def on_durable(self, header: PrepareHeader) -> None:
        self.acked[header.op] = header.checksum

    def submit(self, prepare: Prepare) -> None:
        op = prepare.header.op
        if self.acked.get(op) != prepare.header.checksum:
            self.acked.pop(op, None)
        self.submitted[prepare.header.checksum] = prepare
        self.journal.submit(prepare, self.on_durable)

    def change_view(self, keep: int) -> None:
        """A new view's log keeps some ops and replaces all above."""
        self.view += 1
        kept = min(self.released + keep, len(self.log))
        self.log = self.log[:kept]
        self.journal.truncate(kept)
        self.acked = {op: checksum for op, checksum in self.acked.items() if op <= kept}
        self.extend()

    def extend(self) -> None:
        after = self.log[-1].header if self.log else None
        missing = self.released + 12 - len(self.log)
        self.log += make_log(missing, after=after, view=self.view, size=60 + 40 * self.view)

    def release(self, ahead: int) -> None:
        while ahead and self.acked.get(self.first) == self.log[self.first - 1].header.checksum:
            self.released += 1
            ahead -= 1
        self.journal.release(self.released)
        self.acked = {op: checksum for op, checksum in self.acked.items() if op > self.released}
        self.extend()

    async def check(self, journal: Journal) -> None:
        whole = {header.op: header for header in journal.recovery.headers_above(self.released)}
        faulty = [entry.op for entry in journal.recovery.faulty]
        for op, checksum in self.acked.items():
            if op not in faulty:
                assert op in whole, f"op {op} was acked and is denied"
                assert whole[op].checksum == checksum or whole[op].view == self.view
        for op, header in whole.items():
            assert op not in faulty
            assert await journal.read(op) == self.submitted[header.checksum]
            assert journal.is_durable(op, header.checksum)

    async def crash(self, choose: Any) -> None:
        self.disk = self.disk.crash(choose)
        before = [entry.op for entry in (await open_journal(self.disk, self.released, self.view)).recovery.faulty]
        self.journal = await open_journal(self.disk.crash(), self.released, self.view)
        assert [entry.op for entry in self.journal.recovery.faulty] == before
        self.disk = self.disk.crash()
        self.journal = await open_journal(self.disk, self.released, self.view)
        await self.check(self.journal)
        whole = {header.op: header.checksum for header in self.journal.recovery.headers_above(self.released)}
        self.acked = {op: checksum for op, checksum in self.acked.items() if whole.get(op) == checksum}
        self.journal.truncate(len(self.log))


async def run_step(model: Model, kind: str, argument: Any, choose: Any, crashed: Any) -> None:
    model.disk.changes = 0
    model.disk.stop_after = argument if kind == "crash" else None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(model.journal.run)
            if kind == "view":
                model.change_view(argument)
            elif kind == "release":
                model.release(argument)
            indices = argument if kind == "write" else range(4)
            for index in indices:
                model.submit(model.log[model.released + index])
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    except* crashed:
        pass
    if kind == "crash":
        await model.crash(choose)


@settings(max_examples=80)
@given(steps=st.lists(STEP, min_size=1, max_size=14), verdicts=st.lists(VERDICTS, min_size=3, max_size=8))
def test_no_crash_makes_the_journal_deny_what_it_acked(
    new_disk: Any, crashed: Any, steps: list[tuple[str, Any]], verdicts: list[str]
) -> None:
    def choose(_path: str, index: int, _count: int) -> str:
        return verdicts[index % len(verdicts)]

    async def run() -> None:
        disk, journal = await new_journal(new_disk)
        model = Model(disk, journal)
        for kind, argument in [*steps, ("crash", 3)]:
            await run_step(model, kind, argument, choose, crashed)

    trio.run(run)
