"""State sync between two stores: what is copied is the same, goes on the same, and survives a crash at any write."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import trio
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.errors import DiskFailed
from vdb.kernel.effect import AppendRecord
from vdb.kernel.tables import Table
from vdb.limits import Limits
from vdb.storage import checkpoint_family
from vdb.storage.checkpoint import CheckpointStore
from vdb.storage.event_log import EventLog
from vdb.storage.pieces import has_piece, named_segments
from vdb.storage.staging import Staging, Target, clear_overtaken, install, read_target
from vdb.storage.superblock import Superblock, SuperblockState
from vdb.storage.sync_source import SyncSource
from vdb.types import StreamId, TenantId
from vdb.vsr.header import ALONE
from vdb.vsr.message import FileEntry

GROUP = b"g" * 32
LIMITS = Limits(message_size_max=16384, wal_slots=20, checkpoint_interval=8, segment_size=4096)


def make_effect(tenant: int, number: int) -> AppendRecord:
    record = struct.pack(">4s2x8xQ8xQQI", b"VDBR", tenant, 1, number, 1) + bytes([number % 251]) * (50 + number % 400)
    return AppendRecord(TenantId(tenant), StreamId(1), number, number, 1, record)


def changes_at(op: int) -> dict[int, dict[bytes, bytes | None]]:
    """What changes in the tables from one checkpoint to the next: a function of the op."""
    rows: dict[bytes, bytes | None] = {
        (op * 31 + number * 7 % 400).to_bytes(8, "big"): None if number % 5 == 4 else bytes([op % 251]) * (number % 9)
        for number in range(op % 37)
    }
    keys: dict[bytes, bytes | None] = {op.to_bytes(4, "big"): b"wrapped"} if op % 3 == 0 else {}
    return {1: {b"meta": op.to_bytes(8, "big")}, 2: rows, int(Table.KEYS): keys}


@define(eq=False)
class Store:
    """Superblock, checkpoints and event log of one replica. One record of each of three tenants is an op."""

    disk: Any
    superblock: Superblock = field(init=False)
    checkpoints: CheckpointStore = field(init=False)
    event_log: EventLog = field(init=False)

    @classmethod
    async def make(cls, disk: Any) -> Store:
        state = SuperblockState(
            cluster=b"c" * 16,
            group="global",
            replica=0,
            configuration=ALONE.pack(),
            limits=LIMITS,
            root_key_id=b"k" * 16,
        )
        await (await Superblock.format(disk, "g", state)).close()
        return await cls.open(disk)

    @classmethod
    async def open(cls, disk: Any) -> Store:
        store = cls(disk)
        await install(disk, "g")
        store.superblock = await Superblock.open(disk, "g")
        store.checkpoints = await CheckpointStore.open(disk, "g", group_hash=GROUP)
        rows = await store.checkpoints.load(store.op, store.superblock.state.checkpoint_id)
        store.event_log = await EventLog.open(disk, "g", LIMITS, rows, group_hash=GROUP)
        return store

    @property
    def op(self) -> int:
        return self.superblock.state.checkpoint_op

    async def advance(self, *, flush_at: int = 0) -> None:
        """Eight ops, with a checkpoint at the last one. `flush_at` writes what waits early, after so many of them."""
        first = self.op + 1
        for op in range(first, first + 8):
            for tenant in (1, 2, 77)[: 1 + op % 3]:
                self.event_log.append(make_effect(tenant, op))
            if op - first == flush_at - 1:
                await self.event_log.flush()
        op = first + 7
        rows = await self.event_log.write_checkpoint(self.event_log.begin_checkpoint())
        checkpoint_id = await self.checkpoints.write(op, {**changes_at(op), **rows})
        await self.superblock.update(checkpoint_op=op, checkpoint_id=checkpoint_id, commit=op)
        self.event_log.checkpoint_durable(rows)
        await self.checkpoints.prune(op)

    def source(self) -> SyncSource:
        return SyncSource(disk=self.disk, directory="g", checkpoints=self.checkpoints, event_log=self.event_log)

    def files(self) -> dict[str, bytes]:
        """What is the same on all replicas at this checkpoint. Indexes of segments come when they are needed."""
        kept = ("g/checkpoints/", "g/log/")
        return {
            path: bytes(inode.cache)
            for path, inode in sorted(self.disk.names.items())
            if path.startswith(kept) and not path.endswith(".idx")
        }


async def copy(donor: Store, disk: Any, own: Store | None, chunk: int) -> None:
    """What a syncer does, without a network: stage all that is missing, and say that it is ready."""
    staging = await Staging.open(disk, "g", group_hash=GROUP)
    state = donor.superblock.state
    if staging.target is None or staging.target.op != state.checkpoint_op:
        target = Target(
            op=state.checkpoint_op,
            checkpoint_id=state.checkpoint_id,
            configuration=state.configuration,
            files=donor.source().files(),
        )
        await staging.begin(target)
    assert staging.target is not None
    for entry in staging.target.files:
        await fetch(donor, staging, entry.path, entry.size, entry.checksum, chunk)
    staged = []
    for piece in named_segments(await staging.load_rows()):
        if await has_piece(disk, "g", piece):
            continue
        stretches = own.event_log.durable_stretches(int(piece.path.split("/")[1][2:])) if own is not None else []
        for stretch in stretches:
            if stretch.path == f"g/{piece.path}" and await staging.length(piece.path) < stretch.length:
                await staging.copy_own(piece.path, stretch.length)
        await fetch(donor, staging, piece.path, piece.length, piece.crc, chunk)
        staged.append(piece.path)
    await staging.finish(staged)


async def fetch(donor: Store, staging: Staging, path: str, size: int, checksum: bytes | int, chunk: int) -> None:
    for _attempt in range(2):
        at = await staging.length(path)
        while at < size:
            data = await donor.source().read(path, at, min(chunk, size - at))
            assert data
            await staging.append(path, at, data)
            at += len(data)
        if await staging.check(path, size, checksum):
            return
    raise AssertionError(f"{path} isn't what the checkpoint names")


@pytest.mark.parametrize("rows_min", [1, 20, 64])
@pytest.mark.parametrize("own", [0, 1, 4])
async def test_a_copy_goes_on_as_the_original(
    new_disk: Any, own: int, rows_min: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotation of base slots, numbers of deltas, segments: at each later checkpoint all files are the same."""
    monkeypatch.setattr(checkpoint_family, "SLOT_ROWS_MIN", rows_min)
    donor, receiver = await Store.make(new_disk()), await Store.make(new_disk())
    for step in range(9):
        await donor.advance(flush_at=step)
        if step < own:
            await receiver.advance()
    await copy(donor, receiver.disk, receiver, 3000)
    receiver = await Store.open(receiver.disk)
    assert receiver.superblock.state.checkpoint_id == donor.superblock.state.checkpoint_id
    assert receiver.files() == donor.files()
    for step in range(30):
        await donor.advance(flush_at=step % 3)
        await receiver.advance(flush_at=step % 5)
        if step % 7 == 6:
            receiver = await Store.open(receiver.disk)
        assert receiver.superblock.state.checkpoint_id == donor.superblock.state.checkpoint_id
        assert receiver.files() == donor.files()
    for tenant in (1, 2, 77):
        frames = await receiver.event_log.read_log(TenantId(tenant), 0, 1 << 20)
        assert len(frames) == len(await donor.event_log.read_log(TenantId(tenant), 0, 1 << 20)) > 0
        await donor.event_log.read_stream(TenantId(tenant), StreamId(1), 0, 1 << 20)
        await receiver.event_log.read_stream(TenantId(tenant), StreamId(1), 0, 1 << 20)
    indexes = [
        {path: bytes(inode.cache) for path, inode in store.disk.names.items() if path.endswith(".idx")}
        for store in (donor, receiver)
    ]
    assert indexes[0] == indexes[1]


