"""The part of the blocking face that writes events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, overload

from vdb.client.stream_events import StreamEvents
from vdb.client.sync_base import SyncBase
from vdb.client.values import Published, StreamAppend
from vdb.kernel.command import Expected
from vdb.types import DataClass


class SyncAppendFace(SyncBase):
    """Writing events."""

    def publish(
        self,
        stream: str,
        payloads: bytes | Sequence[bytes],
        *,
        expected: Expected | int | None = None,
        subject: str = "",
        event_ids: Sequence[bytes] = (),
        schema_id: int = 0,
        timeout: float | None = None,
    ) -> Published:
        """Append one event or several to a stream, all or none. See `AsyncFace.publish`."""
        return self._run(
            partial(
                self._face.publish,
                stream,
                payloads,
                expected=expected,
                subject=subject,
                event_ids=event_ids,
                schema_id=schema_id,
                timeout=timeout,
            )
        )

    @overload
    def append(
        self,
        stream: str,
        events: Any,
        *,
        expected: Expected | int | None = None,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> Published: ...

    @overload
    def append(
        self,
        stream: Sequence[StreamEvents | StreamAppend],
        *,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> tuple[Published, ...]: ...

    def append(
        self,
        stream: str | Sequence[StreamEvents | StreamAppend],
        events: Any = (),
        *,
        expected: Expected | int | None = None,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> Published | tuple[Published, ...]:
        """Append events to a stream, or to several streams of one group, all or none. See `AsyncFace.append`."""
        # Encoded in this thread, whose context counts.
        appends = self._face.encode_appends(stream, events, expected)
        published = self._run(partial(self._face.append_encoded, appends, create=create, timeout=timeout))
        return published[0] if isinstance(stream, str) else published
