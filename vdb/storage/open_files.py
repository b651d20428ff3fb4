"""A bounded set of open files. A file in use stays open; of the others, the least recently used is closed first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vdb.ports import Disk, File
from vdb.rare import rare


class OpenFiles:
    """Files of a disk by path, at most `bound` of them open while idle."""

    def __init__(self, disk: Disk, bound: int) -> None:
        assert bound >= 1
        self._disk = disk
        self._bound = bound
        self._idle: OrderedDict[str, File] = OrderedDict()
        self._used: dict[str, tuple[File, int]] = {}

    @asynccontextmanager
    async def use(self, path: str, *, create: bool = False) -> AsyncIterator[File]:
        """Hold the file at `path`, opening it if it must be. FileMissing without `create`."""
        file = self._take(path)
        if file is None:
            opened = await self._disk.open(path, create=create)
            file = self._take(path)
            if file is not None:
                await opened.close()
            else:
                file = opened
                self._used[path] = (file, 1)
        try:
            yield file
        finally:
            self._give_back(path)
        bound = 0 if rare("open_files.closed") else self._bound
        while len(self._idle) > bound:
            _path, oldest = self._idle.popitem(last=False)
            await oldest.close()

    async def forget(self, path: str) -> None:
        """Close the file if it is open and idle, because it is about to be removed."""
        file = self._idle.pop(path, None)
        if file is not None:
            await file.close()

    async def close(self) -> None:
        while self._idle:
            _path, file = self._idle.popitem(last=False)
            await file.close()

    def _take(self, path: str) -> File | None:
        if path in self._used:
            file, uses = self._used[path]
            self._used[path] = (file, uses + 1)
            return file
        idle = self._idle.pop(path, None)
        if idle is not None:
            self._used[path] = (idle, 1)
        return idle

    def _give_back(self, path: str) -> None:
        file, uses = self._used.pop(path)
        if uses > 1:
            self._used[path] = (file, uses - 1)
        else:
            self._idle[path] = file
