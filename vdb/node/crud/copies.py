"""The earlier states of one SQL database that lie on this node's disk: `restore_points/t_TENANT/NAME/OFFSET.db`.

A state is built in a file of another name, which is renamed when it is whole. Which ones are kept is for
`vdb.sql.restore` to say. Nothing here is needed: what an earlier life of the node left is removed, and not trusted.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

import trio
from attrs import define, field

from vdb.errors import DatabaseDamaged, FileMissing, NotReady
from vdb.marks import mark
from vdb.node.crud.copying import copy_file
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.following import LoggedTransaction, apply_logged, portions, read_transactions
from vdb.node.projecting.file_keys import FileKeys
from vdb.ports import Connection, Database, World
from vdb.sql.meta import prepare_meta
from vdb.sql.restore import nearest, surplus, wants_copy

FOLDER = "restore_points"
_BUILDING = "building.db"
_LEAVING = "leaving.db"


@define(eq=False)
class AsOf:
    """A database as it was. Whoever has it opens connections with `connect`, and closes it when they have ended."""

    offset: int
    """The transactions before it are in it, and no others."""
    path: str
    """Of the file, in the data directory."""
    file: Database
    _copies: Copies = field(repr=False)
    _is_closed: bool = False

    async def connect(self, **options: Any) -> Connection:
        """One more connection, which can't write; `file.disconnect` ends it."""
        return await self.file.connect(read_only=True, **options)

    async def close(self) -> None:
        """Done with it. Closing twice is harmless."""
        if not self._is_closed:
            self._is_closed = True
            with trio.CancelScope(shield=True):
                await self._copies.give_back(self.offset, self.file)


@define
class _Copy:
    path: str
    file: Database | None = None
    """Open while somebody uses it."""
    users: int = 0


