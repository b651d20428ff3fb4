"""The SQL sessions that clients have open on a node: how many, for how long, and what became of their transactions.

Whoever has lost the answer to a commit asks for its outcome by the id that it gave the transaction. Two things make
"it isn't there" final. On the node of the session, the id is void from the moment of the question on: a call that
names it and comes later is refused, and one under way is waited for. On any other node, that one is the primary of a
later view, in which the session writes nothing any more.
"""

from __future__ import annotations

from contextlib import aclosing, suppress

import trio
from attrs import asdict

from vdb.changes import Attribution
from vdb.errors import InvalidArgument, NotReady, Overloaded, UnknownDatabase, UnknownStream, UnknownTenant
from vdb.limits import SQL_IDLE_SECONDS, SQL_LOCK_SECONDS_MAX, SQL_SESSIONS_MAX, SQL_VOIDED_MAX
from vdb.marks import mark
from vdb.node.crud.asked_session import AskedSession
from vdb.node.crud.bridge import LoopBridge
from vdb.node.crud.copies import AsOf
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases, DatabaseInfo
from vdb.node.crud.following import read_transactions
from vdb.node.crud.moments import resolve
from vdb.node.gate.service import Service
from vdb.projections.store import set_text_factory
from vdb.sql.answers import SqlOutcome
from vdb.sql.capture_rows import text_or_raw
from vdb.sql.keeping import Keeper
from vdb.sql.moment import Moment
from vdb.sql.names import STREAM_PREFIX
from vdb.sql.past import Past
from vdb.sql.session import SqlSession
from vdb.types import Consistency, Position, ReadLevel
from vdb.wire.sql_begin import TRANSACTION_ID_SIZE

CHECK_SECONDS = 1.0
"""How often the node looks for sessions that hold something and don't call."""


