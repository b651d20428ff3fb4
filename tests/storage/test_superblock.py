"""The superblock against damage, crashes in the middle of an update, and files that aren't ours."""

from __future__ import annotations

import contextlib
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import DamagedData, DiskFailed, FileMissing, ForeignData, NewerFormat, OlderFormat
from vdb.limits import SUPERBLOCK_COPIES, Limits
from vdb.storage.superblock import Superblock, SuperblockState
from vdb.storage.superblock_layout import COPY_SIZE, TAIL_SIZE_MAX, decode_copy, encode_copy, state_checksum
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ALONE

PATH = "g/superblock"


def first_state(**changes: Any) -> SuperblockState:
    return attrs.evolve(
        SuperblockState(
            cluster=b"c" * 16,
            group="ap-southeast-2",
            replica=0,
            configuration=ALONE.pack(),
            limits=Limits(wal_slots=300),
            root_key_id=b"k" * 16,
        ),
        **changes,
    )


def configuration(epoch: int) -> bytes:
    return Configuration(epoch=epoch, base_view=0, base_index=0, voters=(0,)).pack()


def test_a_copy_decodes_to_what_was_encoded() -> None:
    state = first_state(
        view=3, log_view=2, commit=9, checkpoint_op=7, checkpoint_id=b"i" * 32, tail=b"t" * 99, sequence=5
    )
    for copy in range(SUPERBLOCK_COPIES):
        data = encode_copy(state, copy)
        assert len(data) == COPY_SIZE
        assert decode_copy(data, copy) == state
        assert decode_copy(data, (copy + 1) % SUPERBLOCK_COPIES) is None, "a misdirected copy is no copy"
        assert decode_copy(data[:-1], copy) is None


@given(st.integers(0, COPY_SIZE - 1), st.integers(1, 255))
def test_no_flipped_byte_goes_unseen(at: int, flip: int) -> None:
    data = bytearray(encode_copy(first_state(), 1))
    data[at] ^= flip
    assert decode_copy(data, 1) is None or 12 <= at < 16


