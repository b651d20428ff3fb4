"""SQL databases as they were, and how they came to be what they are: AS OF, history and differences, from the log.

A state is that after a whole transaction (`moments`). It is built from the nearest earlier one that is at hand
(`copies`): the first journey into a long past costs as much as the past is long, and those after it a bounded part of
that. Once nobody has asked for IDLE_SECONDS, the copies go.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import trio

from vdb.changes import Value
from vdb.errors import InvalidArgument, VerityError
from vdb.kernel.command import KeyScope
from vdb.node import log
from vdb.node.crud.copies import AsOf, Copies
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.following import read_transactions
from vdb.node.crud.moments import resolve
from vdb.node.projecting.file_keys import FileKeys
from vdb.ports import World
from vdb.sql.diffing import ChangeFold, TableDiff, diff_databases
from vdb.sql.history import HistorySearch, Version
from vdb.types import Position
from vdb.wire.sql import subject_name

IDLE_SECONDS = 600.0
"""How long the copies of a database outlive the last question about its past."""

CHECK_SECONDS = 30.0


class TimeTravel:
    """One per node. `run` it as long as the node serves."""

    def __init__(self, world: World, keys: FileKeys) -> None:
        self._world = world
        self._keys = keys
        self._copies: dict[CrudDatabase, Copies] = {}
        self._asked = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Remove copies that are no longer used, until cancelled."""
        task_status.started()
        while True:
            await self._asked.wait()
            while any(copies.offsets for copies in self._copies.values()):
                await trio.sleep(CHECK_SECONDS)
                await self.tidy(idle_seconds=IDLE_SECONDS)
            self._asked = trio.Event()

    async def tidy(self, *, idle_seconds: float) -> None:
        """Remove the copies of databases about whose past nobody has asked for so long."""
        now = trio.current_time()
        for copies in list(self._copies.values()):
            if copies.offsets and not copies.in_use and now - copies.last_used >= idle_seconds:
                try:
                    await copies.drop()
                except VerityError as error:
                    log.warning(
                        "sql.copies_not_removed", database=log.sign(copies.database.name), reason=log.reason(error)
                    )

    async def forget(self, database: CrudDatabase) -> None:
        """Remove all copies of a database: what was erased from it must not live on in them. Who uses one loses it."""
        await self._of(database).end()

    async def as_of(
        self,
        database: CrudDatabase,
        *,
        offset: int | None = None,
        position: Position | None = None,
        timestamp: int | None = None,
    ) -> AsOf:
        """The database as it was at a moment (see `moments.resolve`), as a file that is read. To be closed.

        InvalidArgument for a moment that isn't in the log.
        """
        moment = await resolve(database, offset=offset, position=position, timestamp=timestamp)
        return await self._take(database, moment)

    async def history(
        self, database: CrudDatabase, table: str, key: Value | Sequence[Value], *, to_offset: int | None = None
    ) -> list[Version]:
        """The versions of a row, the oldest first: see `vdb.sql.history`. Reads the stream once or more."""
        end = await resolve(database, offset=to_offset)
        search = HistorySearch(table, key, _tokens_of(database, key))
        while search.wants_pass():
            transactions = read_transactions(database.reader, database.tenant, database.stream, 0, end)
            async with aclosing(transactions) as logged:
                async for found in logged:
                    for one in found:
                        search.feed(one)
        return search.versions()

    async def diff(self, database: CrudDatabase, from_offset: int, to_offset: int) -> list[TableDiff]:
        """The rows that differ between two offsets, which may come in any order: what turns the first into the second.

        From the transactions in between; where those changed the schema, by comparing the two states.
        """
        first, second = await resolve(database, offset=from_offset), await resolve(database, offset=to_offset)
        if first > second:
            return await self._diff_states(database, first, second)
        fold = ChangeFold()
        transactions = read_transactions(database.reader, database.tenant, database.stream, first, second)
        async with aclosing(transactions) as logged:
            async for found in logged:
                for one in found:
                    fold.feed(one.transaction)
                if fold.schema_changed:
                    break
        return await self._diff_states(database, first, second) if fold.schema_changed else fold.diff()

    async def _diff_states(self, database: CrudDatabase, first: int, second: int) -> list[TableDiff]:
        old = await self._take(database, first)
        try:
            new = await self._take(database, second)
            try:
                before, after = await old.connect(), await new.connect()
                return await old.file.work(lambda: diff_databases(before, after))
            finally:
                await new.close()
        finally:
            await old.close()

    async def _take(self, database: CrudDatabase, offset: int) -> AsOf:
        found = await self._of(database).take(offset)
        self._asked.set()
        return found

    def _of(self, database: CrudDatabase) -> Copies:
        copies = self._copies.get(database)
        if copies is None:
            copies = self._copies[database] = Copies(database, self._world, self._keys)
        return copies


def _tokens_of(database: CrudDatabase, key: Value | Sequence[Value]) -> tuple[bytes, ...]:
    """What stands for the subject of this name in the headers of its records, if it was erased; empty otherwise."""
    values: Sequence[Value] = key if isinstance(key, list | tuple) else (key,)
    try:
        subject = subject_name(values[0]) if len(values) == 1 else ""
    except InvalidArgument:
        return ()
    if not subject:
        return ()
    group, tenant = database.reader.group, database.tenant
    period = group.state.key_period(tenant)
    rows = group.keyring.rows(tenant, KeyScope.SUBJECT, subject, period)
    return tuple(dict.fromkeys(row.subject_token for row in rows if row.is_destroyed))
