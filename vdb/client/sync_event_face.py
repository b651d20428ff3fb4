"""The part of the blocking face that reads typed events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from vdb.client.aggregates import AnyPlace, Fold
from vdb.client.event_face import EventKind
from vdb.client.face_base import LINEARIZABLE
from vdb.client.recorded_events import RecordedEvents
from vdb.client.sync_base import SyncBase
from vdb.client.sync_sql import Run
from vdb.errors import UnknownStream, UnknownTenant
from vdb.events.recorded import RecordedEvent
from vdb.types import Consistency, GroupId, Position

T = TypeVar("T")


class SyncRecordedEvents:
    """Iterator over `RecordedEvent`s. Events are fetched in the loop and decoded here, in the caller's thread."""

    def __init__(self, events: RecordedEvents, run: Run) -> None:
        self._events = events
        self._run = run

    def next_batch(self) -> list[RecordedEvent]:
        """At least one event, or an empty list at the end (never when following)."""
        while not (events := self._events.take_all_held()) and (records := self._run(self._events.fetch_records)):
            self._events.hold(records)
        return events

    def __iter__(self) -> SyncRecordedEvents:
        return self

    def __next__(self) -> RecordedEvent:
        while True:
            event = self._events.take_held()
            if event is not None:
                return event
            records = self._run(self._events.fetch_records)
            if not records:
                raise StopIteration
            self._events.hold(records)


class SyncEventFace(SyncBase):
    """Reading typed events."""

    def read_events(
        self,
        stream: str | None = None,
        *,
        prefix: str | None = None,
        prefixes: Iterable[str] = (),
        types: EventKind | Iterable[EventKind] = (),
        from_offset: int | None = None,
        from_position: Position | str | None = None,
        from_time: datetime | int | None = None,
        backward: bool = False,
        follow: bool = False,
        max_events: int | None = None,
        group: GroupId | str | None = None,
        ignore_unknown: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncRecordedEvents:
        """Iterate over events, decoded and upcast: `for event in db.read_events(...)`. See `AsyncFace.read_events`."""
        events = self._face.read_events(
            stream,
            prefix=prefix,
            prefixes=prefixes,
            types=types,
            from_offset=from_offset,
            from_position=from_position,
            from_time=from_time,
            backward=backward,
            follow=follow,
            max_events=max_events,
            group=group,
            ignore_unknown=ignore_unknown,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        return SyncRecordedEvents(events, self._run)

    def aggregate(
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
        """Fold a stream into an object, and the offset that comes next. See `AsyncFace.aggregate`."""
        fold = Fold(
            self._face,
            cls,
            stream,
            at=at,
            ignore_unknown=ignore_unknown,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        try:
            while (records := self._run(fold.events.fetch_records)) and fold.take(records):
                pass
        except (UnknownStream, UnknownTenant):
            if not missing_ok:
                raise
        return fold.finish()