class NodeSessions:
    """One per node. `run` it as long as the node serves."""

    def __init__(self, service: Service, databases: CrudDatabases) -> None:
        self._service = service
        self.databases = databases
        self._open: dict[AskedSession, None] = {}
        self._void: dict[bytes, None] = {}
        self._opening = 0
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Give up what idle sessions hold, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await trio.sleep(CHECK_SECONDS)
                now = trio.current_time()
                for session in list(self._open):
                    if session.is_idle and now - session.idle_since >= session.idle_seconds:
                        nursery.start_soon(session.expire)

    async def list(
        self, tenant: int, group: str = "", *, level: ReadLevel = Consistency.LINEARIZABLE
    ) -> list[DatabaseInfo]:
        """A tenant's databases in one group, or in all of the node, which must then be the primary of each."""
        try:
            await self._service.list_streams(tenant, limit=1, group=group, level=level)
        except UnknownTenant:
            return []
        return [info for info in await self.databases.list(tenant) if not group or info.group == group]

    async def open(
        self,
        tenant: int,
        name: str,
        *,
        attribution: Attribution,
        lock_seconds: float,
        idle_seconds: float = SQL_IDLE_SECONDS,
        level: ReadLevel = Consistency.LINEARIZABLE,
        moment: Moment | None = None,
        keeper: Keeper | None = None,
    ) -> AskedSession:
        """A new session. UnknownDatabase, Overloaded, NotPrimary, NotReady. `close` it.

        `keeper`: asked before each statement, and told of what is answered.
        `moment`: it reads the database as it was then (InvalidArgument if it never was so), and writes nothing.
        """
        if len(self._open) + self._opening >= SQL_SESSIONS_MAX:
            raise Overloaded(f"{SQL_SESSIONS_MAX} SQL sessions are open on this node: close some, or try again later")
        self._opening += 1
        try:
            as_of: AsOf | None = None
            if moment is not None:
                database = await self._find_past(tenant, name, moment, level)
                as_of = await self.databases.travel.as_of(database, **asdict(moment, recurse=False))
                bridge, session = await _open_past(as_of)
            else:
                database = await self._find(tenant, name, level)
                bridge = LoopBridge(database.file)
                session = await database.session(
                    bridge=bridge,
                    attribution=attribution,
                    lock_timeout=min(max(lock_seconds, 0.0), SQL_LOCK_SECONDS_MAX),
                )
            set_text_factory(session.db, text_or_raw)
        finally:
            self._opening -= 1
        made = AskedSession(
            databases=self.databases,
            database=database,
            as_of=as_of,
            session=session,
            bridge=bridge,
            idle_seconds=min(idle_seconds, SQL_IDLE_SECONDS) if idle_seconds > 0 else SQL_IDLE_SECONDS,
            is_void=self._void.__contains__,
            keeper=keeper,
        )
        self._open[made] = None
        return made

    def close_soon(self, session: AskedSession) -> None:
        """`close`, by a task of the node's."""
        if self._nursery is not None and session in self._open:
            self._nursery.start_soon(self._close_shielded, session)

    def give_up_soon(self, session: AskedSession, cursor: int) -> None:
        """Have a task of the node's close one of the session's results."""
        if self._nursery is not None and session in self._open:
            self._nursery.start_soon(session.close_cursor, cursor)

    async def _close_shielded(self, session: AskedSession) -> None:
        with trio.CancelScope(shield=True):
            await self.close(session)

    async def close(self, session: AskedSession) -> None:
        """Roll back what is open, and end. Not to be cancelled."""
        if self._open.pop(session, self) is None:
            await session.close()

    async def outcome(self, tenant: int, name: str, transaction: bytes, since_offset: int) -> SqlOutcome:
        """What became of a transaction that began when the file stood at `since_offset`, or later.

        NotPrimary, NotReady where nobody can tell. What isn't committed will never be.
        """
        if len(transaction) != TRANSACTION_ID_SIZE:
            raise InvalidArgument(f"a transaction's id has {TRANSACTION_ID_SIZE} bytes; found {len(transaction)}")
        database = await self._find(tenant, name, Consistency.LINEARIZABLE)
        self._make_void(transaction)
        for session in list(self._open):
            if session.running == transaction:
                mark("sql.outcome_under_way")
                async with session.turn():
                    pass
        end = await self._settled(database)
        if not 0 <= since_offset <= end:
            raise InvalidArgument(f"expected an offset up to the stream's end at {end}, found {since_offset}")
        async with aclosing(
            read_transactions(database.reader, database.tenant, database.stream, since_offset, end)
        ) as portions:
            async for found in portions:
                for one in found:
                    if one.transaction.id == transaction:
                        position = Position(database.reader.group.name, one.position)
                        return SqlOutcome(committed=True, position=position, next_offset=one.next_offset)
        return SqlOutcome(committed=False, next_offset=end)

    async def _settled(self, database: CrudDatabase) -> int:
        """The stream's end, with all that has been asked of this primary by now."""
        group, view = database.reader.group, database.view
        refusal = group.not_serving()
        if refusal is not None:
            raise refusal
        await database.pass_queue()
        if database.view != view:
            raise NotReady(f"group {group.name} changed its primary meanwhile: ask again")
        prepared = group.prepared.stream(database.tenant, database.stream_id)
        assert prepared is not None, "what is committed is prepared"
        wanted = prepared.next_offset
        await group.wait_until(lambda: database.logged_offset >= wanted or database.view != view)
        await group.confirm()
        if database.view != view:
            raise NotReady(f"group {group.name} changed its primary meanwhile: ask again")
        return wanted

    async def _find(self, tenant: int, name: str, level: ReadLevel) -> CrudDatabase:
        try:
            await self._service.get_stream(tenant, STREAM_PREFIX + name, level=level)
        except (UnknownStream, UnknownTenant):
            raise UnknownDatabase(f"tenant {tenant} has no SQL database {name!r}") from None
        return await self.databases.open(tenant, name)

    async def _find_past(self, tenant: int, name: str, moment: Moment, level: ReadLevel) -> CrudDatabase:
        """The database, if what its log has up to a moment is settled here: what lies after it is there as well."""
        with suppress(UnknownDatabase, InvalidArgument):
            database = await self._find(tenant, name, Consistency.STALE)
            offset = await resolve(database, **asdict(moment, recurse=False))
            if moment.offset is not None or offset < database.logged_offset:
                return database
        return await self._find(tenant, name, level)

    def _make_void(self, transaction: bytes) -> None:
        self._void[transaction] = None
        if len(self._void) > SQL_VOIDED_MAX:
            del self._void[next(iter(self._void))]


async def _open_past(as_of: AsOf) -> tuple[LoopBridge, SqlSession]:
    """A session on a database as it was. If that fails, it is let go."""
    try:
        db = await as_of.connect()
    except BaseException:
        await as_of.close()
        raise
    bridge = LoopBridge(as_of.file)
    return bridge, SqlSession(db, Past(as_of.offset), bridge)