VERDICTS = st.sampled_from(["keep", "drop", "left", "right", "garbage"])


@settings(max_examples=40)
@given(
    own=st.integers(0, 4),
    stops=st.lists(st.integers(0, 60), max_size=6),
    verdicts=st.lists(VERDICTS, min_size=3, max_size=8),
    names=st.booleans(),
    chunk=st.sampled_from([100, 1000, 1 << 20]),
    goes_on=st.booleans(),
)
def test_a_crash_anywhere_leaves_the_old_checkpoint_or_the_new_one(
    new_disk: Any,
    crashed: Any,
    own: int,
    stops: list[int],
    verdicts: list[str],
    names: bool,
    chunk: int,
    goes_on: bool,
) -> None:
    def choose(_path: str, index: int, _count: int) -> str:
        return verdicts[index % len(verdicts)]

    async def run() -> None:
        donor, receiver = await Store.make(new_disk()), await Store.make(new_disk())
        for step in range(6):
            await donor.advance()
            if step < own:
                await receiver.advance()
        disk, before = receiver.disk, receiver.op
        for stop in stops:
            disk.changes, disk.stop_after = 0, stop
            try:
                receiver = await Store.open(disk)
                if receiver.op == before:
                    await copy(donor, disk, receiver, chunk)
                    receiver = await Store.open(disk)
            except crashed:
                pass
            disk = disk.crash(choose, keep_names=names)
            receiver = await Store.open(disk)
            assert receiver.op in (before, donor.op)
            if receiver.op == before and goes_on and donor.op < 72:
                await donor.advance()
            elif receiver.op != before:
                break
        if receiver.op == before:
            await copy(donor, disk, receiver, chunk)
            receiver = await Store.open(disk)
        assert receiver.op == donor.op
        assert receiver.files() == donor.files()
        assert await read_target(disk, "g") is None

    trio.run(run)


