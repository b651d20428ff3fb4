"""The `Gateway` straight to a node's gate. Runs in the node's loop, and needs no session: no connection can break."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import trio

from vdb.client.sql_line import SqlDatabase
from vdb.client.values import (
    Published,
    ReadPage,
    ReadRun,
    Rows,
    SqlValue,
    StreamAppend,
    StreamInfo,
    Where,
    parse_positions,
)
from vdb.embedded.local_audit import ServiceAudit
from vdb.embedded.local_consumers import ServiceConsumers
from vdb.embedded.local_erasure import ServiceErasure
from vdb.embedded.local_evidence import LocalAudit, ServiceEvidence
from vdb.embedded.local_governance import ServiceGovernance
from vdb.embedded.local_keys import ServiceKeys
from vdb.embedded.local_projections import ServiceProjections
from vdb.embedded.local_sql import ServiceSource
from vdb.errors import Timeout
from vdb.kernel.command import INTERNAL
from vdb.limits import EVENT_ID_SIZE
from vdb.node.gate import answers
from vdb.node.gate.guard import Guard
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.projections.source import OpenedRun
from vdb.selection import EventFilter, EventStart, Selected
from vdb.status import NodeStatus
from vdb.types import DataClass, GroupId, Position, ReadLevel
from vdb.wire.event import decode_batch, encode_batch


class ServiceGateway:
    """Implements `vdb.client.gateway.Gateway` over the guard of the program that has opened the node."""

    def __init__(self, guard: Guard, tasks: trio.Nursery) -> None:
        """`tasks`: of the node's loop, for what goes on behind a call."""
        self.guard = self._guard = guard
        """What all that this handle does passes."""
        self._tasks = tasks
        self.databases = guard.service.databases
        self.evidence = ServiceEvidence(guard)
        self.audit = ServiceAudit(guard)
        self.keys = ServiceKeys(guard)
        self.governance = ServiceGovernance(guard)
        self.erasure = ServiceErasure(guard)
        self.projections = ServiceProjections(guard)
        self.audits = LocalAudit(guard.service)

    @property
    def consumers(self) -> ServiceConsumers:
        """Its consumer groups."""
        return ServiceConsumers(self._guard.consumers, self._guard.groups, self._tasks)

    async def create_stream(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        with trio.move_on_after(timeout):
            reply = await self._guard.create_stream(
                INTERNAL, tenant, name, data_class, placement, if_not_exists=if_not_exists
            )
            return reply.created
        raise _timed_out("create_stream", timeout)

    async def append(self, tenant: int, appends: Sequence[StreamAppend], *, timeout: float) -> tuple[Published, ...]:
        with trio.move_on_after(timeout):
            result = await self._guard.append(INTERNAL, tenant, [_plain(append) for append in appends])
            position = Position(result.group, result.next_position)
            return tuple(
                Published(
                    stream=part.stream,
                    first_offset=part.first_offset,
                    next_offset=part.next_offset,
                    position=position,
                    time=result.time,
                )
                for part in result.streams
            )
        raise _timed_out("append", timeout)

    async def read(
        self,
        tenant: int,
        stream: str,
        from_offset: int,
        *,
        max_events: int,
        wait: float,
        ids_only: bool,
        level: ReadLevel,
        timeout: float,
    ) -> ReadPage:
        result = await self._guard.read(
            tenant, stream, from_offset, max_events=max_events, wait_us=int(wait * 1e6), ids_only=ids_only, level=level
        )
        runs = tuple(_read_run(run, ids_only=ids_only) for run in result.runs)
        return ReadPage(runs=runs, next=result.next_offset, head=result.head)

    async def read_log(
        self,
        tenant: int,
        group: GroupId,
        from_position: int,
        *,
        max_events: int,
        wait: float,
        level: ReadLevel,
        timeout: float,
    ) -> ReadPage:
        result = await self._guard.read_log(
            tenant, group, from_position, max_events=max_events, wait_us=int(wait * 1e6), level=level
        )
        runs = tuple(_read_run(run, ids_only=False) for run in result.runs)
        return ReadPage(runs=runs, next=result.next_position, head=result.head)

    async def read_events(
        self,
        tenant: int,
        group: GroupId,
        wanted: EventFilter,
        start: EventStart,
        *,
        backward: bool,
        max_events: int,
        wait: float,
        level: ReadLevel,
        timeout: float,
    ) -> Selected:
        return await self._guard.read_events(
            tenant,
            group,
            wanted,
            start,
            backward=backward,
            max_events=max_events,
            wait_us=int(wait * 1e6),
            level=level,
        )

    async def list_streams(
        self, tenant: int, after: str, maximum: int, *, level: ReadLevel, timeout: float
    ) -> tuple[list[StreamInfo], bool]:
        streams, more = await self._guard.list_streams(tenant, after, maximum, level=level)
        return [_stream_info(stream) for stream in streams], more

    async def get_stream(self, tenant: int, name: str, *, level: ReadLevel, timeout: float) -> StreamInfo:
        return _stream_info(await self._guard.get_stream(tenant, name, level=level))

    async def status(self, *, timeout: float) -> NodeStatus:
        return await self._guard.status()

    async def rows(
        self,
        tenant: int,
        projection: str,
        table: str,
        *,
        where: Where,
        order_by: Sequence[str],
        limit: int,
        timeout: float,
    ) -> Rows:
        result = await self._guard.rows(tenant, projection, table, where, order_by, limit)
        rows = cast("tuple[tuple[SqlValue, ...], ...]", result.rows)
        return Rows(columns=result.columns, rows=rows, position=parse_positions(result.position))

    async def create_database(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        with trio.move_on_after(timeout):
            return await self._guard.sql.create(
                INTERNAL, tenant, name, data_class, placement, if_not_exists=if_not_exists
            )
        raise _timed_out("create_database", timeout)

    async def list_databases(self, tenant: int, *, level: ReadLevel, timeout: float) -> list[SqlDatabase]:
        return [
            SqlDatabase(
                name=info.name,
                group=info.group,
                data_class=info.data_class,
                next_offset=info.next_offset,
                created_at=info.created_at,
            )
            for info in await self._guard.sql.list(tenant, level=level)
        ]

    def sql_source(self, tenant: int, name: str, *, lock_timeout: float, idle_timeout: float) -> ServiceSource:
        return ServiceSource(self._guard.sql, tenant, name, lock_timeout, idle_timeout)

    async def wait_for_projection(self, tenant: int, projection: str, position: str, *, timeout: float) -> bool:
        return await self._guard.wait_for_projection(tenant, projection, position, int(timeout * 1e6))


def _timed_out(call: str, timeout: float) -> Timeout:
    return Timeout(f"no answer to {call} within {timeout:g} s; it may have happened")


def _plain(append: StreamAppend) -> PlainAppend:
    return PlainAppend(
        stream=append.stream,
        expected=append.expected,
        runs=tuple(
            PlainRun(
                subject=run.subject,
                count=len(run.payloads),
                batch=encode_batch(run.payloads),
                event_ids=b"".join(run.event_ids),
                schema_id=run.schema_id,
            )
            for run in append.runs
        ),
    )


def _read_run(run: OpenedRun, *, ids_only: bool) -> ReadRun:
    ids = run.event_ids
    return ReadRun(
        stream=run.stream,
        first_offset=run.first_offset,
        first_position=run.first_position,
        time=run.time,
        payloads=() if ids_only else tuple(bytes(payload) for payload in decode_batch(run.batch)),
        event_ids=tuple(bytes(ids[at : at + EVENT_ID_SIZE]) for at in range(0, len(ids), EVENT_ID_SIZE)),
        schema_id=run.schema_id,
        data_class=run.data_class,
    )


def _stream_info(stream: answers.StreamInfo) -> StreamInfo:
    return StreamInfo(
        name=stream.name,
        id=stream.stream,
        data_class=stream.data_class,
        placement=stream.placement,
        next_offset=stream.next_offset,
        created_at=stream.created_at,
    )
