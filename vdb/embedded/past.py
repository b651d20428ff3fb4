"""A SQL database's past, for a program's own threads: sessions on it as it was, a row's versions, what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import asdict, frozen

from vdb.changes import NOBODY, Attribution, Value
from vdb.embedded.crud import LocalDatabase, ThreadBridge
from vdb.node.crud.copies import AsOf
from vdb.node.crud.moments import resolve
from vdb.node.crud.restoring import restore as restore_as_of
from vdb.policy.words import Action
from vdb.sql.diffing import TableDiff
from vdb.sql.governor import Governor
from vdb.sql.history import Version
from vdb.sql.host import run_inline
from vdb.sql.moment import Moment
from vdb.sql.past import Past
from vdb.sql.session import SqlSession
from vdb.world.using import Using


@frozen
class PastSession:
    """A session that reads a database as it was."""

    session: SqlSession
    _local: LocalDatabase
    _as_of: AsOf

    def end(self) -> None:
        """Close its connection, and let go of the file."""
        run_inline(self.session.close())
        self._local.call(partial(self._as_of.file.disconnect, self.session.db))
        self._local.call(self._as_of.close)


def open_past(local: LocalDatabase, moment: Moment, **options: Any) -> PastSession:
    """A session on a database as it was; `options` are its connection's. InvalidArgument if it never was so."""
    as_of = local.call(partial(local.databases.travel.as_of, local.crud, **asdict(moment, recurse=False)))
    using = Using()
    try:
        db = local.call(partial(as_of.connect, using=using, **options))
    except BaseException:
        local.call(as_of.close)
        raise
    session = SqlSession(db, Past(as_of.offset), ThreadBridge(local.node.loop, using))
    local.using[session] = using
    return PastSession(session, local, as_of)


def history(local: LocalDatabase, table: str, key: Value | Sequence[Value]) -> list[Version]:
    """The versions of a row, the oldest first."""
    with _governed(local) as governor:
        run_inline(governor.ask(Action.TIME_TRAVEL, table))
        found = local.call(partial(local.databases.travel.history, local.crud, table, key))
        images = [(one.table, image) for one in found for image in (one.before, one.after)]
        run_inline(governor.tell(f"history of a row of {table}", images))
    return found


def diff(local: LocalDatabase, first: Moment, second: Moment) -> list[TableDiff]:
    """What turns the rows that there were at the first moment into those at the second."""

    async def run() -> list[TableDiff]:
        begin = await resolve(local.crud, **asdict(first, recurse=False))
        end = await resolve(local.crud, **asdict(second, recurse=False))
        return await local.databases.travel.diff(local.crud, begin, end)

    with _governed(local) as governor:
        run_inline(governor.ask(Action.TIME_TRAVEL))
        found = local.call(run)
        rows = [(one.table, row) for one in found for row in one.rows]
        images = [(table, image) for table, row in rows for image in (row.before, row.after)]
        run_inline(governor.tell(f"difference between {first} and {second}", images))
    return found


def restore(local: LocalDatabase, name: str, moment: Moment, attribution: Attribution = NOBODY) -> None:
    """Make a new database of this name, as this one was. StreamExists if there is one."""
    with _governed(local) as governor:
        run_inline(governor.ask_to_restore(name))
        run_inline(governor.tell(f"restore to database {name}", ()))
    local.call(
        partial(
            restore_as_of,
            local.databases,
            int(local.crud.tenant),
            local.crud.name,
            name,
            attribution=attribution,
            **asdict(moment, recurse=False),
        )
    )


@contextmanager
def _governed(local: LocalDatabase) -> Iterator[Governor]:
    """What asks and tells, for a question that no session asks."""
    session = local.session()
    try:
        yield local.governor(session)
    finally:
        local.end(session)