async def test_a_damaged_target_is_none(new_disk: Any) -> None:
    disk = new_disk()
    staging = await Staging.open(disk, "g", group_hash=GROUP)
    assert staging.target is None
    entry = FileEntry(path="checkpoints/checkpoint-0000000000000008", size=9, checksum=bytes(32))
    target = Target(op=8, checkpoint_id=b"i" * 32, configuration=ALONE.pack(), files=(entry,))
    await staging.begin(target)
    assert await read_target(disk, "g") == target
    disk.damage("g/sync/target", 9)
    assert await read_target(disk, "g") is None
    assert not await install(disk, "g")


async def test_keys_that_no_target_names_any_more_are_gone(new_disk: Any) -> None:
    """A key in them may have been destroyed since. The rest of what is staged serves the next target."""
    disk = new_disk()

    def target(op: int, *names: str) -> Target:
        files = tuple(FileEntry(path=f"checkpoints/{name}", size=9, checksum=bytes(32)) for name in names)
        return Target(op=op, checkpoint_id=b"i" * 32, configuration=ALONE.pack(), files=files)

    async def staged() -> list[str]:
        return sorted(await disk.list("g/sync/checkpoints"))

    staging = await Staging.open(disk, "g", group_hash=GROUP)
    first = target(8, "keys-4", "keys-8", "state-8")
    await staging.begin(first)
    for entry in first.files:
        await staging.append(entry.path, 0, b"something")
    await clear_overtaken(disk, "g", 7)
    staging = staging.without_target()
    await staging.begin(target(16, "keys-8", "keys-16"))
    assert await staged() == ["keys-8", "state-8"]
    await clear_overtaken(disk, "g", 15)
    assert await staged() == ["keys-8", "state-8"]
    await clear_overtaken(disk, "g", 16)
    assert await staged() == []
    assert await read_target(disk, "g") is None


