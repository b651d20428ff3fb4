"""A `Gateway` for other loops: each call hops to the node's loop and back. Works under trio and asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vdb.client.gateway import Gateway
from vdb.client.sql_line import SqlDatabase
from vdb.client.values import Published, ReadPage, Rows, StreamAppend, StreamInfo, Where
from vdb.embedded.local_audit import HopAudit
from vdb.embedded.local_consumers import HopConsumers
from vdb.embedded.local_erasure import HopErasure
from vdb.embedded.local_evidence import HopEvidence
from vdb.embedded.local_governance import HopGovernance
from vdb.embedded.local_keys import HopKeys
from vdb.embedded.local_projections import HopProjections
from vdb.embedded.local_sql import HopSource
from vdb.embedded.loop_thread import LoopThread
from vdb.selection import EventFilter, EventStart, Selected
from vdb.status import NodeStatus
from vdb.types import DataClass, GroupId, ReadLevel


class HopGateway:
    """Implements `vdb.client.gateway.Gateway` over one that lives in a `LoopThread`."""

    def __init__(self, inner: Gateway, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop
        self.evidence = HopEvidence(inner.evidence, loop)
        self.audit = HopAudit(inner.audit, loop)
        self.keys = HopKeys(inner.keys, loop)
        self.governance = HopGovernance(inner.governance, loop)
        self.erasure = HopErasure(inner.erasure, loop)
        self.projections = HopProjections(inner.projections, loop)

    @property
    def consumers(self) -> HopConsumers:
        """Its consumer groups."""
        return HopConsumers(self._inner.consumers, self._loop)

    async def create_stream(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        return await self._loop.call_async(
            partial(
                self._inner.create_stream,
                tenant,
                name,
                data_class,
                placement,
                if_not_exists=if_not_exists,
                timeout=timeout,
            )
        )

    async def append(self, tenant: int, appends: Sequence[StreamAppend], *, timeout: float) -> tuple[Published, ...]:
        return await self._loop.call_async(partial(self._inner.append, tenant, appends, timeout=timeout))

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
        return await self._loop.call_async(
            partial(
                self._inner.read,
                tenant,
                stream,
                from_offset,
                max_events=max_events,
                wait=wait,
                ids_only=ids_only,
                level=level,
                timeout=timeout,
            )
        )

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
        return await self._loop.call_async(
            partial(
                self._inner.read_log,
                tenant,
                group,
                from_position,
                max_events=max_events,
                wait=wait,
                level=level,
                timeout=timeout,
            )
        )

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
        return await self._loop.call_async(
            partial(
                self._inner.read_events,
                tenant,
                group,
                wanted,
                start,
                backward=backward,
                max_events=max_events,
                wait=wait,
                level=level,
                timeout=timeout,
            )
        )

    async def list_streams(
        self, tenant: int, after: str, maximum: int, *, level: ReadLevel, timeout: float
    ) -> tuple[list[StreamInfo], bool]:
        return await self._loop.call_async(
            partial(self._inner.list_streams, tenant, after, maximum, level=level, timeout=timeout)
        )

    async def get_stream(self, tenant: int, name: str, *, level: ReadLevel, timeout: float) -> StreamInfo:
        return await self._loop.call_async(partial(self._inner.get_stream, tenant, name, level=level, timeout=timeout))

    async def status(self, *, timeout: float) -> NodeStatus:
        return await self._loop.call_async(partial(self._inner.status, timeout=timeout))

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
        return await self._loop.call_async(
            partial(
                self._inner.rows,
                tenant,
                projection,
                table,
                where=where,
                order_by=order_by,
                limit=limit,
                timeout=timeout,
            )
        )

    async def create_database(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        create = partial(self._inner.create_database, tenant, name, data_class, placement)
        return await self._loop.call_async(partial(create, if_not_exists=if_not_exists, timeout=timeout))

    async def list_databases(self, tenant: int, *, level: ReadLevel, timeout: float) -> list[SqlDatabase]:
        return await self._loop.call_async(partial(self._inner.list_databases, tenant, level=level, timeout=timeout))

    def sql_source(self, tenant: int, name: str, *, lock_timeout: float, idle_timeout: float) -> HopSource:
        inner = self._inner.sql_source(tenant, name, lock_timeout=lock_timeout, idle_timeout=idle_timeout)
        return HopSource(inner, self._loop)

    async def wait_for_projection(self, tenant: int, projection: str, position: str, *, timeout: float) -> bool:
        return await self._loop.call_async(
            partial(self._inner.wait_for_projection, tenant, projection, position, timeout=timeout)
        )
