"""The part of the face that writes events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from vdb.client.face_base import FaceBase, check_name, data_class_of, placement_of
from vdb.client.stream_events import StreamEvents
from vdb.client.values import EventRun, Published, StreamAppend, check_appends
from vdb.errors import InvalidArgument, UnknownStream, UnknownTenant
from vdb.events.new_event import EncodedRun, EventEncoder
from vdb.kernel.command import Expected, ExpectedKind
from vdb.types import DataClass
from vdb.wire.event import ENVELOPE_SCHEMA


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
        appends = [StreamAppend(stream=stream, runs=(run,), expected=expected)]
        check_appends(appends)
        (published,) = await self._gateway.append(self.tenant, appends, timeout=self._seconds(timeout))
        return published

    @overload
    async def append(
        self,
        stream: str,
        events: Any,
        *,
        expected: Expected | int | None = None,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> Published: ...

    @overload
    async def append(
        self,
        stream: Sequence[StreamEvents | StreamAppend],
        *,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> tuple[Published, ...]: ...

    async def append(
        self,
        stream: str | Sequence[StreamEvents | StreamAppend],
        events: Any = (),
        *,
        expected: Expected | int | None = None,
        create: DataClass | str | None = None,
        timeout: float | None = None,
    ) -> Published | tuple[Published, ...]:
        """Append events to a stream, or to several streams of one group, all or none.

            await db.append("patient-7", PatientAdmitted(...), expected=vdb.EMPTY, create="phi")
            await db.append([vdb.StreamEvents("a", [first], expected=3), vdb.StreamEvents("b", expected=5)])

        An event is an instance of a class that `vdb.event` has registered, or a `vdb.NewEvent` that also says what its
        envelope holds; the rest comes from `vdb.context`. `expected` is a condition on the stream's next offset (an
        int: exactly that; `vdb.EMPTY`: none yet): WrongExpectedOffset. A `StreamEvents` without events is a condition
        only. `create`: the data class of a stream that isn't there yet and is then created in the node's region, also
        of one that is to stay empty; None: UnknownStream. CrossGroup if the streams lie in two groups.

        Events whose ids are among the last of their stream were appended before: nothing is appended again, and the
        answer is the first one's; if only some of them were, EventIdTaken.
        """
        appends = self.encode_appends(stream, events, expected)
        published = await self.append_encoded(appends, create=create, timeout=timeout)
        return published[0] if isinstance(stream, str) else published

    def encode_appends(
        self,
        stream: str | Sequence[StreamEvents | StreamAppend],
        events: Any,
        expected: Expected | int | None,
    ) -> list[StreamAppend]:
        """What `append` is asked to append, encoded under the context of the caller's task or thread."""
        if isinstance(stream, str):
            targets: Sequence[StreamEvents | StreamAppend] = [StreamEvents(stream, events, expected=expected)]
        else:
            targets = stream
            if events or expected is not None:
                raise InvalidArgument("events and conditions stand in the StreamEvents of an append to several streams")
        encoder = EventEncoder(new_id=self.stamps.new_id, now=self.stamps.now(), registry=self.registry)
        appends = [
            target
            if isinstance(target, StreamAppend)
            else StreamAppend(
                stream=target.stream, runs=map(_event_run, encoder.runs(target.events)), expected=target.expected
            )
            for target in targets
        ]
        check_appends(appends)
        return appends

    async def append_encoded(
        self, appends: Sequence[StreamAppend], *, create: DataClass | str | None, timeout: float | None
    ) -> tuple[Published, ...]:
        """Append what is encoded, in streams that are created before if they must."""
        seconds = self._seconds(timeout)
        if create is None:
            return await self._gateway.append(self.tenant, appends, timeout=seconds)
        kind = data_class_of(create)
        try:
            return await self._gateway.append(self.tenant, appends, timeout=seconds)
        except (UnknownStream, UnknownTenant):
            place = str(placement_of(kind, await self._region_of_node(timeout)))
        for append in appends:
            if _fits_empty(append.expected) and (append.runs or append.expected.kind is not ExpectedKind.ANY):
                check_name(append.stream)
                await self._gateway.create_stream(
                    self.tenant, append.stream, kind, place, if_not_exists=True, timeout=seconds
                )
        return await self._gateway.append(self.tenant, appends, timeout=seconds)


def _fits_empty(expected: Expected) -> bool:
    """Whether a stream that was just created meets a condition. Where it wouldn't, none is created."""
    return expected.kind in (ExpectedKind.ANY, ExpectedKind.NONE) or expected == Expected(ExpectedKind.EXACT, 0)


def _event_run(run: EncodedRun) -> EventRun:
    return EventRun(payloads=run.payloads, subject=run.subject, event_ids=run.event_ids, schema_id=ENVELOPE_SCHEMA)
