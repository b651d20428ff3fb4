"""The part of the blocking face that reads payloads."""

from __future__ import annotations

from functools import partial

from vdb.client.face_base import LINEARIZABLE
from vdb.client.follow import EventIterator
from vdb.client.read_face import READ_EVENTS
from vdb.client.sync_base import SyncBase
from vdb.client.sync_sql import Run
from vdb.client.values import Event
from vdb.types import Consistency, GroupId, Position


class SyncEvents:
    """Iterator over events; see `EventIterator`."""

    def __init__(self, events: EventIterator, run: Run) -> None:
        self._events = events
        self._run = run

    @property
    def next(self) -> int:
        """Where the next batch starts."""
        return self._events.next

    def next_batch(self) -> list[Event]:
        return self._run(self._events.next_batch)

    def __iter__(self) -> SyncEvents:
        return self

    def __next__(self) -> Event:
        try:
            return self._run(self._next)
        except _End:
            raise StopIteration from None

    async def _next(self) -> Event:
        try:
            return await self._events.__anext__()
        except StopAsyncIteration:
            raise _End from None


class _End(Exception):
    """A StopAsyncIteration that may pass through a future."""


class SyncReadFace(SyncBase):
    """Reading payloads."""

    def read(
        self,
        stream: str,
        from_offset: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events from an offset on; fewer only at the stream's end."""
        return self._run(
            partial(
                self._face.read,
                stream,
                from_offset,
                max_events,
                consistency=consistency,
                at_least=at_least,
                timeout=timeout,
            )
        )

    def events(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        max_events: int | None = None,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over a stream from an offset to its end."""
        events = self._face.events(
            stream, from_offset, max_events=max_events, consistency=consistency, at_least=at_least, timeout=timeout
        )
        return SyncEvents(events, self._run)

    def follow(
        self,
        stream: str,
        from_offset: int = 0,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over a stream through its history into what is appended from now on; blocks, never ends."""
        events = self._face.follow(stream, from_offset, consistency=consistency, at_least=at_least, timeout=timeout)
        return SyncEvents(events, self._run)

    def log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        *,
        max_events: int | None = None,
        follow: bool = False,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> SyncEvents:
        """Iterate over all events of the tenant in one group, in commit order."""
        events = self._face.log(
            group,
            from_position,
            max_events=max_events,
            follow=follow,
            consistency=consistency,
            at_least=at_least,
            timeout=timeout,
        )
        return SyncEvents(events, self._run)

    def read_log(
        self,
        group: GroupId | str,
        from_position: int = 0,
        max_events: int = READ_EVENTS,
        *,
        consistency: Consistency | str = LINEARIZABLE,
        at_least: Position | str | None = None,
        timeout: float | None = None,
    ) -> list[Event]:
        """Up to `max_events` events of the tenant in one group, in commit order."""
        return self._run(
            partial(
                self._face.read_log,
                group,
                from_position,
                max_events,
                consistency=consistency,
                at_least=at_least,
                timeout=timeout,
            )
        )

    def event_ids(self, stream: str, from_offset: int = 0, *, timeout: float | None = None) -> list[bytes]:
        """The event ids of a stream from an offset to its end."""
        return self._run(partial(self._face.event_ids, stream, from_offset, timeout=timeout))
