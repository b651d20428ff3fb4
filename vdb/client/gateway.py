"""What a face needs of whatever carries its calls: an RPC connection, or a node in the same process.

`rpc_gateway` and `vdb.embedded` implement it; `face` gives it its public form. Tenants are numbers, names are text.
`timeout` is seconds. Errors are those of `vdb.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vdb.client.audit_line import AuditLine
from vdb.client.consumer_gateway import ConsumerGateway
from vdb.client.erasure_line import ErasureLine
from vdb.client.evidence_line import EvidenceLine
from vdb.client.governance_line import GovernanceLine
from vdb.client.key_line import KeyLine
from vdb.client.projection_line import ProjectionLine
from vdb.client.sql_line import SqlDatabase, SqlSource
from vdb.client.values import Published, ReadPage, Rows, StreamAppend, StreamInfo, Where
from vdb.selection import EventFilter, EventStart, Selected
from vdb.status import NodeStatus
from vdb.types import DataClass, GroupId, ReadLevel


class Gateway(Protocol):
    @property
    def consumers(self) -> ConsumerGateway:
        """Its consumer groups."""

    @property
    def audit(self) -> AuditLine:
        """Its audit logs."""

    @property
    def evidence(self) -> EvidenceLine:
        """Heads of its trees, and proofs."""

    @property
    def governance(self) -> GovernanceLine:
        """Who may do what in it."""

    @property
    def keys(self) -> KeyLine:
        """Its keys."""

    @property
    def erasure(self) -> ErasureLine:
        """How its data end."""

    @property
    def projections(self) -> ProjectionLine:
        """Changes of its projections."""

    async def create_stream(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        """True if it was created, False if it was there already."""

    async def append(
        self, tenant: int, appends: Sequence[StreamAppend], *, timeout: float
    ) -> tuple[Published, ...]: ...

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
        """Some events from an offset on. An empty answer waits up to `wait` seconds for the next event."""

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
    ) -> ReadPage: ...

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
        """Some events of a group that fit. Forward, an empty answer at the end waits up to `wait` seconds for one."""

    async def list_streams(
        self, tenant: int, after: str, maximum: int, *, level: ReadLevel, timeout: float
    ) -> tuple[list[StreamInfo], bool]:
        """Streams whose names follow `after`, and whether there are more."""

    async def get_stream(self, tenant: int, name: str, *, level: ReadLevel, timeout: float) -> StreamInfo: ...

    async def status(self, *, timeout: float) -> NodeStatus: ...

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
    ) -> Rows: ...

    async def create_database(
        self, tenant: int, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool, timeout: float
    ) -> bool:
        """A SQL database; True if it was created, False if it was there already."""

    async def list_databases(self, tenant: int, *, level: ReadLevel, timeout: float) -> list[SqlDatabase]: ...

    def sql_source(self, tenant: int, name: str, *, lock_timeout: float, idle_timeout: float) -> SqlSource:
        """Where sessions of a SQL database come from."""

    async def wait_for_projection(self, tenant: int, projection: str, position: str, *, timeout: float) -> bool: ...