async def test_updates_form_a_chain(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    parent = state_checksum(superblock.state)
    await superblock.update(view=1)
    assert superblock.state.parent == parent
    assert superblock.state.sequence == 2
    assert (await Superblock.open(disk.crash(), "g")).state == superblock.state


async def test_nothing_goes_back(new_disk: Any) -> None:
    superblock = await Superblock.format(new_disk(), "g", first_state())
    await superblock.update(view=4, log_view=3, commit=8, checkpoint_op=8, checkpoint_id=b"1" * 32)
    changes = [{"view": 3}, {"log_view": 2}, {"checkpoint_op": 7}, {"log_view": 5}, {"replica": 1}]
    changes += [{"checkpoint_id": b"2" * 32}, {"configuration": configuration(9)}]
    for change in changes:
        with pytest.raises(AssertionError):
            await superblock.update(**change)
    assert superblock.state.sequence == 2


async def test_a_lower_commit_number_is_no_change(new_disk: Any) -> None:
    superblock = await Superblock.format(new_disk(), "g", first_state())
    await superblock.update(view=4, commit=8)
    await superblock.update(checkpoint_op=6, checkpoint_id=b"1" * 32, commit=6, configuration=configuration(5))
    assert (superblock.state.commit, superblock.state.checkpoint_op) == (8, 6)
    assert superblock.state.members.epoch == 5
    with pytest.raises(AssertionError, match="a configuration went back"):
        await superblock.update(checkpoint_op=7, checkpoint_id=b"2" * 32, configuration=configuration(4))


async def test_the_largest_tail_is_kept(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    for tail in (bytes(range(256)) * 26, b"", b"\0" * TAIL_SIZE_MAX):
        await superblock.update(view=superblock.state.view + 1, tail=tail)
        assert (await Superblock.open(disk.crash(), "g")).state.tail == tail
    with pytest.raises(AssertionError):
        await superblock.update(tail=bytes(TAIL_SIZE_MAX + 1))


async def test_one_damaged_copy_is_repaired(new_disk: Any) -> None:
    for copy in range(SUPERBLOCK_COPIES):
        disk = new_disk()
        superblock = await Superblock.format(disk, "g", first_state())
        await superblock.update(view=1)
        disk.damage(PATH, copy * COPY_SIZE + 100)
        reopened = await Superblock.open(disk, "g")
        assert reopened.state == superblock.state
        assert bytes(disk.data(PATH)[copy * COPY_SIZE :][:COPY_SIZE]) == encode_copy(superblock.state, copy)


async def test_all_copies_damaged_is_refused(new_disk: Any) -> None:
    disk = new_disk()
    await Superblock.format(disk, "g", first_state())
    for copy in range(SUPERBLOCK_COPIES):
        disk.damage(PATH, copy * COPY_SIZE + 100 + copy)
    with pytest.raises(DamagedData, match=r"g/superblock: expected at least 2 of 4 copies to agree, found none"):
        await Superblock.open(disk, "g")


async def test_a_foreign_file_is_refused(new_disk: Any) -> None:
    disk = new_disk()
    file = await disk.open(PATH, create=True)
    await file.write_at(0, b"SQLite format 3\0" * 8192)
    with pytest.raises(ForeignData, match=r"g/superblock: expected .*VDBSUPER.*, found b'SQLite f'"):
        await Superblock.open(disk, "g")


async def test_a_newer_format_is_refused(new_disk: Any) -> None:
    disk = new_disk()
    await Superblock.format(disk, "g", first_state())
    for copy in range(SUPERBLOCK_COPIES):
        disk.data(PATH)[copy * COPY_SIZE + 9] = 7
    with pytest.raises(NewerFormat, match="g/superblock has format version 7; this program reads versions up to 2"):
        await Superblock.open(disk, "g")


async def test_an_older_format_is_refused(new_disk: Any) -> None:
    disk = new_disk()
    await Superblock.format(disk, "g", first_state())
    for copy in range(SUPERBLOCK_COPIES):
        disk.data(PATH)[copy * COPY_SIZE + 9] = 1
    with pytest.raises(OlderFormat, match="g/superblock has format version 1; this program reads 2: export the data"):
        await Superblock.open(disk, "g")


async def test_an_unformatted_directory_has_no_superblock(new_disk: Any) -> None:
    with pytest.raises(FileMissing):
        await Superblock.open(new_disk(), "g")


@given(
    stop=st.integers(0, 12),
    verdicts=st.lists(st.sampled_from(["keep", "drop", "left", "right", "garbage"]), min_size=4),
)
def test_a_crash_during_an_update_leaves_the_old_or_the_new(
    new_disk: Any, crashed: Any, stop: int, verdicts: list[str]
) -> None:
    async def run() -> None:
        disk = new_disk()
        superblock = await Superblock.format(disk, "g", first_state())
        old = await superblock.update(view=1)
        disk.changes, disk.stop_after = 0, stop
        finished = False
        try:
            await superblock.update(view=2)
            finished = True
        except crashed:
            pass
        after = disk.crash(lambda _path, index, _count: verdicts[index % len(verdicts)])
        reopened = await Superblock.open(after, "g")
        new = attrs.evolve(old, view=2, sequence=old.sequence + 1, parent=state_checksum(old))
        assert reopened.state in (old, new)
        if finished or stop >= 4:
            assert reopened.state == new
        again = await Superblock.open(after.crash(), "g")
        assert again.state == reopened.state
        for copy in range(SUPERBLOCK_COPIES):
            assert decode_copy(after.data(PATH)[copy * COPY_SIZE :][:COPY_SIZE], copy) == reopened.state

    trio.run(run)


@given(
    stop=st.integers(0, 12),
    verdict=st.sampled_from(["keep", "drop", "left", "right", "garbage"]),
    copy=st.integers(0, SUPERBLOCK_COPIES - 1),
)
def test_a_crash_during_an_update_and_a_copy_that_cannot_be_read(
    new_disk: Any, crashed: Any, stop: int, verdict: str, copy: int
) -> None:
    async def run() -> None:
        disk = new_disk()
        superblock = await Superblock.format(disk, "g", first_state())
        old = await superblock.update(view=1)
        disk.changes, disk.stop_after = 0, stop
        with contextlib.suppress(crashed):
            await superblock.update(view=2)
        after = disk.crash(lambda _path, _index, _count: verdict)
        after.break_sector(PATH, copy * COPY_SIZE)
        new = attrs.evolve(old, view=2, sequence=old.sequence + 1, parent=state_checksum(old))
        reopened = await Superblock.open(after, "g")
        assert reopened.state in (old, new)
        for number in range(SUPERBLOCK_COPIES):
            assert decode_copy(after.data(PATH)[number * COPY_SIZE :][:COPY_SIZE], number) == reopened.state

    trio.run(run)


async def test_a_new_copy_and_an_old_one_vouch_for_each_other(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    old = await superblock.update(view=1)
    new = attrs.evolve(old, view=2, sequence=old.sequence + 1, parent=state_checksum(old))
    disk.data(PATH)[:COPY_SIZE] = encode_copy(new, 0)
    disk.damage(PATH, COPY_SIZE + 100)
    disk.break_sector(PATH, 2 * COPY_SIZE)
    assert (await Superblock.open(disk, "g")).state == new


async def test_copies_that_skip_a_state_do_not_vouch_for_each_other(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    old = await superblock.update(view=1)
    disk.data(PATH)[:COPY_SIZE] = encode_copy(attrs.evolve(old, view=2, sequence=old.sequence + 2), 0)
    for copy in (1, 2):
        disk.damage(PATH, copy * COPY_SIZE + 100)
    with pytest.raises(DamagedData):
        await Superblock.open(disk, "g")


@given(stop=st.integers(0, 12))
def test_a_crash_during_formatting_leaves_nothing_or_all(new_disk: Any, crashed: Any, stop: int) -> None:
    async def run() -> None:
        disk = new_disk()
        disk.stop_after = stop
        with contextlib.suppress(crashed):
            await Superblock.format(disk, "g", first_state())
        after = disk.crash(lambda _path, index, _count: "keep" if index else "garbage", keep_names=stop % 2 == 0)
        try:
            superblock = await Superblock.open(after, "g")
        except FileMissing:
            superblock = await Superblock.format(after, "g", first_state())
        assert superblock.state == first_state()

    trio.run(run)


async def test_a_failed_sync_is_final(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    disk.fail_sync(PATH)
    with pytest.raises(DiskFailed):
        await superblock.update(view=1)
    disk.fail.clear()
    with pytest.raises(DiskFailed):
        await superblock.update(view=1)
    assert superblock.state.view == 0


async def test_lost_writes_are_found_by_reading_back(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    disk.lose_writes.append(PATH)
    with pytest.raises(DiskFailed, match="expected at least 3 of 4 copies to read back as written, found 0"):
        await superblock.update(view=1)


async def test_the_scrubber_repairs_a_copy(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    disk.damage(PATH, 3 * COPY_SIZE + 200)
    assert [await superblock.scrub_step(copy) for copy in range(4)] == [True, True, True, False]
    assert [await superblock.scrub_step(copy) for copy in range(4)] == [True] * 4


async def test_a_copy_that_cannot_be_read_is_repaired(new_disk: Any) -> None:
    for copy in range(SUPERBLOCK_COPIES):
        disk = new_disk()
        superblock = await Superblock.format(disk, "g", first_state())
        await superblock.update(view=1)
        disk.break_sector(PATH, copy * COPY_SIZE)
        reopened = await Superblock.open(disk, "g")
        assert reopened.state == superblock.state
        assert disk.bad_sectors == []


async def test_no_copy_that_can_be_read_is_damage(new_disk: Any) -> None:
    disk = new_disk()
    await Superblock.format(disk, "g", first_state())
    for copy in range(SUPERBLOCK_COPIES):
        disk.break_sector(PATH, copy * COPY_SIZE)
    with pytest.raises(DamagedData, match="g/superblock: expected at least 2 of 4 copies to agree, found none"):
        await Superblock.open(disk, "g")


async def test_scrubbing_rewrites_a_copy_that_cannot_be_read(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    disk.break_sector(PATH, 3 * COPY_SIZE)
    assert [await superblock.scrub_step(copy) for copy in range(SUPERBLOCK_COPIES)] == [True, True, True, False]
    assert disk.bad_sectors == []


async def test_a_scrub_that_cannot_write_is_final(new_disk: Any) -> None:
    disk = new_disk()
    superblock = await Superblock.format(disk, "g", first_state())
    disk.break_sector(PATH, 0)
    disk.fail_sync(PATH)
    with pytest.raises(DiskFailed):
        await superblock.scrub_step(0)
    disk.fail.clear()
    with pytest.raises(DiskFailed, match="fdatasync"):
        await superblock.update(view=1)
