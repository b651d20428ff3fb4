"""The part of the face that folds streams into aggregates.

`Snapshots` spare what was folded before; without them the same comes out. Events are decoded and applied by whoever
asked, in its own task or thread: a node's loop does nothing but read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from vdb.client.event_face import EventFace
from vdb.client.face_base import LINEARIZABLE
from vdb.client.recorded_events import RecordedEvents
from vdb.client.snapshots import Snapshots
from vdb.client.values import check_number
from vdb.errors import InvalidArgument, UnknownStream, UnknownTenant
from vdb.events.folding import Folder, folder_of
from vdb.events.times import time_us
from vdb.selection import EventRecord
from vdb.types import U64_MAX, Consistency, DataClass, Position

T = TypeVar("T")
AnyPlace = int | Position | datetime
"""When an aggregate is wanted: before the event at this offset, before this position, or just after this time."""


class Fold:
    """A stream that is being folded. Whoever owns it reads `events` and hands over what they give."""

    def __init__(
        self,
        face: EventFace,
        cls: type[Any],
        stream: str,
        *,
        at: AnyPlace | None,
        ignore_unknown: bool,
        consistency: Consistency | str,
        at_least: Position | str | None,
        timeout: float | None,
    ) -> None:
        self._folder = folder_of(cls)
        self._stream = stream
        self._offset, self._before, self._until = _place(at)
        self._snapshots: Snapshots | None = None if ignore_unknown else face.snapshots
        held = self._snapshots.find(cls, stream, self._offset) if self._snapshots and self._counts_offsets else None
        self.next_offset, self.state = (0, self._folder.start()) if held is None else held
        self.events: RecordedEvents = face.read_events(
            stream,
            from_offset=self.next_offset,
            max_events=None if self._offset is None else self._offset - self.next_offset,
            ignore_unknown=ignore_unknown,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )

    @property
    def _counts_offsets(self) -> bool:
        """Whether a snapshot's offset tells if it is of use."""
        return self._before is None and self._until is None

    def take(self, records: Iterable[EventRecord]) -> bool:
        """Apply events; False once the place is reached."""
        for record in records:
            if record.data_class is DataClass.PHI:
                self._snapshots = None
            if self._is_beyond(record):
                return False
            event = self.events.decode(record)
            if event is not None:
                self.state = _applied(self._folder, self.state, event.event, self._stream, record.offset)
            self.next_offset = record.offset + 1
        return True

    def _is_beyond(self, record: EventRecord) -> bool:
        return (
            (self._offset is not None and record.offset >= self._offset)
            or (self._before is not None and not record.position < self._before)
            or (self._until is not None and record.time > self._until)
        )

    def finish(self) -> tuple[Any, int]:
        """The state and its next offset; they are remembered. InvalidArgument: the stream hasn't come so far."""
        if self._offset is not None and self.next_offset < self._offset:
            raise InvalidArgument(
                f"stream {self._stream!r} has {self.next_offset} events: expected an offset up to that, found "
                f"{self._offset}"
            )
        if self._snapshots is not None:
            self._snapshots.keep(self._folder.cls, self._stream, self.next_offset, self.state)
        return self.state, self.next_offset


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
        fold = Fold(
            self,
            cls,
            stream,
            at=at,
            ignore_unknown=ignore_unknown,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        try:
            while (records := await fold.events.fetch_records()) and fold.take(records):
                pass
        except (UnknownStream, UnknownTenant):
            if not missing_ok:
                raise
        return fold.finish()


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
