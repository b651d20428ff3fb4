"""The part of the blocking face that writes events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vdb.client.sync_base import SyncBase
from vdb.client.values import Published, StreamAppend
from vdb.kernel.command import Expected


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

    def append(self, appends: Sequence[StreamAppend], *, timeout: float | None = None) -> tuple[Published, ...]:
        """Append to several streams of one group, all or none."""
        return self._run(partial(self._face.append, appends, timeout=timeout))
