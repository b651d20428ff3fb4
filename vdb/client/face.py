"""The public methods of a client, asynchronous, over any `Gateway`. They run on trio and on asyncio.

A write returns when its events are durable. Errors are definite (nothing happened) or `IndefiniteError` (it may have
happened; inside one client it is never executed twice). `timeout` is seconds and bounds retries and waiting.

Reads are linearizable unless they say otherwise: they see all that was acknowledged before they began, to whomever.
`at_least=position` asks for what lies before a position, which any node answers once it has applied it: so one reads
one's own writes (`Published.position`). `consistency="stale"` takes what the node has.
"""

from __future__ import annotations

from vdb.client.aggregates import AggregateFace
from vdb.client.append_face import AppendFace
from vdb.client.audit_face import AuditFace
from vdb.client.consumer_face import ConsumerFace
from vdb.client.database_face import DatabaseFace
from vdb.client.erasure_face import ErasureFace
from vdb.client.evidence_face import EvidenceFace
from vdb.client.face_base import LINEARIZABLE, check_name, data_class_of, placement_of, read_level
from vdb.client.governance_face import GovernanceFace
from vdb.client.key_face import KeyFace
from vdb.client.projection_face import ProjectionFace
from vdb.client.read_face import READ_EVENTS, ReadFace
from vdb.client.values import StreamInfo, check_text
from vdb.types import Consistency, DataClass, Position, Region

__all__ = ["LINEARIZABLE", "READ_EVENTS", "AsyncFace"]

STREAMS_PER_PAGE = 1000


class AsyncFace(
    ConsumerFace,
    AppendFace,
    ReadFace,
    AggregateFace,
    DatabaseFace,
    ProjectionFace,
    EvidenceFace,
    AuditFace,
    GovernanceFace,
    ErasureFace,
    KeyFace,
):
    """What `vdb.connect` gives, and `aio` of an embedded database."""

    async def create_stream(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a stream; True if it is new.

        `placement` is a region's name or 'global' (never for PHI); None takes the region of the node.
        Raises StreamExists, unless `if_not_exists` (then an existing stream of the same class and place is fine).
        """
        check_name(name)
        kind = data_class_of(data_class)
        if placement is None:
            placement = await self._region_of_node(timeout)
        place = placement_of(kind, placement)
        return await self._gateway.create_stream(
            self.tenant, name, kind, str(place), if_not_exists=if_not_exists, timeout=self._seconds(timeout)
        )

    async def list_streams(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[StreamInfo]:
        """All streams of the tenant, group by group, in the order of their creation."""
        level = read_level(consistency, None)
        streams: list[StreamInfo] = []
        more = True
        while more:
            after = streams[-1].name if streams else ""
            page, more = await self._gateway.list_streams(
                self.tenant, after, STREAMS_PER_PAGE, level=level, timeout=self._seconds(timeout)
            )
            streams += page
            more = more and bool(page)
        return streams

    async def get_stream(
        self,
        stream: str,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> StreamInfo:
        """One stream; UnknownStream if there is none of this name."""
        check_text(stream, "a stream's name")
        level = read_level(consistency, at_least)
        return await self._gateway.get_stream(self.tenant, stream, level=level, timeout=self._seconds(timeout))
