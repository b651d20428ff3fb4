"""The node's disk, to those who open encrypted files: one opens under an earlier key as well.

A file's key is exchanged by building or copying it into a new file. Until that is done on this node, after a crash too,
there are files under the key before, which open as they did. And after a start a file may be under a key that the node
doesn't know yet: it stands in the log, and the node waits to hear how far that is committed before it calls the file
damaged.
"""

from __future__ import annotations

import trio

from vdb.errors import WrongKey
from vdb.marks import mark
from vdb.node.projecting.file_keys import KEY_RETRY_SECONDS, FileKeys
from vdb.ports import Database, Disk, File
from vdb.projections.running import KeyAwaited


class KeyedDisk:
    """Implements `vdb.ports.Disk` over another one. `waits`: for a key that isn't known yet; otherwise KeyAwaited."""

    def __init__(self, disk: Disk, keys: FileKeys, *, waits: bool = True) -> None:
        self._disk = disk
        self._keys = keys
        self._waits = waits

    async def open_database(self, path: str, key: bytes) -> Database:
        """`key`: what `FileKeys.key_for` gave. WrongKey when no key that the file's name had opens it."""
        head = self._keys.head
        while True:
            # In this order: a key that comes while the file is looked at is tried the next time.
            is_known = self._keys.is_known(head)
            found = await self._open_under_any(path, key)
            if found is not None:
                return found
            if is_known:
                raise WrongKey(f"{path} opens under none of the keys that it had")
            mark("files.key_not_known_yet")
            if not self._waits:
                raise KeyAwaited(path)
            await trio.sleep(KEY_RETRY_SECONDS)

    async def _open_under_any(self, path: str, key: bytes) -> Database | None:
        for tried in self._keys.with_earlier(key):
            try:
                found = await self._disk.open_database(path, tried)
            except WrongKey:
                continue
            if tried != key:
                mark("files.opened_under_an_earlier_key")
            self._keys.note_use(key, path, opened_by=tried)
            return found
        return None

    async def rename(self, old: str, new: str) -> None:
        await self._disk.rename(old, new)
        self._keys.note_renamed(old, new)

    async def remove(self, path: str) -> None:
        await self._disk.remove(path)
        self._keys.note_gone(path)

    async def set_database_aside(self, path: str) -> None:
        await self._disk.set_database_aside(path)
        self._keys.note_gone(path)

    # What is the same --------------------------------------------------------------------------------------------

    async def open(self, path: str, *, create: bool = False) -> File:
        return await self._disk.open(path, create=create)

    async def exists(self, path: str) -> bool:
        return await self._disk.exists(path)

    async def list(self, directory: str) -> list[str]:
        return await self._disk.list(directory)

    async def make_directory(self, path: str) -> None:
        await self._disk.make_directory(path)

    async def sync_directory(self, path: str) -> None:
        await self._disk.sync_directory(path)

    async def lock(self) -> None:
        await self._disk.lock()

    async def close(self) -> None:
        await self._disk.close()
