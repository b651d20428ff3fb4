"""SQL databases over RPC: lines to the node that answers, and what becomes of transactions whose line was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import anyio
from attrs import frozen

from vdb.changes import Attribution, Value
from vdb.client import rpc_codec
from vdb.client.backoff import Backoff
from vdb.client.link import Link
from vdb.client.router import ELSEWHERE, Router
from vdb.client.routes import AnyMember, Target
from vdb.client.sql_line import SqlDatabase
from vdb.errors import (
    ConnectionLost,
    NotPrimary,
    NotReady,
    Overloaded,
    UnknownDatabase,
    UnknownStream,
    UnknownTenant,
    Unreachable,
    VerityError,
)
from vdb.ports import Entropy
from vdb.sql.answers import Parameters, SqlAnswer, SqlCall, SqlOutcome, SqlStatement
from vdb.sql.crossing import DiffPage, VersionsPage, attribution_into, diff_from, explanation_from, versions_from
from vdb.sql.explanation import Explanation
from vdb.sql.names import STREAM_PREFIX
from vdb.types import DataClass, GroupId, Position, ReadLevel
from vdb.wire.sql_api import check_value, parameters_into, rows_from, value_into

TRANSACTION_ID_SIZE = 16

GroupOf = Callable[[int, str, float], Awaitable[GroupId]]
"""(tenant, stream, timeout) to the group that the stream lies in."""


class RpcLine:
    """Implements `vdb.client.sql_line.SqlLine` over one link."""

    def __init__(
        self, link: Link, session: int, next_offset: int, router: Router, group: Target, entropy: Entropy
    ) -> None:
        self._link = link
        self._session = session
        self._router = router
        self._group = group
        self._entropy = entropy
        self.next_offset = next_offset

    def new_id(self) -> bytes:
        return self._entropy.random_bytes(TRANSACTION_ID_SIZE)

    async def execute(self, call: SqlCall, statement: SqlStatement, max_rows: int, *, timeout: float) -> SqlAnswer:
        def build(params: Any) -> None:
            self._write_call(params, call)
            _write_statement(params.statement, statement)
            params.maxRows = max_rows

        _check(statement.parameters)
        return await self._answer("sqlExecute", build, timeout)

    async def executemany(
        self, call: SqlCall, sql: str, parameters: Sequence[Parameters], *, timeout: float
    ) -> SqlAnswer:
        def build(params: Any) -> None:
            self._write_call(params, call)
            params.text = sql
            for builder, one in zip(params.init("parameters", len(parameters)), parameters, strict=True):
                parameters_into(builder, one)

        for one in parameters:
            _check(one)
        return await self._answer("sqlExecuteMany", build, timeout)

    async def batch(
        self, call: SqlCall, statements: Sequence[SqlStatement], max_rows: int, *, timeout: float
    ) -> list[SqlAnswer]:
        def build(params: Any) -> None:
            self._write_call(params, call)
            for builder, one in zip(params.init("statements", len(statements)), statements, strict=True):
                _write_statement(builder, one)
            params.maxRows = max_rows

        for one in statements:
            _check(one.parameters)
        results = await self._call("sqlBatch", build, timeout)
        return [_read_answer(answer) for answer in results.answers]

    async def fetch(self, cursor: int, max_rows: int, *, timeout: float) -> SqlAnswer:
        def build(params: Any) -> None:
            params.session = self._session
            params.cursor = cursor
            params.maxRows = max_rows

        return await self._answer("sqlFetch", build, timeout)

    async def close_cursor(self, cursor: int, *, timeout: float) -> None:
        def build(params: Any) -> None:
            params.session = self._session
            params.cursor = cursor

        await self._call("sqlCloseCursor", build, timeout)

    def give_up(self, cursor: int) -> None:
        def build(params: Any) -> None:
            params.session = self._session
            params.cursor = cursor

        self._link.tell("sqlCloseCursor", build)

    async def commit(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._answer("sqlCommit", lambda params: self._write_call(params, call), timeout)

    async def rollback(self, call: SqlCall, *, timeout: float) -> SqlAnswer:
        return await self._answer("sqlRollback", lambda params: self._write_call(params, call), timeout)

    async def migrate(self, call: SqlCall, files: Mapping[str, str], *, timeout: float) -> SqlAnswer:
        def build(params: Any) -> None:
            self._write_call(params, call)
            for builder, (name, text) in zip(params.init("files", len(files)), files.items(), strict=True):
                builder.name = name
                builder.text = text

        return await self._answer("sqlMigrate", build, timeout)

    async def history(
        self, call: SqlCall, table: str, key: Sequence[Value], skip: int, to_offset: int, *, timeout: float
    ) -> VersionsPage:
        def build(params: Any) -> None:
            self._write_call(params, call)
            params.table = table
            for cell, value in zip(params.init("key", len(key)), key, strict=True):
                value_into(cell, value)
            params.skip, params.toOffset = skip, to_offset

        return versions_from(await self._call("sqlHistory", build, timeout))

    async def explain(self, call: SqlCall, sql: str, *, timeout: float) -> Explanation:
        def build(params: Any) -> None:
            self._write_call(params, call)
            params.text = sql

        return explanation_from((await self._call("sqlExplain", build, timeout)).explanation)

    async def diff(self, call: SqlCall, first: str, second: str, skip: int, *, timeout: float) -> DiffPage:
        def build(params: Any) -> None:
            self._write_call(params, call)
            params.first, params.second, params.skip = first, second, skip

        return diff_from(await self._call("sqlDiff", build, timeout))

    async def restore(self, call: SqlCall, name: str, moment: str, *, timeout: float) -> None:
        def build(params: Any) -> None:
            self._write_call(params, call)
            params.name, params.moment = name, moment

        await self._call("sqlRestore", build, timeout)

    async def refused(self, error: NotPrimary | NotReady) -> None:
        self._router.refused(self._group, self._link, error)
        self.drop()

    def drop(self) -> None:
        self._link.tell("sqlClose", self._write_session)

    async def close(self, *, timeout: float) -> None:
        if self._link.usable:
            try:
                await self._link.call("sqlClose", self._write_session, wait_seconds=timeout)
            except ConnectionLost:
                return

    async def _answer(self, method: str, build: Callable[[Any], None], timeout: float) -> SqlAnswer:
        return _read_answer((await self._call(method, build, timeout)).answer)

    async def _call(self, method: str, build: Callable[[Any], None], timeout: float) -> Any:
        if not self._link.usable:
            raise ConnectionLost("the connection of the SQL session was lost")
        results = await self._link.call_long(method, build, wait_seconds=timeout)
        self._router.succeeded(self._group)
        return results

    def _write_session(self, params: Any) -> None:
        params.session = self._session

    def _write_call(self, params: Any, call: SqlCall) -> None:
        builder = params.call
        builder.session = self._session
        builder.transaction = call.transaction
        builder.within = call.within
        rpc_codec.write_level(builder, call.level)
        if call.attribution is not None:
            attribution_into(builder.init("attribution"), call.attribution)


class RpcSql:
    """The part of an `RpcGateway` that is about SQL databases."""

    def __init__(self, router: Router, entropy: Entropy, group_of: GroupOf) -> None:
        self._router = router
        self._entropy = entropy
        self._group_of = group_of

    async def databases(
        self, tenant: int, groups: Callable[[float], Awaitable[Sequence[GroupId]]], level: ReadLevel, timeout: float
    ) -> list[SqlDatabase]:
        """All databases of a tenant; group by group where the node isn't the primary of all of them."""
        everywhere = await groups(timeout)
        if not self._router.is_divided:
            with suppress(NotPrimary):
                return await self._list_in(None, tenant, level, timeout)
        found: list[SqlDatabase] = []
        for group in everywhere:
            found += await self._list_in(group, tenant, level, timeout)
        return found

    async def _list_in(self, group: GroupId | None, tenant: int, level: ReadLevel, timeout: float) -> list[SqlDatabase]:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.group = group or ""
            rpc_codec.write_level(params, level)

        target = None if group is None else self._router.target(group, level)
        return await self._router.ask("sqlList", build, _read_databases, timeout=timeout, group=target)

    async def open(
        self,
        tenant: int,
        name: str,
        *,
        attribution: Attribution,
        lock_timeout: float,
        idle_timeout: float,
        level: ReadLevel,
        primary: bool,
        timeout: float,
        as_of: str,
    ) -> RpcLine:
        """A session, at the primary or anywhere. UnknownDatabase; Unreachable."""

        def build(params: Any) -> None:
            params.tenant = tenant
            params.database = name
            attribution_into(params.attribution, attribution)
            params.lockMicros = int(lock_timeout * 1e6)
            params.idleMicros = int(idle_timeout * 1e6)
            rpc_codec.write_level(params, level)
            params.asOf = as_of

        backoff = Backoff(self._entropy)
        last: VerityError | None = None
        with anyio.move_on_after(timeout):
            group: Target = await self._group(tenant, name, timeout) if primary else None
            if self._router.is_divided and not primary:
                group = AnyMember(await self._group(tenant, name, timeout))
            while True:
                link = await self._router.link(group)
                try:
                    results = await link.call("sqlOpen", build)
                except ConnectionLost as error:
                    last = error
                except Overloaded as error:
                    last = error
                    await anyio.sleep(backoff.next_delay())
                except ELSEWHERE as error:
                    last = error
                    self._router.refused(group, link, error)
                    if not isinstance(group, str) and isinstance(error, NotPrimary):
                        group = await self._group(tenant, name, timeout)
                else:
                    self._router.succeeded(group)
                    return RpcLine(link, results.session, results.nextOffset, self._router, group, self._entropy)
        raise Unreachable(
            f"database {name!r} couldn't be opened within {timeout:g} s; last: {last or self._router.last_error}"
        )

    async def outcome(
        self, tenant: int, name: str, transaction: bytes, since_offset: int, timeout: float
    ) -> SqlOutcome:
        """What became of a transaction. Timeout if no primary says it."""

        def build(params: Any) -> None:
            params.tenant = tenant
            params.database = name
            params.transaction = transaction
            params.sinceOffset = since_offset

        group = await self._group(tenant, name, timeout)
        return await self._router.ask(
            "sqlOutcome", build, _read_outcome, timeout=timeout, wait_seconds=timeout, group=group
        )

    async def _group(self, tenant: int, name: str, timeout: float) -> GroupId:
        try:
            return await self._group_of(tenant, STREAM_PREFIX + name, timeout)
        except (UnknownStream, UnknownTenant):
            raise UnknownDatabase(f"tenant {tenant} has no SQL database {name!r}") from None


