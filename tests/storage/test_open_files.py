"""The bounded set of open files."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.errors import FileMissing
from vdb.storage.open_files import OpenFiles


async def test_idle_files_are_bounded_and_used_ones_stay(new_disk: Any) -> None:
    files = OpenFiles(new_disk(), 2)
    async with files.use("a", create=True) as held:
        for name in "bcde":
            async with files.use(name, create=True) as file:
                await file.write_at(0, name.encode())
        assert list(files._idle) == ["d", "e"]
        async with files.use("a") as again:
            assert again is held
    assert list(files._idle) == ["e", "a"]
    async with files.use("b") as file:
        assert await file.read_at(0, 1) == b"b"
    await files.forget("b")
    assert list(files._idle) == ["a"]
    await files.close()
    assert not files._idle


async def test_two_tasks_share_a_file_that_both_open(new_disk: Any) -> None:
    files = OpenFiles(new_disk(), 1)
    seen = []

    async def use() -> None:
        async with files.use("a", create=True) as file:
            seen.append(file)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use)
        nursery.start_soon(use)
    assert seen[0] is seen[1]
    assert not files._used


async def test_a_missing_file_leaves_nothing_behind(new_disk: Any) -> None:
    files = OpenFiles(new_disk(), 1)
    with pytest.raises(FileMissing):
        async with files.use("a"):
            pass
    assert not files._used
