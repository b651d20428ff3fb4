"""The same methods as `AsyncFace`, for programs without an event loop. Thread-safe."""

from __future__ import annotations

from functools import partial

from vdb.client.face_base import LINEARIZABLE
from vdb.client.sync_append_face import SyncAppendFace
from vdb.client.sync_audit_face import SyncAuditFace
from vdb.client.sync_consumer_face import SyncConsumerFace
from vdb.client.sync_database_face import SyncDatabaseFace
from vdb.client.sync_erasure_face import SyncErasureFace
from vdb.client.sync_event_face import SyncEventFace
from vdb.client.sync_evidence_face import SyncEvidenceFace
from vdb.client.sync_governance_face import SyncGovernanceFace
from vdb.client.sync_key_face import SyncKeyFace
from vdb.client.sync_projection_face import SyncProjectionFace
from vdb.client.sync_read_face import SyncReadFace
from vdb.client.values import StreamInfo
from vdb.status import NodeStatus
from vdb.types import Consistency, DataClass, Position, Region


class SyncFace(
    SyncConsumerFace,
    SyncAppendFace,
    SyncReadFace,
    SyncEventFace,
    SyncDatabaseFace,
    SyncProjectionFace,
    SyncEvidenceFace,
    SyncAuditFace,
    SyncGovernanceFace,
    SyncErasureFace,
    SyncKeyFace,
):
    """What `vdb.connect_sync` gives, and an embedded database itself."""

    def create_stream(
        self,
        name: str,
        data_class: DataClass | str = "phi",
        placement: Region | str | None = None,
        *,
        if_not_exists: bool = False,
        timeout: float | None = None,
    ) -> bool:
        """Create a stream; True if it is new. See `AsyncFace.create_stream`."""
        return self._run(
            partial(self._face.create_stream, name, data_class, placement, if_not_exists=if_not_exists, timeout=timeout)
        )

    def list_streams(
        self, *, consistency: Consistency | str = LINEARIZABLE, timeout: float | None = None
    ) -> list[StreamInfo]:
        """All streams of the tenant, group by group, in the order of their creation."""
        return self._run(partial(self._face.list_streams, consistency=consistency, timeout=timeout))

    def get_stream(
        self,
        stream: str,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> StreamInfo:
        """One stream; UnknownStream if there is none of this name."""
        return self._run(
            partial(self._face.get_stream, stream, consistency=consistency, at_least=at_least, timeout=timeout)
        )

    def status(self, *, timeout: float | None = None) -> NodeStatus:
        """The node, its groups and its projections."""
        return self._run(partial(self._face.status, timeout=timeout))