@frozen
class RpcSqlSource:
    """Implements `vdb.client.sql_line.SqlSource`."""

    _sql: RpcSql
    _tenant: int
    _name: str
    _lock_timeout: float
    _idle_timeout: float

    async def open(
        self, attribution: Attribution, level: ReadLevel, *, primary: bool, timeout: float, as_of: str = ""
    ) -> RpcLine:
        return await self._sql.open(
            self._tenant,
            self._name,
            attribution=attribution,
            lock_timeout=self._lock_timeout,
            idle_timeout=self._idle_timeout,
            level=level,
            primary=primary,
            timeout=timeout,
            as_of=as_of,
        )

    async def outcome(self, transaction: bytes, since_offset: int, *, timeout: float) -> SqlOutcome:
        return await self._sql.outcome(self._tenant, self._name, transaction, since_offset, timeout)


def _check(parameters: Parameters) -> None:
    for value in parameters.values() if isinstance(parameters, Mapping) else parameters:
        check_value(value)


def _write_statement(builder: Any, statement: SqlStatement) -> None:
    builder.text = statement.sql
    parameters_into(builder.parameters, statement.parameters)


def _read_answer(reader: Any) -> SqlAnswer:
    columns = tuple(map(str, reader.columns)) if reader._has("columns") and len(reader.columns) else None
    group = str(reader.group)
    return SqlAnswer(
        columns=columns,
        declared=tuple(map(str, reader.declared)) if columns else (),
        rows=rows_from(reader, len(columns)) if columns else [],
        cursor=reader.cursor,
        rowcount=reader.rowcount,
        lastrowid=reader.lastrowid if reader.hasLastrowid else None,
        in_transaction=reader.inTransaction,
        position=Position(GroupId(group), reader.nextPosition) if group else None,
        next_offset=reader.nextOffset,
        total_changes=reader.totalChanges,
    )


def _read_outcome(results: Any) -> SqlOutcome:
    group = str(results.group)
    return SqlOutcome(
        committed=results.committed,
        position=Position(GroupId(group), results.nextPosition) if group else None,
        next_offset=results.nextOffset,
    )


def _read_databases(results: Any) -> list[SqlDatabase]:
    return [
        SqlDatabase(
            name=str(info.name),
            group=GroupId(str(info.group)),
            data_class=DataClass(info.dataClass),
            next_offset=info.nextOffset,
            created_at=info.createdAt,
        )
        for info in results.databases
    ]
