"""The contract of Disk and File, on the real and on the simulated disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from vdb.errors import FileMissing, InvalidArgument
from vdb.ports import World

InWorld = Callable[[Callable[[World], Awaitable[None]]], None]


def test_what_is_written_is_read(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(0, b"hello")
        await file.write_at(5, bytearray(b" world"))
        await file.write_at(0, memoryview(b"J"))
        assert await file.read_at(0, 11) == b"Jello world"
        assert await file.read_at(6, 5) == b"world"
        await file.sync()
        assert await file.read_at(0, 11) == b"Jello world"
        await file.close()

    in_world(body)


def test_a_read_is_short_only_at_the_end(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(0, b"x" * 10_000)
        assert len(await file.read_at(0, 10_000)) == 10_000
        assert len(await file.read_at(9_990, 100)) == 10
        assert await file.read_at(10_000, 1) == b""
        assert await file.read_at(20_000, 1) == b""
        assert await file.read_at(0, 0) == b""
        assert isinstance(await file.read_at(0, 1), bytes)

    in_world(body)


def test_a_gap_is_filled_with_zeros(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(5000, b"x")
        assert await file.size() == 5001
        assert await file.read_at(0, 5001) == bytes(5000) + b"x"

    in_world(body)


def test_large_writes_arrive_whole(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        data = bytes(range(256)) * 4096 * 3
        file = await world.disk.open("a", create=True)
        await file.write_at(100, data)
        assert await file.read_at(100, len(data)) == data

    in_world(body)


def test_truncate_cuts_and_extends(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(0, b"abcdef")
        await file.truncate(3)
        assert await file.read_at(0, 10) == b"abc"
        await file.truncate(5)
        assert await file.read_at(0, 10) == b"abc\0\0"
        assert await file.size() == 5

    in_world(body)


def test_dropping_the_cache_loses_nothing(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(0, b"synced")
        await file.sync()
        await file.write_at(6, b" and not")
        await file.drop_cache()
        assert await file.read_at(0, 100) == b"synced and not"

    in_world(body)


def test_allocate_never_shrinks(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.allocate(8192)
        assert await file.size() == 8192
        assert await file.read_at(0, 8192) == bytes(8192)
        await file.write_at(0, b"abc")
        await file.allocate(10)
        assert await file.size() == 8192
        assert await file.read_at(0, 3) == b"abc"

    in_world(body)


def test_two_handles_see_the_same_file(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        one = await world.disk.open("a", create=True)
        two = await world.disk.open("a", create=True)
        await one.write_at(0, b"abc")
        assert await two.read_at(0, 3) == b"abc"

    in_world(body)


def test_calls_on_one_file_may_overlap(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)

        async def write(n: int) -> None:
            await file.write_at(n * 4096, bytes([n]) * 4096)
            await file.sync()

        async with trio.open_nursery() as nursery:
            for n in range(20):
                nursery.start_soon(write, n)
        for n in range(20):
            assert await file.read_at(n * 4096, 4096) == bytes([n]) * 4096

    in_world(body)


def test_a_missing_file_is_missing(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        disk = world.disk
        with pytest.raises(FileMissing, match="nothing"):
            await disk.open("nothing")
        with pytest.raises(FileMissing):
            await disk.open("no-directory/a", create=True)
        with pytest.raises(FileMissing):
            await disk.remove("nothing")
        with pytest.raises(FileMissing):
            await disk.rename("nothing", "something")
        with pytest.raises(FileMissing):
            await disk.sync_directory("nowhere")
        assert not await disk.exists("nothing")
        assert await disk.list("nowhere") == []

    in_world(body)


def test_names_are_made_listed_renamed_and_removed(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        disk = world.disk
        await disk.make_directory("d/e")
        await disk.make_directory("d/e")
        for name in ("d/b", "d/a", "top"):
            await (await disk.open(name, create=True)).close()
        assert await disk.list("") == ["d", "top"]
        assert await disk.list("d") == ["a", "b", "e"]
        assert await disk.exists("d/a")
        assert await disk.exists("d/e")
        await disk.rename("d/a", "d/e/c")
        await disk.remove("d/b")
        await disk.sync_directory("d")
        await disk.sync_directory("")
        assert await disk.list("d") == ["e"]
        assert await disk.list("d/e") == ["c"]

    in_world(body)


def test_rename_replaces(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        disk = world.disk
        new = await disk.open("new", create=True)
        old = await disk.open("old", create=True)
        await new.write_at(0, b"new")
        await old.write_at(0, b"old")
        await disk.rename("new", "old")
        assert await disk.list("") == ["old"]
        assert await (await disk.open("old")).read_at(0, 3) == b"new"
        assert await old.read_at(0, 3) == b"old", "an open handle keeps its file"

    in_world(body)


def test_a_removed_file_lives_on_in_its_handle(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.write_at(0, b"abc")
        await world.disk.remove("a")
        assert await file.read_at(0, 3) == b"abc"
        assert not await world.disk.exists("a")

    in_world(body)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a/", "a\0"])
def test_paths_stay_inside(in_world: InWorld, path: str) -> None:
    async def body(world: World) -> None:
        with pytest.raises(InvalidArgument, match="relative"):
            await world.disk.open(path, create=True)
        with pytest.raises(InvalidArgument):
            await world.disk.exists(path)

    in_world(body)


def test_a_closed_file_is_closed(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        await file.close()
        await file.close()
        with pytest.raises(trio.ClosedResourceError):
            await file.read_at(0, 1)
        with pytest.raises(trio.ClosedResourceError):
            await file.write_at(0, b"x")
        with pytest.raises(trio.ClosedResourceError):
            await file.sync()

    in_world(body)


def test_calls_notice_a_cancellation_before_they_begin(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        file = await world.disk.open("a", create=True)
        with trio.CancelScope() as scope:
            scope.cancel()
            await file.write_at(0, b"x")
        assert scope.cancelled_caught
        assert await file.size() == 0

    in_world(body)


def test_the_lock_is_taken_once_and_taking_it_twice_is_harmless(in_world: InWorld) -> None:
    async def body(world: World) -> None:
        await world.disk.lock()
        await world.disk.lock()
        assert await world.disk.list("") == []

    in_world(body)
