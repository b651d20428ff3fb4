"""Removing a file so that its bytes are gone from where they lay.

A removed file's blocks keep their bytes until something else takes them. What held keys is overwritten with zeros, and
synced, before it is removed. A disk that writes elsewhere than it is told (a flash cell, a file system that copies on
write) keeps an older copy beyond anybody's reach through the file system: against those stands that keys are wrapped.
"""

from __future__ import annotations

import contextlib

from vdb.errors import DiskFailed, DiskFull, FileMissing
from vdb.ports import Disk

STEP_SIZE = 256 * 1024


async def remove_traceless(disk: Disk, path: str, *, overwrite: bool) -> None:
    """Remove a file that nothing names any more; with `overwrite` its bytes go first."""
    if overwrite:
        await _overwrite(disk, path)
    await disk.remove(path)


async def _overwrite(disk: Disk, path: str) -> None:
    # What can't be opened or written any more is removed all the same: a broken file must not stop the pruning.
    with contextlib.suppress(FileMissing, DiskFailed, DiskFull):
        file = await disk.open(path)
        try:
            size = await file.size()
            for at in range(0, size, STEP_SIZE):
                await file.write_at(at, bytes(min(STEP_SIZE, size - at)))
            await file.sync()
        finally:
            await file.close()
