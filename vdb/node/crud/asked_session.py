"""A session for a caller far away that is also asked: how a row came to be, what a statement would do, what differs.

Rules
- An answer knows all that was acknowledged before the question, unless its call asks for less.
- Nothing of the session changes by a question, and it may come within a transaction.
- The answers are those of the database, also of a session that reads the past.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio
from attrs import asdict

from vdb.changes import Value
from vdb.errors import InvalidArgument
from vdb.node.crud.databases import CrudDatabases
from vdb.node.crud.moments import resolve
from vdb.node.crud.restoring import restore
from vdb.node.crud.result_chunks import check_text
from vdb.node.crud.server_session import ServerSession
from vdb.policy.words import Action
from vdb.sql.answers import SqlCall
from vdb.sql.crossing import DiffPage, VersionsPage, diff_page, versions_page
from vdb.sql.explain import explain
from vdb.sql.explanation import Explanation
from vdb.sql.moment import Moment
from vdb.sql.subjects import Subjects
from vdb.types import Consistency

T = TypeVar("T")


class AskedSession(ServerSession):
    """See the module's docstring."""

    def __init__(self, *, databases: CrudDatabases, **options: Any) -> None:
        super().__init__(**options)
        self._databases = databases

    async def history(
        self,
        call: SqlCall,
        table: str,
        key: Sequence[Value],
        skip: int = 0,
        to_offset: int = 0,
        *,
        place: trio.Event | None = None,
    ) -> VersionsPage:
        """Versions of a row after the first `skip`, the oldest first, by what the log had at an offset (0: has)."""

        async def work() -> VersionsPage:
            await self._governor.ask(Action.TIME_TRAVEL, table)
            end = to_offset or self.database.logged_offset
            versions = await self._databases.travel.history(self.database, table, key, to_offset=end)
            images = [(one.table, image) for one in versions for image in (one.before, one.after)]
            await self._governor.tell(f"history of a row of {table}", images)
            return versions_page(versions, skip, end)

        return await self._ask(call, work, place)

    async def explain(self, call: SqlCall, sql: str, *, place: trio.Event | None = None) -> Explanation:
        """What a statement would read, write and log."""
        db, classifier = self.session.db, self.session.classifier

        async def work() -> Explanation:
            check_text(sql)
            await self._governor.admit(sql, rows=False, runs=False)
            return await self._bridge.off_loop(lambda: explain(db, classifier, sql, Subjects(db).columns()))

        return await self._ask(call, work, place)

    async def diff(
        self, call: SqlCall, first: Moment, second: Moment, skip: int = 0, *, place: trio.Event | None = None
    ) -> DiffPage:
        """Rows after the first `skip` of those that differ between two moments."""

        async def work() -> DiffPage:
            await self._governor.ask(Action.TIME_TRAVEL)
            begin = await resolve(self.database, **asdict(first, recurse=False))
            end = await resolve(self.database, **asdict(second, recurse=False))
            found = await self._databases.travel.diff(self.database, begin, end)
            rows = [(one.table, row) for one in found for row in one.rows]
            images = [(table, image) for table, row in rows for image in (row.before, row.after)]
            await self._governor.tell(f"difference between {begin} and {end}", images)
            return diff_page(found, skip, begin, end)

        return await self._ask(call, work, place)

    async def restore(self, call: SqlCall, name: str, moment: Moment, *, place: trio.Event | None = None) -> None:
        """Make a new database of this name, as this one was. StreamExists; NotPrimary."""

        async def work() -> None:
            if self.session.in_transaction:
                raise InvalidArgument("a restore is no part of a transaction: commit or roll back the open one")
            await self._governor.ask_to_restore(name)
            await self._freshness.reach(Consistency.LINEARIZABLE)
            await self._governor.tell(f"restore to database {name}", ())
            await restore(
                self._databases,
                int(self.database.tenant),
                self.database.name,
                name,
                attribution=self.session.attribution,
                **asdict(moment, recurse=False),
            )

        await self._ask(call, work, place)

    async def _ask(self, call: SqlCall, work: Callable[[], Awaitable[T]], place: trio.Event | None) -> T:
        async def run() -> T:
            if not self.session.in_transaction:
                await self._freshness.reach(call.level)
            return await work()

        async with self.turn(place):
            return await self._run(call, run)
