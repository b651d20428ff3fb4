"""What only the real disk has: modes, errors of the system, failed syncs, threads, throw-away directories."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest
import trio

from vdb.errors import DiskFailed, DiskFull, FileMissing
from vdb.types import Region
from vdb.world import make_throwaway_world
from vdb.world import pace as pace_module
from vdb.world.disk import RealDisk
from vdb.world.guard import disk_errors
from vdb.world.pace import Pace


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        disk = RealDisk(tmp_path / "data")
        await disk.make_directory("d/e")
        await disk.open("d/a", create=True)
        database = await disk.open_database("d/x.db", bytes(32))
        await database.run(lambda connection: connection.execute("CREATE TABLE t (a)"))
        await disk.lock()
        for directory in ("", "d", "d/e"):
            assert mode(tmp_path / "data" / directory) == 0o700
        for file in ("d/a", "d/x.db", "d/x.db-wal", "d/x.db-shm", "LOCK"):
            assert mode(tmp_path / "data" / file) == 0o600, file
        await disk.close()
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("number", "expected", "words"),
    [
        (errno.ENOSPC, DiskFull, "no space left on the disk: writing a"),
        (errno.EDQUOT, DiskFull, "no space left"),
        (errno.EIO, DiskFailed, "writing a: Input/output error"),
        (errno.EACCES, DiskFailed, "Permission denied"),
        (errno.ENOENT, FileMissing, "no such file or directory: writing a"),
    ],
)
def test_errors_of_the_system_have_our_names(number: int, expected: type[Exception], words: str) -> None:
    with pytest.raises(expected, match=words), disk_errors("writing a"):
        raise OSError(number, "from the system")


async def test_a_full_device_is_disk_full(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    (tmp_path / "full").symlink_to("/dev/full")
    file = await disk.open("full")
    with pytest.raises(DiskFull, match="writing 1 bytes at 0 of full"):
        await file.write_at(0, b"x")
    await disk.close()


async def test_after_a_failed_sync_every_sync_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = RealDisk(tmp_path)
    one, two = await disk.open("one", create=True), await disk.open("two", create=True)

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(DiskFailed, match="the sync of one failed"):
        await one.sync()
    monkeypatch.undo()
    with pytest.raises(DiskFailed, match="an earlier sync"):
        await two.sync()
    with pytest.raises(DiskFailed, match="an earlier sync"):
        await disk.sync_directory("")
    assert await two.read_at(0, 1) == b""
    await disk.close()


async def test_work_of_a_slow_kind_goes_to_threads() -> None:
    pace, loop = Pace(), pace_module.trio.lowlevel.current_trio_token()

    def where() -> str:
        try:
            return "loop" if trio.lowlevel.current_trio_token() is loop else "thread"
        except RuntimeError:
            return "thread"

    assert await pace.run_quick(where, 1) == "loop"
    await pace.run_quick(lambda: time.sleep(2 * pace_module.SLOW_S / pace_module.WEIGHT), 1)
    assert await pace.run_quick(where, 1) == "thread"
    assert await pace.run(where) == "loop", "writes to the page cache say nothing about syncs"
    await pace.run(lambda: time.sleep(2 * pace_module.SLOW_S / pace_module.WEIGHT))
    assert await pace.run(where) == "thread"


async def test_brief_syncs_run_inline_beside_a_busy_loop() -> None:
    pace, loop = Pace(), trio.lowlevel.current_trio_token()
    places: list[str] = []

    def where() -> None:
        try:
            places.append("loop" if trio.lowlevel.current_trio_token() is loop else "thread")
        except RuntimeError:
            places.append("thread")

    async def busy() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(busy)
        await pace.run_sync(where, pace_module.BRIEF_BYTES_MAX)
        assert places == ["loop"]
        # Whether the busy task is seen depends on who has run last: it is, sooner or later.
        while places[-1] == "loop":
            await pace.run_sync(where, pace_module.BRIEF_BYTES_MAX + 1)
        while places[-1] == "thread":
            await pace.run_sync(where, 1)
        while places[-1] == "loop":
            await pace.run_sync(lambda: time.sleep(2 * pace_module.BRIEF_S / pace_module.WEIGHT), 1)
            await pace.run_sync(where, 1)
        nursery.cancel_scope.cancel()


async def test_others_get_a_turn_when_much_was_written() -> None:
    pace, turns = Pace(), 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(8):
            await pace.run_quick(int, 4096)
        assert turns == 0
        for _ in range(8):
            await pace.run_quick(int, pace_module.UNBROKEN_MAX)
        assert turns >= 7
        nursery.cancel_scope.cancel()
        with pytest.raises(trio.Cancelled):
            await pace.run_quick(int, 1)


async def test_work_overlaps_when_there_is_more_than_one() -> None:
    pace, where = Pace(), []

    async def work() -> None:
        await pace.run_in_thread(lambda: time.sleep(0.05))
        where.append("done")

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(work)
    assert where == ["done"] * 3


async def test_a_throwaway_world_leaves_nothing() -> None:
    world = make_throwaway_world(Region("us-east-1"))
    disk = world.disk
    assert isinstance(disk, RealDisk)
    directory = disk._directory
    await disk.lock()
    file = await disk.open("a", create=True)
    await file.write_at(0, b"x")
    assert directory.is_dir()
    await disk.close()
    assert not directory.exists()


async def test_a_file_that_is_closed_under_a_read_lets_it_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = RealDisk(tmp_path)
    file = await disk.open("a", create=True)
    await file.write_at(0, b"right")
    read = os.pread

    def read_late(descriptor: int, size: int, offset: int) -> bytes:
        time.sleep(0.05)
        return read(descriptor, size, offset)

    def not_cached(*arguments: object) -> int:
        raise OSError(errno.EAGAIN, "not in the page cache")

    monkeypatch.setattr(os, "preadv", not_cached)
    monkeypatch.setattr(os, "pread", read_late)
    found = []

    async def reader() -> None:
        found.append(await file.read_at(0, 5))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await trio.sleep(0.01)
        await file.close()
        other = await disk.open("b", create=True)
        await other.write_at(0, b"wrong")
    assert found == [b"right"]
    await disk.close()


async def test_closing_the_disk_closes_what_is_open(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    file = await disk.open("a", create=True)
    await disk.close()
    await disk.close()
    with pytest.raises(trio.ClosedResourceError):
        await file.read_at(0, 1)


async def test_a_database_that_is_closed_is_forgotten(tmp_path: Path) -> None:
    """A node may open and close files of a database's past for as long as it lives."""
    disk = RealDisk(tmp_path)
    for number in range(5):
        await (await disk.open_database(f"{number}.db", bytes(32))).close()
    kept = await disk.open_database("kept.db", bytes(32))
    assert disk._databases == [kept]
    await disk.close()
    assert kept.is_closed
