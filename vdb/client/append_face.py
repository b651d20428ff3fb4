"""The part of the face that writes events."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.client.face_base import FaceBase
from vdb.client.values import EventRun, Published, StreamAppend, check_appends
from vdb.kernel.command import Expected


class AppendFace(FaceBase):
    """Writing events."""

    async def publish(
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
        """Append one event or several to a stream, all or none.

        `expected` is a condition on the stream's next offset (an int: exactly that; WrongExpectedOffset otherwise).
        `subject` names whose data it is: its key seals the payloads, and destroying the key erases them.
        """
        run = EventRun(payloads=payloads, subject=subject, event_ids=tuple(event_ids), schema_id=schema_id)
        (published,) = await self.append([StreamAppend(stream=stream, runs=(run,), expected=expected)], timeout=timeout)
        return published

    async def append(self, appends: Sequence[StreamAppend], *, timeout: float | None = None) -> tuple[Published, ...]:
        """Append to several streams of one group, all or none. CrossGroup if they lie in two."""
        check_appends(appends)
        return await self._gateway.append(self.tenant, appends, timeout=self._seconds(timeout))
