"""A write-ahead log that has its blocks can't be stopped by a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("reserve", [True, False])
async def test_blocks_are_taken_at_once_where_it_is_wanted(start: Any, tmp_path: Path, reserve: bool) -> None:
    async with start(reserve_wal=reserve):
        pass
    for wal in (tmp_path / "data").glob("**/wal"):
        found = wal.stat()
        assert (found.st_blocks * 512 >= found.st_size) is reserve, wal
    assert len(list((tmp_path / "data").glob("**/wal"))) == 2