class Copies:
    """See the module's docstring."""

    def __init__(self, database: CrudDatabase, world: World, keys: FileKeys) -> None:
        self.database = database
        self.last_used = trio.current_time()
        self._world = world
        self._keys = keys
        self._folder = f"{FOLDER}/t_{database.tenant}/{database.name}"
        self._copies: dict[int, _Copy] = {}
        self._turn = trio.Lock()
        self._is_ready = False

    @property
    def offsets(self) -> list[int]:
        """Of the copies that there are."""
        return sorted(self._copies)

    @property
    def in_use(self) -> bool:
        """Whether anybody has one, or waits for one."""
        return self._turn.locked() or any(copy.users for copy in self._copies.values())

    async def take(self, offset: int) -> AsOf:
        """The state at an offset, which is the end of a transaction; built if it isn't there. To be closed."""
        async with self._turn:
            self.last_used = trio.current_time()
            if not self._is_ready:
                await self._clear()
            if offset not in self._copies:
                try:
                    await self._build(offset, alone=False)
                except (DatabaseDamaged, NotReady, trio.ClosedResourceError):
                    mark("sql.damaged_copy")  # or the live file, which may be closed because of that
                    await self._drop_idle()
                    await self._build(offset, alone=True)
            copy = self._copies[offset]
            if copy.file is None:
                copy.file = await self._open(copy.path)
            copy.users += 1
            return AsOf(offset, copy.path, copy.file, self)

    async def give_back(self, offset: int, file: Database) -> None:
        """One user less of this file."""
        async with self._turn:
            self.last_used = trio.current_time()
            copy = self._copies.get(offset)
            if copy is None or copy.file is not file:
                mark("sql.gave_back_what_ended")
                return
            copy.users -= 1
            if copy.users == 0 and copy.file is not None:
                file, copy.file = copy.file, None
                await file.close()
            await self._tidy()

    async def drop(self) -> None:
        """Remove all copies that nobody uses."""
        async with self._turn:
            await self._drop_idle()

    async def end(self) -> None:
        """Remove all copies, and what an earlier life left: something was erased. Whoever uses one has it no more."""
        async with self._turn:
            copies, self._copies = self._copies, {}
            for copy in copies.values():
                if copy.file is not None:
                    mark("sql.ended_a_copy")
                    await copy.file.close()
                await self._discard(copy.path)
            await self._clear()

    # Building --------------------------------------------------------------------------------------------------

    async def _build(self, offset: int, *, alone: bool) -> None:
        """`alone`: from the log, and nothing else."""
        path = f"{self._folder}/{_BUILDING}"
        await self._discard(path)
        file = await self._open(path)
        try:
            begin = await self._begin(file, None if alone else offset)
            mark("sql.built_as_of")
            await self._advance(file, begin, offset)
            if not alone:
                await file.run(_check_pages)  # damage that nobody has met yet is copied along
        except BaseException:
            with trio.CancelScope(shield=True):
                await file.close()
                await self._discard(path)
            raise
        await file.close()
        await self._keep(path, offset)

    async def _begin(self, file: Database, offset: int | None) -> int:
        """Fill the file with the nearest state there is before an offset; where that stands. None: with nothing."""
        copy = None if offset is None else nearest(self._copies, offset)
        if offset is not None and (copy or 0) < self.database.applied <= offset:
            place = await copy_file(self.database.file, file, offset)
            if place is not None:
                return place
            mark("sql.live_file_overtook")
        if copy is None or offset is None:
            group, stream = self.database.reader.group.name, self.database.stream_id
            await file.run(lambda db: prepare_meta(db, database=self.database.name, group=group, stream=stream))
            return 0
        base = self._copies[copy]
        source = base.file if base.file is not None else await self._open(base.path)
        try:
            place = await copy_file(source, file, offset)
        finally:
            if base.file is None:
                await source.close()
        assert place == copy, f"a copy of offset {copy} stands at {place}"
        return copy

    async def _advance(self, file: Database, begin: int, offset: int) -> None:
        database, head = self.database, self.database.logged_offset
        transactions = read_transactions(database.reader, database.tenant, database.stream, begin, offset)
        async with aclosing(transactions) as logged:
            async for found in logged:
                for portion in portions(found):
                    await file.run(partial(_apply, portion))
                    reached = portion[-1].next_offset
                    if reached < offset and wants_copy(self._copies, reached, head):
                        mark("sql.left_restore_point")
                        await self._leave(file, reached)

    async def _leave(self, file: Database, offset: int) -> None:
        """Keep a copy of what is being built."""
        path = f"{self._folder}/{_LEAVING}"
        await self._discard(path)
        target = await self._open(path)
        try:
            place = await copy_file(file, target, offset)
            assert place == offset, f"what is built stands at {place}: expected {offset}"
        finally:
            await target.close()
        await self._keep(path, offset)

    async def _keep(self, path: str, offset: int) -> None:
        final = f"{self._folder}/{offset:020d}.db"
        await self._world.disk.rename(path, final)
        self._copies[offset] = _Copy(final)

    # Files -----------------------------------------------------------------------------------------------------

    async def _open(self, path: str) -> Database:
        key = await self._keys.key_for(self.database.tenant, self.database.name)
        return await self._world.disk.open_database(path, key)

    async def _clear(self) -> None:
        """Remove what an earlier life left."""
        await self._world.disk.make_directory(self._folder)
        for name in await self._world.disk.list(self._folder):
            await self._world.disk.remove(f"{self._folder}/{name}")
        self._is_ready = True

    async def _tidy(self) -> None:
        used = {offset: copy.users > 0 for offset, copy in self._copies.items()}
        for offset in surplus(used, self.database.logged_offset):
            await self._remove(offset)

    async def _drop_idle(self) -> None:
        for offset in [offset for offset, copy in self._copies.items() if not copy.users]:
            await self._remove(offset)

    async def _remove(self, offset: int) -> None:
        await self._discard(self._copies[offset].path)
        del self._copies[offset]

    async def _discard(self, path: str) -> None:
        """Remove a closed file, with what SQLite may have left beside it."""
        for name in (path, f"{path}-wal", f"{path}-shm"):
            if await self._world.disk.exists(name):
                try:
                    await self._world.disk.remove(name)
                except FileMissing:
                    continue


def _apply(portion: list[LoggedTransaction], db: Connection) -> None:
    apply_logged(db, portion)


def _check_pages(db: Connection) -> None:
    """DatabaseDamaged if a page of the file isn't what SQLite writes."""
    ((found,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        mark("sql.copied_damage")
        raise DatabaseDamaged("a copy of an earlier state isn't whole")
