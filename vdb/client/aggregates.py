"""The part of the face that folds streams into aggregates.

`Snapshots` spare what was folded before; without them the same comes out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from vdb.client.event_face import EventFace
from vdb.client.face_base import LINEARIZABLE
from vdb.client.values import check_number
from vdb.errors import InvalidArgument, UnknownStream, UnknownTenant
from vdb.events.folding import Folder, folder_of
from vdb.events.times import time_us
from vdb.types import U64_MAX, Consistency, Position

T = TypeVar("T")
AnyPlace = int | Position | datetime
"""When an aggregate is wanted: before the event at this offset, before this position, or just after this time."""


class AggregateFace(EventFace):
    """Folding streams."""

    async def aggregate(
        self,
        cls: type[T],
        stream: str,
        *,
        at: AnyPlace | None = None,
        missing_ok: bool = False,
        ignore_unknown: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> tuple[T, int]:
        """Fold a stream into an object of a class with methods marked `vdb.applies`; and the offset that comes next.

            patient, next_offset = await db.aggregate(Patient, "patient-7")
            await db.append("patient-7", patient.discharge(), expected=next_offset)

        `at`: as it was when this offset came next, before this position, or at the end of this time (a datetime with a
        zone). UnknownStream, or with `missing_ok` the state without events. `ignore_unknown`: see `read_events`.
        InvalidArgument: the stream hasn't come to that offset.
        """
        folder = folder_of(cls)
        offset, before, until = _place(at)
        cached = before is None and until is None and not ignore_unknown
        held = self.snapshots.find(cls, stream, offset) if cached else None
        next_offset, state = (0, folder.start()) if held is None else held
        events = self.read_events(
            stream,
            from_offset=next_offset,
            max_events=None if offset is None else offset - next_offset,
            ignore_unknown=ignore_unknown,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        try:
            while records := await events.fetch_records():
                for record in records:
                    if offset is not None and record.offset >= offset:
                        return state, next_offset
                    if before is not None and not record.position < before:
                        return state, next_offset
                    if until is not None and record.time > until:
                        return state, next_offset
                    event = events.decode(record)
                    if event is not None:
                        state = _applied(folder, state, event.event, stream, record.offset)
                    next_offset = record.offset + 1
        except (UnknownStream, UnknownTenant):
            if not missing_ok:
                raise
        if offset is not None and next_offset < offset:
            raise InvalidArgument(f"stream {stream!r} has {next_offset} events: expected an offset up to that")
        if cached:
            self.snapshots.keep(cls, stream, next_offset, state)
        return state, next_offset


def _applied(folder: Folder, state: Any, event: Any, stream: str, offset: int) -> Any:
    """The state after an event. What a method raises is passed on, with where it was raised."""
    try:
        return folder.apply(state, event)
    except Exception as error:
        error.add_note(f"while {folder.cls.__qualname__} applied the event of stream {stream!r} at offset {offset}")
        raise


def _place(at: AnyPlace | None) -> tuple[int | None, Position | None, int | None]:
    """An offset, a position or microseconds UTC, whichever is meant."""
    if at is None:
        return None, None, None
    if isinstance(at, Position):
        return None, at, None
    if isinstance(at, datetime):
        return None, None, time_us(at, "the time of an aggregate")
    if not isinstance(at, int):
        raise InvalidArgument(f"an aggregate is read at an offset, a Position or a datetime; found {type(at).__name__}")
    return check_number(at, U64_MAX, "the offset of an aggregate"), None, None