async def test_what_is_not_whole_is_not_taken(new_disk: Any) -> None:
    donor, receiver = await Store.make(new_disk()), await Store.make(new_disk())
    for _step in range(3):
        await donor.advance()
    await copy(donor, receiver.disk, None, 5000)
    staging = await Staging.open(receiver.disk, "g", group_hash=GROUP)
    assert staging.target is not None
    [entry] = [entry for entry in staging.target.files if "state" in entry.path][:1]
    assert await staging.check(entry.path, entry.size, entry.checksum)
    receiver.disk.damage(f"g/sync/{entry.path}", 80)
    assert not await staging.check(entry.path, entry.size, entry.checksum)
    assert await staging.length(entry.path) == 0, "it is fetched from the start"
    assert not await staging.check("checkpoints/none", 1, bytes(32))
    keys = next(entry for entry in staging.target.files if "keys" in entry.path)
    receiver.disk.break_sector(f"g/sync/{keys.path}", 0)
    assert not await staging.check(keys.path, keys.size, keys.checksum)


async def test_what_a_failed_sync_left_in_the_cache_alone_is_fetched_again(new_disk: Any) -> None:
    donor, receiver = await Store.make(new_disk()), await Store.make(new_disk())
    for _step in range(3):
        await donor.advance()
    disk = receiver.disk
    segment = next(path for path in donor.files() if path.endswith(".seg"))
    staged = f"g/sync/{segment.removeprefix('g/')}"
    disk.fail_next_sync.append(staged)
    with pytest.raises(DiskFailed):
        await copy(donor, disk, receiver, 5000)
    receiver = await Store.open(disk)
    assert receiver.op == 0
    await copy(donor, disk, receiver, 5000)
    receiver = await Store.open(disk)
    receiver = await Store.open(disk.crash(lambda _path, _index, _count: "drop"))
    assert receiver.op == donor.op
    assert receiver.files() == donor.files()


async def test_a_piece_that_is_in_the_cache_alone_is_not_there(new_disk: Any) -> None:
    donor = await Store.make(new_disk())
    await donor.advance()
    [piece] = named_segments(await donor.checkpoints.load(donor.op, donor.superblock.state.checkpoint_id))[:1]
    disk, path = donor.disk, f"g/{piece.path}"
    assert await has_piece(disk, "g", piece)
    file = await disk.open(path)
    data = await file.read_at(0, piece.length)
    await file.truncate(0)
    await file.sync()
    await file.write_at(0, data)
    disk.fail_next_sync.append(path)
    with pytest.raises(DiskFailed):
        await file.sync()
    assert await file.read_at(0, piece.length) == data, "the cache has it"
    assert not await has_piece(disk, "g", piece)


async def test_a_source_gives_what_is_durable_and_nothing_else(new_disk: Any) -> None:
    donor = await Store.make(new_disk())
    source = donor.source()
    assert source.files() == ()
    await donor.advance()
    for number in range(9, 30):
        donor.event_log.append(make_effect(1, number))
    await donor.event_log.flush()
    length = donor.event_log.durable_stretches(1)[0].length
    assert len(await source.read("log/t_1/000001.seg", 0, 1 << 20)) == length
    assert await source.read("log/t_1/000001.seg", length, 10) == b""
    assert (
        await source.read("log/t_1/000001.seg", length - 4, 10)
        == donor.disk.data("g/log/t_1/000001.seg")[length - 4 : length]
    )
    for path in (
        "superblock",
        "wal",
        "../node",
        "log/t_1/000002.seg",
        "log/t_01/000001.seg",
        "log/t_1/../t_1/000001.seg",
        "log/t_9/000001.seg",
        "checkpoints/checkpoint-0000000000000009",
        "checkpoints/../superblock",
    ):
        assert await source.read(path, 0, 10) == b"", path
    assert await source.read("log/t_1/000001.seg", -1, 10) == b""


async def test_pinned_files_stay_until_they_are_let_go(new_disk: Any) -> None:
    donor = await Store.make(new_disk())
    await donor.advance()
    donor.checkpoints.pin(donor.op)
    files = donor.source().files()
    for _step in range(12):
        await donor.advance()
    for entry in files:
        assert len(await donor.source().read(entry.path, 0, 1 << 20)) == entry.size
    donor.checkpoints.unpin(8)
    await donor.advance()
    assert await donor.source().read(files[0].path, 0, 10) == b""
