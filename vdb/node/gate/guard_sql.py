"""The guard of SQL databases: which may be opened at all. What a statement may do, its session asks for.

A database counts as PHI, unless its stream says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

from attrs import evolve

from vdb.changes import Attribution
from vdb.errors import AccessDenied
from vdb.kernel.command import Origin
from vdb.kernel.reply import StreamCreated
from vdb.limits import SQL_IDLE_SECONDS
from vdb.node.crud.asked_session import AskedSession
from vdb.node.crud.databases import DatabaseInfo
from vdb.node.gate.by_subject import BySubject
from vdb.node.gate.guard_base import GuardBase, Place
from vdb.node.gate.permit import Permit
from vdb.node.gate.service import LINEARIZABLE, answered
from vdb.node.gate.sql_keeper import SqlKeeper
from vdb.node.gate.writes import Failure, OnCreate
from vdb.policy.decide import AccessRequest
from vdb.policy.words import PURPOSES, Action
from vdb.sql.answers import SqlOutcome
from vdb.sql.moment import Moment
from vdb.sql.names import STREAM_PREFIX
from vdb.types import DataClass, ReadLevel

_ANY = (Action.QUERY, Action.APPEND, Action.SCHEMA, Action.TIME_TRAVEL)


class GuardedSessions:
    """Mirrors `vdb.node.crud.sessions.NodeSessions`, and the creations of `CrudDatabases`."""

    def __init__(self, guard: GuardBase) -> None:
        self._guard = guard
        self._inner = guard.service.sql

    def create_soon(
        self,
        origin: Origin,
        tenant: int,
        name: str,
        data_class: int,
        placement: str,
        *,
        if_not_exists: bool,
        on_answer: OnCreate,
    ) -> None:
        """`CrudDatabases.create_soon`."""
        guard, databases = self._guard, self._guard.service.databases
        claimed = guard.owners.claim(origin, tenant, "sqlCreate", on_answer)
        if claimed is None:
            return
        origin = claimed
        kind = DataClass(data_class) if data_class in tuple(DataClass) else DataClass.PHI
        group = guard.group_of_class(kind, placement)
        permit = guard.decide(Action.CREATE, tenant, kind, group=group, stream=name, door="sqlCreate", plain=False)
        if permit.allowed:
            databases.create_soon(
                origin, tenant, name, data_class, placement, if_not_exists=if_not_exists, on_answer=on_answer
            )
            return

        def refuse(error: AccessDenied, on_refused: Callable[[StreamCreated | Failure], None]) -> None:
            guard.service.writes.refuse(origin, error, lambda _group, _reply: error, on_refused)

        guard.refuse_write(permit, refuse, on_answer)

    async def create(
        self, origin: Origin, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool
    ) -> bool:
        """`CrudDatabases.create`."""
        created: StreamCreated = await answered(
            lambda on_answer: self.create_soon(
                origin, tenant, name, data_class, placement, if_not_exists=if_not_exists, on_answer=on_answer
            )
        )
        return created.created

    async def list(self, tenant: int, group: str = "", *, level: ReadLevel = LINEARIZABLE) -> list[DatabaseInfo]:
        """`NodeSessions.list`, without those that the caller may do nothing with."""
        await self._guard.permit_any(_ANY, tenant, group=group, door="sqlList")
        found = await self._inner.list(tenant, group, level=level)
        return [info for info in found if self._may_know(tenant, info)]

    def _may_know(self, tenant: int, info: DatabaseInfo) -> bool:
        return self._decide_any(_ANY, tenant, info.name, Place(info.group, info.data_class), "sqlList").allowed

    def may_open(self, tenant: int, name: str) -> bool:
        """Whether the caller may do anything with a database. Nothing is written down."""
        place = self._guard.place(tenant, STREAM_PREFIX + name)
        return self._decide_any(_ANY, tenant, name, place, "getStream").allowed

    async def open(
        self,
        tenant: int,
        name: str,
        *,
        attribution: Attribution,
        lock_seconds: float,
        idle_seconds: float = SQL_IDLE_SECONDS,
        level: ReadLevel = LINEARIZABLE,
        moment: Moment | None = None,
    ) -> AskedSession:
        """`NodeSessions.open`, for whoever may do anything with the database."""
        await self.permit_database(_ANY if moment is None else (Action.TIME_TRAVEL,), tenant, name, "sqlOpen")
        unnamed = self.naming(tenant, name, attribution)
        if unnamed is not None:
            await self._guard.checked(unnamed)
        keeper = SqlKeeper(self._guard, tenant, name, self._guard.place(tenant, STREAM_PREFIX + name))
        session = await self._inner.open(
            tenant,
            name,
            attribution=attribution,
            lock_seconds=lock_seconds,
            idle_seconds=idle_seconds,
            level=level,
            moment=moment,
            keeper=keeper,
        )
        keeper.position = lambda: str(session.database.position)
        return session

    def naming(self, tenant: int, name: str, attribution: Attribution | None) -> Permit | None:
        """A denied permit, where the caller may not name whom a transaction is made for. InvalidArgument for what is no
        name; NotAuthenticated for one that was revoked."""
        guard = self._guard
        caller = guard.asking_for(attribution.actor if attribution is not None else "")
        place = guard.place(tenant, STREAM_PREFIX + name)
        policy = guard.permits.book.policy(place.group)
        if policy is None or not caller.claims or policy.may_name_others(caller.principal.name, tenant):
            return None
        request = AccessRequest(
            principal=caller.principal,
            action=Action.APPEND,
            tenant=tenant,
            data_class=place.data_class or DataClass.PHI,
            stream=name,
            purpose=caller.purpose,
            on_behalf_of=caller.claims,
        )
        return guard.permits.decide(caller, request, place.group, "sql")

    async def outcome(self, tenant: int, name: str, transaction: bytes, since_offset: int) -> SqlOutcome:
        """`NodeSessions.outcome`."""
        await self.permit_database(_ANY, tenant, name, "sqlOutcome")
        return await self._inner.outcome(tenant, name, transaction, since_offset)

    async def permit_database(self, actions: tuple[Action, ...], tenant: int, name: str, door: str) -> Permit:
        """A permit for one of these actions on a database. AccessDenied."""
        place = self._guard.place(tenant, STREAM_PREFIX + name)
        return await self._guard.checked(self._decide_any(actions, tenant, name, place, door))

    def _decide_any(self, actions: tuple[Action, ...], tenant: int, name: str, place: Place, door: str) -> Permit:
        """Whether one of these actions is allowed on anything in a database: on all of it, or on a table."""
        guard, policy = self._guard, self._guard.permits.book.policy(place.group)
        known = {table: None for rule in policy.rules for table in rule.tables} if policy is not None else {}
        first: Permit | None = None
        for tables in ((), *((table,) for table in known)):
            for action in actions:
                tried = guard.decide(
                    action,
                    tenant,
                    place.data_class or DataClass.PHI,
                    group=place.group,
                    stream=name,
                    tables=tables,
                    door=door,
                    plain=False,
                )
                if tried.allowed:
                    return tried
                first = first or tried
        assert first is not None
        return self._decide_some(first, actions, ((), *((table,) for table in known)))

    def _decide_some(self, first: Permit, actions: Sequence[Action], tables: Sequence[tuple[str, ...]]) -> Permit:
        """A permit that allows something for some purpose, or about some subject; else `first`. A session says what for
        with each call, and its statements are asked for one by one."""
        permits, group = self._guard.permits, first.group
        policy = permits.book.policy(group)
        if policy is None:
            return first
        by_subject = BySubject(permits, group)
        varying = any(permits.is_varying(group, action) for action in actions)
        purposes = dict.fromkeys(PURPOSES if varying else (code for rule in policy.rules for code in rule.purposes))
        for purpose, some, action in product(purposes, tables, actions):
            request = evolve(first.request, purpose=purpose, tables=some, action=action)
            tried = permits.decide(first.caller, request, group, first.door, plain=False)
            ruling = by_subject.ruling(request, tried.decision, knows_subjects=True)
            if ruling.decisions:
                return evolve(tried, decision=ruling.decisions[0])
        return first

    def close_soon(self, session: AskedSession) -> None:
        self._inner.close_soon(session)

    def give_up_soon(self, session: AskedSession, cursor: int) -> None:
        self._inner.give_up_soon(session, cursor)

    async def close(self, session: AskedSession) -> None:
        await self._inner.close(session)
