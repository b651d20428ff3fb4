"""The `Gateway` over Cap'n Proto RPC: writes through a session for each group, reads asked again until answered.

Which session a write goes through, and whose primary answers a linearizable read, follows from its stream's group,
which never changes: it is asked for once. A stream that isn't known yet is looked for on any node; where that one isn't
the primary of all its groups, or doesn't hold all groups of the cluster, group by group. In a cluster of several
regions that asks nodes of each for the stream by name, unless the client is bound to one (`vdb.connect(region=...)`);
and a name that a region has can be taken in another one by a client that is bound to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

from vdb.client import rpc_codec
from vdb.client.router import Router
from vdb.client.routes import AnyMember, Target
from vdb.client.rpc_audit import RpcAudit
from vdb.client.rpc_consumers import RpcConsumers
from vdb.client.rpc_erasure import RpcErasure
from vdb.client.rpc_events import EventRequest, ask_events
from vdb.client.rpc_evidence import RpcEvidence
from vdb.client.rpc_governance import RpcGovernance
from vdb.client.rpc_keys import RpcKeys
from vdb.client.rpc_projections import RpcProjections
from vdb.client.rpc_sql import RpcSql, RpcSqlSource
from vdb.client.sql_line import SqlDatabase
from vdb.client.tasks import LastingTasks
from vdb.client.values import Published, ReadPage, Rows, StreamAppend, StreamInfo, Where
from vdb.client.writer import Writer
from vdb.errors import CrossGroup, NotPrimary, StreamExists, Timeout, UnknownStream, UnknownTenant
from vdb.kernel.command import CLIENT_ID_SIZE, Origin
from vdb.ports import Entropy
from vdb.selection import EventFilter, EventStart, Selected
from vdb.sql.names import STREAM_PREFIX
from vdb.status import NodeStatus
from vdb.types import Consistency, DataClass, GroupId, Position, ReadLevel

_PLACES_MAX = 100_000
"""Streams whose group is remembered; past it, they are asked for again."""


class RpcGateway:
    """Implements `vdb.client.gateway.Gateway`."""

    def __init__(self, router: Router, entropy: Entropy, tasks: LastingTasks) -> None:
        self._router = router
        self._entropy = entropy
        self._tasks = tasks
        self._writers: dict[GroupId, Writer] = {}
        self._groups: dict[tuple[int, str], GroupId] = {}
        self._sql = RpcSql(router, entropy, self._group_of)
        self.evidence = RpcEvidence(router, self._group_of)
        self.audit = RpcAudit(router)
        self.governance = RpcGovernance(router, self._group_of)
        self.keys = RpcKeys(router, entropy)
        self.erasure = RpcErasure(router)
        self.projections = RpcProjections(router)
        self.consumers = RpcConsumers(router, entropy, tasks, self._writer, self._all_groups)

    def close(self) -> None:
        """Fail the writes in flight: their outcome is unknown."""
        for writer in self._writers.values():
            writer.close()

    async def create_stream(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        def build(params: Any, origin: Origin) -> None:
            rpc_codec.write_origin(params.origin, origin)
            params.tenant = tenant
            params.stream = name
            params.dataClass = int(data_class)
            params.placement = placement
            params.ifNotExists = if_not_exists

        if self._router.is_divided:
            await self._check_name_is_free(tenant, name, placement, timeout)
        writer = self._writer(GroupId(placement))
        return await writer.write("createStream", build, lambda results: bool(results.created), timeout)

    async def append(self, tenant: int, appends: Sequence[StreamAppend], *, timeout: float) -> tuple[Published, ...]:
        groups = [await self._group_of(tenant, append.stream, timeout) for append in appends]
        if any(group != groups[0] for group in groups):
            raise CrossGroup(
                f"the streams of one append lie in one group; found {', '.join(sorted(dict.fromkeys(groups)))}"
            )
        writer = self._writer(groups[0])
        if len(appends) == 1 and len(appends[0].runs) == 1:
            publish = partial(rpc_codec.write_publish, tenant=tenant, append=appends[0])
            published = await writer.write("publish", publish, partial(rpc_codec.read_published, appends[0]), timeout)
            return (published,)
        return await writer.write(
            "append",
            partial(rpc_codec.write_append, tenant=tenant, appends=appends),
            rpc_codec.read_appended,
            timeout,
        )

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
        group = await self._target_of(tenant, stream, level, timeout)

        def build(params: Any) -> None:
            params.tenant = tenant
            params.stream = stream
            params.fromOffset = from_offset
            params.maxEvents = max_events
            params.waitMicros = int(wait * 1e6)
            params.idsOnly = ids_only
            rpc_codec.write_level(params, level)

        return await self._router.ask(
            "read", build, rpc_codec.read_stream_page, timeout=timeout, wait_seconds=wait, group=group
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
        def build(params: Any) -> None:
            params.tenant = tenant
            params.group = group
            params.fromPosition = from_position
            params.maxEvents = max_events
            params.waitMicros = int(wait * 1e6)
            rpc_codec.write_level(params, level)

        return await self._router.ask(
            "readLog",
            build,
            rpc_codec.read_log_page,
            timeout=timeout,
            wait_seconds=wait,
            group=self._router.target(group, level),
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
        request = EventRequest(tenant=tenant, group=group, wanted=wanted, start=start, backward=backward, level=level)
        return await ask_events(self._router, request, max_events, wait, timeout)

    async def list_streams(
        self, tenant: int, after: str, maximum: int, *, level: ReadLevel, timeout: float
    ) -> tuple[list[StreamInfo], bool]:
        groups = await self._all_groups(timeout)
        if not self._router.is_divided:
            with suppress(NotPrimary):
                return await self._list_in(None, tenant, after, maximum, level, timeout)
        if after:
            groups = groups[groups.index(await self._group_of(tenant, after, timeout)) :]
        known = bool(after)
        unknown: UnknownTenant | None = None
        for group in groups:
            try:
                page, more = await self._list_in(group, tenant, after, maximum, level, timeout)
            except UnknownTenant as error:
                unknown = error
            else:
                known = True
                if page:
                    return page, more or group != groups[-1]
            after = ""
        if unknown is not None and not known:
            raise unknown
        return [], False

    async def _list_in(
        self, group: GroupId | None, tenant: int, after: str, maximum: int, level: ReadLevel, timeout: float
    ) -> tuple[list[StreamInfo], bool]:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.after = after
            params.max = maximum
            params.group = group or ""
            rpc_codec.write_level(params, level)

        target = None if group is None else self._router.target(group, level)
        return await self._router.ask("listStreams", build, rpc_codec.read_streams, timeout=timeout, group=target)

    async def get_stream(self, tenant: int, name: str, *, level: ReadLevel, timeout: float) -> StreamInfo:
        known = (
            self._groups.get((tenant, name)) if level is Consistency.LINEARIZABLE or self._router.is_divided else None
        )
        if known is None and self._router.is_divided:
            info = await self._look_everywhere(tenant, name, level, timeout)
        else:
            try:
                info = await self._get_in(known, tenant, name, level, timeout)
            except NotPrimary:
                info = await self._look_everywhere(tenant, name, level, timeout)
        if len(self._groups) >= _PLACES_MAX:
            self._groups.clear()
        self._groups[tenant, name] = info.group
        return info

    async def _look_everywhere(self, tenant: int, name: str, level: ReadLevel, timeout: float) -> StreamInfo:
        """Ask each group's primary, or any of its members where something older does."""
        missing: UnknownStream | UnknownTenant | None = None
        groups = await self._all_groups(timeout)
        for group in [level.group] if isinstance(level, Position) else groups:
            try:
                return await self._get_in(group, tenant, name, level, timeout)
            except UnknownStream as error:
                missing = error
            except UnknownTenant as error:
                missing = missing or error
        assert missing is not None, "a node has groups"
        raise missing

    async def _get_in(
        self, group: GroupId | None, tenant: int, name: str, level: ReadLevel, timeout: float
    ) -> StreamInfo:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.stream = name
            params.group = group or ""
            rpc_codec.write_level(params, level)

        def parse(results: Any) -> StreamInfo:
            return rpc_codec.read_stream_info(results.stream)

        target = None if group is None else self._router.target(group, level)
        return await self._router.ask("getStream", build, parse, timeout=timeout, group=target)

    async def _check_name_is_free(self, tenant: int, name: str, placement: str, timeout: float) -> None:
        """StreamExists where another group has the name: a group knows those of its own nodes alone."""
        with suppress(UnknownStream, UnknownTenant):
            found = await self.get_stream(tenant, name, level=Consistency.LINEARIZABLE, timeout=timeout)
            if found.group != placement:
                raise StreamExists(f"tenant {tenant} has a stream of this name in {found.group} already")

    async def _all_groups(self, timeout: float) -> tuple[GroupId, ...]:
        with anyio.move_on_after(timeout):
            return await self._router.groups()
        raise Timeout(f"no node answers within {timeout:g} s; last: {self._router.last_error}")

    async def _target_of(self, tenant: int, stream: str, level: ReadLevel, timeout: float) -> Target:
        """Who answers a read of this stream."""
        if level is Consistency.LINEARIZABLE:
            return await self._group_of(tenant, stream, timeout)
        if not self._router.is_divided:
            return None
        if isinstance(level, Position):
            return AnyMember(level.group)
        return AnyMember((await self.get_stream(tenant, stream, level=level, timeout=timeout)).group)

    async def status(self, *, timeout: float) -> NodeStatus:
        return await self._router.ask("status", lambda params: None, rpc_codec.read_status, timeout=timeout)

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
        def build(params: Any) -> None:
            params.tenant = tenant
            params.projection = projection
            params.table = table
            conditions = params.init("where", len(where))
            for condition, (column, value) in zip(conditions, where.items(), strict=True):
                condition.column = column
                rpc_codec.write_value(condition.value, value)
            params.orderBy = list(order_by)
            params.limit = limit

        return await self._router.ask("rows", build, rpc_codec.read_rows, timeout=timeout)

    async def create_database(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        def build(params: Any, origin: Origin) -> None:
            rpc_codec.write_origin(params.origin, origin)
            params.tenant = tenant
            params.database = name
            params.dataClass = int(data_class)
            params.placement = placement
            params.ifNotExists = if_not_exists

        if self._router.is_divided:
            await self._check_name_is_free(tenant, STREAM_PREFIX + name, placement, timeout)
        writer = self._writer(GroupId(placement))
        return await writer.write("sqlCreate", build, lambda results: bool(results.created), timeout)

    async def list_databases(self, tenant: int, *, level: ReadLevel, timeout: float) -> list[SqlDatabase]:
        return await self._sql.databases(tenant, self._all_groups, level, timeout)

    def sql_source(self, tenant: int, name: str, *, lock_timeout: float, idle_timeout: float) -> RpcSqlSource:
        return RpcSqlSource(self._sql, tenant, name, lock_timeout, idle_timeout)

    async def wait_for_projection(self, tenant: int, projection: str, position: str, *, timeout: float) -> bool:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.projection = projection
            params.position = position
            params.timeoutMicros = int(timeout * 1e6)

        return await self._router.ask(
            "waitForProjection",
            build,
            lambda results: bool(results.reached),
            timeout=timeout,
            wait_seconds=timeout,
        )

    async def _group_of(self, tenant: int, stream: str, timeout: float) -> GroupId:
        key = (tenant, stream)
        group = self._groups.get(key)
        if group is None:
            group = (await self.get_stream(tenant, stream, level=Consistency.LINEARIZABLE, timeout=timeout)).group
        return group

    def _writer(self, group: GroupId) -> Writer:
        writer = self._writers.get(group)
        if writer is None:
            writer = Writer(
                client=self._entropy.random_bytes(CLIENT_ID_SIZE),
                group=group,
                router=self._router,
                entropy=self._entropy,
            )
            self._writers[group] = writer
            self._tasks.start_soon(writer.run)
        return writer
