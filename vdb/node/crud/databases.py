"""The SQL databases of a node: found by tenant and name, opened when they are first used.

A database is a stream of the log, so that its creation, its data class and its place are replicated like everything
else. A node opens, by itself, each database that gets its first transaction while it runs, and each of which it has a
file: so a backup has applied most of the log when it becomes the primary. Others are opened, and their files made, when
they are first used.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import trio
from attrs import evolve, frozen

from vdb.crypto.record import schema_of
from vdb.errors import InvalidArgument, UnknownDatabase, VerityError
from vdb.kernel.command import INTERNAL, Origin
from vdb.kernel.reply import StreamCreated
from vdb.marks import mark
from vdb.node import log
from vdb.node.crud.copies import FOLDER
from vdb.node.crud.database import DRAFT, CrudDatabase
from vdb.node.crud.timetravel import TimeTravel
from vdb.node.gate.reader import GroupReader
from vdb.node.gate.service import answered
from vdb.node.gate.writes import Failure, Writes
from vdb.node.projecting.file_keys import FileKeys
from vdb.node.projecting.keyed_disk import KeyedDisk
from vdb.ports import World
from vdb.projections.generations import remove_database
from vdb.projections.running import database_path
from vdb.sql.names import STREAM_PREFIX
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, StreamId, TenantId, check_tenant_id
from vdb.wire.sql import SQL_SCHEMA

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_LISTED = 1000


@frozen(kw_only=True)
class DatabaseInfo:
    """A SQL database, as the log knows it."""

    name: str
    group: GroupId
    data_class: DataClass
    next_offset: int
    """Of its stream."""
    created_at: int
    """Microseconds UTC."""


class CrudDatabases:
    """One per node. `run` it as long as the node serves."""

    def __init__(
        self, *, world: World, readers: Mapping[GroupId, GroupReader], writes: Writes, projections: tuple[str, ...]
    ) -> None:
        self._readers = readers
        self._writes = writes
        self._projections = projections
        home = next(reader.group for name, reader in readers.items() if name != GLOBAL_GROUP)
        keys = self.keys = FileKeys(home)
        """Of the databases' files."""
        self._world = world = evolve(world, disk=KeyedDisk(world.disk, keys))
        self.travel = TimeTravel(world, keys)
        """The databases as they were."""
        self._open: dict[tuple[TenantId, str], CrudDatabase] = {}
        self._turns: dict[tuple[TenantId, str], trio.Lock] = {}
        """One opens a database, others wait for it: a file may wait for its key, which holds up no other one."""
        self._looked = trio.Event()
        """Set once the databases are open of which an earlier life left files."""
        self._nursery: trio.Nursery | None = None
        self._beginning, self._begun = trio.open_memory_channel[tuple[GroupReader, TenantId, StreamId]](math.inf)
        for reader in readers.values():
            reader.group.signals.on_first = partial(self._on_first, reader)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the log for each open database, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._open_found)
                nursery.start_soon(self._open_begun)
                nursery.start_soon(self.travel.run)
                task_status.started()
                await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for database in self._open.values():
                    await database.close()

    async def create(
        self,
        tenant: int,
        name: str,
        data_class: DataClass = DataClass.PHI,
        placement: str = "",
        *,
        if_not_exists: bool = False,
    ) -> bool:
        """Create a database; True if it is new. `placement` empty: the region of this node.

        StreamExists, PlacementViolation, InvalidArgument; NotPrimary where the group's primary is elsewhere.
        """
        created: StreamCreated = await answered(
            lambda on_answer: self.create_soon(
                INTERNAL, tenant, name, data_class, placement, if_not_exists=if_not_exists, on_answer=on_answer
            )
        )
        return created.created

    def create_soon(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: int,
        placement: str,
        *,
        if_not_exists: bool,
        on_answer: Callable[[StreamCreated | Failure], None],
    ) -> None:
        """`create`, with a callback: called once, at once or after the commit. InvalidArgument for the name."""
        self._check_name(name)
        if not placement:
            placement = next(group for group in self._readers if group != GLOBAL_GROUP)
        self._writes.create(
            origin, tenant, STREAM_PREFIX + name, data_class, placement, if_not_exists, on_answer, of_sql=True
        )

    async def open(self, tenant: int, name: str) -> CrudDatabase:
        """The database, its file up to what the log has committed. UnknownDatabase if there is none of this name."""
        checked = check_tenant_id(tenant)
        found = self._open.get((TenantId(checked), name))
        if found is not None:
            return found
        owner = TenantId(checked), name
        async with self._turn(owner):
            found = self._open.get(owner)
            return found if found is not None else await self._open_new(*owner)

    @asynccontextmanager
    async def _turn(self, owner: tuple[TenantId, str]) -> AsyncIterator[None]:
        turn = self._turns.setdefault(owner, trio.Lock())
        async with turn:
            try:
                yield
            finally:
                if not turn.statistics().tasks_waiting:
                    del self._turns[owner]

    async def renew(self, tenant: TenantId) -> dict[str, int]:
        """Build the files of a tenant's databases anew under the keys that they have now, and drop their copies of
        earlier states. Returns when nothing is left of the old ones: where each stands in its stream."""
        renewed: dict[str, int] = {}
        await self._looked.wait()
        for (owner, _), turn in list(self._turns.items()):
            if owner == tenant:
                # One that is being opened may have begun under the old key, and have read what is erased by now.
                async with turn:
                    pass
        for owner, name in list(self._open):
            if owner == tenant:
                database = self._open[owner, name]
                await database.renew()
                await self.travel.forget(database)
                renewed[name] = database.applied
        await self._remove_left(tenant)
        return renewed

    async def _remove_left(self, tenant: TenantId) -> None:
        """What an earlier life left of databases that aren't open: they are built from the log when they are used."""
        disk = self._world.disk
        files = [file.partition(".db") for file in await disk.list(f"projections/t_{tenant}")]
        names = [name for name, ends, _ in files if ends and "." not in name]
        for name in dict.fromkeys((*names, *await disk.list(f"{FOLDER}/t_{tenant}"))):
            async with self._turn((tenant, name)):
                if (tenant, name) in self._open or not self._is_database(tenant, name):
                    continue
                mark("sql.removed_what_was_left")
                for path in (database_path(tenant, name), f"{database_path(tenant, name)}{DRAFT}"):
                    await remove_database(disk, path)
                for copy in await disk.list(f"{FOLDER}/t_{tenant}/{name}"):
                    await disk.remove(f"{FOLDER}/t_{tenant}/{name}/{copy}")

    def _is_database(self, tenant: TenantId, name: str) -> bool:
        try:
            self.group_of(tenant, name)
        except UnknownDatabase:
            return False
        return name not in self._projections

    async def rekey(self, tenant: TenantId, name: str) -> None:
        """Copy an open database's file into one under the key that it has now. Readers of the old file end then."""
        database = self._open.get((tenant, name))
        if database is not None:
            await database.rekey()
            await self.travel.forget(database)

    async def list(self, tenant: int) -> list[DatabaseInfo]:
        """A tenant's databases on this node, in the order of their creation, group by group."""
        checked = TenantId(check_tenant_id(tenant))
        found: list[DatabaseInfo] = []
        for group, reader in self._readers.items():
            after, more = 0, reader.has_tenant(checked)
            while more:
                infos, more = await reader.list_streams(checked, after, _LISTED)
                after += len(infos)
                found += [
                    DatabaseInfo(
                        name=info.name.removeprefix(STREAM_PREFIX),
                        group=group,
                        data_class=info.data_class,
                        next_offset=info.next_offset,
                        created_at=info.created_at,
                    )
                    for info in infos
                    if info.name.startswith(STREAM_PREFIX)
                ]
        return found

    def group_of(self, tenant: int, name: str) -> GroupReader:
        """The reader of the group that holds a database. UnknownDatabase."""
        checked = TenantId(check_tenant_id(tenant))
        for reader in self._readers.values():
            if reader.find(checked, STREAM_PREFIX + name) is not None:
                return reader
        raise UnknownDatabase(f"tenant {tenant} has no SQL database {name!r} on this node")

    async def _open_new(self, tenant: TenantId, name: str) -> CrudDatabase:
        self._check_name(name)
        database = CrudDatabase(
            tenant=tenant,
            name=name,
            reader=self.group_of(tenant, name),
            writes=self._writes,
            world=self._world,
            keys=self.keys,
        )
        try:
            await database.open()
        except BaseException:
            with trio.CancelScope(shield=True):
                await database.close()
            raise
        assert self._nursery is not None, "databases are opened while the node runs"
        await self._nursery.start(database.run)
        self._open[tenant, name] = database
        return database

    async def _open_found(self) -> None:
        """Open each database of which there is a file here."""
        try:
            await self._open_files()
        finally:
            self._looked.set()

    async def _open_files(self) -> None:
        for folder in await self._world.disk.list("projections"):
            number = folder.removeprefix("t_")
            if not number.isdigit():
                continue
            for file in await self._world.disk.list(f"projections/{folder}"):
                name = file.removesuffix(".db")
                # A projection's later generations have a '.' in their names, which no database has.
                if not file.endswith(".db") or "." in name or name in self._projections:
                    continue
                try:
                    await self.open(int(number), name)
                except VerityError as error:
                    log.warning("sql.not_opened", database=log.sign(name), tenant=int(number), reason=log.reason(error))

    def _on_first(self, reader: GroupReader, tenant: TenantId, stream: StreamId, record: bytes) -> None:
        if schema_of(record) == SQL_SCHEMA:
            self._beginning.send_nowait((reader, tenant, stream))

    async def _open_begun(self) -> None:
        """Open each database that gets its first transaction from now on: every node of its group has its rows."""
        async for reader, tenant, stream in self._begun:
            name = ""
            try:
                name = await reader.name_of(tenant, stream)
                if name.startswith(STREAM_PREFIX):
                    await self.open(tenant, name.removeprefix(STREAM_PREFIX))
            except VerityError as error:
                log.warning("sql.not_opened", database=log.sign(name), tenant=tenant, reason=log.reason(error))

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            raise InvalidArgument(
                "a database's name has 1 to 63 of a-z, 0-9, '-' and '_', and begins with a letter or digit; found "
                f"{name!r}"
            )
        if name in self._projections:
            raise InvalidArgument(f"a projection of this node is called {name!r} already: choose another name")
